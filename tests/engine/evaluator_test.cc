// Models measured again, and two of them on the same examples.
#include "engine/job/evaluator.h"

#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"
#include "tests/engine/train_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::job {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::HasSubstr;
using Part = EvaluationConfig::Part;

class EvaluatorTest : public train::TrainTest {
 protected:
  // Trains, and gives the folder of the model.
  std::string Trained(const tasks::TrainingConfig& config) {
    EXPECT_THAT(Run(config), IsOk());
    return config.run_directory + "/model";
  }
  EvaluationConfig Of(const std::vector<std::string>& models, const data::LoadOptions& data,
                      Part part = Part::kUnspecified) {
    EvaluationConfig config;
    config.models = models;
    config.data = data;
    config.part = part;
    config.threads = 2;
    config.run_directory = NewRun();
    return config;
  }
  absl::StatusOr<EvaluationResult> Evaluate(const EvaluationConfig& config) {
    Phase phase;
    return job::Evaluate(config, stop_, recorder_, phase);
  }
  // The same numbers as the training's own at its end.
  void ExpectAsAtTheEnd(const tasks::Evaluation& again) {
    const tasks::Evaluation& then = recorder_.evaluations.back();
    for (const auto& [name, value] : again.metrics) {
      if (name.starts_with("test_")) {
        EXPECT_NEAR(value, then.metrics.at(name), 1e-6 * std::abs(value)) << name;
      }
    }
    EXPECT_EQ(again.confusion, then.confusion);
  }
};

TEST_F(EvaluatorTest, TheTestPartOfTheTrainingHasTheTrainingsNumbers) {
  const tasks::TrainingConfig config = Points();
  const std::string model = Trained(config);
  data::LoadOptions data;
  data.path = config.data.path;
  const auto result = Evaluate(Of({model}, data, Part::kTest));
  ASSERT_THAT(result, IsOk());
  EXPECT_EQ(result->evaluation.split, "test");
  ExpectAsAtTheEnd(result->evaluation);
}

TEST_F(EvaluatorTest, ADataSetsOwnTestPartIsTheDefault) {
  const tasks::TrainingConfig config = Pictures();
  const std::string model = Trained(config);
  data::LoadOptions data;
  data.path = config.data.path;
  const auto result = Evaluate(Of({model}, data));
  ASSERT_THAT(result, IsOk());
  EXPECT_EQ(result->evaluation.split, "test");
  ExpectAsAtTheEnd(result->evaluation);
}

TEST_F(EvaluatorTest, WithoutATestPartAllExamplesAreMeasured) {
  const tasks::TrainingConfig config = Points();
  const std::string model = Trained(config);
  data::LoadOptions data;
  data.path = config.data.path;
  const auto result = Evaluate(Of({model}, data));
  ASSERT_THAT(result, IsOk());
  EXPECT_EQ(result->evaluation.split, "all");
  int64_t examples = 0;
  for (const auto& c : result->evaluation.classes) {
    examples += c.examples;
  }
  EXPECT_EQ(examples, 90);
}

TEST_F(EvaluatorTest, ColumnsAreFoundByNameAndRowsOfOneClassWillDo) {
  tasks::TrainingConfig config = Points();
  config.epochs = 100;
  const std::string model = Trained(config);
  Write("other.csv", "more,c,b,kind,a\n9,2,0,z,0\n9,1.9,0.1,z,0.1\n");
  data::LoadOptions data;
  data.path = Path("other.csv");
  data.target = "kind";
  const auto result = Evaluate(Of({model}, data));
  ASSERT_THAT(result, IsOk());
  EXPECT_EQ(result->evaluation.metrics.at("test_accuracy"), 1);
}

TEST_F(EvaluatorTest, RefusesDataThatTheModelCannotRead) {
  const std::string model = Trained(Points());
  data::LoadOptions data;
  data.path = Write("less.csv", "a,b,kind\n1,2,x\n2,1,y\n");
  EXPECT_THAT(Evaluate(Of({model}, data)), StatusIs(kInvalid, HasSubstr("no column 'c'")));
  data.path = Write("words.csv", "a,b,c,kind\n1,2,red,x\n2,1,blue,y\n");
  EXPECT_THAT(Evaluate(Of({model}, data)), StatusIs(kInvalid, HasSubstr("holds words")));
  data.path = Write("classes.csv", "a,b,c,kind\n1,2,3,x\n2,1,3,w\n");
  EXPECT_THAT(Evaluate(Of({model}, data)),
              StatusIs(kInvalid, HasSubstr("does not know the class 'w'")));
  data.path = Path("pictures");
  EXPECT_THAT(Evaluate(Of({model}, data)), StatusIs(kInvalid, HasSubstr("reads a table")));
}

TEST_F(EvaluatorTest, AModelIsNoBetterThanItself) {
  const tasks::TrainingConfig config = Points();
  const std::string model = Trained(config);
  data::LoadOptions data;
  data.path = config.data.path;
  const auto result = Evaluate(Of({model, model}, data));
  ASSERT_THAT(result, IsOk());
  ASSERT_TRUE(result->comparison.has_value());
  EXPECT_EQ(result->comparison->p_value, 1);
  EXPECT_EQ(result->comparison->difference, 0);
  EXPECT_EQ(result->comparison->both_right + result->comparison->both_wrong, 90);
}

