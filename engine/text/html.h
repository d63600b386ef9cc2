#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace hone::engine::text {

// What a reader sees of a piece of HTML. Tags and comments leave; so does what stands in script and
// style. A tag that begins a line (br, p, div, li, …) leaves a space. References become what they
// stand for: numbers, Latin-1's names and some of HTML 4.01's; others stay as they are. A '<' that
// begins no tag, as in "a < b", stays.
std::string StripHtml(absl::string_view html);

}  // namespace hone::engine::text
