#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/base/rng.h"
#include "engine/data/augment.h"
#include "engine/text/tokenizer.h"

namespace hone::engine::data {

// Random changes of a training text. Each is the share of what it is done to, [0, 1); 0: not done.
struct TextAugmentation {
  // Characters that are lost, change places with the next one, or become another one of the text;
  // white space stays. A token that comes of that may be another, or unknown.
  float character_noise = 0;
  float word_dropout = 0;  // tokens that are left out
  float unknown = 0;       // that become the unknown one
  float swap = 0;          // that change places with the next one

  bool any() const { return character_noise > 0 || word_dropout > 0 || unknown > 0 || swap > 0; }
};

// How much of texts was changed.
struct TextChanges {
  int64_t tokens = 0;  // that there were
  int64_t characters = 0;
  int64_t dropped = 0;
  int64_t unknown = 0;
  int64_t swapped = 0;

  std::string ToString() const;
};

// Changes texts, in the order of TextAugmentation's fields. Immutable: any number of threads may
// use it.
class TextAugmenter {
 public:
  // The tokenizer has an unknown token where `augmentation` wants that.
  TextAugmenter(const TextAugmentation& augmentation,
                std::shared_ptr<const text::Tokenizer> tokenizer)
      : augmentation_(augmentation), tokenizer_(std::move(tokenizer)) {}

  // Writes a text's tokens as they are changed and returns how many these are: at most as many as
  // there were, for which `out` has room, and at least one of any; it must not overlap `tokens`.
  // What `key` names decides, and nothing else. The tokens that begin and end texts stay as they
  // are. Allocates for character noise alone. `changes`, if not null, is added to.
  int64_t Augment(const AugmentKey& key, std::span<const int32_t> tokens, std::span<int32_t> out,
                  TextChanges* changes) const;

 private:
  bool IsMark(int32_t token) const {
    return token == tokenizer_->special().begin || token == tokenizer_->special().end;
  }
  // The tokens with noise in the characters between marks.
  std::vector<int32_t> WithNoise(std::span<const int32_t> tokens, RandomStream& random,
                                 TextChanges& changes) const;

  TextAugmentation augmentation_;
  std::shared_ptr<const text::Tokenizer> tokenizer_;
};

// Texts of a training part that are going to be changed.
struct AugmentedTexts {
  absl::string_view field;  // of the job: "data.text.augmentation"
  const TextAugmentation& augmentation;
  const std::shared_ptr<const text::Tokenizer>& tokenizer;
  uint64_t seed;                  // of the training
  std::span<const int32_t> rows;  // of the data set
  absl::FunctionRef<std::span<const int32_t>(int32_t row)> tokens;
};

// Adds to `notes` what the first epoch will change; nothing where nothing is changed.
// INVALID_ARGUMENT names the field where tokens are to become unknown ones and the tokenizer has
// none.
absl::Status ReportAugmentation(const AugmentedTexts& texts, std::vector<std::string>& notes);

}  // namespace hone::engine::data
