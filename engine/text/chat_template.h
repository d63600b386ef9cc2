#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/text/chat.h"

namespace hone::engine::text {

// "chatml", "llama3", "alpaca", "plain", "chatml-tools", "llama31": as model files and messages
// have them.
absl::string_view NameOf(ChatTemplate::Kind kind);
// With the system text that the kind has where nobody says otherwise.
ChatTemplate DefaultChatTemplate(ChatTemplate::Kind kind);

// The template that a checkpoint's `chat_template`, a text in Jinja, is, with the system text that
// stands in it. Nothing of Jinja is run: a template is known by the marks of its turns, and taken
// only where nothing in it says that it would write more than that (dates, thoughts, other
// texts for other models), so that none is taken for another one. ChatML is kChatMlTools where it
// writes of tools all that Qwen2.5's does. That of Llama 3.2 writes the day on which it is run; it
// is kLlama31, which has always the one that stands there for who has no calendar. INVALID_ARGUMENT
// names what it is, or what it does, and says which are known.
absl::StatusOr<ChatTemplate> RecogniseChatTemplate(absl::string_view jinja);

// What a checkpoint's tokenizer_config.json has as `chat_template`: a text, or of several with
// names the one that is called default. "": none.
std::string ChatTemplateIn(const nlohmann::json& tokenizer_config);

// The template in Jinja, as the folder of a checkpoint has it; RecogniseChatTemplate knows it, of
// kAlpaca and kPlain only with their own system texts. `begins_texts`: WrittenTokens has it.
std::string ToJinja(const ChatTemplate& chat_template, bool begins_texts = false);

// {"kind": "chatml", "system": …}. FromJson: INVALID_ARGUMENT names a kind that is not known;
// throws nlohmann::json::exception where a field is missing or of another type.
nlohmann::json ToJson(const ChatTemplate& chat_template);
absl::StatusOr<ChatTemplate> ChatTemplateFromJson(const nlohmann::json& json);

}  // namespace hone::engine::text
