#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/text/pretrained/aligned_text.h"

namespace hone::engine::text {

// SentencePiece's `precompiled_charsmap`: by which characters others are replaced before a text
// becomes pieces, as NFKC and what the trainer of a model added to it. Immutable: any number of
// threads may use it.
//
// The bytes are a number of four bytes, the size of a trie; the trie, a double array of
// darts-clone whose units have four bytes; and the replacements, UTF-8, each of which ends with a
// zero byte. A key's value is where its replacement begins. Sources: normalizer.cc of SentencePiece
// 0.2.0, darts.h of darts-clone 0.32, the crate spm_precompiled 0.1.4.
class PrecompiledMap {
 public:
  // INVALID_ARGUMENT: the bytes are cut short, the trie points beyond itself or beyond the
  // replacements, or these are no UTF-8.
  static absl::StatusOr<PrecompiledMap> Parse(absl::string_view bytes);

  // A cluster of characters (Unicode's Standard Annex 29) of less than six bytes becomes the
  // replacement of the shortest key that it begins with; where it begins with none, and of a longer
  // cluster, each character does so by itself. That is what the crate does; SentencePiece takes the
  // longest key. Which characters belong to a cluster utf8proc says: a mark that came with a later
  // Unicode than its tables (2.8: Unicode 15) stands by itself.
  void Apply(AlignedText& text) const;

  // How many times as long a text may become at most.
  double growth() const { return growth_; }

 private:
  // Where no key is the beginning of `text`: false.
  bool Find(absl::string_view text, absl::string_view& replacement) const;
  // Follows all keys, and remembers what Find and growth() need.
  absl::Status Check();

  std::vector<uint32_t> units_;
  std::string replacements_;
  double growth_ = 1;
  bool begins_[256] = {};  // a key begins with the byte
};

}  // namespace hone::engine::text
