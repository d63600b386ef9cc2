#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/data/load.h"
#include "engine/data/text_rows.h"

namespace hone::engine::data {

// A sentence and its translation as they were read: nothing is cleaned yet.
struct PairRow {
  std::string source;  // UTF-8
  std::string target;
  Part part = Part::kTrain;
  int32_t file = 0;  // index into PairRows::files
  int64_t line = 0;  // from 1
};

struct PairRows {
  std::string format;              // for the report
  std::vector<std::string> files;  // as somebody would look for them; of two the source's
  // Those of the training part, of the validation part, of the test part, in the order of their
  // files and lines.
  std::vector<PairRow> rows;
  int64_t files_left_out = 0;

  // For errors and reports: "train.en line 7".
  std::string Where(const PairRow& row) const;
};

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
// Any of them may be .gz, but not inside of an archive. NOT_FOUND: there is no such path.
// INVALID_ARGUMENT names the file and the first 20 lines with what is wrong: no UTF-8 (with the
// place), a column that there is not, no tab, a text of more than 1 MiB, no JSON; or two files of
// unequal lines, one without the other, two of the same part, no training part among them.
absl::StatusOr<PairRows> ReadPairRows(const std::string& path, const PairOptions& options);

// The ends of the names of those files of a folder or archive that could be parallel files, because
// others beside them differ in their ends alone: "de", "en". Empty: there are none.
absl::StatusOr<std::vector<std::string>> ParallelEnds(const std::string& path);

}  // namespace hone::engine::data
