#include "engine/text/chat.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/text/unicode.h"

namespace hone::engine::text {
namespace {

using Kind = ChatTemplate::Kind;
using Role = ChatMessage::Role;

constexpr absl::string_view kAlpacaSystemOfInput =
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request.";

struct NamedRole {
  absl::string_view name;
  Role role;
};
constexpr NamedRole kRoles[] = {{"system", Role::kSystem},
                                {"user", Role::kUser},
                                {"human", Role::kUser},
                                {"assistant", Role::kAssistant},
                                {"gpt", Role::kAssistant}};

// As the templates with headers write it.
absl::string_view NameOf(Role role) {
  return std::ranges::find(kRoles, role, &NamedRole::role)->name;
}

// Without white space around it.
absl::string_view Trimmed(absl::string_view text) {
  absl::string_view left = text;
  size_t begin = text.size(), end = 0;
  while (!left.empty()) {
    const size_t at = text.size() - left.size();
    if (!IsSpace(TakeCharacter(left))) {
      begin = std::min(begin, at);
      end = text.size() - left.size();
    }
  }
  return begin < end ? text.substr(begin, end - begin) : absl::string_view();
}

// An instruction with what it is about.
std::string Together(const ChatMessage& message) {
  return message.input.empty() ? message.content
                               : absl::StrCat(message.content, "\n", message.input);
}

// Puts turns one behind the other.
class Writer {
 public:
  Writer(const ChatTemplate& chat_template, const WrittenTokens& tokens)
      : template_(chat_template), tokens_(tokens) {}

  void Begin(const Chat& chat) {
    const bool begins = template_.kind == Kind::kLlama3 ||
                        (template_.kind != Kind::kChatMl && tokens_.begins_texts);
    if (begins) {
      Add(tokens_.begin);
    }
    const std::vector<ChatMessage>& messages = chat.messages;
    if (!messages.empty() && messages[0].role != Role::kSystem && !template_.system.empty()) {
      const bool with_input = template_.kind == Kind::kAlpaca &&
                              template_.system == kAlpacaSystem && !messages[0].input.empty();
      Turn({.role = Role::kSystem,
            .content = with_input ? std::string(kAlpacaSystemOfInput) : template_.system});
    }
  }

  void Turn(const ChatMessage& message) {
    Head(message.role);
    switch (template_.kind) {
      case Kind::kChatMl:
        Content(message, Together(message), "<|im_end|>\n");
        break;
      case Kind::kLlama3: {
        const std::string content = Together(message);
        Content(message, Trimmed(content), "<|eot_id|>");
        break;
      }
      case Kind::kAlpaca:
        Content(message, message.content,
                message.role == Role::kAssistant ? absl::string_view(tokens_.end) : "");
        if (!message.input.empty()) {
          Add("\n\n### Input:\n");
          Add(message.input);
        }
        break;
      case Kind::kPlain:
        Content(message, Together(message),
                message.role == Role::kAssistant ? absl::string_view(tokens_.end) : "");
        break;
    }
    any_ = true;
  }

  // What stands before a turn of this role.
  void Head(Role role) {
    switch (template_.kind) {
      case Kind::kChatMl:
        Add(absl::StrCat("<|im_start|>", NameOf(role), "\n"));
        break;
      case Kind::kLlama3:
        Add(absl::StrCat("<|start_header_id|>", NameOf(role), "<|end_header_id|>\n\n"));
        break;
      case Kind::kAlpaca:
        Add(any_ ? "\n\n" : "");
        Add(role == Role::kUser        ? "### Instruction:\n"
            : role == Role::kAssistant ? "### Response:\n"
                                       : "");
        break;
      case Kind::kPlain:
        break;
    }
  }

  void Whole(absl::string_view text) {
    Add(tokens_.begins_texts ? absl::string_view(tokens_.begin) : "");
    const size_t begin = out_.text.size();
    Add(text);
    Add(tokens_.end);
    out_.learned.push_back({begin, out_.text.size()});
  }

  RenderedChat Take() && { return std::move(out_); }

 private:
  void Add(absl::string_view text) { absl::StrAppend(&out_.text, text); }
  void Content(const ChatMessage& message, absl::string_view content, absl::string_view end) {
    const size_t begin = out_.text.size();
    Add(content);
    Add(end);
    if (message.role == Role::kAssistant && message.learned && begin < out_.text.size()) {
      out_.learned.push_back({begin, out_.text.size()});
    }
  }

  const ChatTemplate& template_;
  const WrittenTokens& tokens_;
  RenderedChat out_;
  bool any_ = false;  // turns
};

}  // namespace

std::optional<Role> ChatRoleOf(absl::string_view name) {
  const auto* const found = std::ranges::find(kRoles, name, &NamedRole::name);
  return found == std::end(kRoles) ? std::nullopt : std::optional(found->role);
}

std::string EndOfTurn(const ChatTemplate& chat_template, const WrittenTokens& tokens) {
  switch (chat_template.kind) {
    case Kind::kChatMl:
      return "<|im_end|>";
    case Kind::kLlama3:
      return "<|eot_id|>";
    case Kind::kAlpaca:
    case Kind::kPlain:
      break;
  }
  return tokens.end;
}

RenderedChat Render(const ChatTemplate& chat_template, const WrittenTokens& tokens,
                    const Chat& chat, bool asks) {
  Writer writer(chat_template, tokens);
  if (!chat.text.empty()) {
    writer.Whole(chat.text);
    return std::move(writer).Take();
  }
  writer.Begin(chat);
  for (const ChatMessage& message : chat.messages) {
    writer.Turn(message);
  }
  if (asks) {
    writer.Head(Role::kAssistant);
  }
  return std::move(writer).Take();
}

}  // namespace hone::engine::text
