#include "engine/data/word_pieces.h"

#include <algorithm>
#include <utility>

#include "engine/text/cleaning.h"
#include "engine/text/pretrained_tokenizer.h"

namespace hone::engine::data {
namespace {

void EncodeTogether(const text::PretrainedTokenizer& tokenizer, bool in_template,
                    const std::vector<std::string>& words, WordPieces& pieces) {
  std::string text;
  std::vector<std::pair<size_t, size_t>> bytes;  // of each word
  for (const std::string& word : words) {
    text += text.empty() ? "" : " ";
    bytes.emplace_back(text.size(), text.size() + word.size());
    text += word;
  }
  text::TokenizedText tokens =
      in_template ? tokenizer.EncodeInTemplate(text) : tokenizer.EncodeWithBytes(text);
  size_t word = 0;
  for (size_t t = 0; t < tokens.ids.size(); ++t) {
    const text::TokenizedText::Bytes at = tokens.bytes[t];
    if (at.begin == at.end) {
      continue;
    }
    // A token may begin with the space before its word.
    const size_t last = at.end - 1;
    while (word < bytes.size() && last >= bytes[word].second) {
      ++word;
    }
    if (word < bytes.size() && last >= bytes[word].first && pieces.first[word] < 0) {
      pieces.first[word] = static_cast<int32_t>(t);
    }
  }
  pieces.tokens = std::move(tokens.ids);
}

}  // namespace

WordPieces EncodeWords(const TextPreprocessing& how, std::span<const std::string> words) {
  WordPieces pieces;
  pieces.first.assign(words.size(), -1);
  std::vector<std::string> cleaned;
  for (const std::string& word : words) {
    cleaned.push_back(text::Clean(word, how.cleaning, nullptr));
  }
  const auto* const pretrained =
      dynamic_cast<const text::PretrainedTokenizer*>(how.tokenizer.get());
  if (pretrained != nullptr) {
    EncodeTogether(*pretrained, how.in_template, cleaned, pieces);
  } else {
    for (size_t i = 0; i < cleaned.size(); ++i) {
      const size_t begin = pieces.tokens.size();
      how.tokenizer->Encode(cleaned[i], pieces.tokens);
      pieces.first[i] = pieces.tokens.size() > begin ? static_cast<int32_t>(begin) : -1;
    }
  }
  if (pieces.tokens.empty()) {
    pieces.tokens.push_back(std::max(how.tokenizer->special().unknown, 0));
  }
  const size_t all = pieces.tokens.size();
  how.Cut(pieces.tokens);
  if (pieces.tokens.size() < all) {
    // What a template puts behind a text may stand at the last place now.
    const int32_t end = how.tokenizer->special().end;
    const bool ends = how.in_template && pieces.tokens.back() == end;
    const auto kept = static_cast<int32_t>(pieces.tokens.size()) - (ends ? 1 : 0);
    std::ranges::replace_if(
        pieces.first, [&](int32_t place) { return place >= kept; }, -1);
  }
  return pieces;
}

}  // namespace hone::engine::data
