#include "engine/text/cleaning.h"

#include <algorithm>
#include <utility>

#include "engine/base/status.h"
#include "engine/text/html.h"

namespace hone::engine::text {
namespace {

std::string WithoutControlCharacters(absl::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    if (const char32_t character = TakeCharacter(text); !IsControl(character)) {
      AppendCharacter(character, out);
    }
  }
  return out;
}

// Makes each run of white space one space, and none at either end, of a text that comes in pieces.
class SpaceJoiner {
 public:
  void Add(absl::string_view piece, std::string& out) {
    while (!piece.empty()) {
      const char32_t character = TakeCharacter(piece);
      if (IsSpace(character)) {
        changed_ = changed_ || character != ' ' || space_ || !begun_;
        space_ = true;
        continue;
      }
      if (std::exchange(space_, false) && begun_) {
        out.push_back(' ');
      }
      begun_ = true;
      AppendCharacter(character, out);
    }
  }
  // The text as far as it came is not what it was; when all has come, it ends with a space or not.
  bool changed() const { return changed_ || space_; }

 private:
  bool begun_ = false;  // there is something that is no space
  bool space_ = false;  // behind it
  bool changed_ = false;
};

std::string WithSingleSpaces(absl::string_view text) {
  std::string out;
  out.reserve(text.size());
  SpaceJoiner().Add(text, out);
  return out;
}

// The next piece of a text as it is.
bool TakePiece(absl::string_view& text, size_t bytes, std::string& out) {
  size_t end = std::min(bytes, text.size());
  while (end < text.size() && ContinuesCharacter(text[end])) {
    ++end;
  }
  out.append(text.data(), end);
  text.remove_prefix(end);
  return !text.empty();
}

// Where the last character of ASCII stands, of those from `from` on; 0: there is none.
size_t LastAscii(absl::string_view text, size_t from) {
  size_t at = text.size();
  while (at > from && static_cast<unsigned char>(text[at - 1]) >= 0x80) {
    --at;
  }
  return at > from ? at - 1 : 0;
}

// Steps that are done to a text piece by piece, but the first one, html.
class PieceCleaner {
 public:
  explicit PieceCleaner(const CleaningOptions& options) : options_(options) {}

  // What is done of the text with this piece behind what came before.
  std::string Add(std::string piece, bool last) {
    if (options_.normalization != Normalization::kNone) {
      piece = Normalized(std::move(piece), last);
    }
    if (options_.lower_case) {
      piece = Changed(kLowerCase, piece, ToLower(piece));
    }
    if (options_.control_characters) {
      piece = Changed(kControlCharacters, piece, WithoutControlCharacters(piece));
    }
    if (options_.white_space) {
      std::string joined;
      spaces_.Add(piece, joined);
      piece = std::move(joined);
    }
    return piece;
  }
  void CountInto(CleaningCounts& counts) {
    changed_[kWhiteSpace] = spaces_.changed();
    for (size_t step = 0; step < changed_.size(); ++step) {
      counts.steps[step].changed += changed_[step] ? 1 : 0;
    }
  }

 private:
  // Places in CleaningCounts::steps.
  static constexpr size_t kNormalization = 1, kLowerCase = 2, kControlCharacters = 3,
                          kWhiteSpace = 4;

  std::string Changed(size_t step, absl::string_view was, std::string is) {
    changed_[step] = changed_[step] || was != is;
    return is;
  }

  // No character of ASCII joins with what stands before it, so that what stands there is whole.
  std::string Normalized(std::string piece, bool last) {
    const size_t before = waiting_.size();
    waiting_ += piece;
    const size_t end = last ? waiting_.size() : LastAscii(waiting_, before);
    const std::string done = waiting_.substr(0, end);
    waiting_.erase(0, end);
    return Changed(kNormalization, done, Normalize(done, options_.normalization));
  }

  const CleaningOptions& options_;
  std::string waiting_;  // for what may join with it
  SpaceJoiner spaces_;
  std::array<bool, 5> changed_ = {};
};

}  // namespace

std::string Clean(absl::string_view utf8, const CleaningOptions& options, CleaningCounts* counts) {
  std::string text(utf8);
  size_t step = 0;
  const auto apply = [&](bool wanted, auto&& change) {
    if (wanted) {
      std::string changed = change(text);
      if (counts != nullptr) {
        counts->steps[step].changed += changed != text ? 1 : 0;
      }
      text = std::move(changed);
    }
    ++step;
  };
  apply(options.html, StripHtml);
  apply(options.normalization != Normalization::kNone,
        [&](const std::string& was) { return Normalize(was, options.normalization); });
  apply(options.lower_case, ToLower);
  apply(options.control_characters, WithoutControlCharacters);
  apply(options.white_space, WithSingleSpaces);
  return text;
}

absl::Status CleanInPieces(absl::string_view utf8, const CleaningOptions& options,
                           size_t piece_bytes, CleaningCounts* counts,
                           absl::FunctionRef<absl::Status(absl::string_view piece)> visit) {
  constexpr size_t kHtml = 0;  // in CleaningCounts::steps
  PieceCleaner cleaner(options);
  HtmlStripper stripper(utf8);
  absl::string_view rest = utf8;
  size_t stripped = 0;
  for (bool more = true; more;) {
    std::string piece;
    more = options.html ? stripper.Next(piece_bytes, piece) : TakePiece(rest, piece_bytes, piece);
    stripped += piece.size();
    HONE_RETURN_IF_ERROR(visit(cleaner.Add(std::move(piece), /*last=*/!more)));
  }
  if (counts != nullptr) {
    cleaner.CountInto(*counts);
    // Whatever is stripped or replaced is longer than what comes of it.
    counts->steps[kHtml].changed += stripped != utf8.size() ? 1 : 0;
  }
  return absl::OkStatus();
}

}  // namespace hone::engine::text
