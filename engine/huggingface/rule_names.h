#pragma once

#include "absl/strings/string_view.h"

// The kinds of tensors that a family's table (family.h) names.
namespace hone::engine::huggingface {

inline constexpr absl::string_view kWeight = "weight", kBias = "bias";

}  // namespace hone::engine::huggingface
