#include "engine/data/chat_lines.h"

#include <algorithm>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/json.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/data/chat_tools.h"
#include "engine/data/text_rows.h"
#include "engine/text/json_text.h"

namespace hone::engine::data {
namespace {

using Role = text::ChatMessage::Role;
// In the order of the line: tools and their arguments are written in it.
using json = nlohmann::ordered_json;

constexpr size_t kWordsShown = 40;  // bytes of somebody's words in an error

absl::Status Wrong(absl::string_view where, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("`", where, "` ", what));
}

// A text with words in it.
absl::StatusOr<std::string> TextOf(const json& object, const char* key, absl::string_view where) {
  const auto found = object.find(key);
  if (found == object.end()) {
    return Wrong(where, "is missing");
  }
  if (!found->is_string()) {
    return Wrong(where, "must be a text");
  }
  auto text = found->get<std::string>();
  return HasWords(text) ? absl::StatusOr<std::string>(std::move(text)) : Wrong(where, "is empty");
}

// One that may be missing, null or empty: "".
absl::StatusOr<std::string> OptionalText(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) {
    return "";
  }
  if (!found->is_string()) {
    return Wrong(key, "must be a text");
  }
  auto text = found->get<std::string>();
  return HasWords(text) ? std::move(text) : "";
}

bool IsGiven(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && !found->is_null() && !(found->is_array() && found->empty());
}

// Where a turn has its role and its words.
struct TurnKeys {
  const char* role;
  const char* content;
};
constexpr TurnKeys kOpenAi = {"role", "content"};
constexpr TurnKeys kShareGpt = {"from", "value"};

// A turn of the assistant that is nothing but calls of tools, in ShareGPT's layout.
constexpr absl::string_view kFunctionCall = "function_call";

// What is said in a turn of the role that is called so, and which tools are called.
absl::Status ReadContent(const json& turn, absl::string_view role, const TurnKeys& keys,
                         const std::string& at, text::ChatMessage& message) {
  const std::string of_content = absl::StrCat(at, ".", keys.content);
  const auto content = turn.find(keys.content);
  const bool is_given = content != turn.end() && !content->is_null();
  if (IsGiven(turn, "tool_calls")) {
    const std::string of_calls = absl::StrCat(at, ".tool_calls");
    if (message.role != Role::kAssistant || role == kFunctionCall) {
      return Wrong(of_calls, absl::StrCat("is given of a turn of ", role,
                                          "; tools are called in turns of the assistant alone"));
    }
    HONE_ASSIGN_OR_RETURN(message.calls, ReadCalls(turn.at("tool_calls"), of_calls));
    if (is_given && !content->is_string()) {
      return Wrong(of_content, "must be a text, or null, beside `tool_calls`");
    }
    message.content = is_given ? content->get<std::string>() : "";
    return absl::OkStatus();
  }
  if (message.role == Role::kTool && is_given) {
    message.is_json = content->is_object();
    if (!message.is_json && !content->is_string()) {
      return Wrong(of_content, "must be a text, or an object");
    }
    message.content = message.is_json ? text::JsonText(*content) : content->get<std::string>();
    return absl::OkStatus();
  }
  HONE_ASSIGN_OR_RETURN(message.content, TextOf(turn, keys.content, of_content));
  if (role == kFunctionCall) {
    HONE_ASSIGN_OR_RETURN(message.calls, ReadCallsInText(message.content, of_content));
    message.content.clear();
  }
  return absl::OkStatus();
}

