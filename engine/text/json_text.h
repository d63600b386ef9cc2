#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace hone::engine::text {

// JSON as chat templates write it, in which tools and their arguments become words that a model
// reads: that of Python's json.dumps(value, ensure_ascii=False), on one line with ", " and ": ", or
// with `indent` spaces for each level on lines of their own. transformers' `tojson` is the same.
std::string JsonText(const nlohmann::ordered_json& value, int indent = 0);

}  // namespace hone::engine::text
