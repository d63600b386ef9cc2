#include "engine/text/pretrained/byte_alphabet.h"

#include "engine/text/pretrained/characters.h"

namespace hone::engine::text {
namespace {

// Whether the byte is written as the character of its number.
constexpr bool IsItself(char32_t byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

constexpr int kBytes = 256;

struct Alphabet {
  char32_t characters[kBytes] = {};
  int16_t bytes[2 * kBytes] = {};

  constexpr Alphabet() {
    for (int16_t& byte : bytes) {
      byte = -1;
    }
    char32_t others = kBytes;
    for (int byte = 0; byte < kBytes; ++byte) {
      const auto number = static_cast<char32_t>(byte);
      characters[byte] = IsItself(number) ? number : others++;
      bytes[characters[byte]] = static_cast<int16_t>(byte);
    }
  }
};
constexpr Alphabet kAlphabet;

}  // namespace

char32_t CharacterOfByte(uint8_t byte) { return kAlphabet.characters[byte]; }

int ByteOfCharacter(char32_t character) {
  return character < 2 * kBytes ? kAlphabet.bytes[character] : -1;
}

bool BytesOf(absl::string_view written, std::string& bytes) {
  bytes.clear();
  while (!written.empty()) {
    const NextCharacter next = FirstOf(written);
    const int byte = ByteOfCharacter(next.character);
    if (byte < 0) {
      return false;
    }
    bytes.push_back(static_cast<char>(byte));
    written.remove_prefix(next.size);
  }
  return true;
}

std::string BytePiece(uint8_t byte) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  return {'<', '0', 'x', kDigits[byte >> 4], kDigits[byte & 15], '>'};
}

}  // namespace hone::engine::text
