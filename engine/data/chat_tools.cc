#include "engine/data/chat_tools.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/json.h"
#include "engine/base/status.h"
#include "engine/data/text_rows.h"
#include "engine/text/json_text.h"

namespace hone::engine::data {
namespace {

using nlohmann::ordered_json;
using text::ToolCall;

absl::Status Wrong(absl::string_view where, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("`", where, "` ", what));
}

// The value that a text holds.
absl::StatusOr<ordered_json> ValueIn(absl::string_view text, absl::string_view where) {
  absl::StatusOr<ordered_json> value = ParseOrderedJson(text);
  return value.ok() ? std::move(value) : Wrong(where, value.status().message());
}

absl::StatusOr<std::string> NameOf(const ordered_json& function, absl::string_view where) {
  const auto name = function.find("name");
  if (name == function.end() || !name->is_string() || !HasWords(name->get<std::string>())) {
    return Wrong(absl::StrCat(where, ".name"), "must be the name of a function");
  }
  return name->get<std::string>();
}

absl::StatusOr<ToolCall> ReadCall(const ordered_json& call, absl::string_view where) {
  const auto found = call.find("function");
  const ordered_json& function = found == call.end() ? call : *found;
  if (!function.is_object()) {
    return Wrong(where, "must be an object with `name` and `arguments`");
  }
  ToolCall read;
  HONE_ASSIGN_OR_RETURN(read.name, NameOf(function, where));
  const std::string at = absl::StrCat(where, ".arguments");
  const auto given = function.find("arguments");
  ordered_json arguments = given == function.end() ? ordered_json() : *given;
  if (arguments.is_string()) {
    HONE_ASSIGN_OR_RETURN(arguments, ValueIn(arguments.get<std::string>(), at));
  }
  if (!arguments.is_object()) {
    return Wrong(at, "must be an object, or a text that holds one; {} where there are none");
  }
  read.arguments = text::JsonText(arguments);
  return read;
}

absl::StatusOr<std::string> ReadTool(const ordered_json& tool, absl::string_view where) {
  if (!tool.is_object()) {
    return Wrong(where, "must be an object with `type` and `function`");
  }
  const auto function = tool.find("function");
  if (function == tool.end()) {
    HONE_RETURN_IF_ERROR(NameOf(tool, where).status());
    return text::JsonText({{"type", "function"}, {"function", tool}});
  }
  if (!function->is_object()) {
    return Wrong(absl::StrCat(where, ".function"), "must be an object with `name`");
  }
  HONE_RETURN_IF_ERROR(NameOf(*function, absl::StrCat(where, ".function")).status());
  return text::JsonText(tool);
}

}  // namespace

absl::StatusOr<std::vector<ToolCall>> ReadCalls(const ordered_json& calls,
                                                absl::string_view where) {
  std::vector<ToolCall> read;
  if (!calls.is_array()) {
    HONE_ASSIGN_OR_RETURN(ToolCall call, ReadCall(calls, where));
    read.push_back(std::move(call));
    return read;
  }
  for (size_t i = 0; i < calls.size(); ++i) {
    HONE_ASSIGN_OR_RETURN(ToolCall call, ReadCall(calls[i], absl::StrCat(where, "[", i, "]")));
    read.push_back(std::move(call));
  }
  return read.empty() ? Wrong(where, "has no calls")
                      : absl::StatusOr<std::vector<ToolCall>>(std::move(read));
}

absl::StatusOr<std::vector<ToolCall>> ReadCallsInText(absl::string_view text,
                                                      absl::string_view where) {
  HONE_ASSIGN_OR_RETURN(const ordered_json calls, ValueIn(text, where));
  return ReadCalls(calls, where);
}

absl::StatusOr<std::vector<std::string>> ReadTools(const ordered_json& tools,
                                                   absl::string_view where) {
  if (tools.is_string()) {
    HONE_ASSIGN_OR_RETURN(const ordered_json held, ValueIn(tools.get<std::string>(), where));
    return held.is_string() ? Wrong(where, "must hold a list of tools") : ReadTools(held, where);
  }
  if (!tools.is_array()) {
    return Wrong(where, "must be a list of tools, or a text that holds one");
  }
  std::vector<std::string> read;
  for (size_t i = 0; i < tools.size(); ++i) {
    HONE_ASSIGN_OR_RETURN(std::string tool, ReadTool(tools[i], absl::StrCat(where, "[", i, "]")));
    read.push_back(std::move(tool));
  }
  return read;
}

}  // namespace hone::engine::data
