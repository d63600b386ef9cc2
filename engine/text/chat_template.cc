#include "engine/text/chat_template.h"

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/text/tool_forms.h"

namespace hone::engine::text {
namespace {

using Kind = ChatTemplate::Kind;

constexpr absl::string_view kNames[] = {"chatml", "llama3",       "alpaca",
                                        "plain",  "chatml-tools", "llama31"};  // by Kind

// Writes the token that begins texts.
constexpr absl::string_view kBegin = "{{ bos_token }}";

constexpr absl::string_view kKnown =
    "known are ChatML, Llama 3 and 3.1, Alpaca and plain, of which data.chat.template may choose "
    "one";

absl::Status Refuse(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("the chat template ", what, "; ", kKnown));
}

// A mark of a template, and what a template that has it is or does.
struct Mark {
  absl::string_view text;
  absl::string_view what;
};

// Templates of other families.
constexpr Mark kOthers[] = {
    {"[INST]", "is that of Llama 2 or Mistral ([INST])"},
    {"<start_of_turn>", "is Gemma's (<start_of_turn>)"},
    {"<|channel|>", "is that of gpt-oss (<|channel|>)"},
    {"<\xef\xbd\x9cUser\xef\xbd\x9c>", "is DeepSeek's"},
    {"<|START_OF_TURN_TOKEN|>", "is Command R's (<|START_OF_TURN_TOKEN|>)"},
    {"<|im_sep|>", "is Phi-4's (<|im_sep|>)"},
    {"<|user|>", "is that of Zephyr or Phi-3 (<|user|>)"},
    {"### Instruction", "is a form of Alpaca that differs from ours"},
    {"USER:", "is Vicuna's (USER:)"},
};

// What no template that is known here does.
constexpr Mark kMore[] = {
    {"<think>", "writes thoughts between the turns (<think>)"},
    {"reasoning_content", "writes thoughts between the turns (reasoning_content)"},
    {"strftime_now", "writes the date into the system text (strftime_now)"},
    {"Cutting Knowledge", "is like Llama 3.1's, but not the same"},
    {"Today Date", "writes the date into the system text (Today Date)"},
    {"default_system", "keeps its system text in a variable (default_system)"},
    {"system_message", "keeps its system text in a variable (system_message)"},
};

absl::Status RefuseMarks(absl::string_view jinja, const Mark* begin, const Mark* end) {
  const Mark* const found = std::find_if(
      begin, end, [&](const Mark& mark) { return absl::StrContains(jinja, mark.text); });
  return found == end ? absl::OkStatus() : Refuse(found->what);
}

// Strings that are put together stand as one, and line feeds as such.
std::string Joined(absl::string_view jinja) {
  return absl::StrReplaceAll(
      jinja,
      {{"' + '", ""}, {"'+'", ""}, {"\" + \"", ""}, {"\"+\"", ""}, {"\\n", "\n"}, {"\r\n", "\n"}});
}

bool HasAll(absl::string_view text, std::initializer_list<absl::string_view> parts) {
  return std::ranges::all_of(parts,
                             [&](absl::string_view part) { return absl::StrContains(text, part); });
}

// All that Qwen2.5's template writes about tools. One that writes something else about them is
// plain ChatML.
bool WritesToolsOfChatMl(absl::string_view joined) {
  return HasAll(absl::StrReplaceAll(joined, {{"\\\"", "\""}}),
                {kToolsBegin, kToolsEnd, kCallBegin, kCallArguments, kCallEnd, kResponseBegin,
                 kResponseEnd, "tojson"});
}

// All that the template of Llama 3.1, or 3.2, writes, whose system text is the conversation's.
bool IsOfLlama31(absl::string_view joined) {
  return HasAll(absl::StrReplaceAll(joined, {{"\\\"", "\""}}),
                {"bos_token", "system_message = \"\"", kEnvironment, "26 Jul 2024",
                 "Cutting Knowledge Date: December 2023\n", "Today Date: ",
                 "Given the following functions, please respond with a JSON for a function call ",
                 "with its proper arguments that best answers the given prompt.\n\n",
                 "Respond in the format {\"name\": function name, \"parameters\": dictionary of "
                 "argument name and its value}.",
                 "Do not use variables.\n\n", "tojson(indent=4)", kLlamaCallBegin,
                 "\"parameters\": ", "<|start_header_id|>ipython<|end_header_id|>\n\n",
                 "| trim + '<|eot_id|>'"}) &&
         !absl::StrContains(joined, "<think>") && !absl::StrContains(joined, "<|image|>");
}

// The text between `begin` and `end` where it is written there itself, not as what somebody said.
absl::StatusOr<std::string> SystemIn(absl::string_view joined, absl::string_view begin,
                                     absl::string_view end) {
  for (size_t at = joined.find(begin); at != absl::string_view::npos;
       at = joined.find(begin, at + 1)) {
    absl::string_view text = joined.substr(at + begin.size());
    if (text.empty() || text.front() == '\'' || text.front() == '"') {
      continue;  // what the conversation has stands here
    }
    const size_t length = text.find(end);
    if (length == absl::string_view::npos) {
      return Refuse("has a system text whose end is not to be found");
    }
    text = text.substr(0, length);
    const std::string plain = absl::StrReplaceAll(text, {{"\\'", ""}, {"\\\"", ""}});
    for (const absl::string_view put_together :
         {"{{", "{%", "' +", "'+", "\" +", "\"+", "' ~", "\\"}) {
      if (absl::StrContains(plain, put_together)) {
        return Refuse("puts its system text together of parts");
      }
    }
    return absl::StrReplaceAll(text, {{"\\'", "'"}, {"\\\"", "\""}});
  }
  return "";
}

bool Trims(absl::string_view joined) {
  return absl::StrContains(joined, "| trim") || absl::StrContains(joined, "|trim") ||
         absl::StrContains(joined, ".strip()");
}

absl::StatusOr<ChatTemplate> RecogniseChatMl(absl::string_view joined) {
  for (const absl::string_view mark : {"<|im_start|>assistant\n", "<|im_end|>\n"}) {
    if (!absl::StrContains(joined, mark)) {
      return Refuse(absl::StrCat("is like ChatML, but lacks ", mark.substr(0, mark.size() - 1),
                                 " with a line feed behind it"));
    }
  }
  if (Trims(joined)) {
    return Refuse("is like ChatML, but takes white space away from around what is said");
  }
  if (absl::StrContains(joined, "bos_token")) {
    return Refuse("is like ChatML, but begins with a token that begins texts (bos_token)");
  }
  HONE_ASSIGN_OR_RETURN(std::string system, SystemIn(joined, "<|im_start|>system\n", "<|im_end|>"));
  return ChatTemplate{.kind = WritesToolsOfChatMl(joined) ? Kind::kChatMlTools : Kind::kChatMl,
                      .system = std::move(system)};
}

absl::StatusOr<ChatTemplate> RecogniseLlama3(absl::string_view joined) {
  if (!Trims(joined)) {
    return Refuse("is like Llama 3's, but leaves white space around what is said");
  }
  if (!absl::StrContains(joined, "bos_token") && !absl::StrContains(joined, "<|begin_of_text|>")) {
    return Refuse("is like Llama 3's, but does not begin with the token that begins texts");
  }
  HONE_ASSIGN_OR_RETURN(
      std::string system,
      SystemIn(joined, "<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"));
  return ChatTemplate{.kind = Kind::kLlama3, .system = std::move(system)};
}

// A string of Jinja.
std::string Quoted(absl::string_view text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"'", "\\'"}, {"\n", "\\n"}}),
                      "'");
}

