#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <map>

#include "engine/text/beam_search.h"

namespace hone::engine::text {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int32_t kUnknown = 0, kBegin = 1, kEnd = 2, kA = 3, kB = 4;
constexpr size_t kVocabulary = 5;

// What a model gives behind a text, begin not among its tokens: probabilities of end, a and b. What
// is not among them is taken for all alike.
using Model = std::map<std::vector<int32_t>, std::vector<double>>;

std::vector<float> LogitsBehind(const Model& model, const std::vector<int32_t>& text) {
  const auto known = model.find({text.begin() + 1, text.end()});
  const std::vector<double> probabilities =
      known == model.end() ? std::vector<double>{1.0 / 3, 1.0 / 3, 1.0 / 3} : known->second;
  // Unknown and begin are hardly probable; a shift changes nothing.
  std::vector<float> logits(kVocabulary, -90);
  for (size_t i = 0; i < probabilities.size(); ++i) {
    logits[kEnd + i] = static_cast<float>(std::log(probabilities[i])) + 7;
  }
  return logits;
}

std::vector<BeamText> Search(const Model& model, const BeamOptions& options) {
  BeamSearch search(options, kBegin, kEnd, {kUnknown, kBegin});
  while (!search.done()) {
    std::vector<std::vector<float>> rows;
    for (const std::vector<int32_t>& text : search.open()) {
      rows.push_back(LogitsBehind(model, text));
    }
    search.Add(std::vector<std::span<const float>>(rows.begin(), rows.end()));
  }
  return search.Take();
}

// The most probable first token leads to a less probable text.
const Model kMisleading = {{{}, {0, 0.6, 0.4}}, {{kA}, {0.4, 0.3, 0.3}}, {{kB}, {1, 0, 0}}};
// "a" is more probable, "b b" is more probable by the token.
const Model kShortOrLong = {{{}, {0, 0.45, 0.55}},
                            {{kA}, {0.5, 0.25, 0.25}},
                            {{kB}, {0.1, 0.3, 0.6}},
                            {{kB, kB}, {0.6, 0.2, 0.2}}};
const Model kEndless = {{{}, {0, 1, 0}}, {{kA}, {0, 1, 0}}, {{kA, kA}, {0, 1, 0}}};

TEST(BeamSearch, OneTextTakesTheMostProbableTokenEachTime) {
  const auto found = Search(kMisleading, {.beams = 1, .length_penalty = 0});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_THAT(found[0].tokens, ElementsAre(kA));
  EXPECT_TRUE(found[0].ended);
  EXPECT_NEAR(found[0].score, std::log(0.6 * 0.4), 1e-5);
}

TEST(BeamSearch, TwoTextsFindWhatOneMisses) {
  const auto found = Search(kMisleading, {.beams = 2, .length_penalty = 0});
  ASSERT_EQ(found.size(), 2u);
  EXPECT_THAT(found[0].tokens, ElementsAre(kB));
  EXPECT_NEAR(found[0].score, std::log(0.4), 1e-5);
  EXPECT_THAT(found[1].tokens, ElementsAre(kA));
}

TEST(BeamSearch, WithoutAPenaltyTheMoreProbableTextIsFirst) {
  const auto found = Search(kShortOrLong, {.beams = 2, .length_penalty = 0});
  ASSERT_EQ(found.size(), 2u);
  EXPECT_THAT(found[0].tokens, ElementsAre(kA));
}

TEST(BeamSearch, APenaltyComparesByTheToken) {
  const auto found = Search(kShortOrLong, {.beams = 2, .length_penalty = 1});
  ASSERT_EQ(found.size(), 2u);
  EXPECT_THAT(found[0].tokens, ElementsAre(kB, kB));
  EXPECT_NEAR(found[0].score, std::log(0.55 * 0.6 * 0.6) / 3, 1e-5);
}

TEST(BeamSearch, ATextThatDoesNotEndComesToItsGreatestLength) {
  const auto found = Search(kEndless, {.beams = 1, .longest = 3});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_THAT(found[0].tokens, ElementsAre(kA, kA, kA));
  EXPECT_FALSE(found[0].ended);
}

TEST(BeamSearch, ATextMayBeEmpty) {
  const auto found = Search({{{}, {0.9, 0.05, 0.05}}}, {.beams = 1});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_THAT(found[0].tokens, IsEmpty());
  EXPECT_TRUE(found[0].ended);
}

TEST(BeamSearch, ATextOfNoTokensIsDoneAtOnce) {
  BeamSearch search({.longest = 0}, kBegin, kEnd, {});
  ASSERT_TRUE(search.done());
  EXPECT_THAT(search.Take()[0].tokens, IsEmpty());
}

TEST(BeamSearch, TokensThatAreNeverChosenAreNot) {
  BeamSearch search({.beams = 1}, kBegin, kEnd, {kUnknown, kBegin});
  const std::vector<float> logits = {9, 8, 0, 1, 2};
  search.Add(std::vector<std::span<const float>>{logits});
  ASSERT_FALSE(search.done());
  EXPECT_THAT(search.open()[0], ElementsAre(kBegin, kB));
}

TEST(BeamSearch, SaysWhichTextEachGoesOnFrom) {
  BeamSearch search({.beams = 2}, kBegin, kEnd, {kUnknown, kBegin});
  EXPECT_THAT(search.parents(), ElementsAre(0));
  const std::vector<float> first = LogitsBehind(kShortOrLong, {kBegin});
  search.Add(std::vector<std::span<const float>>{first});
  ASSERT_THAT(search.open(), ElementsAre(ElementsAre(kBegin, kB), ElementsAre(kBegin, kA)));
  EXPECT_THAT(search.parents(), ElementsAre(0, 0));
  const std::vector<float> behind_b = LogitsBehind(kShortOrLong, {kBegin, kB});
  const std::vector<float> behind_a = LogitsBehind(kShortOrLong, {kBegin, kA});
  search.Add(std::vector<std::span<const float>>{behind_b, behind_a});
  EXPECT_THAT(search.open(), ElementsAre(ElementsAre(kBegin, kB, kB), ElementsAre(kBegin, kB, kA)));
  EXPECT_THAT(search.parents(), ElementsAre(0, 0));
}

TEST(BeamSearch, WhatIsNotANumberIsImpossible) {
  BeamSearch search({.beams = 1}, kBegin, kEnd, {});
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> some = {nan, nan, nan, -3, nan};
  search.Add(std::vector<std::span<const float>>{some});
  ASSERT_FALSE(search.done());
  EXPECT_THAT(search.open()[0], ElementsAre(kBegin, kA));
  const std::vector<float> none(kVocabulary, nan);
  search.Add(std::vector<std::span<const float>>{none});
  ASSERT_TRUE(search.done());
  const auto found = search.Take();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_THAT(found[0].tokens, ElementsAre(kA));
  EXPECT_FALSE(found[0].ended);
}

}  // namespace
}  // namespace hone::engine::text
