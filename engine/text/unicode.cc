#include "engine/text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>

namespace hone::engine::text {
namespace {

bool IsAscii(absl::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

utf8proc_category_t CategoryOf(char32_t character) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(character));
}

}  // namespace

std::string Normalize(absl::string_view utf8, Normalization form) {
  if (form == Normalization::kNone || IsAscii(utf8)) {
    return std::string(utf8);
  }
  int options = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
  options |= form == Normalization::kNfkc ? UTF8PROC_COMPAT : 0;
  utf8proc_uint8_t* bytes = nullptr;
  const utf8proc_ssize_t size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(utf8.data()),
                                             static_cast<utf8proc_ssize_t>(utf8.size()), &bytes,
                                             static_cast<utf8proc_option_t>(options));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(bytes, std::free);
  if (size < 0) {
    // Of UTF-8 nothing else can fail.
    throw std::bad_alloc();
  }
  return std::string(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
}

std::string ToLower(absl::string_view utf8) {
  std::string lower;
  lower.reserve(utf8.size());
  while (!utf8.empty()) {
    const auto character = static_cast<utf8proc_int32_t>(TakeCharacter(utf8));
    AppendCharacter(static_cast<char32_t>(utf8proc_tolower(character)), lower);
  }
  return lower;
}

std::string FromLatin1(absl::string_view latin1) {
  std::string utf8;
  utf8.reserve(latin1.size());
  for (const char c : latin1) {
    AppendCharacter(static_cast<unsigned char>(c), utf8);
  }
  return utf8;
}

void AppendCharacter(char32_t character, std::string& utf8) {
  utf8proc_uint8_t bytes[4];
  const utf8proc_ssize_t size =
      utf8proc_encode_char(static_cast<utf8proc_int32_t>(character), bytes);
  utf8.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
}

bool IsSpace(char32_t character) {
  constexpr char32_t kNextLine = 0x85;
  if (character < 0x80) {
    return character == ' ' || (character >= '\t' && character <= '\r');
  }
  switch (CategoryOf(character)) {
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return true;
    default:
      return character == kNextLine;
  }
}

bool IsControl(char32_t character) {
  constexpr char32_t kByteOrderMark = 0xfeff;
  return character == kByteOrderMark ||
         (CategoryOf(character) == UTF8PROC_CATEGORY_CC && !IsSpace(character));
}

bool IsWordPart(char32_t character) {
  switch (CategoryOf(character)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return true;
    default:
      return false;
  }
}

bool IsWide(char32_t character) {
  return utf8proc_charwidth(static_cast<utf8proc_int32_t>(character)) == 2;
}

int64_t CountCharacters(absl::string_view utf8) {
  // Each character has one byte that does not continue another one.
  return std::ranges::count_if(utf8, [](char byte) { return !ContinuesCharacter(byte); });
}

}  // namespace hone::engine::text