absl::StatusOr<text::ChatMessage> TurnOf(const json& turn, const TurnKeys& keys,
                                         const std::string& at) {
  if (!turn.is_object()) {
    return Wrong(at,
                 absl::StrCat("must be an object with `", keys.role, "` and `", keys.content, "`"));
  }
  HONE_ASSIGN_OR_RETURN(const std::string name,
                        TextOf(turn, keys.role, absl::StrCat(at, ".", keys.role)));
  const std::optional<Role> role =
      name == kFunctionCall ? Role::kAssistant : text::ChatRoleOf(name);
  if (!role.has_value()) {
    return Wrong(absl::StrCat(at, ".", keys.role),
                 absl::StrCat("is not known: \"", CutUtf8(name, kWordsShown),
                              "\"; known are system, user (human), assistant (gpt, function_call) "
                              "and tool (observation)"));
  }
  text::ChatMessage message = {.role = *role};
  HONE_RETURN_IF_ERROR(ReadContent(turn, name, keys, at, message));
  if (const auto weight = turn.find("weight"); weight != turn.end() && !weight->is_null()) {
    if (!weight->is_number() || (*weight != 0 && *weight != 1)) {
      return Wrong(absl::StrCat(at, ".weight"), "must be 0 or 1");
    }
    message.learned = *weight != 0;
  }
  return message;
}

absl::Status AddTurns(const json& object, const char* key, const TurnKeys& keys, bool learned,
                      text::Chat& chat) {
  const json& turns = object.at(key);
  if (!turns.is_array() || turns.empty()) {
    return Wrong(key, "must be a list of turns");
  }
  for (size_t i = 0; i < turns.size(); ++i) {
    HONE_ASSIGN_OR_RETURN(text::ChatMessage message,
                          TurnOf(turns[i], keys, absl::StrCat(key, "[", i, "]")));
    message.learned = message.learned && learned;
    chat.messages.push_back(std::move(message));
  }
  return absl::OkStatus();
}

// The turn of the system, where there is one beside the others.
absl::Status AddSystem(const json& object, text::Chat& chat) {
  HONE_ASSIGN_OR_RETURN(std::string system, OptionalText(object, "system"));
  if (!system.empty()) {
    chat.messages.push_back({.role = Role::kSystem, .content = std::move(system)});
  }
  return absl::OkStatus();
}

absl::Status AddTools(const json& object, text::Chat& chat) {
  if (IsGiven(object, "tools") && object.at("tools") != "") {
    HONE_ASSIGN_OR_RETURN(chat.tools, ReadTools(object.at("tools"), "tools"));
  }
  return absl::OkStatus();
}

absl::Status AddPromptAndCompletion(const json& object, text::Chat& chat) {
  for (const auto& [key, role] :
       {std::pair("prompt", Role::kUser), std::pair("completion", Role::kAssistant)}) {
    if (object.at(key).is_array()) {
      HONE_RETURN_IF_ERROR(AddTurns(object, key, kOpenAi, role == Role::kAssistant, chat));
    } else {
      HONE_ASSIGN_OR_RETURN(std::string content, TextOf(object, key, key));
      chat.messages.push_back({.role = role, .content = std::move(content)});
    }
  }
  return absl::OkStatus();
}

absl::Status AddHistory(const json& object, text::Chat& chat) {
  if (!IsGiven(object, "history")) {
    return absl::OkStatus();
  }
  const json& history = object.at("history");
  if (!history.is_array()) {
    return Wrong("history", "must be a list of pairs, of what the user and the assistant said");
  }
  for (size_t i = 0; i < history.size(); ++i) {
    const json& pair = history[i];
    const std::string at = absl::StrCat("history[", i, "]");
    const bool texts =
        pair.is_array() && pair.size() == 2 && pair[0].is_string() && pair[1].is_string();
    if (!texts) {
      return Wrong(at, "must be a pair of texts, of the user and of the assistant");
    }
    for (const auto& [place, role] : {std::pair(0, Role::kUser), std::pair(1, Role::kAssistant)}) {
      auto content = pair[static_cast<size_t>(place)].get<std::string>();
      if (!HasWords(content)) {
        return Wrong(absl::StrCat(at, "[", place, "]"), "is empty");
      }
      chat.messages.push_back({.role = role, .content = std::move(content)});
    }
  }
  return absl::OkStatus();
}

