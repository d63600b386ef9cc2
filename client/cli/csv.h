#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace hone::client::cli {

// Rows by column name. The first line names the columns, unless it has a number in it: then they
// are column_1, column_2, … Cells may stand in double quotes, and then hold commas, line ends and
// doubled quotes. INVALID_ARGUMENT `origin:line: …`: a row with another number of cells, a name
// twice, a quote without its end.
absl::StatusOr<std::vector<std::map<std::string, std::string>>> ParseCsv(absl::string_view text,
                                                                         absl::string_view origin);

}  // namespace hone::client::cli
