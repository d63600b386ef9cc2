#include "engine/ops/decoder_steps.h"

#include "absl/strings/str_cat.h"
#include "engine/ops/segments.h"

namespace hone::engine::decoder {

absl::StatusOr<Slot> Panels(Lowering& l, int input, bool transposed) {
  const int64_t rows = l.input_type(input).shape[0], columns = l.input_type(input).shape[1];
  return l.PackedInput(
      input, absl::StrCat("panels_", transposed ? "transposed_" : "", kernels::RecurrenceLanes()),
      kernels::PanelFloats(rows, columns, transposed) * static_cast<int64_t>(sizeof(float)),
      [=](const float* values, void* packed) {
        kernels::PackPanels(values, rows, columns, transposed, static_cast<float*>(packed));
      });
}

Team::Team(Lowering& l, const kernels::RecurrentDecoder& d, int64_t row_count, int64_t sequences,
           int64_t most_keys, ScratchOf scratch_of)
    : parts(static_cast<int>(std::min<int64_t>(
          PartsFor(SaturatingProduct(row_count * d.units, d.units), l.threads()), sequences))),
      batch(sequences),
      rows(row_count),
      key_rows(most_keys),
      floats(scratch_of(d, (sequences + parts - 1) / parts, most_keys)),
      order(l.Scratch(sequences * static_cast<int64_t>(sizeof(int32_t)))),
      scratch(l.Scratch(parts * floats * static_cast<int64_t>(sizeof(float)))) {}

bool Team::Fit(const int32_t* offsets, const int32_t* key_offsets) const {
  const auto count = static_cast<size_t>(batch) + 1;
  return AreOffsets({offsets, count}, rows) &&
         (key_offsets == nullptr || AreOffsets({key_offsets, count}, key_rows));
}

}  // namespace hone::engine::decoder
