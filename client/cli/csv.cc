#include "client/cli/csv.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "engine/base/csv.h"
#include "engine/base/status.h"

namespace hone::client::cli {

absl::StatusOr<std::vector<Record>> ReadRecords(std::string text, absl::string_view origin) {
  absl::StatusOr<CsvTable> table = OpenCsv(std::move(text));
  if (!table.ok()) {
    return Annotate(table.status(), origin);
  }
  if (std::set<std::string>(table->names.begin(), table->names.end()).size() !=
      table->names.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(origin, ": two columns have the same name in the first line"));
  }
  std::vector<Record> records;
  HONE_RETURN_IF_ERROR(Annotate(ForEachRecord(*table,
                                              [&](const std::vector<std::string>& cells, int64_t) {
                                                Record& record = records.emplace_back();
                                                for (size_t c = 0; c < cells.size(); ++c) {
                                                  record[table->names[c]] = cells[c];
                                                }
                                              }),
                                origin));
  if (records.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        origin, ": has no rows; the first line names the columns, each line after it is a row"));
  }
  return records;
}

}  // namespace hone::client::cli
