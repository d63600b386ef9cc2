#pragma once

#include "absl/strings/string_view.h"

// What the chat templates that know tools write about them. Models have learned these words, so
// that each of them counts.
namespace hone::engine::text {

// Of ChatML, as Qwen2.5 has it. In the turn of the system, behind its text: kToolsBegin, each tool
// on a line of its own, kToolsEnd.
inline constexpr absl::string_view kToolsBegin =
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are "
    "provided with function signatures within <tools></tools> XML tags:\n<tools>";
inline constexpr absl::string_view kToolsEnd =
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments "
    "within <tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, "
    "\"arguments\": <args-json-object>}\n</tool_call>";
// A call: its name stands between the first two, its arguments between the others.
inline constexpr absl::string_view kCallBegin = "<tool_call>\n{\"name\": \"";
inline constexpr absl::string_view kCallArguments = "\", \"arguments\": ";
inline constexpr absl::string_view kCallEnd = "}\n</tool_call>";
// Around what a tool has answered, in a turn of the user.
inline constexpr absl::string_view kResponseBegin = "<tool_response>\n";
inline constexpr absl::string_view kResponseEnd = "\n</tool_response>";

// Of Llama 3.1. In the turn of the system, before its text: kEnvironment where there are tools, and
// kDates always. The day is the one that stands in the template itself: a text that changed with
// the day of the training would not be the same twice.
inline constexpr absl::string_view kEnvironment = "Environment: ipython\n";
inline constexpr absl::string_view kDates =
    "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n";
// In the first turn of the user, before its text: kToolsGuidance, and each tool over several lines
// with an empty one behind it.
inline constexpr absl::string_view kToolsGuidance =
    "Given the following functions, please respond with a JSON for a function call with its proper "
    "arguments that best answers the given prompt.\n\nRespond in the format {\"name\": function "
    "name, \"parameters\": dictionary of argument name and its value}.Do not use variables.\n\n";
inline constexpr int kToolsIndent = 4;
// A call, which is all of its turn.
inline constexpr absl::string_view kLlamaCallBegin = "{\"name\": \"";
inline constexpr absl::string_view kLlamaCallArguments = "\", \"parameters\": ";
inline constexpr absl::string_view kLlamaCallEnd = "}";

}  // namespace hone::engine::text
