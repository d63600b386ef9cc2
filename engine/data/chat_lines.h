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
// Other keys of the object are not read. The system turn, where there is one, stands first.
//
// INVALID_ARGUMENT, without the line's number: errors of ParseJsonObject (base/json.h), none of
// these keys, the layout of preferences; a role that is not known; a tool call, which no template
// here writes; a content that is no text or has no words; no turn that is learned.
absl::StatusOr<text::Chat> ParseChat(absl::string_view line);

// The line is an object with the keys of a conversation, whatever they hold; {"text"} is left to
// texts.
bool LooksLikeChat(absl::string_view line);

}  // namespace hone::engine::data
