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
      const absl::Status utf8 = CheckUtf8(piece, line_, offset_);
      return encoding_.has_value() ? NotUtf8(utf8) : utf8;
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

absl::StatusOr<bool> LineReader::Next() {
  size_t end = text_.find('\n', begin_);
  while (end == std::string::npos && more_) {
    text_.erase(0, std::exchange(begin_, 0));
    const size_t looked_at = text_.size();
    HONE_ASSIGN_OR_RETURN(more_, stream_.Append(text_));
    end = text_.find('\n', looked_at);
    if (end == std::string::npos && static_cast<int64_t>(text_.size()) > kMostRecordBytes) {
      return AsStatus({.line = number_ + 1,
                       .text = absl::StrCat("line ", number_ + 1, " has more than ",
                                            kMostRecordBytes, " bytes; a line may have as many")});
    }
  }
  if (end == std::string::npos) {
    if (begin_ == text_.size()) {
      return false;
    }
    end = text_.size();
  }
  line_ = absl::StripSuffix(absl::string_view(text_).substr(begin_, end - begin_), "\r");
  begin_ = std::min(end + 1, text_.size());
  ++number_;
  return true;
}

absl::Status ForEachLine(
    TextStream& stream,
    absl::FunctionRef<absl::Status(absl::string_view line, int64_t number)> visit) {
  LineReader lines(stream);
  while (true) {
    HONE_ASSIGN_OR_RETURN(const bool any, lines.Next());
    if (!any) {
      return absl::OkStatus();
    }
    HONE_RETURN_IF_ERROR(visit(lines.line(), lines.number()));
  }
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
