#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/text/chat.h"
#include "engine/text/pretrained_tokenizer.h"

namespace hone::engine::text {

// A conversation as tokens, and of each whether it is learned: foretold from those before it. The
// vectors are equally long.
struct ChatTokens {
  std::vector<int32_t> ids = {};
  std::vector<uint8_t> learned = {};
};

// Makes tokens of conversations. The ids are those of the whole text (Render): what stands on both
// sides of a border may become one token. A token belongs to where its first byte stands, so that
// one which begins before an answer is given, not learned, and one that begins in it is learned.
class ChatEncoder {
 public:
  // INVALID_ARGUMENT where the template needs tokens that the tokenizer does not have, or the
  // tokenizer is none of a checkpoint, which alone say where their tokens stand.
  static absl::StatusOr<ChatEncoder> Make(const ChatTemplate& chat_template,
                                          std::shared_ptr<const Tokenizer> tokenizer);

  ChatTokens Encode(const Chat& chat) const;
  // Up to where the model's answer begins.
  std::vector<int32_t> EncodeQuestion(const Chat& chat) const;
  // A token that divides turns in this template, or ends a text, that somebody's words have, as it
  // is written; "": none. The tokenizer does not tell it from the template's own, so that what
  // stands behind it would be another turn. Lives as long as the encoder.
  absl::string_view MarkIn(absl::string_view content) const;
  // The template in Jinja, as a checkpoint's folder has it (chat_template.h).
  std::string AsJinja() const;
  // The token that ends a turn of the assistant.
  int32_t end_of_turn() const { return end_of_turn_; }

 private:
  ChatEncoder(const ChatTemplate& chat_template, std::shared_ptr<const Tokenizer> owner,
              const PretrainedTokenizer& tokenizer);

  bool needs_begin() const;  // a text begins with a token

  ChatTemplate template_;
  std::shared_ptr<const Tokenizer> owner_;
  const PretrainedTokenizer* tokenizer_;  // the same
  WrittenTokens tokens_;
  std::vector<std::string> marks_;
  int32_t end_of_turn_ = -1;
};

}  // namespace hone::engine::text
