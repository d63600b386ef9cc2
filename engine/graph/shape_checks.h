#pragma once

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/tensor/tensor.h"

// What shape rules of ops say about shapes that do not fit.
namespace hone::engine {

// "the input must be [batch, features], got [3]".
inline absl::Status WrongShape(absl::string_view what, absl::string_view wanted, const Shape& got) {
  return absl::InvalidArgumentError(
      absl::StrCat(what, " must be ", wanted, ", got ", got.ToString()));
}

// Refuses a tensor with an extent of 0; the first dimension is called batch.
inline absl::Status CheckNotEmpty(absl::string_view what, const Shape& shape) {
  for (int i = 0; i < shape.rank(); ++i) {
    if (shape[i] <= 0) {
      return absl::InvalidArgumentError(
          i == 0 ? absl::StrCat(what, ": batch=", shape[0], ", must be at least 1")
                 : absl::StrCat(what, ": dimension ", i, " is ", shape[i], " in ", shape.ToString(),
                                ", must be at least 1"));
    }
  }
  return absl::OkStatus();
}

}  // namespace hone::engine
