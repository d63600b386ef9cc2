#pragma once

#include <memory>

#include "engine/text/pretrained/aligned_text.h"
#include "engine/text/pretrained/json_part.h"

namespace hone::engine::text {

// Changes a text before it is divided: lower case, normal forms. Immutable: any number of threads
// may use it.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual void Apply(AlignedText& text) const = 0;
};

// Of the part `normalizer` of a tokenizer.json; null where that is null, or in error.
std::unique_ptr<const Normalizer> ReadNormalizer(const JsonPart& json);

// BERT's: without control characters, with spaces around Chinese characters, without accents, in
// lower case. A file of its own, bert_normalizer.cc.
struct BertNormalizerOptions {
  bool clean_text = true;
  bool handle_chinese_characters = true;
  bool strip_accents = true;
  bool lower_case = true;
};
std::unique_ptr<const Normalizer> NewBertNormalizer(const BertNormalizerOptions& options);

}  // namespace hone::engine::text
