#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/text/chat.h"

// What a line of a conversation has of tools (chat_lines.h). `where` names the value in errors,
// which are INVALID_ARGUMENT: `messages[2].tool_calls`.
namespace hone::engine::data {

// Calls, [{"function": {"name", "arguments"}}, …] or [{"name", "arguments"}, …], or one of them
// alone. Arguments are an object, or a text that holds one, as OpenAI writes it.
absl::StatusOr<std::vector<text::ToolCall>> ReadCalls(const nlohmann::ordered_json& calls,
                                                      absl::string_view where);
// A text that holds calls, as ShareGPT's function_call has it.
absl::StatusOr<std::vector<text::ToolCall>> ReadCallsInText(absl::string_view text,
                                                            absl::string_view where);

// Tools, [{"type": "function", "function": {"name", …}}, …], or a text that holds them. Where the
// function alone is given, {"name", …}, it gets what stands around it.
absl::StatusOr<std::vector<std::string>> ReadTools(const nlohmann::ordered_json& tools,
                                                   absl::string_view where);

}  // namespace hone::engine::data
