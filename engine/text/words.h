#pragma once

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"

namespace hone::engine::text {

// Where words end.
enum class WordSplit {
  // A run of letters, marks and numbers is a word, an apostrophe between two of them part of it;
  // every other character but white space is a word by itself, and so is each one of Chinese,
  // Japanese and Korean, which have no spaces between words.
  kPunctuation,
  kSpaces,  // what stands between white space is a word
};

// The words of a text from left to right; each lies in `utf8`.
void ForEachWord(absl::string_view utf8, WordSplit split,
                 absl::FunctionRef<void(absl::string_view word)> visit);

}  // namespace hone::engine::text
