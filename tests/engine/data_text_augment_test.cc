#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "engine/data/text_augment.h"
#include "engine/data/texts.h"
#include "tests/engine/data_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::data {
namespace {

using ::hone::testing::IsOk;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

using Row = std::vector<int32_t>;

std::shared_ptr<const text::Tokenizer> TokenizerOf(const text::TokenizerOptions& options,
                                                   const std::string& text) {
  const auto only = [&](int64_t) { return absl::string_view(text); };
  return text::TrainTokenizer(options, {1, only}).value();
}

// Tokens 3 to 102, which are words.
std::shared_ptr<const text::Tokenizer> HundredWords() {
  std::string text;
  for (int i = 0; i < 100; ++i) {
    text += "word" + std::to_string(i) + " ";
  }
  return TokenizerOf(text::WordTokens(), text);
}

Row Changed(const TextAugmentation& augmentation, const Row& tokens,
               const AugmentKey& key = {1, 2, 3}, TextChanges* changes = nullptr,
               const std::shared_ptr<const text::Tokenizer>& tokenizer = HundredWords()) {
  Row out(tokens.size(), -7);
  const TextAugmenter augmenter(augmentation, tokenizer);
  out.resize(static_cast<size_t>(augmenter.Augment(key, tokens, out, changes)));
  return out;
}

Row Ordinary(size_t count) {
  Row tokens(count);
  for (size_t i = 0; i < count; ++i) {
    tokens[i] = 3 + static_cast<int32_t>(i % 100);
  }
  return tokens;
}

TextAugmentation Everything() {
  return {.character_noise = 0.1f, .word_dropout = 0.2f, .unknown = 0.2f, .swap = 0.2f};
}

TEST(TextAugment, WithoutAnyChangeCopies) {
  EXPECT_FALSE(TextAugmentation{}.any());
  EXPECT_EQ(Changed({}, Ordinary(50)), Ordinary(50));
}

TEST(TextAugment, DependsOnSeedEpochAndRowAlone) {
  const Row first = Changed(Everything(), Ordinary(90), {1, 2, 3});
  EXPECT_EQ(Changed(Everything(), Ordinary(90), {1, 2, 3}), first);
  EXPECT_NE(Changed(Everything(), Ordinary(90), {2, 2, 3}), first);
  EXPECT_NE(Changed(Everything(), Ordinary(90), {1, 3, 3}), first);
  EXPECT_NE(Changed(Everything(), Ordinary(90), {1, 2, 4}), first);
}

TEST(TextAugment, DropsAShareOfTheWordsAndKeepsTheOrderOfTheOthers) {
  TextChanges changes;
  const Row left = Changed({.word_dropout = 0.3f}, Ordinary(100), {}, &changes);
  EXPECT_TRUE(std::ranges::is_sorted(left));
  EXPECT_EQ(std::ranges::adjacent_find(left), left.end());
  EXPECT_GT(left.size(), 50u);
  EXPECT_LT(left.size(), 90u);
  EXPECT_EQ(changes.dropped, static_cast<int64_t>(100 - left.size()));
  EXPECT_EQ(changes.tokens, 100);
}

TEST(TextAugment, LeavesAtLeastOneToken) {
  for (int64_t row = 0; row < 50; ++row) {
    const Row left = Changed({.word_dropout = 0.99f}, {5, 6}, {.row = row});
    ASSERT_THAT(left, ::testing::Not(::testing::IsEmpty()));
    EXPECT_THAT(left, Each(::testing::AnyOf(5, 6)));
  }
  EXPECT_EQ(Changed(Everything(), {}), Row());
}

TEST(TextAugment, MakesAShareOfTheWordsUnknown) {
  TextChanges changes;
  const Row changed = Changed({.unknown = 0.3f}, Ordinary(100), {}, &changes);
  const auto unknown = std::ranges::count(changed, 0);
  EXPECT_THAT(changed, SizeIs(100));
  EXPECT_GT(unknown, 10);
  EXPECT_LT(unknown, 50);
  EXPECT_EQ(changes.unknown, unknown);
}

TEST(TextAugment, SwapsNeighboursEachOnce) {
  TextChanges changes;
  const Row changed = Changed({.swap = 0.4f}, Ordinary(100), {}, &changes);
  const Row before = Ordinary(100);
  int64_t moved = 0;
  for (size_t i = 0; i < changed.size(); ++i) {
    moved += changed[i] != before[i] ? 1 : 0;
    EXPECT_LE(std::abs(changed[i] - before[i]), 1);
  }
  EXPECT_GT(moved, 20);
  EXPECT_EQ(moved, 2 * changes.swapped);
}

TEST(TextAugment, NeverMakesATextLonger) {
  for (int64_t row = 0; row < 100; ++row) {
    const Row tokens = Ordinary(static_cast<size_t>(1 + row % 9));
    EXPECT_LE(Changed(Everything(), tokens, {.row = row}).size(), tokens.size());
  }
}

TEST(TextAugment, LeavesWhatBeginsAndEndsTextsInItsPlace) {
  // <s> … </s> … </s>
  Row pair = Ordinary(20);
  pair.front() = 1;
  pair[10] = pair.back() = 2;
  for (int64_t row = 0; row < 20; ++row) {
    const Row changed = Changed(Everything(), pair, {.row = row});
    EXPECT_EQ(changed.front(), 1);
    EXPECT_EQ(changed.back(), 2);
    EXPECT_EQ(std::ranges::count(changed, 2), 2);
  }
}

TEST(TextAugment, NoiseMakesOtherCharactersOfTheTextsOwn) {
  const std::string text = "the quick brown fox";
  const auto tokenizer = TokenizerOf(text::CharacterTokens(), text);
  Row tokens;
  tokenizer->Encode(text, tokens);
  TextChanges changes;
  const Row changed = Changed({.character_noise = 0.3f}, tokens, {}, &changes, tokenizer);
  EXPECT_NE(changed, tokens);
  EXPECT_GT(changes.characters, 0);
  EXPECT_THAT(changed, Each(::testing::Ge(3)));
  const auto space = [](const std::string& of) { return std::ranges::count(of, ' '); };
  EXPECT_EQ(space(tokenizer->Decode(changed)), space(text));
}

TEST(TextAugment, NoiseMakesWordsThatTheVocabularyDoesNotHave) {
  EXPECT_THAT(Changed({.character_noise = 0.3f}, Ordinary(50)), Contains(0));
}

TEST(TextAugment, NoiseLeavesUnknownWordsAlone) {
  EXPECT_THAT(Changed({.character_noise = 0.9f}, {0, 0, 0}), ElementsAre(0, 0, 0));
}

using TextAugmentData = DataTest;

TEST_F(TextAugmentData, IsCountedInTheReport) {
  LoadOptions options = Options();
  std::string table = "text,label\n";
  for (int i = 0; i < 100; ++i) {
    table += "a b c d e f g h i j " + std::to_string(i) + "," + std::to_string(i % 2) + "\n";
  }
  options.path = Write("t.csv", table);
  options.test_fraction = 0;
  options.text.emplace();
  const auto plain = Load(options);
  options.text->augmentation = {.word_dropout = 0.14f};
  const auto loaded = Load(options);
  ASSERT_THAT(loaded, IsOk());
  EXPECT_THAT(loaded->report.notes,
              Contains(::testing::AllOf(HasSubstr("augmentation of the training part"),
                                        HasSubstr("of 1100 tokens, 1"), HasSubstr(" are left out"),
                                        HasSubstr("0 become unknown"))));
  // What is stored is what was read: other changes are made in each epoch.
  EXPECT_EQ(loaded->fingerprint, plain->fingerprint);
}

}  // namespace
}  // namespace hone::engine::data
