#include "engine/ops/continued_rows.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"
#include "engine/ops/segments.h"

namespace hone::engine {
namespace {

using onednn::MemoryDesc;

// Inputs: states, start, ancestors, places, offsets.
class ContinuedRowsOp final : public Op {
 public:
  absl::string_view kind() const override { return "continued_rows"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    HONE_RETURN_IF_ERROR(CheckTokenRows("the states", in[0]));
    HONE_RETURN_IF_ERROR(CheckOffsets(in[4]));
    const int64_t rows = in[0].shape[0];
    if (const Shape start{in[4].shape[0] - 1, in[0].shape[1]}; in[1].shape != start) {
      return WrongShape("the start", start.ToString(), in[1].shape);
    }
    if (in[2].dtype != DType::kS32 || in[2].shape.rank() != 2 || in[2].shape[0] != rows ||
        in[2].shape[1] < 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("the ancestors must be s32[", rows, ", places], got ", in[2].ToString()));
    }
    if (in[3] != TensorType{Shape{rows}, DType::kS32}) {
      return absl::InvalidArgumentError(
          absl::StrCat("the places must be s32[", rows, "], got ", in[3].ToString()));
    }
    return std::vector<TensorType>{{in[0].shape, DType::kF32}};
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const int64_t width = in[0]->shape[1], place_count = in[2]->shape[1];
    for (int64_t i = 0; i + 1 < in[4]->shape[0]; ++i) {
      for (auto row = static_cast<int64_t>((*in[4])[i]);
           row < static_cast<int64_t>((*in[4])[i + 1]); ++row) {
        const auto place = static_cast<int64_t>((*in[3])[row]);
        const int64_t from =
            place == 0 ? i : static_cast<int64_t>((*in[2])[row * place_count + place - 1]);
        for (int64_t k = 0; k < width; ++k) {
          out[0][row * width + k] = (*in[place == 0 ? 1 : 0])[from * width + k];
        }
      }
    }
  }

  absl::Status Lower(Lowering& l) const override {
    HONE_ASSIGN_OR_RETURN(const Slot states, l.PlainInput(0));
    HONE_ASSIGN_OR_RETURN(const Slot start, l.PlainInput(1));
    const Slot ancestors = l.Input(2), places = l.Input(3), offsets = l.Input(4);
    const Slot y = l.Output(0, MemoryDesc::Plain(l.output_type(0)));
    const int64_t rows = l.input_type(0).shape[0], width = l.input_type(0).shape[1];
    const int64_t place_count = l.input_type(2).shape[1], batch = l.input_type(4).shape[0] - 1;
    l.Emit(kind(), [=](const Memory& m, const RunScalars&) {
      const auto* begins = m.as<int32_t>(offsets);
      if (!AreOffsets({begins, static_cast<size_t>(batch) + 1}, rows)) {
        return false;
      }
      auto* const to = m.as<float>(y);
      for (int64_t i = 0; i < batch; ++i) {
        for (int64_t row = begins[i]; row < begins[i + 1]; ++row) {
          const int64_t place = m.as<int32_t>(places)[row];
          if (place < 0 || place >= place_count) {
            return false;
          }
          const float* from = m.as<float>(start) + i * width;
          if (place > 0) {
            const int64_t ancestor = m.as<int32_t>(ancestors)[row * place_count + place - 1];
            if (ancestor < 0 || ancestor >= rows) {
              return false;
            }
            from = m.as<float>(states) + ancestor * width;
          }
          std::copy_n(from, width, to + row * width);
        }
      }
      ClearRowsBehind(begins, batch, rows, width, to);
      return true;
    });
    return absl::OkStatus();
  }
};

}  // namespace

Value ContinuedRows(Graph& graph, Value states, Value start, Value ancestors, Value places,
                    Value offsets) {
  return graph.Add(std::make_shared<ContinuedRowsOp>(),
                   {states, start, ancestors, places, offsets});
}

}  // namespace hone::engine
