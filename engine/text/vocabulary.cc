#include "engine/text/vocabulary.h"

#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/utf8.h"

namespace hone::engine::text {
namespace {

constexpr size_t kMostTokens = size_t{1} << 24;

}  // namespace

absl::StatusOr<Vocabulary> Vocabulary::Make(std::vector<std::string> tokens, bool mask) {
  if (tokens.empty() || tokens.size() > kMostTokens) {
    return absl::InvalidArgumentError(absl::StrCat("a vocabulary must have 1 to ", kMostTokens,
                                                   " tokens beside the special ones, got ",
                                                   tokens.size()));
  }
  Vocabulary vocabulary(std::move(tokens), mask);
  for (const std::string& token : vocabulary.tokens_) {
    const auto id =
        static_cast<int32_t>(CountSpecial(mask)) + static_cast<int32_t>(vocabulary.ids_.size());
    if (token.empty() || Utf8Prefix(token) != token.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("token ", id, " is ", token.empty() ? "empty" : "no UTF-8"));
    }
    if (!vocabulary.ids_.try_emplace(token, id).second) {
      return absl::InvalidArgumentError(absl::StrCat("token ", id, " comes twice: ", token));
    }
  }
  return vocabulary;
}

int64_t Vocabulary::CountSpecial(bool mask) {
  return static_cast<int64_t>(std::size(kSpecialTokens)) + (mask ? 1 : 0);
}

int64_t Vocabulary::size() const {
  return CountSpecial(mask_) + static_cast<int64_t>(tokens_.size());
}

SpecialTokens Vocabulary::special() const {
  SpecialTokens special;
  if (mask_) {
    special.mask = static_cast<int32_t>(std::size(kSpecialTokens));
  }
  return special;
}

int32_t Vocabulary::Find(absl::string_view token) const {
  const auto found = ids_.find(token);
  return found != ids_.end() ? found->second : SpecialTokens().unknown;
}

absl::string_view Vocabulary::TextOf(int32_t id) const {
  if (id == SpecialTokens().unknown) {
    return kSpecialTokens[0];
  }
  if (mask_ && id == special().mask) {
    return kMaskToken;
  }
  const int64_t i = id - CountSpecial(mask_);
  return i < 0 ? absl::string_view() : absl::string_view(tokens_[static_cast<size_t>(i)]);
}

nlohmann::json WithMask(nlohmann::json json, const Vocabulary& vocabulary) {
  if (vocabulary.has_mask()) {
    json["mask"] = true;
  }
  return json;
}

}  // namespace hone::engine::text
