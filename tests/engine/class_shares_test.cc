#include "engine/tasks/class_shares.h"

#include <gmock/gmock.h>

namespace hone::engine::tasks {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// So many drawings that the classifier takes for each class of cat, dog and frog, and how sure it
// is of them.
ClassShares Shares(const std::vector<int>& counts, float sure = 0.8f) {
  ClassShares shares({"cat", "dog", "frog"});
  for (size_t c = 0; c < counts.size(); ++c) {
    for (int i = 0; i < counts[c]; ++i) {
      std::vector<float> probabilities(counts.size(), (1 - sure) / 2);
      probabilities[c] = sure;
      shares.Add(probabilities);
    }
  }
  return shares;
}

Evaluation EvaluationOf(const ClassShares& shares) {
  Evaluation evaluation;
  shares.AddTo(evaluation);
  return evaluation;
}

TEST(ClassShares, NameTheClassesThatAreLeftOutAndNoOthers) {
  const Evaluation evaluation = EvaluationOf(Shares({97, 3, 0}));
  ASSERT_EQ(evaluation.warnings.size(), 1u);
  EXPECT_THAT(evaluation.warnings[0], HasSubstr("the generator leaves out classes"));
  EXPECT_THAT(evaluation.warnings[0], HasSubstr("dog (3.00 %), frog (0.00 %)"));
  EXPECT_THAT(evaluation.warnings[0], Not(HasSubstr("cat")));
}

TEST(ClassShares, LeaveOutAClassBelowATenthOfAnEvenShare) {
  // An even share of three is 33.3 %.
  EXPECT_THAT(EvaluationOf(Shares({500, 466, 34})).warnings, IsEmpty());
  EXPECT_THAT(EvaluationOf(Shares({500, 467, 33})).warnings,
              ElementsAre(HasSubstr("frog (3.30 %)")));
}

TEST(ClassShares, MeasureTheClassThatIsDrawnLeast) {
  const Evaluation evaluation = EvaluationOf(Shares({5, 2, 3}));
  EXPECT_DOUBLE_EQ(evaluation.own_metrics.at("class_share_min"), 0.2);
  EXPECT_NEAR(evaluation.own_metrics.at("classifier_confidence"), 0.8, 1e-6);
}

TEST(ClassShares, CountAsSureWhatIsAtLeastNineTenths) {
  EXPECT_EQ(EvaluationOf(Shares({5, 2, 3}, 0.89f)).own_metrics.at("class_share_min_confident"), 0);
  EXPECT_EQ(EvaluationOf(Shares({5, 2, 3}, 0.9f)).own_metrics.at("class_share_min_confident"), 0.2);
}

TEST(ClassShares, AreATableOfAllClassesWithQuotedNames) {
  ClassShares shares({"a, b", "say \"c\""});
  shares.Add(std::vector<float>{0.95f, 0.05f, 0.75f, 0.25f, 0.25f, 0.75f, 0.25f, 0.75f});
  EXPECT_EQ(shares.ToCsv(),
            "class,share,share_confident\n\"a, b\",0.5,0.25\n\"say \"\"c\"\"\",0.5,0\n");
}

}  // namespace
}  // namespace hone::engine::tasks
