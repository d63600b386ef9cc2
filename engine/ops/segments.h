#pragma once

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/graph/shape_checks.h"
#include "engine/tensor/token_rows.h"

// What ops that read offsets (tensor/token_rows.h) ask of their inputs.
namespace hone::engine {

inline absl::Status CheckTokenRows(absl::string_view what, const TensorType& x) {
  if (x.shape.rank() != 2) {
    return WrongShape(what, "[rows, width]", x.shape);
  }
  return CheckNotEmpty(what, x.shape);
}

inline absl::Status CheckOffsets(const TensorType& offsets) {
  if (offsets.dtype != DType::kS32 || offsets.shape.rank() != 1 || offsets.shape[0] < 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("the offsets must be s32[batch + 1], got ", offsets.ToString()));
  }
  return absl::OkStatus();
}

// Zeros in the rows, `width` numbers of `dtype` each, that belong to none of `batch` sequences.
inline void ClearRowsBehind(const int32_t* offsets, int64_t batch, int64_t rows, int64_t width,
                            DType dtype, void* data) {
  const int64_t row = width * SizeOf(dtype);
  auto* bytes = static_cast<char*>(data);
  std::fill(bytes + offsets[batch] * row, bytes + rows * row, '\0');
}
inline void ClearRowsBehind(const int32_t* offsets, int64_t batch, int64_t rows, int64_t width,
                            float* data) {
  ClearRowsBehind(offsets, batch, rows, width, DType::kF32, data);
}

}  // namespace hone::engine
