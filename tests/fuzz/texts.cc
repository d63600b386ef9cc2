// A table of texts, with and without quotes, in either encoding, cleaned by all steps; the same
// bytes as a running text, as lines, and as sentence pairs of a table, between tabs and in two
// files.

#include "engine/data/texts.h"

#include "engine/data/load.h"
#include "engine/data/running_text.h"
#include "engine/data/sentence_pairs.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hone;  // NOLINT
  namespace text = engine::text;
  static const fuzz::Folder folder;
  engine::data::LoadOptions options;
  options.text.emplace();
  options.text->cleaning = {.html = true,
                            .normalization = text::Normalization::kNfkc,
                            .lower_case = true,
                            .control_characters = true,
                            .white_space = true};
  options.text->min_characters = 1;
  options.text->near_copies = 0.5;
  options.text->max_tokens = 7;
  for (const char* name : {"f.csv", "f.tsv"}) {
    options.path = folder.Write(name, fuzz::Text(data, size));
    engine::data::Load(options).status().IgnoreError();
  }
  options.text->encoding = engine::data::TextOptions::Encoding::kLatin1;
  options.text->tokenizer = text::CharacterTokens();
  options.task = engine::data::Task::kRegression;
  engine::data::Load(options).status().IgnoreError();
  options.path = folder.Write("f.txt", fuzz::Text(data, size));
  options.stream = {.folder = folder.path(), .memory_bytes = 16, .piece_bytes = 5};
  for (const auto encoding :
       {engine::data::TextOptions::Encoding::kUtf8, engine::data::TextOptions::Encoding::kLatin1}) {
    options.text->encoding = encoding;
    options.validation_fraction = 0.1;
    engine::data::LoadRunningText(options, {.window = 3, .batch = 2}).status().IgnoreError();
    options.task = engine::data::Task::kLanguageModeling;
    engine::data::LoadTexts(options).status().IgnoreError();
  }
  options.test_fraction = 0.3;
  options.limit = 5;
  options.pairs = {.cleaning = options.text->cleaning,
                   .drop_empty = true,
                   .max_source_tokens = 7,
                   .max_target_tokens = 20,
                   .target_tokenizer = text::CharacterTokens(),
                   .near_copies = 0.5,
                   .augmentation = {.character_noise = 0.3f, .word_dropout = 0.3f, .swap = 0.3f}};
  for (const char* name : {"f.csv", "f.tsv", "f.txt"}) {
    options.path = folder.Write(name, fuzz::Text(data, size));
    engine::data::LoadSentencePairs(options).status().IgnoreError();
  }
  // The two halves beside each other.
  static const fuzz::Folder pair("pair");
  pair.Write("train.a", fuzz::Text(data, size / 2));
  pair.Write("train.b", fuzz::Text(data + size / 2, size - size / 2));
  options.path = pair.path();
  options.pairs.source = "a";
  options.pairs.target = "b";
  options.pairs.encoding = engine::data::TextOptions::Encoding::kLatin1;
  engine::data::LoadSentencePairs(options).status().IgnoreError();
  return 0;
}
