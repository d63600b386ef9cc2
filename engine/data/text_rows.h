#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/data/load.h"
#include "engine/data/report.h"

namespace hone::engine::data {

// Where a data set itself says that an example belongs.
enum class Part { kTrain, kValidation, kTest };

// An example as it was read: nothing is cleaned yet.
struct TextRow {
  std::string text;   // UTF-8
  std::string label;  // as it is written; a number where regression is wanted
  Part part = Part::kTrain;
  int32_t file = 0;         // index into TextRows::files
  int64_t line = 0;         // from 1; 0: the file is the text
  std::string second = {};  // of a pair
};

struct TextRows {
  std::string format;              // for the report
  std::vector<std::string> files;  // as somebody would look for them
  std::vector<TextRow>
      rows;  // those of the training part, of the validation part, of the test part

  // For errors and reports: "train.tsv line 7".
  std::string Where(const TextRow& row) const;
};

// The bytes of a whole file as UTF-8, without a byte order mark. INVALID_ARGUMENT names the line
// and the byte that are not.
absl::StatusOr<std::string> DecodeText(std::string bytes, TextOptions::Encoding encoding);

// Reads texts with labels; for language modeling a text need not have one. The path is a file, or a
// folder or tar archive of files:
//
//   a table         .csv, .tsv or .data; columns by name (LoadOptions::text, ::target). What tabs
//                   separate has no quotes
//   JSON lines      .jsonl or .ndjson; an object a line, its keys as a table's columns
//   parts           a folder with tables or JSON lines that are called train, validation (or valid,
//                   val, dev) and test: the data set's own parts
//   class folders   a folder of .txt files for each class, one text a file; above them there may be
//                   the folders train and test, as in aclImdb, of which each other folder is left
//                   out, and a class called unsup, which has no labels
//   class files     a .txt file for each class, one text a line
//   lines           where labels are not needed, a .txt file with a text a line, or such parts
//
// Any of them may be .gz, but not inside of an archive. Pairs of texts are in tables and JSON lines
// alone. NOT_FOUND: there is no such path.
// INVALID_ARGUMENT names the file and the first 20 lines with what is wrong: no UTF-8 (with the
// place), a column that there is not, no label, a text without words, one of more than 1 MiB, no
// JSON. `report` is told what was read and left out.
absl::StatusOr<TextRows> ReadTextRows(const std::string& path, const LoadOptions& options,
                                      DataReport& report);

// It has characters that are no white space.
bool HasWords(absl::string_view text);

}  // namespace hone::engine::data
