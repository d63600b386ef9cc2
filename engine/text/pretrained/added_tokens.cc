#include "engine/text/pretrained/added_tokens.h"

#include <algorithm>

#include "engine/text/pretrained/characters.h"

namespace hone::engine::text {
namespace {

bool Has(char32_t character, CharacterTrait trait) {
  return (CharacterTraits()[character] & trait) != 0;
}

NextCharacter LastOf(absl::string_view text) {
  size_t begin = text.size() - 1;
  while (begin > 0 && ContinuesCharacter(text[begin])) {
    --begin;
  }
  return FirstOf(text.substr(begin));
}

}  // namespace

AddedTokens::AddedTokens(const std::vector<AddedToken>& tokens, bool normalized) {
  for (const AddedToken& token : tokens) {
    if (token.normalized == normalized && !token.looked_for.empty()) {
      tree_.Add(token.looked_for, static_cast<int32_t>(tokens_.size()));
      begins_[static_cast<uint8_t>(token.looked_for[0])] = true;
      tokens_.push_back(token);
    }
  }
}

void AddedTokens::Divide(absl::string_view text, Found found) const {
  size_t done = 0;
  const size_t last_place = tokens_.empty() ? 0 : text.size();
  for (size_t at = 0; at < last_place;) {
    if (!begins_[static_cast<uint8_t>(text[at])]) {
      ++at;
      continue;
    }
    size_t end = at;
    int32_t longest = PieceTree::kNone;
    int32_t node = PieceTree::kRoot;
    for (size_t i = at; i < text.size();) {
      node = tree_.Child(node, text[i++]);
      if (node == PieceTree::kNone) {
        break;
      }
      if (tree_.IdAt(node) != PieceTree::kNone) {
        longest = tree_.IdAt(node);
        end = i;
      }
    }
    if (longest == PieceTree::kNone) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[static_cast<size_t>(longest)];
    size_t begin = at;
    at = end;
    if (begin < done) {
      continue;  // within the white space of the token before it
    }
    if (token.single_word &&
        ((begin > 0 && Has(LastOf(text.substr(0, begin)).character, kWordCharacter)) ||
         (end < text.size() && Has(FirstOf(text.substr(end)).character, kWordCharacter)))) {
      continue;
    }
    while (token.strip_left && begin > done) {
      const NextCharacter before = LastOf(text.substr(0, begin));
      if (!Has(before.character, kWhiteSpace)) {
        break;
      }
      begin -= before.size;
    }
    while (token.strip_right && end < text.size()) {
      const NextCharacter next = FirstOf(text.substr(end));
      if (!Has(next.character, kWhiteSpace)) {
        break;
      }
      end += next.size;
    }
    if (done < begin) {
      found(done, begin, nullptr);
    }
    found(begin, end, &token);
    done = end;
  }
  if (done < text.size()) {
    found(done, text.size(), nullptr);
  }
}

}  // namespace hone::engine::text
