#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

// Conversations, and the texts that a chat model reads of them.
namespace hone::engine::text {

// A tool that the assistant calls.
struct ToolCall {
  std::string name = {};
  std::string arguments = {};  // an object (JsonText, json_text.h)

  friend bool operator==(const ToolCall&, const ToolCall&) = default;
};

struct ChatMessage {
  enum class Role { kSystem, kUser, kAssistant, kTool };

  Role role = Role::kUser;
  std::string content = {};
  // Of a user's turn: what the instruction is about, where it is kept apart from it.
  std::string input = {};
  // Of an assistant's turn, behind its content, which may then be empty.
  std::vector<ToolCall> calls = {};
  // Of a tool's turn, which is what the tool has answered: the content is JSON, not a text.
  bool is_json = false;
  // Of an assistant's turn: it is learned; else it is read like all others.
  bool learned = true;
};

struct Chat {
  std::vector<ChatMessage> messages = {};
  // Tools that the assistant may call: {"type": "function", "function": …} each (JsonText).
  std::vector<std::string> tools = {};
  std::string text = {};  // instead: one that is learned as a whole, in no template
};

// The role that is called so: system, user or human, assistant or gpt, tool or observation or
// ipython.
std::optional<ChatMessage::Role> ChatRoleOf(absl::string_view name);
// The first of these names.
absl::string_view NameOf(ChatMessage::Role role);

// How a conversation is written as one text. Turns stand one behind the other, in each kind so:
//
//   kChatMl  <|im_start|>ROLE\nCONTENT<|im_end|>\n
//   kLlama3  the begin token, then <|start_header_id|>ROLE<|end_header_id|>\n\nCONTENT<|eot_id|>,
//            without white space around the contents
//   kAlpaca  SYSTEM, then two line feeds and ### Instruction:\nCONTENT\n\n### Response:\nANSWER
//            and the end token; an input stands between the two as ### Input:\nINPUT
//   kPlain   the contents as they are, the end token behind each answer
//
// Two know tools (tool_forms.h has their words):
//
//   kChatMlTools  kChatMl as Qwen2.5 has it: tools in the turn of the system, a call in the
//                 assistant's turn as <tool_call>\n{"name": …, "arguments": …}\n</tool_call>, and
//                 answers of tools that follow each other in one turn of the user
//   kLlama31      kLlama3 as Llama 3.1 and 3.2 have it: dates stand before each system text, tools
//                 in the first turn of the user; a turn of the assistant is one call,
//                 {"name": …, "parameters": …}, or a text; a tool's turn is called ipython
//
// In kAlpaca and kPlain the begin token stands first where the tokenizer's own template puts it
// before texts. Elsewhere an input stands behind its instruction, a line feed between them.
struct ChatTemplate {
  enum class Kind { kChatMl, kLlama3, kAlpaca, kPlain, kChatMlTools, kLlama31 };

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

// INVALID_ARGUMENT where the template has no form for what the conversation has of tools: names the
// turn, and what would be right.
absl::Status CheckTools(const ChatTemplate& chat_template, const Chat& chat);

// A conversation as a text, and what of it is learned, made together: a template's words are never
// looked for in what somebody said.
struct RenderedChat {
  struct Span {
    size_t begin, end;  // in bytes
    friend bool operator==(const Span&, const Span&) = default;
  };
  std::string text = {};
  std::vector<Span> learned = {};  // ascending, apart: answers, calls of tools
                                   // among them, with what ends their turns
};
// With `asks`, up to where an answer is to begin. What the template has no form for (CheckTools) is
// written as far as it goes.
RenderedChat Render(const ChatTemplate& chat_template, const WrittenTokens& tokens,
                    const Chat& chat, bool asks = false);

}  // namespace hone::engine::text