absl::Status AddInstruction(const json& object, text::Chat& chat) {
  HONE_RETURN_IF_ERROR(AddSystem(object, chat));
  HONE_RETURN_IF_ERROR(AddHistory(object, chat));
  text::ChatMessage user = {.role = Role::kUser};
  HONE_ASSIGN_OR_RETURN(user.content, TextOf(object, "instruction", "instruction"));
  HONE_ASSIGN_OR_RETURN(user.input, OptionalText(object, "input"));
  text::ChatMessage assistant = {.role = Role::kAssistant};
  HONE_ASSIGN_OR_RETURN(assistant.content, TextOf(object, "output", "output"));
  chat.messages.push_back(std::move(user));
  chat.messages.push_back(std::move(assistant));
  return absl::OkStatus();
}

absl::Status CheckTurns(const text::Chat& chat) {
  for (size_t i = 1; i < chat.messages.size(); ++i) {
    if (chat.messages[i].role == Role::kSystem) {
      return absl::InvalidArgumentError(
          absl::StrCat("turn ", i + 1, " is one of the system, which must be the first"));
    }
  }
  const auto is_learned = [](const text::ChatMessage& message) {
    return message.role == Role::kAssistant && message.learned;
  };
  if (std::ranges::none_of(chat.messages, is_learned)) {
    return absl::InvalidArgumentError("has no turn of the assistant that could be learned");
  }
  return absl::OkStatus();
}

absl::StatusOr<text::Chat> ChatOf(const json& object) {
  if (object.contains("chosen")) {
    return absl::InvalidArgumentError(
        "holds a preference (`chosen`, `rejected`), which the task preference_optimization learns");
  }
  text::Chat chat;
  if (object.contains("messages")) {
    HONE_RETURN_IF_ERROR(AddTurns(object, "messages", kOpenAi, true, chat));
  } else if (object.contains("conversations")) {
    HONE_RETURN_IF_ERROR(AddSystem(object, chat));
    HONE_RETURN_IF_ERROR(AddTurns(object, "conversations", kShareGpt, true, chat));
  } else if (object.contains("prompt") && object.contains("completion")) {
    if (object.contains("label")) {
      return absl::InvalidArgumentError(
          "holds a judged answer (`prompt`, `completion`, `label`), which is not learned here");
    }
    HONE_RETURN_IF_ERROR(AddPromptAndCompletion(object, chat));
  } else if (object.contains("instruction")) {
    HONE_RETURN_IF_ERROR(AddInstruction(object, chat));
  } else if (object.contains("text")) {
    HONE_ASSIGN_OR_RETURN(chat.text, TextOf(object, "text", "text"));
    return chat;
  } else {
    return absl::InvalidArgumentError(
        "has none of the keys of a conversation: `messages`, `conversations`, `prompt` and "
        "`completion`, `instruction` and `output`, or `text`");
  }
  HONE_RETURN_IF_ERROR(AddTools(object, chat));
  HONE_RETURN_IF_ERROR(CheckTurns(chat));
  return chat;
}

bool IsSame(const text::ChatMessage& a, const text::ChatMessage& b) {
  return a.role == b.role && a.content == b.content && a.input == b.input && a.calls == b.calls;
}

// The messages of `chosen` or `rejected`, or of the prompt of both.
absl::StatusOr<std::vector<text::ChatMessage>> SideOf(const json& object, const char* key) {
  text::Chat chat;
  const bool is_prompt = absl::string_view(key) == "prompt";
  if (const auto found = object.find(key); found != object.end() && found->is_array()) {
    HONE_RETURN_IF_ERROR(AddTurns(object, key, kOpenAi, !is_prompt, chat));
  } else {
    HONE_ASSIGN_OR_RETURN(std::string content, TextOf(object, key, key));
    chat.messages.push_back({.role = is_prompt ? Role::kUser : Role::kAssistant,
                             .content = std::move(content),
                             .learned = !is_prompt});
  }
  return std::move(chat.messages);
}

