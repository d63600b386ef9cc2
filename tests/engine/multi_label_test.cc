#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/rng.h"
#include "engine/job/evaluator.h"
#include "engine/job/plan.h"
#include "engine/predict/predictor.h"
#include "engine/tasks/multi_label_classification.h"
#include "engine/tasks/table.h"
#include "engine/tensor/token_rows.h"
#include "tests/engine/task_testing.h"
#include "tests/support/status_matchers.h"

// Texts with any number of classes, from files to answers.
namespace hone::engine::train {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr int kTexts = 300;

class MultiLabelTask : public TrainTest {
 protected:
  // A text has a class where it has the class's word.
  MultiLabelTask() {
    RandomStream random(17, "several classes");
    std::string table = "text\tlabels\n", lines;
    const std::vector<std::string> classes = {"sport", "money", "weather"};
    const std::vector<std::string> words = {"goal", "bank", "rain"};
    for (int i = 0; i < kTexts; ++i) {
      std::string text = absl::StrCat("filler", random.NextBelow(9));
      std::vector<std::string> labels;
      for (size_t c = 0; c < classes.size(); ++c) {
        if (random.NextBelow(2) == 0) {
          labels.push_back(classes[c]);
          absl::StrAppend(&text, " ", words[c], " filler", random.NextBelow(9));
        }
      }
      absl::StrAppend(&table, text, "\t", absl::StrJoin(labels, "/"), "\n");
      absl::StrAppend(
          &lines, "{\"text\": \"", text, "\", \"labels\": [",
          labels.empty() ? "" : absl::StrCat("\"", absl::StrJoin(labels, "\", \""), "\""), "]}\n");
    }
    Write("texts.tsv", table);
    Write("texts.jsonl", lines);
    config_.task = tasks::MultiLabelClassificationOptions{.separator = "/", .threshold = 0.5f};
    config_.data.task = data::Task::kMultiLabel;
    config_.data.path = Path("texts.jsonl");
    config_.data.target = "labels";
    config_.data.text.emplace();
    config_.data.validation_fraction = 0.1;
    config_.model.inputs = {std::string(kTokensInput), std::string(kOffsetsInput)};
    config_.model.layers = {Of(layers::EmbeddingOptions{.width = 16}),
                            Of(layers::SequencePoolOptions{.kind = SegmentPoolKind::kMax}),
                            DenseLayer(3)};
    config_.model = models::WithNames(config_.model).value();
    config_.optimizer = optim::Adam{.learning_rate = 0.02};
    config_.epochs = 20;
    config_.batch_size = 16;
    config_.threads = 2;
  }

  std::map<std::string, double> Trained() {
    config_.run_directory = NewRun();
    EXPECT_THAT(Run(config_), IsOk());
    return recorder_.evaluations.empty() ? std::map<std::string, double>()
                                         : recorder_.evaluations.back().metrics;
  }

  tasks::TrainingConfig config_;
};

TEST_F(MultiLabelTask, LearnsListsOfJsonLines) {
  const auto metrics = Trained();
  EXPECT_GT(metrics.at("test_micro_f1"), 0.95);
  EXPECT_GT(metrics.at("test_macro_f1"), 0.95);
  EXPECT_GT(metrics.at("test_exact_match"), 0.9);
  EXPECT_GT(metrics.at("label_accuracy"), 0.95);
}

TEST_F(MultiLabelTask, LearnsNamesBetweenSeparators) {
  config_.data.path = Path("texts.tsv");
  EXPECT_GT(Trained().at("test_micro_f1"), 0.95);
}

TEST_F(MultiLabelTask, TellsOfEachClass) {
  Trained();
  const tasks::Evaluation& evaluation = recorder_.evaluations.back();
  ASSERT_THAT(evaluation.classes, SizeIs(3));
  EXPECT_EQ(evaluation.classes[0].name, "money");
  EXPECT_GT(evaluation.classes[0].f1, 0.9);
}

TEST_F(MultiLabelTask, StoppedAndResumedIsNeverStopped) {
  config_.epochs = 1;
  ExpectSameBitsInPieces(config_);
}

TEST_F(MultiLabelTask, IsPlannedAndTimed) {
  job::Phase phase;
  const auto plan = job::PlanJob(config_, /*measure=*/true, &phase);
  ASSERT_THAT(plan, IsOk());
  EXPECT_GT(*plan->step_seconds, 0);
}

TEST_F(MultiLabelTask, AnswersWithTheProbabilityOfEachClassByItself) {
  Trained();
  const auto model = predict::Predictor::Load(config_.run_directory + "/model", 2);
  ASSERT_THAT(model, IsOk());
  const tasks::Example example =
      (*model)->Read(tasks::TextQuestion{"filler1 rain filler2 goal"}, "it").value();
  const auto answers = (*model)->Predict({&example, 1});
  ASSERT_THAT(answers, IsOk());
  const tasks::Prediction& answer = answers->front();
  EXPECT_EQ(answer.threshold, 0.5);
  ASSERT_THAT(answer.classes, SizeIs(3));
  EXPECT_GT(answer.classes[0].probability, 0.5);
  EXPECT_GT(answer.classes[1].probability, 0.5);
  EXPECT_EQ(answer.classes[2].name, "money");
  EXPECT_LT(answer.classes[2].probability, 0.5);
}

TEST_F(MultiLabelTask, AModelIsEvaluatedOnItsDataAgain) {
  const double f1 = Trained().at("test_micro_f1");
  job::EvaluationConfig evaluation;
  evaluation.models = {config_.run_directory + "/model"};
  evaluation.data = config_.data;
  evaluation.part = job::EvaluationConfig::Part::kTest;
  evaluation.threads = 2;
  evaluation.run_directory = NewRun();
  job::Phase phase;
  const auto result = job::Evaluate(evaluation, stop_, recorder_, phase);
  ASSERT_THAT(result, IsOk());
  EXPECT_NEAR(result->evaluation.metrics.at("test_micro_f1"), f1, 1e-9);
}

TEST_F(MultiLabelTask, NamesALineWithoutAList) {
  Write("bad.jsonl", "{\"text\": \"a\", \"labels\": [\"x\"]}\n{\"text\": \"b\", \"labels\": 3}\n");
  config_.data.path = Path("bad.jsonl");
  config_.run_directory = NewRun();
  EXPECT_THAT(Run(config_),
              StatusIs(kInvalid, AllOf(HasSubstr("line 2"), HasSubstr("\"labels\""))));
}

TEST_F(MultiLabelTask, RefusesALastLayerOfAnotherWidth) {
  config_.model.layers.back() = DenseLayer(2);
  config_.model = models::WithNames(config_.model).value();
  config_.run_directory = NewRun();
  EXPECT_THAT(Run(config_), StatusIs(kInvalid, HasSubstr("must have 3 units")));
}

}  // namespace
}  // namespace hone::engine::train
