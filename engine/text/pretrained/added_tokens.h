#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "engine/text/piece_tree.h"

namespace hone::engine::text {

// A token that is found in a text before the model is asked, as "[MASK]" and "<|im_end|>" are.
struct AddedToken {
  int32_t id = 0;
  std::string content = "";
  bool single_word = false;     // not within a word
  bool strip_left = false;      // the white space before it belongs to it
  bool strip_right = false;     // that behind it
  bool normalized = false;      // it is looked for in the normalized text
  bool special = false;         // Decode leaves it out
  std::string looked_for = "";  // as it stands in the text: normalized where `normalized` is set
};

// Finds tokens in texts, from left to right the longest ones. Immutable.
class AddedTokens {
 public:
  // The bytes [begin, end): a token, or what stands between two, null.
  using Found = absl::FunctionRef<void(size_t begin, size_t end, const AddedToken* token)>;

  // Of those tokens that stand in normalized texts, or of the others.
  AddedTokens(const std::vector<AddedToken>& tokens, bool normalized);

  // All of a text, in its order; nothing of an empty one.
  void Divide(absl::string_view text, Found found) const;

 private:
  std::vector<AddedToken> tokens_;
  PieceTree tree_;  // by place in tokens_
  bool begins_[256] = {};
};

}  // namespace hone::engine::text
