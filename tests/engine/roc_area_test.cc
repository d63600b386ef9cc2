#include "engine/tasks/roc_area.h"

#include <gmock/gmock.h>

#include <limits>
#include <optional>
#include <vector>

#include "engine/base/rng.h"

// What sklearn.metrics.roc_auc_score means, of several classes with multi_class="ovr",
// average="macro" and the softmax of the logits: the figures were counted pair by pair.
namespace hone::engine::tasks {
namespace {

// What each row of outputs is of.
struct Scored {
  std::vector<float> outputs;
  int64_t truth;
};

std::optional<double> AreaOf(int64_t classes, const std::vector<Scored>& examples) {
  RocArea area(classes, static_cast<int64_t>(examples[0].outputs.size()));
  for (const Scored& example : examples) {
    area.Add(example.outputs, example.truth);
  }
  return area.Mean();
}

TEST(RocArea, IsTheShareOfPairsInOrder) {
  EXPECT_EQ(AreaOf(2, {{{0.1f}, 0}, {{0.4f}, 0}, {{0.35f}, 1}, {{0.8f}, 1}}), 0.75);
}

TEST(RocArea, CountsEqualScoresHalf) {
  const std::vector<Scored> examples = {{{0.5f}, 0}, {{0.5f}, 1}, {{-1}, 0}, {{2}, 1},
                                        {{0.5f}, 1}, {{2}, 0},    {{3}, 1},  {{-1}, 0},
                                        {{-1}, 1},   {{0.25f}, 0}};
  EXPECT_DOUBLE_EQ(AreaOf(2, examples).value(), 0.7);
}

TEST(RocArea, OfAllScoresEqualIsAHalf) {
  EXPECT_EQ(AreaOf(2, {{{1}, 0}, {{1}, 1}, {{1}, 0}}), 0.5);
}

TEST(RocArea, OfTwoLogitsIsThatOfTheirDifference) {
  EXPECT_EQ(AreaOf(2, {{{9, 9.1f}, 0}, {{0, 0.4f}, 0}, {{5, 5.35f}, 1}, {{-0.8f, 0}, 1}}), 0.75);
}

TEST(RocArea, OfSeveralClassesIsTheMeanOfEachAgainstTheOthers) {
  const std::vector<Scored> examples = {
      {{2, 1, 0}, 0},    {{0.5f, 0.5f, 0.5f}, 1}, {{-1, 3, 0}, 1},         {{1, 1, 2}, 2},
      {{0, 0, 4}, 2},    {{3, -2, 1}, 0},         {{0.5f, 0.5f, 0.5f}, 2}, {{1, 2, -1}, 0},
      {{0, 1, 1.5f}, 1}, {{2, 2, -3}, 1}};
  EXPECT_NEAR(AreaOf(3, examples).value(), 0.8660714285714286, 1e-12);
}

TEST(RocArea, LeavesOutAClassThatNoExampleIsOf) {
  // Both classes stand in order against all others; of the third there are none to be in order.
  EXPECT_EQ(AreaOf(3, {{{2, 0, 0}, 0}, {{1, 0, 0}, 0}, {{0, 1, 0}, 1}, {{0, 3, 0}, 1}}), 1);
}

TEST(RocArea, IsWhatCountingAllPairsGives) {
  RandomStream random(5, "scores");
  std::vector<float> scores;
  bool is_one[300];
  for (bool& one : is_one) {
    one = random.NextBelow(3) == 0;
    scores.push_back(static_cast<float>(random.NextBelow(20)) + (one ? 2.0f : 0.0f));
  }
  double right = 0, pairs = 0;
  for (size_t a = 0; a < scores.size(); ++a) {
    for (size_t b = 0; b < scores.size(); ++b) {
      if (is_one[a] && !is_one[b]) {
        right += scores[a] > scores[b] ? 1 : scores[a] == scores[b] ? 0.5 : 0;
        pairs += 1;
      }
    }
  }
  EXPECT_DOUBLE_EQ(AreaUnderRoc(scores, is_one).value(), right / pairs);
}

TEST(RocArea, IsNotThereWhereAllExamplesAreOfOneClass) {
  EXPECT_EQ(AreaOf(2, {{{1}, 1}, {{2}, 1}}), std::nullopt);
  EXPECT_EQ(AreaOf(3, {{{1, 2, 3}, 1}, {{2, 1, 0}, 1}}), std::nullopt);
}

TEST(RocArea, IsNotThereWhereAnOutputIsNoNumber) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(AreaOf(2, {{{nan}, 0}, {{2}, 1}}), std::nullopt);
  EXPECT_EQ(AreaOf(3, {{{0, nan, 1}, 0}, {{2, 1, 0}, 1}}), std::nullopt);
}

TEST(RocArea, IsNotThereOfMoreScoresThanAreKept) {
  RocArea area(2, 1);
  for (size_t i = 0; i <= RocArea::kMostScores; ++i) {
    const float score = static_cast<float>(i % 7);
    area.Add({&score, 1}, static_cast<int64_t>(i % 2));
  }
  EXPECT_EQ(area.Mean(), std::nullopt);
}

}  // namespace
}  // namespace hone::engine::tasks
