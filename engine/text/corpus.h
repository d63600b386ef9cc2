#pragma once

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"

namespace hone::engine::text {

// Cleaned texts, each UTF-8, that somebody else holds for as long as they are looked at.
struct Corpus {
  int64_t size = 0;
  absl::FunctionRef<absl::string_view(int64_t index)> text;
};

}  // namespace hone::engine::text
