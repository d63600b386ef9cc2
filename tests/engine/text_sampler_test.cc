#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "engine/text/sampler.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::text {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::HasSubstr;

constexpr int kDraws = 4000;

// Tokens of `kDraws` choices, and how often each came.
std::map<int32_t, int> Draw(const SamplingOptions& options, const std::vector<float>& logits,
                            const std::vector<int32_t>& seen = {},
                            std::vector<int32_t> never = {}) {
  Sampler sampler(options, std::move(never));
  std::map<int32_t, int> counts;
  for (int i = 0; i < kDraws; ++i) {
    ++counts[sampler.Next(logits, seen, i)];
  }
  return counts;
}

std::vector<float> LogitsOf(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) {
    logits.push_back(static_cast<float>(std::log(p)));
  }
  return logits;
}

std::set<int32_t> Keys(const std::map<int32_t, int>& counts) {
  std::set<int32_t> keys;
  for (const auto& [token, count] : counts) {
    keys.insert(token);
  }
  return keys;
}

TEST(Sampler, DrawsTokensAsOftenAsTheyAreProbable) {
  const std::vector<double> probabilities = {0.5, 0.125, 0.3, 0.075};
  const auto counts = Draw({}, LogitsOf(probabilities));
  for (int32_t token = 0; token < 4; ++token) {
    EXPECT_NEAR(counts.at(token) / double{kDraws}, probabilities[static_cast<size_t>(token)], 0.03);
  }
}

TEST(Sampler, WithoutTemperatureTakesTheMostProbableAndOfEqualOnesTheFirst) {
  EXPECT_EQ(Keys(Draw({.temperature = 0}, {1, 5, 2, 5})), std::set<int32_t>({1}));
}

TEST(Sampler, WithALowTemperatureSharpensAndWithAHighOneEvensOut) {
  const std::vector<float> logits = LogitsOf({0.6, 0.4});
  // 0.6² / (0.6² + 0.4²), and the square roots.
  EXPECT_NEAR(Draw({.temperature = 0.5}, logits).at(0) / double{kDraws}, 0.692, 0.03);
  EXPECT_NEAR(Draw({.temperature = 2}, logits).at(0) / double{kDraws}, 0.551, 0.03);
}

TEST(Sampler, TopKLeavesTheMostProbableOnesInTheirShares) {
  const auto counts = Draw({.top_k = 2}, LogitsOf({0.2, 0.1, 0.4, 0.3}));
  EXPECT_EQ(Keys(counts), std::set<int32_t>({2, 3}));
  EXPECT_NEAR(counts.at(2) / double{kDraws}, 4.0 / 7, 0.03);
}

TEST(Sampler, TopKAboveTheVocabularyLeavesAll) {
  EXPECT_EQ(Draw({.top_k = 9}, LogitsOf({0.5, 0.3, 0.2})).size(), 3u);
}

TEST(Sampler, TopPLeavesTheFewestThatReachTheShare) {
  const std::vector<float> logits = LogitsOf({0.1, 0.5, 0.15, 0.25});
  EXPECT_EQ(Keys(Draw({.top_p = 0.4}, logits)), std::set<int32_t>({1}));
  EXPECT_EQ(Keys(Draw({.top_p = 0.7}, logits)), std::set<int32_t>({1, 3}));
  EXPECT_EQ(Keys(Draw({.top_p = 0.8}, logits)), std::set<int32_t>({1, 2, 3}));
}

TEST(Sampler, TopPIsAShareOfWhatTopKLeaves) {
  EXPECT_EQ(Keys(Draw({.top_k = 2, .top_p = 0.6}, LogitsOf({0.1, 0.5, 0.15, 0.25}))),
            std::set<int32_t>({1}));
}

TEST(Sampler, ARepetitionPenaltyCountsOnceForEachTokenAndWeakensLogitsOfEitherSign) {
  const auto next = [](const std::vector<float>& logits, const std::vector<int32_t>& seen) {
    return Sampler({.repetition_penalty = 2, .temperature = 0}, {}).Next(logits, seen, 0);
  };
  EXPECT_EQ(next({4, 3}, {0}), 1);
  EXPECT_EQ(next({4, 1.5f}, {0, 0, 0}), 0);
  EXPECT_EQ(next({-1, -1.5f}, {0}), 1);
  EXPECT_EQ(next({4, 3}, {}), 0);
}

TEST(Sampler, TheSameSeedAndNumberGiveTheSameTokenAndOthersDoNot) {
  const std::vector<float> logits(50, 0.0f);
  const auto tokens = [&](uint64_t seed) {
    Sampler sampler({.seed = seed}, {});
    std::vector<int32_t> result;
    for (int i = 0; i < 20; ++i) {
      result.push_back(sampler.Next(logits, {}, i));
    }
    return result;
  };
  const std::vector<int32_t> drawn = tokens(7);
  EXPECT_EQ(tokens(7), drawn);
  EXPECT_NE(tokens(8), drawn);
  EXPECT_GT(std::set<int32_t>(drawn.begin(), drawn.end()).size(), 1u);
}

TEST(Sampler, NeverChoosesWhatItMustNot) {
  EXPECT_EQ(Keys(Draw({}, {3, 9, 3}, {}, {1})), std::set<int32_t>({0, 2}));
}

TEST(Sampler, WhatIsNotANumberIsImpossible) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(Keys(Draw({}, {nan, 0, nan})), std::set<int32_t>({1}));
  EXPECT_EQ(Keys(Draw({}, {nan, nan, nan}, {}, {0})), std::set<int32_t>({1}));
}

TEST(SamplingOptions, AreRefusedByTheirNames) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(CheckSampling({.top_p = 0}), StatusIs(kInvalid,
                                                    "top_p: must be above 0 and at most "
                                                    "1, got 0"));
  EXPECT_THAT(CheckSampling({.top_p = 1.5}), StatusIs(kInvalid, HasSubstr("top_p")));
  EXPECT_THAT(CheckSampling({.top_p = nan}), StatusIs(kInvalid, HasSubstr("top_p")));
  EXPECT_THAT(CheckSampling({.temperature = -1}), StatusIs(kInvalid, HasSubstr("temperature")));
  EXPECT_THAT(CheckSampling({.temperature = nan}), StatusIs(kInvalid, HasSubstr("temperature")));
  EXPECT_THAT(CheckSampling({.top_k = -1}), StatusIs(kInvalid, HasSubstr("top_k")));
  EXPECT_THAT(CheckSampling({.repetition_penalty = 0}),
              StatusIs(kInvalid, HasSubstr("repetition_penalty")));
  EXPECT_THAT(CheckSampling({}), IsOk());
}

}  // namespace
}  // namespace hone::engine::text
