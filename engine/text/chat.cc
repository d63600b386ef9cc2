#include "engine/text/chat.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/text/chat_template.h"
#include "engine/text/json_text.h"
#include "engine/text/tool_forms.h"
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
constexpr NamedRole kRoles[] = {{"system", Role::kSystem},    {"user", Role::kUser},
                                {"human", Role::kUser},       {"assistant", Role::kAssistant},
                                {"gpt", Role::kAssistant},    {"tool", Role::kTool},
                                {"observation", Role::kTool}, {"ipython", Role::kTool}};

bool IsChatMl(Kind kind) { return kind == Kind::kChatMl || kind == Kind::kChatMlTools; }
bool IsLlama(Kind kind) { return kind == Kind::kLlama3 || kind == Kind::kLlama31; }

bool IsRole(const std::vector<ChatMessage>& messages, size_t i, Role role) {
  return i < messages.size() && messages[i].role == role;
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

// A value of JSON, with more space around its parts.
std::string Indented(const std::string& json) {
  return JsonText(nlohmann::ordered_json::parse(json), kToolsIndent);
}

// Puts turns one behind the other.
class Writer {
 public:
  Writer(const ChatTemplate& chat_template, const WrittenTokens& tokens, const Chat& chat)
      : template_(chat_template), tokens_(tokens), chat_(chat) {}

  void Write() {
    const Kind kind = template_.kind;
    const std::vector<ChatMessage>& messages = chat_.messages;
    if (IsLlama(kind) || (!IsChatMl(kind) && tokens_.begins_texts)) {
      Add(tokens_.begin);
    }
    const size_t first = IsRole(messages, 0, Role::kSystem) ? 1 : 0;
    if (!messages.empty()) {
      System(first == 1 ? messages[0].content : OwnSystem(messages[0]));
    }
    for (size_t i = first; i < messages.size(); ++i) {
      if (messages[i].role == Role::kTool) {
        ToolTurn(i);
      } else {
        Turn(messages[i], /*tells_tools=*/i == first);
      }
    }
  }

  // What stands before a turn of this role.
  void Head(Role role) {
    if (IsChatMl(template_.kind)) {
      Add(absl::StrCat("<|im_start|>", NameOf(role), "\n"));
    } else if (IsLlama(template_.kind)) {
      LlamaHead(NameOf(role));
    } else if (template_.kind == Kind::kAlpaca) {
      Add(any_ ? "\n\n" : "");
      Add(role == Role::kUser        ? "### Instruction:\n"
          : role == Role::kAssistant ? "### Response:\n"
                                     : "");
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
  void LlamaHead(absl::string_view name) {
    Add(absl::StrCat("<|start_header_id|>", name, "<|end_header_id|>\n\n"));
  }

  // The system text of a conversation that begins with this turn and has none of its own.
  absl::string_view OwnSystem(const ChatMessage& first) const {
    const bool with_input = template_.kind == Kind::kAlpaca && template_.system == kAlpacaSystem &&
                            !first.input.empty();
    return with_input ? kAlpacaSystemOfInput : absl::string_view(template_.system);
  }

  void System(absl::string_view text) {
    const bool tells_tools = template_.kind == Kind::kChatMlTools && !chat_.tools.empty();
    if (text.empty() && !tells_tools && template_.kind != Kind::kLlama31) {
      return;
    }
    Head(Role::kSystem);
    if (template_.kind == Kind::kLlama31) {
      Add(chat_.tools.empty() ? absl::string_view() : kEnvironment);
      Add(kDates);
    }
    Add(IsLlama(template_.kind) ? Trimmed(text) : text);
    if (tells_tools) {
      Add(text.empty() ? "" : "\n\n");
      Add(kToolsBegin);
      for (const std::string& tool : chat_.tools) {
        Add("\n");
        Add(tool);
      }
      Add(kToolsEnd);
    }
    EndHeaded();
    any_ = true;
  }

  // What ends a turn that is none of the assistant.
  void EndHeaded() {
    Add(IsChatMl(template_.kind) ? "<|im_end|>\n" : IsLlama(template_.kind) ? "<|eot_id|>" : "");
  }

  void Turn(const ChatMessage& message, bool tells_tools) {
    Head(message.role);
    switch (template_.kind) {
      case Kind::kChatMl:
      case Kind::kChatMlTools:
        Content(message, WithCalls(message), "<|im_end|>\n");
        break;
      case Kind::kLlama31:
        if (tells_tools && !chat_.tools.empty()) {
          Add(kToolsGuidance);
          for (const std::string& tool : chat_.tools) {
            Add(Indented(tool));
            Add("\n\n");
          }
        }
        [[fallthrough]];
      case Kind::kLlama3: {
        const std::string content =
            message.calls.empty() ? Together(message) : LlamaCall(message.calls[0]);
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

  static std::string WithCalls(const ChatMessage& message) {
    std::string text = Together(message);
    for (const ToolCall& call : message.calls) {
      absl::StrAppend(&text, text.empty() ? "" : "\n", kCallBegin, call.name, kCallArguments,
                      call.arguments, kCallEnd);
    }
    return text;
  }

  static std::string LlamaCall(const ToolCall& call) {
    return absl::StrCat(kLlamaCallBegin, call.name, kLlamaCallArguments, call.arguments,
                        kLlamaCallEnd);
  }

  // What a tool has answered. Nothing of it is learned.
  void ToolTurn(size_t i) {
    const ChatMessage& message = chat_.messages[i];
    if (IsChatMl(template_.kind)) {
      const bool follows = i > 0 && IsRole(chat_.messages, i - 1, Role::kTool);
      Add(follows ? "\n" : absl::StrCat("<|im_start|>", NameOf(Role::kUser), "\n"));
      Add(absl::StrCat(kResponseBegin, message.content, kResponseEnd));
      if (!IsRole(chat_.messages, i + 1, Role::kTool)) {
        EndHeaded();
      }
    } else if (IsLlama(template_.kind)) {
      LlamaHead("ipython");
      Add(message.is_json ? message.content : JsonText(message.content));
      EndHeaded();
    } else {
      Turn(message, /*tells_tools=*/false);
    }
  }

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
  const Chat& chat_;
  RenderedChat out_;
  bool any_ = false;  // turns
};

// "turn 3 (tool) is the answer of a tool,", which the template must have a form for.
absl::Status CheckKnowsTools(Kind kind, absl::string_view what) {
  if (kind == Kind::kChatMlTools || kind == Kind::kLlama31) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(what, " for which the chat template ", NameOf(kind),
                   " has no form; data.chat.template: CHATML_TOOLS or LLAMA31 has one"));
}

}  // namespace

std::optional<Role> ChatRoleOf(absl::string_view name) {
  const auto* const found = std::ranges::find(kRoles, name, &NamedRole::name);
  return found == std::end(kRoles) ? std::nullopt : std::optional(found->role);
}

absl::string_view NameOf(Role role) {
  return std::ranges::find(kRoles, role, &NamedRole::role)->name;
}

std::string EndOfTurn(const ChatTemplate& chat_template, const WrittenTokens& tokens) {
  switch (chat_template.kind) {
    case Kind::kChatMl:
    case Kind::kChatMlTools:
      return "<|im_end|>";
    case Kind::kLlama3:
    case Kind::kLlama31:
      return "<|eot_id|>";
    case Kind::kAlpaca:
    case Kind::kPlain:
      break;
  }
  return tokens.end;
}

absl::Status CheckTools(const ChatTemplate& chat_template, const Chat& chat) {
  const Kind kind = chat_template.kind;
  const std::vector<ChatMessage>& messages = chat.messages;
  const size_t first = IsRole(messages, 0, Role::kSystem) ? 1 : 0;
  if (!chat.tools.empty()) {
    HONE_RETURN_IF_ERROR(CheckKnowsTools(kind, "`tools` are given,"));
    if (kind == Kind::kLlama31 && !IsRole(messages, first, Role::kUser)) {
      return absl::InvalidArgumentError(
          "`tools` are given, which the template llama31 writes into the first turn of the user: "
          "it must be the first turn, or stand behind that of the system");
    }
  }
  for (size_t i = 0; i < messages.size(); ++i) {
    const ChatMessage& message = messages[i];
    const std::string turn = absl::StrCat("turn ", i + 1, " (", NameOf(message.role), ") ");
    if (message.role == Role::kTool) {
      HONE_RETURN_IF_ERROR(CheckKnowsTools(kind, absl::StrCat(turn, "is the answer of a tool,")));
      if (kind == Kind::kChatMlTools &&
          absl::StartsWith(message.content, kResponseBegin.substr(0, kResponseBegin.size() - 1))) {
        return absl::InvalidArgumentError(
            absl::StrCat(turn,
                         "has <tool_response> around it already, which the template writes: "
                         "leave it out of the data"));
      }
    }
    if (message.calls.empty()) {
      continue;
    }
    HONE_RETURN_IF_ERROR(CheckKnowsTools(kind, absl::StrCat(turn, "calls a tool,")));
    if (kind == Kind::kLlama31 && (message.calls.size() > 1 || !message.content.empty())) {
      return absl::InvalidArgumentError(absl::StrCat(
          turn, message.calls.size() > 1 ? "calls several tools" : "has a text beside a call",
          "; in the template llama31 a turn of the assistant is one call, or a text"));
    }
  }
  return absl::OkStatus();
}

RenderedChat Render(const ChatTemplate& chat_template, const WrittenTokens& tokens,
                    const Chat& chat, bool asks) {
  Writer writer(chat_template, tokens, chat);
  if (!chat.text.empty()) {
    writer.Whole(chat.text);
    return std::move(writer).Take();
  }
  writer.Write();
  if (asks) {
    writer.Head(Role::kAssistant);
  }
  return std::move(writer).Take();
}

}  // namespace hone::engine::text