// Writes a text.
std::string Written(absl::string_view text) { return absl::StrCat("{{ ", Quoted(text), " }}"); }

// Of a call of a tool, its name and its arguments with what stands around them.
std::string WrittenCall(absl::string_view begin, absl::string_view arguments,
                        absl::string_view end) {
  return absl::StrCat("{{ ", Quoted(begin), " + call['function']['name'] + ", Quoted(arguments),
                      " + (call['function']['arguments'] | tojson) + ", Quoted(end), " }}");
}

constexpr absl::string_view kEndOfTurns = "{% endif %}{% endfor %}{% if add_generation_prompt %}";

std::string JinjaOfChatMlTools(absl::string_view system) {
  const std::string own =
      system.empty() ? "" : absl::StrCat("{% else %}", Written(absl::StrCat(system, "\n\n")));
  return absl::StrCat(
      "{% if tools %}", Written("<|im_start|>system\n"),
      R"({% if messages[0]['role'] == 'system' %}{{ messages[0]['content'] + '\n\n' }})", own,
      "{% endif %}", Written(kToolsBegin), R"({% for tool in tools %}{{ '\n' + (tool | tojson) }})",
      "{% endfor %}", Written(absl::StrCat(kToolsEnd, "<|im_end|>\n")), "{% endif %}",
      "{% for message in messages %}",
      system.empty()
          ? ""
          : absl::StrCat("{% if loop.first and message['role'] != 'system' and not tools %}",
                         Written(absl::StrCat("<|im_start|>system\n", system, "<|im_end|>\n")),
                         "{% endif %}"),
      "{% if message['role'] == 'tool' %}",
      "{% if loop.first or messages[loop.index0 - 1]['role'] != 'tool' %}",
      Written("<|im_start|>user"), "{% endif %}{{ ", Quoted(absl::StrCat("\n", kResponseBegin)),
      " + message['content'] + ", Quoted(kResponseEnd), " }}",
      "{% if loop.last or messages[loop.index0 + 1]['role'] != 'tool' %}", Written("<|im_end|>\n"),
      "{% endif %}{% elif message['tool_calls'] %}", Written("<|im_start|>assistant"),
      R"({% if message['content'] %}{{ '\n' + message['content'] }}{% endif %})",
      "{% for call in message['tool_calls'] %}",
      WrittenCall(absl::StrCat("\n", kCallBegin), kCallArguments, kCallEnd), "{% endfor %}",
      Written("<|im_end|>\n"), "{% elif message['role'] != 'system' or not tools %}",
      R"({{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }})",
      kEndOfTurns, Written("<|im_start|>assistant\n"), "{% endif %}");
}