absl::StatusOr<Preference> PreferenceOf(const json& object) {
  using Messages = std::vector<text::ChatMessage>;
  HONE_ASSIGN_OR_RETURN(Messages chosen, SideOf(object, "chosen"));
  HONE_ASSIGN_OR_RETURN(Messages rejected, SideOf(object, "rejected"));
  if (std::ranges::equal(chosen, rejected, IsSame)) {
    return absl::InvalidArgumentError("`chosen` and `rejected` are the same");
  }
  const auto prompt = object.find("prompt");
  const bool has_prompt = prompt != object.end() && !prompt->is_null();
  const bool lists = object.at("chosen").is_array() && object.at("rejected").is_array();
  if (!has_prompt && !lists) {
    return Wrong("prompt",
                 "is missing; it may be where `chosen` and `rejected` are lists of messages that "
                 "begin alike");
  }
  // What both lists begin with, unless the prompt is a list itself, or the lists are the answer.
  size_t alike = 0;
  if (lists && !(has_prompt && (prompt->is_array() || chosen.front().role == Role::kAssistant))) {
    const auto [in_chosen, in_rejected] = std::ranges::mismatch(chosen, rejected, IsSame);
    alike = static_cast<size_t>(in_chosen - chosen.begin());
  }
  Messages before;
  if (alike > 0) {
    before.assign(chosen.begin(), chosen.begin() + static_cast<std::ptrdiff_t>(alike));
    std::ranges::for_each(before, [](text::ChatMessage& message) { message.learned = false; });
  } else if (has_prompt) {
    HONE_ASSIGN_OR_RETURN(before, SideOf(object, "prompt"));
  }
  if (before.empty()) {
    return absl::InvalidArgumentError(
        "has no question: there is no `prompt`, and `chosen` and `rejected` do not begin alike");
  }
  Preference preference;
  for (const auto& [key, messages, chat] :
       {std::tuple("chosen", &chosen, &preference.chosen),
        std::tuple("rejected", &rejected, &preference.rejected)}) {
    if (messages->size() == alike) {
      return Wrong(key, "has no answer of the assistant behind what both begin with");
    }
    if ((*messages)[alike].role != Role::kAssistant) {
      return Wrong(absl::StrCat(key, "[", alike, "].role"),
                   "must be assistant: it is the first turn of the answer, behind the prompt");
    }
    HONE_RETURN_IF_ERROR(AddTools(object, *chat));
    chat->messages = before;
    chat->messages.insert(chat->messages.end(),
                          messages->begin() + static_cast<std::ptrdiff_t>(alike), messages->end());
    HONE_RETURN_IF_ERROR(Annotate(CheckTurns(*chat), absl::StrCat("`", key, "`")));
  }
  return preference;
}

}  // namespace

absl::StatusOr<Preference> ParsePreference(absl::string_view line) {
  HONE_ASSIGN_OR_RETURN(const json object, ParseOrderedJsonObject(line));
  return PreferenceOf(object);
}

absl::StatusOr<text::Chat> ParseChat(absl::string_view line) {
  HONE_ASSIGN_OR_RETURN(const json object, ParseOrderedJsonObject(line));
  return ChatOf(object);
}

bool LooksLikeChat(absl::string_view line) {
  const absl::StatusOr<json> object = ParseOrderedJsonObject(line);
  const auto has = [&](const char* key) { return object->contains(key); };
  return object.ok() &&
         (has("messages") || has("conversations") || (has("prompt") && has("completion")) ||
          (has("instruction") && has("output")));
}

bool LooksLikePreference(absl::string_view line) {
  const absl::StatusOr<json> object = ParseOrderedJsonObject(line);
  const auto has = [&](const char* key) { return object->contains(key); };
  return object.ok() && (has("chosen") || has("rejected")) &&
         (has("prompt") || (has("chosen") && has("rejected")));
}

}  // namespace hone::engine::data
