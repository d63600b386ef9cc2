#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/data/load.h"
#include "engine/data/spool.h"
#include "engine/data/text_rows.h"

namespace hone::engine::data {

// Where a sentence and its translation stand in PairRows.
struct PairRow {
  int64_t begin = 0;  // in PairRows::spool: source, a line feed, target
  uint32_t source_bytes = 0;
  uint32_t target_bytes = 0;
  int32_t file = 0;  // index into PairRows::files
  int64_t line = 0;  // from 1
  Part part = Part::kTrain;
  uint8_t mark = 0;  // whatever a PairVisit has to say of it
};

struct PairRows {
  std::string format;              // for the report
  std::vector<std::string> files;  // as somebody would look for them; of two the source's
  // Those of the training part, of the validation part, of the test part, in the order of their
  // files and lines.
  std::vector<PairRow> rows;
  int64_t files_left_out = 0;
  std::shared_ptr<const Spool> spool;

  absl::string_view source(const PairRow& row) const { return Bytes(row.begin, row.source_bytes); }
  absl::string_view target(const PairRow& row) const {
    return Bytes(row.begin + row.source_bytes + 1, row.target_bytes);
  }
  // Both with a line feed between them.
  absl::string_view both(const PairRow& row) const {
    return Bytes(row.begin, int64_t{row.source_bytes} + 1 + row.target_bytes);
  }
  // For errors and reports: "train.en line 7".
  std::string Where(const PairRow& row) const;

 private:
  absl::string_view Bytes(int64_t begin, int64_t size) const {
    return spool->bytes().substr(static_cast<size_t>(begin), static_cast<size_t>(size));
  }
};

// Told of each pair as it is read, and may change its sides, in UTF-8, before they are kept. The
// row's sizes are not yet known.
using PairVisit = absl::FunctionRef<void(PairRow& row, std::string& source, std::string& target)>;

// Reads sentences and their translations. The path is a file, or a folder or tar archive of files:
//
//   a table         .csv; columns by name (PairOptions::source, ::target; else `source`, `target`)
//   JSON lines      .jsonl or .ndjson; an object a line, its keys as a table's columns, or such an
//                   object under "translation"
//   tabs            any other name: a pair a line, a tab between its sides, no quotes; what stands
//                   behind further tabs is another column. Columns are column_1, column_2, … (else
//                   column_1 and column_2), unless the first line has the names that are asked for
//   parts           a folder with such files that are called train, validation (or valid, val, dev)
//                   and test: the data set's own parts
//   parallel files  two files for each part, with a sentence a line, of which the n-th lines belong
//                   together: train.en and train.fr. Their ends are PairOptions::source and
//                   ::target. What stands behind the part's name (test_2016.en) is not looked at.
//                   Where none is called as a part is, all files with both ends are read
//
// Any of them may be .gz, but not inside of an archive. Files are read once, and piece by piece,
// two that are parallel side by side; those of an archive, which stand there in its own order, are
// first brought to a spool as they are. What stays of a pair in memory is its row, where `stream`
// says that pairs may go to a file.
//
// Errors of FindPairFiles (pair_files.h) and of Spool. INVALID_ARGUMENT names the file and the
// first 20 lines with what is wrong: no UTF-8 (with the place), a column that there is not, no tab,
// a text of more than 1 MiB, no JSON; or two files of unequal lines, or the line of more than
// kMostRecordBytes (text_stream.h).
absl::StatusOr<PairRows> ReadPairRows(const std::string& path, const PairOptions& options,
                                      const StreamOptions& stream, PairVisit visit);

}  // namespace hone::engine::data
