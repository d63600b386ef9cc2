#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/data/load.h"
#include "engine/data/spool.h"
#include "engine/data/text_rows.h"

namespace hone::engine::data {

// A running text as it was read: nothing is cleaned yet.
struct RunningTextParts {
  std::string format;  // for the report
  // UTF-8, by Part; all is kTrain where the data set has no parts. They lie in `spool`.
  std::array<absl::string_view, 3> texts = {};
  std::shared_ptr<const Spool> spool = nullptr;
  int64_t files = 0;
  int64_t files_left_out = 0;  // of other kinds
};

// The path is
//
//   a file   whatever it is called, but an archive
//   parts    a folder or tar archive with .txt files that are called train, validation (or valid,
//            val, dev) and test: the data set's own parts; others are left out
//   files    a folder or tar archive of .txt files, one behind the other in the order of their
//            names, those of folders within among them; where one does not end with a line feed,
//            one stands before the next
//
// Any of them may be .gz, but not inside of an archive. Files are read once, piece by piece; of an
// archive of several that are no parts the text is written twice. NOT_FOUND: there is no such path.
// INVALID_ARGUMENT names the file: no UTF-8 (with line and byte), nothing to read, two files of one
// part, no training part among them. Errors of Spool.
absl::StatusOr<RunningTextParts> ReadRunningText(const std::string& path,
                                                 TextOptions::Encoding encoding,
                                                 const StreamOptions& options = {});

// The same without the texts: whether they are there and can be read. Nothing is written.
absl::StatusOr<RunningTextParts> InspectRunningText(const std::string& path,
                                                    TextOptions::Encoding encoding);

// A file whose name ends in .txt or .txt.gz.
bool IsTextFileName(const std::string& path);

}  // namespace hone::engine::data
