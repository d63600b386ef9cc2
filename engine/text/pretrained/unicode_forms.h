#pragma once

#include "engine/text/pretrained/aligned_text.h"

namespace hone::engine::text {

// The normal forms of Unicode's Standard Annex 15, by the tables of Unicode 9 (characters.h), with
// the bytes of each character as the crate unicode-normalization-alignments has them: a composed
// character has the bytes of the first one that it was composed of.
struct UnicodeForm {
  bool composed = false;  // NFC, NFKC
  bool loose = false;     // NFKC, NFKD
};
void ToUnicodeForm(UnicodeForm form, AlignedText& text);

// How one character is decomposed, at most 32 characters; itself where it is not.
size_t Decompose(char32_t character, bool loose, char32_t (&out)[32]);

}  // namespace hone::engine::text
