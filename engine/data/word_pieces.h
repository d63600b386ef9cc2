#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/data/text_preprocessing.h"

namespace hone::engine::data {

// The words of a sentence as one row of tokens.
struct WordPieces {
  std::vector<int32_t> tokens;
  std::vector<int32_t> first;  // of each word the place of its first token; −1: it has none
};

// Each word is cleaned. A checkpoint's tokenizer reads the words with a space between any two, in
// its template; any other reads each word by itself. Words whose first token is cut off
// (TextPreprocessing::max_tokens) have none, and neither have those of which the tokenizer makes
// none.
WordPieces EncodeWords(const TextPreprocessing& how, std::span<const std::string> words);

}  // namespace hone::engine::data
