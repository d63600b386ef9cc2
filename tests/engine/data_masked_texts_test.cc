#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/data/masked_texts.h"
#include "engine/data/running_text.h"
#include "engine/data/texts.h"

// Which words of texts are drawn, and what stands in their place.
namespace hone::engine::data {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int32_t kMask = 3, kFirst = 4, kVocabulary = 200;

// Ids from kFirst on are words; odd ones from `pieces` on belong to the word before them.
class MadeTokenizer final : public text::Tokenizer {
 public:
  explicit MadeTokenizer(int32_t pieces = kVocabulary) : pieces_(pieces) {}

  int64_t size() const override { return kVocabulary; }
  text::SpecialTokens special() const override { return {.mask = kMask}; }
  bool GoesOn(int32_t id) const override { return id >= pieces_ && id % 2 == 1; }
  void Encode(absl::string_view, std::vector<int32_t>&) const override {}
  std::string Decode(std::span<const int32_t>) const override { return ""; }
  nlohmann::json ToJson() const override { return {}; }

 private:
  const int32_t pieces_;
};

struct Drawn {
  std::vector<int32_t> shown;
  std::vector<int64_t> places;
  std::vector<int32_t> tokens;  // that stand there in truth

  friend bool operator==(const Drawn&, const Drawn&) = default;
};

Drawn Draw(const MaskedTexts& texts, int32_t row = 0, int64_t epoch = 0) {
  Drawn drawn;
  drawn.shown.resize(static_cast<size_t>(texts.length(row)));
  texts.Show(row, epoch, drawn.shown, [&](int64_t place, int32_t token) {
    drawn.places.push_back(place);
    drawn.tokens.push_back(token);
  });
  return drawn;
}

MaskedTexts Masked(const std::vector<std::vector<int32_t>>& all,
                   const text::Tokenizer& tokenizer = MadeTokenizer(), uint64_t seed = 1) {
  const auto texts = std::make_shared<Texts>();
  for (const std::vector<int32_t>& tokens : all) {
    texts->Add(tokens);
  }
  return {Dataset(std::shared_ptr<const OwnExamples>(texts)), tokenizer, seed};
}

// Words one after another, beginning anew after all of them.
std::vector<int32_t> Words(int count) {
  std::vector<int32_t> words;
  for (int i = 0; i < count; ++i) {
    words.push_back(kFirst + i % (kVocabulary - kFirst));
  }
  return words;
}

TEST(MaskedTexts, DrawAboutOneWordInSevenAndAtLeastOne) {
  const MaskedTexts texts = Masked({Words(1), Words(3), Words(10), Words(100), Words(1000)});
  std::vector<size_t> counts;
  for (int32_t row = 0; row < 5; ++row) {
    counts.push_back(Draw(texts, row).places.size());
  }
  EXPECT_THAT(counts, ElementsAre(1, 1, 2, 15, 150));
}

TEST(MaskedTexts, TellWhatStandsAtEachPlaceAndLeaveTheOthersAsTheyAre) {
  const std::vector<int32_t> words = Words(60);
  const Drawn drawn = Draw(Masked({words}));
  const std::set<int64_t> places(drawn.places.begin(), drawn.places.end());
  EXPECT_EQ(places.size(), drawn.places.size());
  EXPECT_TRUE(std::ranges::is_sorted(drawn.places));
  for (size_t i = 0; i < drawn.places.size(); ++i) {
    EXPECT_EQ(drawn.tokens[i], words[static_cast<size_t>(drawn.places[i])]);
  }
  for (size_t i = 0; i < words.size(); ++i) {
    EXPECT_TRUE(drawn.shown[i] == words[i] || places.contains(static_cast<int64_t>(i))) << i;
  }
}

TEST(MaskedTexts, ShowEightTenthsAsTheMaskOneAsAnotherWordAndOneAsItIs) {
  const MaskedTexts texts = Masked({Words(20000)});
  const Drawn drawn = Draw(texts);
  std::map<std::string, double> shares;
  std::set<int32_t> others;
  for (size_t i = 0; i < drawn.places.size(); ++i) {
    const int32_t shown = drawn.shown[static_cast<size_t>(drawn.places[i])];
    EXPECT_TRUE(shown == kMask || shown >= kFirst) << shown;
    const char* kind = shown == kMask ? "mask" : shown == drawn.tokens[i] ? "itself" : "another";
    shares[kind] += 1.0 / static_cast<double>(drawn.places.size());
    others.insert(shown);
  }
  EXPECT_EQ(drawn.places.size(), 3000);
  EXPECT_NEAR(shares["mask"], 0.8, 0.03);
  EXPECT_NEAR(shares["another"], 0.1, 0.02);
  EXPECT_NEAR(shares["itself"], 0.1, 0.02);
  EXPECT_GT(others.size(), 150);
}

TEST(MaskedTexts, DrawEachWordAboutAsOften) {
  const MaskedTexts texts = Masked({Words(20)});
  std::vector<int> counts(20);
  for (int64_t epoch = 0; epoch < 2000; ++epoch) {
    for (const int64_t place : Draw(texts, 0, epoch).places) {
      ++counts[static_cast<size_t>(place)];
    }
  }
  for (const int count : counts) {
    EXPECT_NEAR(count, 3 * 2000 / 20, 80);
  }
}

TEST(MaskedTexts, AreTheSameForTheSameSeedEpochAndRowAndOthersForAnyOther) {
  const std::vector<std::vector<int32_t>> all = {Words(100), Words(100)};
  const MaskedTexts texts = Masked(all);
  const Drawn first = Draw(texts, 0, 3);
  EXPECT_EQ(Draw(Masked(all), 0, 3), first);
  EXPECT_NE(Draw(texts, 0, 4), first);
  EXPECT_NE(Draw(texts, 1, 3), first);
  EXPECT_NE(Draw(Masked(all, MadeTokenizer(), 2), 0, 3), first);
}

TEST(MaskedTexts, NeverDrawUnknownAndSpecialTokens) {
  std::vector<int32_t> tokens = Words(40);
  for (size_t i = 0; i < tokens.size(); i += 2) {
    tokens[i] = static_cast<int32_t>(i / 2 % kFirst);
  }
  const MaskedTexts texts = Masked({tokens, {0, 0, 1}});
  for (int64_t epoch = 0; epoch < 50; ++epoch) {
    const Drawn drawn = Draw(texts, 0, epoch);
    EXPECT_EQ(drawn.places.size(), 3);
    EXPECT_TRUE(std::ranges::all_of(drawn.tokens, [](int32_t token) { return token >= kFirst; }));
  }
  EXPECT_THAT(Draw(texts, 1).places, IsEmpty());
}

TEST(MaskedTexts, DrawWordsWhole) {
  // Words of two tokens, an even one and an odd one.
  const MadeTokenizer tokenizer(kFirst);
  const MaskedTexts texts = Masked({Words(100)}, tokenizer);
  for (int64_t epoch = 0; epoch < 20; ++epoch) {
    const Drawn drawn = Draw(texts, 0, epoch);
    EXPECT_GE(drawn.places.size(), 10);
    EXPECT_LE(drawn.places.size(), 15);
    ASSERT_EQ(drawn.places.size() % 2, 0);
    for (size_t i = 0; i < drawn.places.size(); i += 2) {
      EXPECT_EQ(drawn.tokens[i] % 2, 0);
      EXPECT_EQ(drawn.places[i + 1], drawn.places[i] + 1);
    }
  }
}

TEST(MaskedTexts, DrawAPartOfAWordThatIsLongerThanAllThatMayBe) {
  std::vector<int32_t> word(20, kFirst + 1);
  word[0] = kFirst;
  const Drawn drawn = Draw(Masked({word}, MadeTokenizer(kFirst)));
  EXPECT_THAT(drawn.places, ElementsAre(0, 1, 2));
}

TEST(MaskedTexts, NeverDrawMoreThanAProgramHasRoomFor) {
  for (const int32_t pieces : {kVocabulary, kFirst}) {
    int64_t drawn = 0, tokens = 0, rows = 0;
    std::vector<std::vector<int32_t>> all;
    for (int length = 1; length <= 60; ++length) {
      all.push_back(Words(length));
    }
    const MaskedTexts texts = Masked(all, MadeTokenizer(pieces));
    for (int32_t row = 0; row < 60; ++row) {
      drawn += static_cast<int64_t>(Draw(texts, row).places.size());
      tokens += texts.length(row);
      ++rows;
      ASSERT_LE(drawn, MaskedTexts::MostDrawn(tokens, rows)) << row;
    }
  }
}

TEST(MaskedTexts, OfARunningTextAreItsWindows) {
  std::array<RunningText::PartTokens, 3> parts;
  parts[0].tokens = Words(50);
  parts[1].tokens = Words(21);
  const auto running = std::make_shared<const RunningText>(
      parts, RunningText::Windows{.length = 10, .drawn = 7, .seed = 5});
  const MaskedTexts texts(Dataset(std::shared_ptr<const OwnExamples>(running)), MadeTokenizer(), 5);
  EXPECT_EQ(texts.size(), 7 + 2);
  EXPECT_EQ(texts.CountTokens(std::vector<int32_t>{0, 7, 8}), 30);
  const std::span<const int32_t> window = running->window(2, 4);
  const std::span<const int32_t> tokens = texts.tokens(2, 4);
  EXPECT_TRUE(std::ranges::equal(tokens, window.first(10)));
  EXPECT_EQ(Draw(texts, 2, 4).places.size(), 2);
}

}  // namespace
}  // namespace hone::engine::data
