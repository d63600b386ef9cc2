#include "engine/huggingface/family.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

namespace hone::engine::huggingface {

std::string OfBlock(absl::string_view name, int64_t block) {
  return absl::StrReplaceAll(name,
                             {{"{i}", absl::StrCat(block)}, {"{n}", absl::StrCat(block + 1)}});
}

int64_t BlocksOf(absl::string_view name, const Sizes& sizes) {
  return absl::StrContains(name, "{i}") ? sizes.at('L') : 1;
}

Shape WantedShape(absl::string_view shape, const Sizes& sizes) {
  std::vector<int64_t> dims;
  for (absl::string_view extent : absl::StrSplit(shape, ' ')) {
    int64_t times = 1;
    if (absl::ascii_isdigit(static_cast<unsigned char>(extent[0]))) {
      times = extent[0] - '0';
      extent.remove_prefix(1);
    }
    dims.push_back(extent == "*" ? -1 : times * (extent.empty() ? 1 : sizes.at(extent[0])));
  }
  return Shape(std::move(dims));
}

bool Fits(const Shape& shape, const Shape& wanted) {
  return std::ranges::equal(shape.dims(), wanted.dims(),
                            [](int64_t is, int64_t want) { return want == -1 || is == want; });
}

std::string Extents(const Shape& wanted) {
  return absl::StrReplaceAll(wanted.ToString(), {{"-1", "any"}});
}

}  // namespace hone::engine::huggingface
