#include "engine/data/masked_texts.h"

#include <algorithm>
#include <array>
#include <utility>

#include "engine/base/rng.h"
#include "engine/data/running_text.h"
#include "engine/data/texts.h"

namespace hone::engine::data {
namespace {

// Tells the words that are drawn from other random numbers of the same seed.
constexpr uint32_t kStream = 0x6d61736b;

// `share` of a whole below 2^32, by a random number: 0 to whole − 1.
uint64_t Below(uint32_t random, uint64_t whole) { return uint64_t{random} * whole >> 32; }

}  // namespace

// What the random numbers of a text are drawn by.
struct MaskedTexts::TextKey {
  int32_t row;
  int64_t epoch;
  uint64_t seed;

  // Four for each token.
  std::array<uint32_t, 4> At(size_t place) const {
    const auto turn = static_cast<uint64_t>(epoch);
    return Philox({static_cast<uint32_t>(row), static_cast<uint32_t>(turn),
                   static_cast<uint32_t>(turn >> 32), static_cast<uint32_t>(place)},
                  {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32) ^ kStream});
  }
};

MaskedTexts::MaskedTexts(Dataset texts, const text::Tokenizer& tokenizer, uint64_t seed)
    : texts_(std::move(texts)),
      running_(dynamic_cast<const RunningText*>(texts_.own())),
      mask_(tokenizer.special().mask),
      seed_(seed) {
  const text::SpecialTokens special = tokenizer.special();
  for (int32_t token = 0; token < static_cast<int32_t>(tokenizer.size()); ++token) {
    const bool is_special = special.Has(token);
    kinds_.push_back(static_cast<uint8_t>((is_special ? kSpecial : 0) |
                                          (tokenizer.GoesOn(token) ? kGoesOn : 0)));
    if (!is_special) {
      plain_.push_back(token);
    }
  }
}

int64_t MaskedTexts::bytes() const {
  return texts_.bytes() + static_cast<int64_t>(kinds_.size() + plain_.size() * sizeof(int32_t));
}

uint64_t MaskedTexts::content_hash() const { return texts_.own()->content_hash(); }

int64_t MaskedTexts::length(int32_t row) const {
  if (running_ != nullptr) {
    return running_->length(row);
  }
  return static_cast<int64_t>(TextsOf(texts_).tokens(row).size());
}

int64_t MaskedTexts::CountTokens(std::span<const int32_t> rows) const {
  int64_t count = 0;
  for (const int32_t row : rows) {
    count += length(row);
  }
  return count;
}

std::span<const int32_t> MaskedTexts::tokens(int32_t row, int64_t epoch) const {
  if (running_ != nullptr) {
    return running_->window(row, epoch).first(static_cast<size_t>(running_->length(row)));
  }
  return TextsOf(texts_).tokens(row);
}

size_t MaskedTexts::EndOfWord(std::span<const int32_t> tokens, size_t begin) const {
  size_t end = begin + 1;
  while (end < tokens.size() && (kinds_[static_cast<size_t>(tokens[end])] & kGoesOn) != 0) {
    ++end;
  }
  return end;
}

int32_t MaskedTexts::Shown(int32_t token, const TextKey& key, size_t place) const {
  constexpr uint64_t kTenths = 10, kMasked = 8, kOther = 9;
  const std::array<uint32_t, 4> random = key.At(place);
  const uint64_t tenth = Below(random[1], kTenths);
  return tenth < kMasked ? mask_ : tenth < kOther ? plain_[Below(random[2], plain_.size())] : token;
}

void MaskedTexts::Show(int32_t row, int64_t epoch, std::span<int32_t> shown,
                       absl::FunctionRef<void(int64_t place, int32_t token)> drawn) const {
  const std::span<const int32_t> all = tokens(row, epoch);
  std::ranges::copy(all, shown.begin());
  uint64_t words = 0;
  for (size_t begin = 0; begin < all.size(); begin = EndOfWord(all, begin)) {
    words += is_plain(all[begin]) ? 1 : 0;
  }
  // Of n, kPercent in a hundred, rounded, at least one.
  const auto share_of = [](uint64_t n) { return std::max<uint64_t>((n * kPercent + 50) / 100, 1); };
  uint64_t wanted = share_of(words);
  uint64_t room = share_of(all.size());
  const TextKey key{row, epoch, seed_};
  const auto draw = [&](size_t begin, size_t end) {
    for (size_t place = begin; place < end; ++place) {
      shown[place] = Shown(all[place], key, place);
      drawn(static_cast<int64_t>(place), all[place]);
    }
    room -= end - begin;
  };
  // Each word is drawn with the probability of those that are still wanted among those that are
  // still to come: so every choice of as many words is equally likely. Source: Knuth, "The Art of
  // Computer Programming", volume 2, 3.4.2, algorithm S.
  bool any = false;
  size_t too_long = all.size();  // the begin of the first word that there was no room for
  for (size_t begin = 0, end = 0; begin < all.size() && wanted > 0; begin = end) {
    end = EndOfWord(all, begin);
    if (!is_plain(all[begin])) {
      continue;
    }
    if (Below(key.At(begin)[0], words--) >= wanted) {
      continue;
    }
    --wanted;
    if (end - begin <= room) {
      any = true;
      draw(begin, end);
    } else {
      too_long = std::min(too_long, begin);
    }
  }
  if (!any && too_long < all.size()) {
    draw(too_long, too_long + room);
  }
}

}  // namespace hone::engine::data
