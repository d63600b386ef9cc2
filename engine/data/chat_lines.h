#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/text/chat.h"

namespace hone::engine::data {

// A conversation of a line of JSON, in one of five layouts, known by their keys, looked for in this
// order:
//
//   {"messages": [{"role", "content"}, …]}                    OpenAI's; a turn of the assistant
//                                                             with "weight": 0 is read, not learned
//   {"conversations": [{"from", "value"}, …][, "system"]}     ShareGPT's
//   {"prompt", "completion"}                                  texts, or lists of messages of which
//                                                             the completion's are learned
//   {"instruction"[, "input"], "output"[, "system", "history"]}  Alpaca's; history: [[user,
//                                                             assistant], …], learned, too
//   {"text"}                                                  a text that is learned as a whole
//
// Beside all but a text `tools` may stand, which the assistant may call (chat_tools.h). It calls
// them in "tool_calls" of its turn, or ShareGPT's in one of "function_call"; what a tool has
// answered is a turn of "tool", "observation" or "ipython", a text or an object. Which templates
// have a form for these, text::CheckTools says.
//
// Other keys of the object are not read. The system turn, where there is one, stands first.
//
// INVALID_ARGUMENT, without the line's number: errors of ParseJsonObject (base/json.h), none of
// these keys, the layout of preferences; a role that is not known; a call that has no name, or no
// object of arguments, or is none of the assistant's; a tool without a name; a content that is no
// text or has no words, but beside a call; no turn that is learned.
absl::StatusOr<text::Chat> ParseChat(absl::string_view line);

// One question and two answers to it, of which the first is preferred: conversations that are the
// same up to where the answers begin. The answers alone are learned.
struct Preference {
  text::Chat chosen = {};
  text::Chat rejected = {};
};

// A preference of a line of JSON, as TRL has it:
//
//   {"prompt", "chosen", "rejected"}   each a text, or a list of messages as in ParseChat's first
//                                      layout: what was said before, and what is said then
//   {"chosen", "rejected"}             lists of messages that begin alike: this is the prompt
//
// `tools` may stand beside them, as in a conversation.
//
// Two lists that begin alike are read so beside a prompt that is a text, too. Other keys of the
// object are not read.
//
// INVALID_ARGUMENT, without the line's number: errors of ParseJsonObject, one of the keys is
// missing, errors of turns as ParseChat has them; the answers are the same; what stands behind the
// prompt does not begin with the assistant; no turn of an answer is learned.
absl::StatusOr<Preference> ParsePreference(absl::string_view line);

// The line is an object with the keys of a conversation, whatever they hold; {"text"} is left to
// texts.
bool LooksLikeChat(absl::string_view line);
// The same of a preference, which may lack one of its answers where it has a prompt.
bool LooksLikePreference(absl::string_view line);

}  // namespace hone::engine::data
