#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace hone::client::cli {

// Cells by column name.
using Record = std::map<std::string, std::string>;

// The rows of a table, read as training reads one (engine/base/csv.h). INVALID_ARGUMENT `origin:
// …`: what OpenCsv and ForEachRecord refuse, a name twice, no rows.
absl::StatusOr<std::vector<Record>> ReadRecords(std::string text, absl::string_view origin);

}  // namespace hone::client::cli
