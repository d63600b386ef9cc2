#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "engine/data/formats.h"

namespace hone::engine::data {

// Tables of text, in UTF-8: .csv, .tsv or .data, also .gz; comma, semicolon, tab or bar between
// cells; quotes as in RFC 4180; LF or CRLF. A folder of tables is a training part and a test part:
// train.csv and test.csv, or one .tra and one .tes.
bool IsCsv(const std::string& path);
absl::StatusOr<Examples> ReadCsv(const std::string& path, const LoadOptions& options, Depth depth,
                                 DataReport& report);

}  // namespace hone::engine::data
