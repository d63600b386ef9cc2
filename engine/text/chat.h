#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

// Conversations, and the texts that a chat model reads of them.
namespace hone::engine::text {

struct ChatMessage {
  enum class Role { kSystem, kUser, kAssistant };

  Role role = Role::kUser;
  std::string content = {};
  // Of a user's turn: what the instruction is about, where it is kept apart from it.
  std::string input = {};
  // Of an assistant's turn: it is learned; else it is read like all others.
  bool learned = true;
};

struct Chat {
  std::vector<ChatMessage> messages = {};
  std::string text = {};  // instead: one that is learned as a whole, in no template
};

// The role that is called so: system, user or human, assistant or gpt.
std::optional<ChatMessage::Role> ChatRoleOf(absl::string_view name);

// How a conversation is written as one text. Turns stand one behind the other, in each kind so:
//
//   kChatMl  <|im_start|>ROLE\nCONTENT<|im_end|>\n
//   kLlama3  the begin token, then <|start_header_id|>ROLE<|end_header_id|>\n\nCONTENT<|eot_id|>,
//            without white space around the contents
//   kAlpaca  SYSTEM, then two line feeds and ### Instruction:\nCONTENT\n\n### Response:\nANSWER
//            and the end token; an input stands between the two as ### Input:\nINPUT
//   kPlain   the contents as they are, the end token behind each answer
//
// In kAlpaca and kPlain the begin token stands first where the tokenizer's own template puts it
// before texts. Elsewhere an input stands behind its instruction, a line feed between them.
struct ChatTemplate {
  enum class Kind { kChatMl, kLlama3, kAlpaca, kPlain };

  Kind kind = Kind::kChatMl;
  // The system turn of conversations that have none. "": they are written without.
  std::string system = {};

  friend bool operator==(const ChatTemplate&, const ChatTemplate&) = default;
};

// What kAlpaca has for `system` where nobody says otherwise; conversations whose first turn has an
// input get its other form.
inline constexpr absl::string_view kAlpacaSystem =
    "Below is an instruction that describes a task. Write a response that appropriately completes "
    "the request.";

// A tokenizer's special tokens as they are written in texts; "": it has none.
struct WrittenTokens {
  std::string begin = {};
  std::string end = {};
  bool begins_texts = false;  // its own template puts `begin` before a text
};

// What ends a turn of the assistant, as it is written.
std::string EndOfTurn(const ChatTemplate& chat_template, const WrittenTokens& tokens);

// A conversation as a text, and what of it is learned, made together: a template's words are never
// looked for in what somebody said.
struct RenderedChat {
  struct Span {
    size_t begin, end;  // in bytes
    friend bool operator==(const Span&, const Span&) = default;
  };
  std::string text = {};
  std::vector<Span> learned = {};  // ascending, apart: answers with what ends their turns
};
// With `asks`, up to where an answer is to begin.
RenderedChat Render(const ChatTemplate& chat_template, const WrittenTokens& tokens,
                    const Chat& chat, bool asks = false);

}  // namespace hone::engine::text
