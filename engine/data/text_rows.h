#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/data/load.h"
#include "engine/data/report.h"
#include "engine/data/spool.h"

namespace hone::engine::data {

// Where a data set itself says that an example belongs.
enum class Part : uint8_t { kTrain, kValidation, kTest };

// Where an example stands in TextRows.
struct TextRow {
  // In TextRows::spool: label, text, a line feed, second text; of triples a line feed, negative.
  int64_t begin = 0;
  uint32_t label_bytes = 0;
  uint32_t text_bytes = 0;
  uint32_t second_bytes = 0;
  uint32_t negative_bytes = 0;
  int32_t file = 0;  // index into TextRows::files
  Part part = Part::kTrain;
  uint8_t mark = 0;  // whatever a TextVisit has to say of it
  int64_t line = 0;  // from 1; 0: the file is the text
};

struct TextRows {
  std::string format;              // for the report
  std::vector<std::string> files;  // as somebody would look for them
  std::vector<TextRow>
      rows;              // those of the training part, of the validation part, of the test part
  bool triples = false;  // each pair has a negative
  std::shared_ptr<const Spool> spool;

  absl::string_view label(const TextRow& row) const {  // as it is written
    return Bytes(row.begin, row.label_bytes);
  }
  absl::string_view text(const TextRow& row) const {
    return Bytes(row.begin + row.label_bytes, row.text_bytes);
  }
  absl::string_view second(const TextRow& row) const {  // of a pair; else ""
    return Bytes(row.begin + row.label_bytes + row.text_bytes + 1, row.second_bytes);
  }
  absl::string_view negative(const TextRow& row) const {  // of a triple; else ""
    return triples ? Bytes(row.begin + row.label_bytes + row.text_bytes + 1 + row.second_bytes + 1,
                           row.negative_bytes)
                   : "";
  }
  // All texts of a pair, or of a triple, with line feeds between them.
  absl::string_view together(const TextRow& row) const {
    return Bytes(row.begin + row.label_bytes, int64_t{row.text_bytes} + 1 + row.second_bytes +
                                                  (triples ? 1 + row.negative_bytes : 0));
  }
  // For errors and reports: "train.tsv line 7".
  std::string Where(const TextRow& row) const;

 private:
  absl::string_view Bytes(int64_t begin, int64_t size) const {
    return spool->bytes().substr(static_cast<size_t>(begin), static_cast<size_t>(size));
  }
};

// The texts of an example, in UTF-8.
struct ExampleTexts {
  std::string text;
  std::string second = {};                   // of a pair
  std::optional<std::string> negative = {};  // of a triple
};

// Told of each example as it is read, and may change its texts before they are kept. The row's
// sizes are not yet known.
using TextVisit = absl::FunctionRef<void(TextRow& row, ExampleTexts& texts)>;

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
// Of conversations (options.chat), which are JSON lines alone, the text is the line as it stands.
//
// Any of them may be .gz, but not inside of an archive. Pairs and triples of texts are in tables
// and JSON lines alone. Where nobody names their columns (Task::kTextPairs), these are "anchor",
// "positive" and, if the first of the tables and lines has it, "negative": then all must have it,
// else none may. Files are read once, and piece by piece: what stays of a text in memory is its
// row, where options.stream says that texts may go to a file.
//
// NOT_FOUND: there is no such path. INVALID_ARGUMENT names the file and the first 20 lines with
// what is wrong: no UTF-8 (with the place), a column that there is not, no label, pairs among
// triples, a text or a label of more than 1 MiB, no JSON; or the line of more than kMostRecordBytes
// (text_stream.h). Errors of Spool. `report` is told what was read and left out.
absl::StatusOr<TextRows> ReadTextRows(const std::string& path, const LoadOptions& options,
                                      TextVisit visit, DataReport& report);

// It has characters that are no white space.
bool HasWords(absl::string_view text);

}  // namespace hone::engine::data
