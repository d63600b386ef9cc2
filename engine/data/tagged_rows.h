#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/data/load.h"
#include "engine/data/text_rows.h"

namespace hone::engine::data {

// A sentence with a tag for each word, as it is written.
struct TaggedRow {
  std::vector<std::string> words;  // at least one
  std::vector<std::string> tags;   // as many
  Part part = Part::kTrain;
  int32_t file = 0;  // index into TaggedRows::files
  int64_t line = 0;  // of its first word, from 1
};

struct TaggedRows {
  std::string format;              // for the report
  std::vector<std::string> files;  // as somebody would look for them
  std::vector<TaggedRow>
      rows;  // those of the training part, of the validation part, of the test part

  std::string Where(const TaggedRow& row) const;  // "train.conll line 7"
};

// Reads sentences whose words have tags. The path is a file, or a folder or tar archive with files
// called train, validation (or valid, val, dev) and test, the data set's own parts:
//
//   JSON lines   .jsonl or .ndjson; of each object a list of strings under options.text->columns,
//                else "tokens", and as many strings, or numbers, under options.target, else "tags"
//   CoNLL        any other name: a word a line, and its tag in the last column; white space
//                stands between columns. An empty line ends a sentence, and so does one that
//                begins with -DOCSTART-, which says where a document begins
//
// Any of them may be .gz, but not inside of an archive. NOT_FOUND: there is no such path.
// INVALID_ARGUMENT names the file and the first 20 lines with what is wrong.
absl::StatusOr<TaggedRows> ReadTaggedRows(const std::string& path, const LoadOptions& options);

// A name that says so by itself: .conll, .bio, .iob or .iob2, also with .gz behind.
bool IsTaggedFileName(const std::string& name);

}  // namespace hone::engine::data