constexpr absl::string_view kSystemOfLlama31 = "{% else %}{% set system = ";

std::string JinjaOfLlama31(absl::string_view system) {
  return absl::StrCat(
      kBegin, "{% if messages[0]['role'] == 'system' %}",
      "{% set system = messages[0]['content'] | trim %}{% set turns = messages[1:] %}",
      kSystemOfLlama31, Quoted(system), " %}{% set turns = messages %}{% endif %}",
      Written("<|start_header_id|>system<|end_header_id|>\n\n"), "{% if tools %}",
      Written(kEnvironment), "{% endif %}{{ ", Quoted(kDates), " + system + '<|eot_id|>' }}",
      "{% for message in turns %}{% if message['role'] == 'tool' %}",
      R"({{ '<|start_header_id|>ipython<|end_header_id|>\n\n' + (message['content'] | tojson) + )",
      "'<|eot_id|>' }}{% elif message['tool_calls'] %}{% set call = message['tool_calls'][0] %}",
      WrittenCall(
          absl::StrCat("<|start_header_id|>assistant<|end_header_id|>\n\n", kLlamaCallBegin),
          kLlamaCallArguments, absl::StrCat(kLlamaCallEnd, "<|eot_id|>")),
      R"({% else %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }})",
      "{% if loop.first and tools %}", Written(kToolsGuidance),
      R"({% for tool in tools %}{{ (tool | tojson(indent=4)) + '\n\n' }}{% endfor %}{% endif %})",
      "{{ (message['content'] | trim) + '<|eot_id|>' }}", kEndOfTurns,
      Written("<|start_header_id|>assistant<|end_header_id|>\n\n"), "{% endif %}");
}

// The system text of a template of ours, where it is one; anything else: none that gives it again.
std::string SystemOfOurLlama31(absl::string_view joined) {
  const size_t at = joined.find(kSystemOfLlama31);
  absl::string_view text = joined.substr(std::min(at, joined.size()));
  if (text.empty()) {
    return "";
  }
  text.remove_prefix(kSystemOfLlama31.size() + 1);
  return absl::StrReplaceAll(text.substr(0, text.find("' %}{% set turns")),
                             {{"\\'", "'"}, {"\\\\", "\\"}});
}

}  // namespace

absl::string_view NameOf(Kind kind) { return kNames[static_cast<size_t>(kind)]; }

ChatTemplate DefaultChatTemplate(Kind kind) {
  return {.kind = kind, .system = kind == Kind::kAlpaca ? std::string(kAlpacaSystem) : ""};
}

