// Sentences with a tag for each word, a word a line and as JSON lines.

#include "engine/data/tagged_texts.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hone;  // NOLINT
  static const fuzz::Folder folder;
  engine::data::LoadOptions options;
  options.task = engine::data::Task::kTokenTagging;
  options.text.emplace();
  options.text->max_tokens = 8;
  for (const char* name : {"a.conll", "a.jsonl"}) {
    options.path = folder.Write(name, fuzz::Text(data, size));
    engine::data::LoadTaggedTexts(options).status().IgnoreError();
  }
  return 0;
}
