#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace hone::engine::text {

// All functions here take UTF-8 (base/utf8.h) and give UTF-8. What a character is, they have from
// utf8proc's tables of the Unicode Character Database.

// The normalization forms of Unicode's Standard Annex 15. kNfc composes letters with their accents;
// kNfkc also replaces what only looks different (ﬁ, ², full width letters).
enum class Normalization { kNone, kNfc, kNfkc };
std::string Normalize(absl::string_view utf8, Normalization form);

// Each character's lower case letter (the simple mapping: İ becomes i, and ß stays).
std::string ToLower(absl::string_view utf8);

// Latin-1 as UTF-8: each byte is the character of its number.
std::string FromLatin1(absl::string_view latin1);

// The first character of a text that is not empty, and how many bytes it has. A byte that begins no
// character is U+FFFD of one byte.
struct NextCharacter {
  char32_t character;
  uint32_t size;
};
inline NextCharacter FirstOf(absl::string_view utf8) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(utf8[i]); };
  const auto more = [&](size_t i) { return char32_t{byte(i)} & 0x3f; };
  const uint8_t first = byte(0);
  if (first < 0x80) {
    return {first, 1};
  }
  if (first >= 0xc2 && first < 0xe0 && utf8.size() >= 2) {
    return {(char32_t{first} & 0x1f) << 6 | more(1), 2};
  }
  if (first >= 0xe0 && first < 0xf0 && utf8.size() >= 3) {
    return {(char32_t{first} & 0xf) << 12 | more(1) << 6 | more(2), 3};
  }
  if (first >= 0xf0 && first < 0xf4 && utf8.size() >= 4) {
    return {(char32_t{first} & 7) << 18 | more(1) << 12 | more(2) << 6 | more(3), 4};
  }
  if (first == 0xf4 && utf8.size() >= 4 && byte(1) < 0x90) {
    return {char32_t{0x100000} | more(1) << 12 | more(2) << 6 | more(3), 4};
  }
  return {0xfffd, 1};
}

// Removes the first character of `utf8`, which is not empty, and returns it.
inline char32_t TakeCharacter(absl::string_view& utf8) {
  const NextCharacter next = FirstOf(utf8);
  utf8.remove_prefix(next.size);
  return next.character;
}
void AppendCharacter(char32_t character, std::string& utf8);

bool IsSpace(char32_t character);     // the property White_Space
bool IsControl(char32_t character);   // category Cc but for white space, and the byte order mark
bool IsWordPart(char32_t character);  // a letter, a mark that belongs to one, a number
// Takes two columns, as the characters of Chinese, Japanese and Korean do, which stand without
// spaces between words.
bool IsWide(char32_t character);

// The byte belongs to a character that begins before it.
inline bool ContinuesCharacter(char byte) {
  return (static_cast<unsigned char>(byte) & 0xc0) == 0x80;
}

int64_t CountCharacters(absl::string_view utf8);

}  // namespace hone::engine::text
