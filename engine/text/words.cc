#include "engine/text/words.h"

#include "engine/text/unicode.h"

namespace hone::engine::text {
namespace {

bool IsApostrophe(char32_t character) { return character == '\'' || character == 0x2019; }

// Belongs to a word of several characters.
bool Joins(char32_t character) { return IsWordPart(character) && !IsWide(character); }

// An apostrophe at the begin of `rest` stands before a letter.
bool JoinsByApostrophe(absl::string_view rest) {
  if (rest.empty() || !IsApostrophe(TakeCharacter(rest)) || rest.empty()) {
    return false;
  }
  return Joins(TakeCharacter(rest));
}

// Takes what belongs to the word whose first character, `first`, has been taken already.
void TakeRest(char32_t first, WordSplit split, absl::string_view& rest) {
  if (split == WordSplit::kPunctuation && !Joins(first)) {
    return;
  }
  while (!rest.empty()) {
    absl::string_view behind = rest;
    const char32_t next = TakeCharacter(behind);
    const bool belongs =
        split == WordSplit::kSpaces ? !IsSpace(next) : Joins(next) || JoinsByApostrophe(rest);
    if (!belongs) {
      return;
    }
    rest = behind;
  }
}

}  // namespace

void ForEachWord(absl::string_view utf8, WordSplit split,
                 absl::FunctionRef<void(absl::string_view word)> visit) {
  absl::string_view rest = utf8;
  while (!rest.empty()) {
    const absl::string_view begin = rest;
    const char32_t first = TakeCharacter(rest);
    if (IsSpace(first)) {
      continue;
    }
    TakeRest(first, split, rest);
    visit(begin.substr(0, begin.size() - rest.size()));
  }
}

}  // namespace hone::engine::text
