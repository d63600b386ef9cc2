#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace hone::engine::text {

// How byte-level vocabularies write bytes: each as a character that can be seen, as "Ġ" for a
// space. Source: GPT-2's encoder.py, bytes_to_unicode.
char32_t CharacterOfByte(uint8_t byte);
// −1: it stands for none.
int ByteOfCharacter(char32_t character);

// False where the text has a character that stands for no byte; `bytes` is then unspecified.
bool BytesOf(absl::string_view written, std::string& bytes);

// How byte fallback writes a byte: "<0x0A>" (ByteOfPiece of sentencepiece_model.h is the way back).
std::string BytePiece(uint8_t byte);

}  // namespace hone::engine::text
