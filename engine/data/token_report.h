#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "absl/strings/string_view.h"
#include "engine/data/report.h"

namespace hone::engine::data {

// Counts a text of `tokens`, at least one, which were `all` before it was cut. `where` is its
// place.
void CountText(std::span<const int32_t> tokens, int64_t all, int32_t unknown, std::string where,
               TokenReport& report);

// "training part: 5 tokens, 2.5 a text, 20.0 % of them unknown; …" of as many texts as were
// counted; none of them has more tokens than `max_tokens`, where that is not 0.
std::string Describe(absl::string_view part, const TokenReport& tokens, int64_t max_tokens);

}  // namespace hone::engine::data
