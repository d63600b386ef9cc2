#include "engine/text/near_copies.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "engine/base/rng.h"
#include "engine/text/unicode.h"
#include "engine/text/words.h"

namespace hone::engine::text {
namespace {

constexpr size_t kNumbers = 128;  // of a signature
constexpr size_t kWordsOfAPiece = 3;
constexpr double kFound = 0.99;  // of the pairs at the threshold

using Signature = std::array<uint32_t, kNumbers>;

// The pieces of a text, ascending, each once.
std::vector<uint32_t> PiecesOf(absl::string_view text) {
  std::vector<uint64_t> words;
  const std::string lower = ToLower(text);
  ForEachWord(lower, WordSplit::kPunctuation,
              [&](absl::string_view word) { words.push_back(NameHash(word)); });
  std::vector<uint32_t> pieces;
  const size_t count = words.size() < kWordsOfAPiece ? 1 : words.size() - kWordsOfAPiece + 1;
  for (size_t begin = 0; begin < count; ++begin) {
    uint64_t hash = 0;
    for (size_t i = begin; i < std::min(begin + kWordsOfAPiece, words.size()); ++i) {
      hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15;
      hash ^= hash >> 32;
    }
    pieces.push_back(static_cast<uint32_t>(hash));
  }
  std::ranges::sort(pieces);
  pieces.erase(std::unique(pieces.begin(), pieces.end()), pieces.end());
  return pieces;
}

// Makes signatures: number i is the smallest that hash function i gives to any piece.
class Signer {
 public:
  Signer() {
    RandomStream random(1, "near copies");
    for (size_t i = 0; i < kNumbers; ++i) {
      flips_[i] = random.NextBits();
      factors_[i] = random.NextBits() | 1;
    }
  }

  Signature Sign(const std::vector<uint32_t>& pieces) const {
    Signature least;
    least.fill(std::numeric_limits<uint32_t>::max());
    for (const uint32_t piece : pieces) {
      for (size_t i = 0; i < kNumbers; ++i) {
        least[i] = std::min(least[i], (piece ^ flips_[i]) * factors_[i]);
      }
    }
    return least;
  }

 private:
  Signature flips_, factors_;
};

// The most numbers of a band with which still nearly all pairs at the threshold agree in one band:
// 1 − (1 − threshold^numbers)^bands.
size_t NumbersOfABand(double threshold) {
  size_t numbers = 1;
  for (size_t more = 2; more <= kNumbers; more *= 2) {
    const double agree = std::pow(threshold, static_cast<double>(more));
    if (1 - std::pow(1 - agree, static_cast<double>(kNumbers / more)) >= kFound) {
      numbers = more;
    }
  }
  return numbers;
}

double Similarity(const std::vector<uint32_t>& a, const std::vector<uint32_t>& b) {
  std::vector<uint32_t> common;
  std::ranges::set_intersection(a, b, std::back_inserter(common));
  const size_t all = a.size() + b.size() - common.size();
  return static_cast<double>(common.size()) / static_cast<double>(all);
}

// Groups by their first members.
class Groups {
 public:
  explicit Groups(int64_t size) : first_(static_cast<size_t>(size)) {
    std::iota(first_.begin(), first_.end(), 0);
  }
  // Each member on the way is brought nearer to the first.
  int32_t FirstOf(int32_t member) {
    while (Above(member) != member) {
      Above(member) = Above(Above(member));
      member = Above(member);
    }
    return member;
  }
  void Join(int32_t a, int32_t b) {
    const auto [low, high] = std::minmax({FirstOf(a), FirstOf(b)});
    Above(high) = low;
  }

 private:
  int32_t& Above(int32_t member) { return first_[static_cast<size_t>(member)]; }

  std::vector<int32_t> first_;
};

struct InBand {
  uint64_t hash;
  int32_t text;
};

}  // namespace

std::vector<int32_t> FindNearCopies(const Corpus& corpus, double threshold) {
  const size_t numbers = NumbersOfABand(threshold), bands = kNumbers / numbers;
  std::vector<std::vector<InBand>> by_band(bands);
  const Signer signer;
  for (int64_t i = 0; i < corpus.size; ++i) {
    const Signature signature = signer.Sign(PiecesOf(corpus.text(i)));
    for (size_t band = 0; band < bands; ++band) {
      const absl::string_view bytes(
          reinterpret_cast<const char*>(signature.data() + band * numbers),
          numbers * sizeof(uint32_t));
      by_band[band].push_back({NameHash(bytes), static_cast<int32_t>(i)});
    }
  }
  Groups groups(corpus.size);
  const auto compare = [&](int32_t a, int32_t b) {
    if (groups.FirstOf(a) != groups.FirstOf(b) &&
        Similarity(PiecesOf(corpus.text(a)), PiecesOf(corpus.text(b))) >= threshold) {
      groups.Join(a, b);
    }
  };
  for (std::vector<InBand>& band : by_band) {
    std::ranges::sort(band, {}, [](const InBand& in) { return std::pair(in.hash, in.text); });
    size_t first = 0;  // that has the same hash
    for (size_t i = 1; i < band.size(); ++i) {
      if (band[i].hash != band[i - 1].hash) {
        first = i;
        continue;
      }
      compare(band[first].text, band[i].text);
      compare(band[i - 1].text, band[i].text);
    }
  }
  std::vector<int32_t> result;
  for (int32_t i = 0; i < corpus.size; ++i) {
    result.push_back(groups.FirstOf(i));
  }
  return result;
}

}  // namespace hone::engine::text
