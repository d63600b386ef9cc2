#include "engine/data/text_stream.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/base/complaints.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/text/unicode.h"

namespace hone::engine::data {
namespace {

constexpr size_t kLongestCharacter = 4;

// What CheckUtf8 says, with the other way out.
absl::Status NotUtf8(const absl::Status& status) {
  return AsStatus(
      {.line = ComplaintsIn(status)[0].line,
       .text = absl::StrCat(status.message(), ", or say what it is in (`encoding: LATIN1`)")});
}

}  // namespace

absl::StatusOr<bool> TextStream::Append(std::string& text) {
  if (ended_) {
    return false;
  }
  std::string piece = std::exchange(cut_, {});
  const size_t before = piece.size();
  piece.resize(before + static_cast<size_t>(piece_bytes_));
  const absl::StatusOr<int64_t> got = read_(piece.data() + before, piece_bytes_);
  if (!got.ok()) {
    failed_ = true;
    return got.status();
  }
  piece.resize(before + static_cast<size_t>(*got));
  ended_ = *got < piece_bytes_;
  if (encoding_ == TextOptions::Encoding::kLatin1) {
    absl::StrAppend(&text, text::FromLatin1(piece));
    return true;
  }
  if (!begun_) {
    if (piece.size() < kByteOrderMark.size() && !ended_) {
      cut_ = std::move(piece);
      return true;
    }
    begun_ = true;
    if (absl::StartsWith(piece, kByteOrderMark)) {
      piece.erase(0, kByteOrderMark.size());
      offset_ = static_cast<int64_t>(kByteOrderMark.size());
    }
  }
  const size_t good = Utf8Prefix(piece);
  if (good < piece.size()) {
    if (ended_ || piece.size() - good >= kLongestCharacter) {
      return NotUtf8(CheckUtf8(piece, line_, offset_));
    }
    cut_ = piece.substr(good);
    piece.resize(good);
  }
  line_ += std::ranges::count(piece, '\n');
  offset_ += static_cast<int64_t>(good);
  absl::StrAppend(&text, piece);
  return true;
}

absl::Status TextStream::Annotated(const absl::Status& status, absl::string_view file) const {
  return failed_ ? status : Annotate(status, file);
}

absl::Status ForEachLine(
    TextStream& stream,
    absl::FunctionRef<absl::Status(absl::string_view line, int64_t number)> visit) {
  std::string text;
  int64_t number = 1;
  for (bool more = true; more;) {
    const size_t looked_at = text.size();
    HONE_ASSIGN_OR_RETURN(more, stream.Append(text));
    size_t begin = 0;
    for (size_t end; (end = text.find('\n', std::max(begin, looked_at))) != std::string::npos;
         begin = end + 1, ++number) {
      const auto line = absl::string_view(text).substr(begin, end - begin);
      HONE_RETURN_IF_ERROR(visit(absl::StripSuffix(line, "\r"), number));
    }
    text.erase(0, begin);
    if (static_cast<int64_t>(text.size()) > kMostRecordBytes) {
      return AsStatus({.line = number,
                       .text = absl::StrCat("line ", number, " has more than ", kMostRecordBytes,
                                            " bytes; a line may have as many")});
    }
  }
  return text.empty() ? absl::OkStatus() : visit(absl::StripSuffix(text, "\r"), number);
}

absl::StatusOr<std::string> ReadAll(TextStream& stream, int64_t max_bytes) {
  std::string text;
  for (bool more = true; more;) {
    HONE_ASSIGN_OR_RETURN(more, stream.Append(text));
    if (static_cast<int64_t>(text.size()) > max_bytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("holds more than ", max_bytes, " bytes of text"));
    }
  }
  return text;
}

absl::StatusOr<std::string> DecodeText(std::string bytes, TextOptions::Encoding encoding) {
  if (encoding == TextOptions::Encoding::kLatin1) {
    return text::FromLatin1(bytes);
  }
  absl::StatusOr<std::string> text = FromUtf8(std::move(bytes));
  if (!text.ok()) {
    return NotUtf8(text.status());
  }
  return text;
}

}  // namespace hone::engine::data
