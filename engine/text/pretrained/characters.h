#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "engine/text/unicode.h"

namespace hone::engine::text {

// What characters are to the tokenizers of checkpoints. Each of the libraries behind the crate
// `tokenizers` has tables of a version of Unicode of its own: categories are those of Unicode 8
// (unicode_categories), marks and normal forms those of Unicode 9
// (unicode-normalization-alignments), and all else is of the newest, which here is utf8proc's.
enum CharacterTrait : uint16_t {
  kWhiteSpace = 1 << 0,          // the property White_Space
  kLetter = 1 << 1,              // \p{L}
  kNumber = 1 << 2,              // \p{N}
  kWordCharacter = 1 << 3,       // \w: letters, marks, digits, connectors and what joins letters
  kPunctuation = 1 << 4,         // ASCII's signs, and \p{P} of Unicode 8
  kOther = 1 << 5,               // Cc, Cf and Co of Unicode 8
  kMark = 1 << 6,                // \p{M} of Unicode 9
  kNonspacing = 1 << 7,          // Mn of Unicode 8
  kReordered = 1 << 8,           // its combining class in Unicode 9 is not 0
  kDecomposes = 1 << 9,          // by NFD
  kDecomposesLoosely = 1 << 10,  // by NFKD
  kHasLowerCase = 1 << 11,       // another character
  kChinese = 1 << 12,            // BERT's blocks of Chinese characters
};

// The traits of all characters by their numbers, 0x110000 of them; made when first asked for.
const uint16_t* CharacterTraits();

// The lower case of one character, one or two: İ becomes i and a dot above.
struct LowerCase {
  char32_t characters[2];
  int size;
};
LowerCase LowerCaseOf(char32_t character);

}  // namespace hone::engine::text
