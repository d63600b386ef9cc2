#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/text/pretrained_tokenizer.h"

namespace hone::engine::text {

// A text on its way to tokens: what it is now, and of which bytes of the text as it was given each
// of its bytes came. The rules of who came from where are those of the crate's NormalizedString.
class AlignedText {
 public:
  using Bytes = TokenizedText::Bytes;

  // The text as it was given, which begins at the byte `base` of the whole; it outlives this one.
  // Without `tracked` nothing is known of bytes, and OriginOf must not be asked.
  AlignedText(absl::string_view given, size_t base, bool tracked)
      : given_(given), base_(base), tracked_(tracked) {}

  absl::string_view text() const { return changed_ ? absl::string_view(own_) : given_; }
  bool tracked() const { return tracked_; }
  // Of the bytes [begin, end) of text(): whole characters, even where these are parts of some.
  Bytes OriginOf(size_t begin, size_t end) const;
  // The byte of the text as it was given where the byte `at` came from; of a text that was changed,
  // known where it is tracked.
  size_t BeginOf(size_t at) const {
    return tracked_ && at < text().size() ? size_t{OriginAt(at).begin} : base_ + at;
  }

  // The part [begin, end) by itself; refers to this one.
  AlignedText Part(size_t begin, size_t end) const;

  // A character of a new text. `change`: 0, it stands for the next character of the old one; 1, it
  // is another one, of the bytes of the character before it; −n, it stands for the next one, and n
  // that follow are gone.
  struct Change {
    char32_t character;
    int32_t change;
  };
  // Replaces the text; `removed` characters at its begin are gone.
  void Transform(std::span<const Change> changes, size_t removed = 0);

  // Puts `prefix` before the text, which is not empty, with the bytes of its first character.
  void Prepend(absl::string_view prefix);

  // Writes a new text beside the old one, piece by piece.
  class Rewriter {
   public:
    explicit Rewriter(AlignedText& text);
    size_t size() const { return out_.size(); }
    // [begin, end) of the old text, as it is.
    void Copy(size_t begin, size_t end);
    // `bytes`, all of which came from where the old text's byte `from` did.
    void Put(absl::string_view bytes, size_t from);
    void Put(char32_t character, size_t from);
    // The new text is the text from now on.
    void Finish();

   private:
    AlignedText& text_;
    std::string out_;
    std::vector<Bytes> origins_;
  };

 private:
  Bytes OriginAt(size_t byte) const;
  void Become(std::string text, std::vector<Bytes> origins);

  absl::string_view given_;
  size_t base_ = 0;
  bool tracked_ = false;
  bool changed_ = false;
  std::string own_;
  std::vector<Bytes> origins_;      // by byte of own_, where tracked and changed
  std::span<const Bytes> part_of_;  // the same of given_, where this is a part of a changed text
};

}  // namespace hone::engine::text
