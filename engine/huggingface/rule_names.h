#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "engine/huggingface/family.h"

// How the names of a family's table (family.h) become those of tensors.
namespace hone::engine::huggingface {

inline constexpr absl::string_view kWeight = "weight", kBias = "bias";

// A name of a rule with the block's number, from 0, in its place.
inline std::string OfBlock(absl::string_view name, int64_t block) {
  return absl::StrReplaceAll(name,
                             {{"{i}", absl::StrCat(block)}, {"{n}", absl::StrCat(block + 1)}});
}

inline int64_t BlocksOf(absl::string_view name, const Sizes& sizes) {
  return absl::StrContains(name, "{i}") ? sizes.at('L') : 1;
}

}  // namespace hone::engine::huggingface
