// JSON lines of texts, and of sentence pairs.

#include "engine/data/load.h"
#include "engine/data/sentence_pairs.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hone;  // NOLINT
  static const fuzz::Folder folder;
  engine::data::LoadOptions options;
  options.text.emplace();
  options.text->min_characters = 1;
  options.path = folder.Write("f.jsonl", fuzz::Text(data, size));
  engine::data::Load(options).status().IgnoreError();
  options.pairs.drop_empty = true;
  options.pairs.max_target_tokens = 9;
  engine::data::LoadSentencePairs(options).status().IgnoreError();
  return 0;
}
