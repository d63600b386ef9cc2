#include <gmock/gmock.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/rng.h"
#include "engine/text/near_copies.h"

namespace hone::engine::text {
namespace {

using ::testing::ElementsAre;

std::vector<int32_t> Find(const std::vector<std::string>& texts, double threshold) {
  return FindNearCopies(
      {static_cast<int64_t>(texts.size()),
       [&](int64_t i) { return absl::string_view(texts[static_cast<size_t>(i)]); }},
      threshold);
}

// So many words by chance.
std::vector<std::string> Words(int count, uint64_t seed) {
  RandomStream random(seed, "words");
  std::vector<std::string> words;
  for (int i = 0; i < count; ++i) {
    words.push_back(absl::StrCat("w", random.NextBelow(100000)));
  }
  return words;
}

TEST(FindNearCopies, SeesThroughCaseSpacesAndOneOtherWord) {
  std::vector<std::string> words = Words(60, 1);
  const std::string first = absl::StrJoin(words, " ");
  words[30] = "Other";
  EXPECT_THAT(Find({first, absl::StrJoin(Words(60, 2), " "), absl::StrJoin(words, "  ")}, 0.8),
              ElementsAre(0, 1, 0));
}

TEST(FindNearCopies, LeavesTextsApartThatShareLessThanTheThreshold) {
  std::vector<std::string> words = Words(60, 1);
  const std::string first = absl::StrJoin(words, " ");
  for (int i = 0; i < 60; i += 6) {
    words[static_cast<size_t>(i)] = "other";
  }
  EXPECT_THAT(Find({first, absl::StrJoin(words, " ")}, 0.8), ElementsAre(0, 1));
}

TEST(FindNearCopies, OfCopiesAreOneGroupWithTheFirst) {
  std::vector<std::string> texts;
  std::vector<std::string> words = Words(40, 3);
  for (int i = 0; i < 6; ++i) {
    texts.push_back(absl::StrJoin(words, " "));
    words[static_cast<size_t>(6 * i)] = "other";
  }
  EXPECT_THAT(Find(texts, 0.8), ElementsAre(0, 0, 0, 0, 0, 0));
}

TEST(FindNearCopies, ComparesTextsOfOneWordAndNone) {
  EXPECT_THAT(Find({"good", "", "bad", "Good", ""}, 0.9), ElementsAre(0, 1, 2, 0, 1));
}

TEST(FindNearCopies, MissesFewOfManyPairsAtTheThreshold) {
  std::vector<std::string> texts;
  for (uint64_t pair = 0; pair < 200; ++pair) {
    std::vector<std::string> words = Words(56, pair + 10);
    texts.push_back(absl::StrJoin(words, " "));
    // Of 54 pieces 6 are other ones on either side: 48 ÷ 60 are common.
    words[20] = words[40] = "other";
    texts.push_back(absl::StrJoin(words, " "));
  }
  const std::vector<int32_t> firsts = Find(texts, 0.8);
  int found = 0;
  for (size_t i = 0; i < texts.size(); i += 2) {
    found += firsts[i + 1] == static_cast<int32_t>(i) ? 1 : 0;
  }
  EXPECT_GE(found, 190);
}

}  // namespace
}  // namespace hone::engine::text