TEST_F(EvaluatorTest, AnUntrainedModelIsWorse) {
  tasks::TrainingConfig config = Points();
  config.epochs = 60;
  const std::string good = Trained(config);
  config = Points();
  config.steps = 1;
  config.epochs = 0;
  config.optimizer = optim::Sgd{.learning_rate = 1e-9};
  const std::string bad = Trained(config);
  data::LoadOptions data;
  data.path = config.data.path;
  const auto result = Evaluate(Of({good, bad}, data));
  ASSERT_THAT(result, IsOk());
  const Comparison& comparison = *result->comparison;
  EXPECT_EQ(comparison.examples, 90);
  EXPECT_EQ(comparison.both_right + comparison.only_first + comparison.only_second +
                comparison.both_wrong,
            90);
  EXPECT_NEAR(
      comparison.difference,
      result->evaluation.metrics.at("test_accuracy") - comparison.other_metrics.at("test_accuracy"),
      1e-12);
  EXPECT_LT(*comparison.p_value, 0.05);
  EXPECT_EQ(comparison.verdict, "the first model is better");
}

TEST_F(EvaluatorTest, RegressionsAreComparedByTheirSquaredErrors) {
  std::string table = "a,y\n";
  for (int i = 0; i < 60; ++i) {
    absl::StrAppend(&table, i % 12, ",", 100 + 3 * (i % 12), "\n");
  }
  tasks::TrainingConfig config = Points();
  config.task = tasks::RegressionOptions();
  config.data.path = Write("line.csv", table);
  config.data.task = data::Task::kRegression;
  config.model.layers = {train::DenseLayer(1)};
  config.optimizer = optim::Adam{.learning_rate = 0.1};
  config.epochs = 60;
  const std::string good = Trained(config);
  ASSERT_FALSE(recorder_.evaluations.empty());
  data::LoadOptions data;
  data.path = config.data.path;
  data.task = data::Task::kRegression;
  const auto again = Evaluate(Of({good}, data, Part::kTest));
  ASSERT_THAT(again, IsOk());
  ExpectAsAtTheEnd(again->evaluation);
  config.run_directory = NewRun();
  config.epochs = 1;
  const std::string bad = Trained(config);
  const auto result = Evaluate(Of({good, bad}, data));
  ASSERT_THAT(result, IsOk());
  const Comparison& comparison = *result->comparison;
  EXPECT_FALSE(comparison.p_value.has_value());
  EXPECT_NEAR(comparison.difference,
              result->evaluation.metrics.at("test_mse") - comparison.other_metrics.at("test_mse"),
              1e-6 * std::abs(comparison.difference));
  EXPECT_LT(comparison.high, 0);
  EXPECT_EQ(comparison.verdict, "the first model is better");
}

TEST_F(EvaluatorTest, ModelsOfOtherClassesAreNotCompared) {
  const std::string points = Trained(Points());
  tasks::TrainingConfig config = Points();
  config.data.path = Write("two.csv",
                           "a,b,c,kind\n1,2,3,x\n2,1,3,y\n1,2,3,x\n2,1,3,y\n2,3,1,x\n"
                           "1,2,3,x\n2,1,3,y\n1,2,3,x\n2,1,3,y\n2,3,1,x\n");
  config.model.layers = {train::DenseLayer(2)};
  const std::string two = Trained(config);
  EXPECT_THAT(Evaluate(Of({points, two}, config.data)),
              StatusIs(kInvalid, HasSubstr("cannot be compared")));
}

TEST_F(EvaluatorTest, ThePlanKnowsWhatItWillTake) {
  const tasks::TrainingConfig config = Points();
  const std::string model = Trained(config);
  data::LoadOptions data;
  data.path = config.data.path;
  Phase phase;
  const auto plan = PlanEvaluation(Of({model}, data), phase);
  ASSERT_THAT(plan, IsOk());
  EXPECT_GT(plan->peak_memory_bytes, 0);
  EXPECT_EQ(plan->parameters, 4 * 8 + 9 * 3);
  EXPECT_EQ(plan->optimizer_bytes, 0);
  EXPECT_EQ(plan->trainable_parameters, 0) << "they have no gradients";
  data.path = Path("pictures");
  EXPECT_THAT(PlanEvaluation(Of({model}, data), phase), StatusIs(kInvalid, HasSubstr("")));
}

// p of scipy.stats: binomtest(2, 12).pvalue, chi2.sf((|59 − 6| − 1)² / 65, 1).
TEST(McNemar, HasTheValuesOfTheBooks) {
  EXPECT_EQ(McNemar(0, 0), 1);
  EXPECT_EQ(McNemar(5, 5), 1);
  EXPECT_NEAR(McNemar(10, 2), 0.03857421875, 1e-12);
  EXPECT_NEAR(McNemar(2, 10), 0.03857421875, 1e-12);
  EXPECT_NEAR(McNemar(59, 6), 1.11993e-10, 1e-14);
}

}  // namespace
}  // namespace hone::engine::job
