#include "engine/data/generated_ratings.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "engine/base/rng.h"

namespace hone::engine::data {
namespace {

constexpr const char* kFirst[] = {"Quiet",  "Red",    "Last",   "Hidden", "Golden",
                                  "Broken", "Silent", "Second", "Winter", "Distant",
                                  "Paper",  "Iron",   "Blue",   "Empty",  "Northern",
                                  "Little", "Wild",   "Secret", "Summer", "Stone"};
constexpr const char* kSecond[] = {"Harbour", "River",  "Garden",  "Letter",  "Mountain",
                                   "Station", "Island", "Mirror",  "Journey", "Orchard",
                                   "Bridge",  "Window", "Forest",  "Street",  "Promise",
                                   "Kitchen", "Ocean",  "Concert", "Lantern", "Morning"};
constexpr int64_t kWords = std::size(kFirst);
static_assert(std::size(kSecond) == kWords);

std::string NameOf(int64_t item) {
  const std::string name =
      absl::StrCat(kFirst[item % kWords], " ", kSecond[item / kWords % kWords]);
  const int64_t round = item / (kWords * kWords);
  return round == 0 ? name : absl::StrCat(name, " ", round + 1);
}

// Rows of normal numbers of this deviation.
std::vector<float> Normal(int64_t count, double deviation, RandomStream& random) {
  std::vector<float> numbers;
  for (int64_t i = 0; i < count; ++i) {
    numbers.push_back(static_cast<float>(deviation) * random.NextNormal());
  }
  return numbers;
}

}  // namespace

RatingRows GenerateRatings(const GeneratedRatingsOptions& options) {
  constexpr double kMean = 3.5, kBias = 0.5, kTaste = 0.8;
  RandomStream random(options.seed, "generated ratings");
  const std::vector<float> user_bias = Normal(options.users, kBias, random);
  const std::vector<float> item_bias = Normal(options.items, kBias, random);
  // Each product of two has the deviation of its factors multiplied.
  const double factor = std::sqrt(kTaste / std::sqrt(static_cast<double>(options.factors)));
  const std::vector<float> p = Normal(options.users * options.factors, factor, random);
  const std::vector<float> q = Normal(options.items * options.factors, factor, random);
  const std::vector<float> fame = Normal(options.items, 0.4, random);
  const std::vector<float> diligence = Normal(options.users, 0.4, random);

  // Each pair has a key; the pairs with the largest are rated. With a weight w, the key ln(u) / w
  // of a uniform u draws without replacement in proportion to the weights: Efraimidis and Spirakis,
  // "Weighted random sampling with a reservoir", Information Processing Letters 97, 2006.
  struct Pair {
    double key;
    int32_t user, item;
    float signal;
  };
  std::vector<Pair> pairs;
  pairs.reserve(static_cast<size_t>(options.users * options.items));
  for (int64_t user = 0; user < options.users; ++user) {
    for (int64_t item = 0; item < options.items; ++item) {
      const auto u = static_cast<size_t>(user), i = static_cast<size_t>(item);
      double taste = 0;
      for (int64_t f = 0; f < options.factors; ++f) {
        taste += static_cast<double>(p[static_cast<size_t>(user * options.factors + f)]) *
                 q[static_cast<size_t>(item * options.factors + f)];
      }
      const double weight = std::exp(fame[i] + diligence[u] + 0.5 * taste);
      const double uniform = (random.NextBits() + 0.5) * 0x1.0p-32;
      pairs.push_back({std::log(uniform) / weight, static_cast<int32_t>(user),
                       static_cast<int32_t>(item),
                       static_cast<float>(kMean + user_bias[u] + item_bias[i] + taste)});
    }
  }
  const auto count =
      static_cast<size_t>(std::min<int64_t>(options.ratings, options.users * options.items));
  const auto later = [](const Pair& a, const Pair& b) { return a.key > b.key; };
  std::ranges::nth_element(pairs, pairs.begin() + static_cast<std::ptrdiff_t>(count) - 1, later);
  pairs.resize(count);
  std::ranges::sort(pairs, [](const Pair& a, const Pair& b) {
    return std::pair(a.user, a.item) < std::pair(b.user, b.item);
  });
  for (size_t i = count; i > 1; --i) {
    std::swap(pairs[i - 1], pairs[static_cast<size_t>(random.NextBelow(i))]);
  }

  RatingRows rows;
  rows.path = "generated ratings";
  for (int64_t user = 0; user < options.users; ++user) {
    rows.users.push_back(absl::StrCat(user + 1));
  }
  for (int64_t item = 0; item < options.items; ++item) {
    rows.items.push_back(absl::StrCat(item + 1));
    rows.item_names.push_back(NameOf(item));
  }
  for (size_t r = 0; r < count; ++r) {
    const float noise = static_cast<float>(options.noise) * random.NextNormal();
    rows.user_of.push_back(pairs[r].user);
    rows.item_of.push_back(pairs[r].item);
    rows.values.push_back(pairs[r].signal + noise);
    rows.noise.push_back(noise);
    rows.times.push_back(static_cast<double>(r));
  }
  return rows;
}

}  // namespace hone::engine::data
