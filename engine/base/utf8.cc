#include "engine/base/utf8.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/complaints.h"
#include "engine/base/status.h"

namespace hone {
namespace {

bool Continues(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// Of the character that `text`, which is not empty, begins with; 0: it begins with none.
size_t CharacterBytes(absl::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  if (first < 0x80) {
    return 1;
  }
  const size_t bytes = first < 0xC2   ? 0
                       : first < 0xE0 ? 2
                       : first < 0xF0 ? 3
                       : first < 0xF5 ? 4
                                      : 0;
  if (bytes == 0 || text.size() < bytes ||
      !std::all_of(text.begin() + 1, text.begin() + bytes, Continues)) {
    return 0;
  }
  const auto second = static_cast<unsigned char>(text[1]);
  const bool longer_than_need_be =
      (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
  const bool surrogate = first == 0xED && second > 0x9F;
  const bool beyond_unicode = first == 0xF4 && second > 0x8F;
  return longer_than_need_be || surrogate || beyond_unicode ? 0 : bytes;
}

}  // namespace

size_t Utf8Prefix(absl::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    // Most text is ASCII: eight bytes at a time.
    uint64_t eight = 0;
    if (at + sizeof(eight) <= text.size()) {
      std::memcpy(&eight, text.data() + at, sizeof(eight));
      if ((eight & 0x8080808080808080u) == 0) {
        at += sizeof(eight);
        continue;
      }
    }
    const size_t bytes = CharacterBytes(text.substr(at));
    if (bytes == 0) {
      return at;
    }
    at += bytes;
  }
  return at;
}

absl::Status CheckUtf8(absl::string_view text, int64_t line, int64_t offset) {
  const size_t good = Utf8Prefix(text);
  if (good == text.size()) {
    return absl::OkStatus();
  }
  line += std::count(text.begin(), text.begin() + good, '\n');
  return AsStatus(
      {.line = line,
       .text = absl::StrCat("line ", line, " is not UTF-8 (byte 0x",
                            absl::Hex(static_cast<unsigned char>(text[good]), absl::kZeroPad2),
                            " at offset ", offset + static_cast<int64_t>(good),
                            "): save the file as UTF-8")});
}

absl::StatusOr<std::string> FromUtf8(std::string bytes) {
  size_t mark = 0;
  if (absl::StartsWith(bytes, kByteOrderMark)) {
    mark = kByteOrderMark.size();
    bytes.erase(0, mark);
  }
  HONE_RETURN_IF_ERROR(CheckUtf8(bytes, /*line=*/1, static_cast<int64_t>(mark)));
  return bytes;
}

std::string CutUtf8(absl::string_view utf8, size_t longest) {
  if (utf8.size() > longest) {
    while (longest > 0 && Continues(utf8[longest])) {
      --longest;
    }
  }
  return std::string(utf8.substr(0, longest));
}

std::string WholeUtf8(absl::string_view text) {
  std::string whole;
  while (!text.empty()) {
    const size_t size = Utf8Prefix(text);
    absl::StrAppend(&whole, text.substr(0, size));
    text.remove_prefix(size);
    if (!text.empty()) {
      absl::StrAppend(&whole, "\xEF\xBF\xBD");
      text.remove_prefix(1);
    }
  }
  return whole;
}

}  // namespace hone