absl::StatusOr<ChatTemplate> RecogniseChatTemplate(absl::string_view jinja) {
  for (const Kind kind : {Kind::kAlpaca, Kind::kPlain}) {
    if (absl::StripPrefix(jinja, kBegin) == ToJinja(DefaultChatTemplate(kind))) {
      return DefaultChatTemplate(kind);
    }
  }
  const std::string joined = Joined(jinja);
  if (const ChatTemplate ours = {.kind = Kind::kLlama31, .system = SystemOfOurLlama31(joined)};
      IsOfLlama31(joined) || jinja == ToJinja(ours)) {
    return ours;
  }
  HONE_RETURN_IF_ERROR(RefuseMarks(joined, std::begin(kMore), std::end(kMore)));
  HONE_RETURN_IF_ERROR(RefuseMarks(joined, std::begin(kOthers), std::end(kOthers)));
  if (absl::StrContains(joined, "<|im_start|>") && absl::StrContains(joined, "<|im_end|>")) {
    return RecogniseChatMl(joined);
  }
  if (absl::StrContains(joined, "<|start_header_id|>") && absl::StrContains(joined, "<|eot_id|>")) {
    return RecogniseLlama3(joined);
  }
  constexpr size_t kShown = 60;
  return Refuse(absl::StrCat("is not known here, it begins with \"", CutUtf8(jinja, kShown), "\""));
}

std::string ChatTemplateIn(const nlohmann::json& tokenizer_config) {
  const auto found = tokenizer_config.find("chat_template");
  if (found == tokenizer_config.end()) {
    return "";
  }
  if (found->is_string()) {
    return found->get<std::string>();
  }
  for (const nlohmann::json& named : *found) {
    const auto is_text = [&](const char* key) {
      return named.contains(key) && named[key].is_string();
    };
    if (named.is_object() && is_text("name") && is_text("template") && named["name"] == "default") {
      return named["template"].get<std::string>();
    }
  }
  return "";
}

std::string ToJinja(const ChatTemplate& chat_template, bool begins_texts) {
  const absl::string_view begin = begins_texts ? kBegin : absl::string_view();
  // A system turn of a conversation's own counts; else the template's stands there.
  const auto with_system = [&](absl::string_view before, absl::string_view behind) {
    return chat_template.system.empty()
               ? std::string()
               : absl::StrCat("{% if loop.first and message['role'] != 'system' %}{{ ",
                              Quoted(absl::StrCat(before, chat_template.system, behind)),
                              " }}{% endif %}");
  };
  switch (chat_template.kind) {
    case Kind::kChatMl:
      return absl::StrCat(
          "{% for message in messages %}", with_system("<|im_start|>system\n", "<|im_end|>\n"),
          R"({{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %})",
          R"({% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %})");
    case Kind::kLlama3:
      return absl::StrCat(
          kBegin, "{% for message in messages %}",
          with_system("<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"),
          R"({{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}{% endfor %})",
          R"({% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %})");
    case Kind::kAlpaca:
      return absl::StrCat(
          begin, "{% for message in messages %}", with_system("", ""),
          R"({% if not loop.first or message['role'] != 'system' %}{% if not loop.first or )",
          chat_template.system.empty() ? "false" : "true",
          R"( %}{{ '\n\n' }}{% endif %}{% endif %})",
          R"({% if message['role'] == 'user' %}{{ '### Instruction:\n' + message['content'] }})",
          R"({% elif message['role'] == 'assistant' %}{{ '### Response:\n' + message['content'] + eos_token }})",
          R"({% else %}{{ message['content'] }}{% endif %}{% endfor %})",
          R"({% if add_generation_prompt %}{{ '\n\n### Response:\n' }}{% endif %})");
    case Kind::kChatMlTools:
      return JinjaOfChatMlTools(chat_template.system);
    case Kind::kLlama31:
      return JinjaOfLlama31(chat_template.system);
    case Kind::kPlain:
      break;
  }
  return absl::StrCat(
      begin, "{% for message in messages %}", with_system("", ""),
      "{{ message['content'] }}{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}"
      "{% endfor %}");
}

nlohmann::json ToJson(const ChatTemplate& chat_template) {
  return {{"kind", std::string(NameOf(chat_template.kind))}, {"system", chat_template.system}};
}

absl::StatusOr<ChatTemplate> ChatTemplateFromJson(const nlohmann::json& json) {
  const auto name = json.at("kind").get<std::string>();
  const auto* const found = std::ranges::find(kNames, name);
  if (found == std::end(kNames)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a chat template's `kind` is not known: \"", name, "\""));
  }
  return ChatTemplate{.kind = static_cast<Kind>(found - std::begin(kNames)),
                      .system = json.at("system").get<std::string>()};
}

}  // namespace hone::engine::text
