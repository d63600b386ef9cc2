// JSON lines of conversations and of preferences: each line by itself, and the file as a job reads
// it, by a small tokenizer of a checkpoint; the same bytes as a checkpoint's chat template.

#include "engine/data/chat_lines.h"
#include "engine/data/chats.h"
#include "engine/text/chat_template.h"
#include "tests/engine/chat_tokenizer.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hone;  // NOLINT
  using Kind = engine::text::ChatTemplate::Kind;
  static const fuzz::Folder folder;
  static const auto& like = *new std::shared_ptr<const engine::data::TextPreprocessing>(
      std::make_shared<const engine::data::TextPreprocessing>(engine::data::TextPreprocessing{
          .tokenizer = engine::testing::ChatTokenizer({{"a", "b"}})}));
  const std::string text(fuzz::Text(data, size));
  engine::data::ParseChat(text).status().IgnoreError();
  engine::data::ParsePreference(text).status().IgnoreError();
  engine::data::LooksLikeChat(text);
  engine::text::RecogniseChatTemplate(text).status().IgnoreError();
  const std::string path = folder.Write("f.jsonl", text);
  engine::data::InspectChats(path).status().IgnoreError();
  engine::data::LoadOptions options;
  options.path = path;
  options.text.emplace().like = like;
  options.validation_fraction = 0.3;
  for (const Kind kind : {Kind::kChatMl, Kind::kAlpaca, Kind::kPlain, Kind::kChatMlTools}) {
    options.chat.emplace().kind = kind;
    options.chat->max_tokens = kind == Kind::kPlain ? 5 : 0;
    engine::data::LoadChats(options, {.window = 50, .together = kind == Kind::kAlpaca})
        .status()
        .IgnoreError();
    engine::data::LoadPreferences(options, 50).status().IgnoreError();
  }
  return 0;
}
