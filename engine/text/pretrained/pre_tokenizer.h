#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "engine/text/pretrained/aligned_text.h"
#include "engine/text/pretrained/json_part.h"

namespace hone::engine::text {

// Bytes [begin, end) of a text.
struct TextRange {
  size_t begin = 0, end = 0;
};

// Divides a text into what a model makes tokens of: words, mostly. Immutable: any number of threads
// may use it.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  // Divides each of the pieces, which are parts of the text in its order, and may change the text.
  // None of the pieces is empty, before and behind.
  virtual void Divide(AlignedText& text, std::vector<TextRange>& pieces) const = 0;
};

struct PreTokenizers {
  std::vector<std::unique_ptr<const PreTokenizer>> steps = {};
  // The model's tokens are of bytes, written in a byte's character (byte_alphabet.h): the pieces
  // are left as they are, and the model reads bytes.
  bool bytes = false;
  // A step asks where a text began before it was normalized.
  bool needs_origins = false;
};
// Of the part `pre_tokenizer` of a tokenizer.json, which may be null.
PreTokenizers ReadPreTokenizers(const JsonPart& json);

// The pattern of GPT-2 without an engine for regular expressions. Source: A. Radford et al.,
// "Language Models are Unsupervised Multitask Learners", 2019, encoder.py.
inline constexpr absl::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
void DivideAsGpt2(absl::string_view text, TextRange piece, std::vector<TextRange>& out);

}  // namespace hone::engine::text
