#include "engine/data/text_augment.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/text/unicode.h"

namespace hone::engine::data {
namespace {

// The text with noise: of a share of its characters.
std::string Noisy(absl::string_view utf8, float share, RandomStream& random, int64_t& changed) {
  struct Character {
    absl::string_view bytes;
    bool is_space;
  };
  std::vector<Character> characters;
  while (!utf8.empty()) {
    const absl::string_view before = utf8;
    const char32_t character = text::TakeCharacter(utf8);
    characters.push_back({before.substr(0, before.size() - utf8.size()), text::IsSpace(character)});
  }
  std::string noisy;
  for (size_t i = 0; i < characters.size(); ++i) {
    const absl::string_view bytes = characters[i].bytes;
    if (characters[i].is_space || random.NextUnit() >= share) {
      absl::StrAppend(&noisy, bytes);
      continue;
    }
    const uint64_t kind = random.NextBelow(3);
    const bool before_another = i + 1 < characters.size() && !characters[i + 1].is_space;
    const Character& other = characters[random.NextBelow(characters.size())];
    ++changed;
    if (kind == 0 && before_another) {
      absl::StrAppend(&noisy, characters[i + 1].bytes, bytes);
      ++i;
    } else if (kind == 1 && !other.is_space) {
      absl::StrAppend(&noisy, other.bytes);
    }  // else it is lost
  }
  return noisy;
}

}  // namespace

std::string TextChanges::ToString() const {
  return absl::StrCat(
      "of ", tokens, " tokens, ", dropped, " are left out, ", unknown, " become unknown and ",
      swapped, " change places with the next one; noise changes ", characters, " characters");
}

std::vector<int32_t> TextAugmenter::WithNoise(std::span<const int32_t> tokens, RandomStream& random,
                                              TextChanges& changes) const {
  // Who cannot be written, because the vocabulary does not have it, stays as it is, too.
  const auto stays = [&](int32_t token) {
    return IsMark(token) || token == tokenizer_->special().unknown;
  };
  std::vector<int32_t> noisy;
  for (size_t begin = 0, end = 0; begin < tokens.size(); begin = end) {
    if (stays(tokens[begin])) {
      noisy.push_back(tokens[begin]);
      end = begin + 1;
      continue;
    }
    while (end < tokens.size() && !stays(tokens[end])) {
      ++end;
    }
    const std::string text = Noisy(tokenizer_->Decode(tokens.subspan(begin, end - begin)),
                                   augmentation_.character_noise, random, changes.characters);
    const size_t longest = noisy.size() + (end - begin);
    tokenizer_->Encode(text, noisy);
    noisy.resize(std::min(noisy.size(), longest));
  }
  if (noisy.empty()) {
    noisy.assign(tokens.begin(), tokens.end());
  }
  return noisy;
}

int64_t TextAugmenter::Augment(const AugmentKey& key, std::span<const int32_t> tokens,
                               std::span<int32_t> out, TextChanges* changes) const {
  RandomStream random(key.seed, "augment texts",
                      static_cast<uint64_t>(key.epoch) << 32 | static_cast<uint32_t>(key.row));
  TextChanges counts = {.tokens = static_cast<int64_t>(tokens.size())};
  std::vector<int32_t> noisy;
  if (augmentation_.character_noise > 0) {
    noisy = WithNoise(tokens, random, counts);
    tokens = noisy;
  }
  const int32_t unknown = tokenizer_->special().unknown;
  size_t written = 0;
  for (int32_t token : tokens) {
    if (!IsMark(token)) {
      if (augmentation_.word_dropout > 0 && random.NextUnit() < augmentation_.word_dropout) {
        ++counts.dropped;
        continue;
      }
      if (augmentation_.unknown > 0 && random.NextUnit() < augmentation_.unknown &&
          token != unknown) {
        ++counts.unknown;
        token = unknown;
      }
    }
    out[written++] = token;
  }
  if (written == 0 && !tokens.empty()) {
    out[written++] = tokens[random.NextBelow(tokens.size())];
    --counts.dropped;
  }
  for (size_t i = 0; augmentation_.swap > 0 && i + 1 < written; ++i) {
    if (random.NextUnit() < augmentation_.swap && !IsMark(out[i]) && !IsMark(out[i + 1])) {
      ++counts.swapped;
      std::swap(out[i], out[i + 1]);
      ++i;
    }
  }
  if (changes != nullptr) {
    changes->tokens += counts.tokens;
    changes->characters += counts.characters;
    changes->dropped += counts.dropped;
    changes->unknown += counts.unknown;
    changes->swapped += counts.swapped;
  }
  return static_cast<int64_t>(written);
}

absl::Status ReportAugmentation(const AugmentedTexts& texts, std::vector<std::string>& notes) {
  if (!texts.augmentation.any()) {
    return absl::OkStatus();
  }
  if (texts.augmentation.unknown > 0 && texts.tokenizer->special().unknown < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        texts.field, ".unknown: the tokenizer has no token for what it does not know"));
  }
  const TextAugmenter augmenter(texts.augmentation, texts.tokenizer);
  TextChanges changes;
  std::vector<int32_t> changed;
  for (const int32_t row : texts.rows) {
    const std::span<const int32_t> tokens = texts.tokens(row);
    changed.resize(tokens.size());
    augmenter.Augment({.seed = texts.seed, .epoch = 0, .row = row}, tokens, changed, &changes);
  }
  notes.push_back(
      absl::StrCat("augmentation of the training part, in its first epoch: ", changes.ToString()));
  return absl::OkStatus();
}

}  // namespace hone::engine::data
