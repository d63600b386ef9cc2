#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/data/load.h"

namespace hone::engine::data {

// Reads up to `size` bytes into `out`; fewer only at the end of what is read.
using ByteReader = absl::FunctionRef<absl::StatusOr<int64_t>(char* out, int64_t size)>;

// The most that one line, record or file that is one text may have. What lies beyond a few of these
// is never in memory at once.
inline constexpr int64_t kMostRecordBytes = int64_t{64} << 20;

// A file as text, piece by piece: UTF-8 without a byte order mark, cut between two characters.
class TextStream {
 public:
  // `read` must outlive it. Without an encoding it is UTF-8, and nobody can say otherwise.
  TextStream(ByteReader read, std::optional<TextOptions::Encoding> encoding, int64_t piece_bytes)
      : read_(read), encoding_(encoding), piece_bytes_(piece_bytes) {}

  // Appends some more; false: there is no more. INVALID_ARGUMENT names the line and the byte that
  // are no UTF-8.
  absl::StatusOr<bool> Append(std::string& text);
  // Of what came of the stream, with the file's name before it; what `read` says has that already.
  absl::Status Annotated(const absl::Status& status, absl::string_view file) const;

 private:
  ByteReader read_;
  std::optional<TextOptions::Encoding> encoding_;
  int64_t piece_bytes_;
  bool begun_ = false;  // the place of a byte order mark has been passed
  bool ended_ = false;
  bool failed_ = false;  // to read
  std::string cut_;      // the begin of what goes on in the next piece
  int64_t line_ = 1;
  int64_t offset_ = 0;
};

// The lines of a stream, one after another, as ForEachLine has them.
class LineReader {
 public:
  explicit LineReader(TextStream& stream) : stream_(stream) {}

  // False: there is no more. Errors of ForEachLine.
  absl::StatusOr<bool> Next();
  absl::string_view line() const { return line_; }  // until Next is called again
  int64_t number() const { return number_; }        // from 1; of lines so far, 0: of none

 private:
  TextStream& stream_;
  std::string text_;  // from where the last piece began, or a line that goes on in it
  size_t begin_ = 0;  // of what has not been given yet
  bool more_ = true;
  absl::string_view line_;
  int64_t number_ = 0;
};

// Calls visit(line, number) for each line, without its line feed and a carriage return before it,
// numbered from 1. A visit's error ends it. INVALID_ARGUMENT: a line has more than
// kMostRecordBytes.
absl::Status ForEachLine(
    TextStream& stream,
    absl::FunctionRef<absl::Status(absl::string_view line, int64_t number)> visit);

// All of it; INVALID_ARGUMENT where it is more than max_bytes.
absl::StatusOr<std::string> ReadAll(TextStream& stream, int64_t max_bytes);

// The bytes of a whole file as UTF-8, without a byte order mark. INVALID_ARGUMENT names the line
// and the byte that are not.
absl::StatusOr<std::string> DecodeText(std::string bytes, TextOptions::Encoding encoding);

}  // namespace hone::engine::data
