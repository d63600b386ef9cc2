#include "engine/text/vocabulary.h"

#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/utf8.h"
#include "engine/text/tokenizer.h"

namespace hone::engine::text {
namespace {

constexpr size_t kSpecial = std::size(kSpecialTokens);
constexpr size_t kMostTokens = size_t{1} << 24;

}  // namespace

absl::StatusOr<Vocabulary> Vocabulary::Make(std::vector<std::string> tokens) {
  if (tokens.empty() || tokens.size() > kMostTokens) {
    return absl::InvalidArgumentError(absl::StrCat("a vocabulary must have 1 to ", kMostTokens,
                                                   " tokens beside the special ones, got ",
                                                   tokens.size()));
  }
  Vocabulary vocabulary(std::move(tokens));
  for (const std::string& token : vocabulary.tokens_) {
    const auto id = static_cast<int32_t>(kSpecial + vocabulary.ids_.size());
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

int64_t Vocabulary::size() const { return static_cast<int64_t>(kSpecial + tokens_.size()); }

int32_t Vocabulary::Find(absl::string_view token) const {
  const auto found = ids_.find(token);
  return found != ids_.end() ? found->second : SpecialTokens().unknown;
}

absl::string_view Vocabulary::TextOf(int32_t id) const {
  if (id == SpecialTokens().unknown) {
    return kSpecialTokens[0];
  }
  const auto i = static_cast<size_t>(id);
  return i < kSpecial ? absl::string_view() : absl::string_view(tokens_[i - kSpecial]);
}

}  // namespace hone::engine::text
