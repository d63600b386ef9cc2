#include "engine/huggingface/families.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace hone::engine::huggingface {
namespace {

// The family table: one line for each.
constexpr const Family& (*kFamilies[])() = {Bert, DistilBert, Gpt2, Llama, Qwen2, Qwen3, Roberta};

}  // namespace

absl::StatusOr<const Family*> FindFamily(absl::string_view model_type) {
  const auto found = std::ranges::find_if(
      kFamilies, [&](const auto family) { return family().model_type == model_type; });
  if (found != std::end(kFamilies)) {
    return &(*found)();
  }
  std::vector<absl::string_view> known;
  for (const auto family : kFamilies) {
    known.push_back(family().model_type);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "`model_type` must be one of ", absl::StrJoin(known, ", "), ", got \"", model_type, "\""));
}

}  // namespace hone::engine::huggingface
