#include "engine/tasks/preference_optimization.h"

#include <gmock/gmock.h>

#include <cmath>
#include <memory>
#include <numbers>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/data/packed_documents.h"
#include "engine/job/plan.h"
#include "engine/predict/predictor.h"
#include "engine/tasks/language_modeling.h"
#include "engine/tasks/model_file.h"
#include "engine/tasks/state_bytes.h"
#include "engine/tasks/table.h"
#include "engine/tensor/token_rows.h"
#include "engine/train/batch_shapes.h"
#include "tests/engine/chat_tokenizer.h"
#include "tests/engine/task_testing.h"
#include "tests/support/status_matchers.h"
#include "tests/support/task_gradients.h"

// Direct preference optimization: its loss and gradients by the paper's equations, its reference,
// and what a model that learned from preferences prefers.
namespace hone::engine::train {
namespace {

using ::hone::engine::testing::ChatTokenizer;
using ::hone::testing::IsOk;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::HasSubstr;

constexpr int64_t kWindow = 64;
constexpr double kBeta = 0.5;

using Tokens = std::vector<int32_t>;
using Mask = std::vector<uint8_t>;

// A sequence and what of it is the answer.
struct Sequence {
  Tokens tokens;
  Mask learned;
};

class PreferenceTask : public TrainTest {
 protected:
  PreferenceTask() {
    // The answer is the question's letter, three times, rather than the next one's.
    std::string lines;
    for (int i = 0; i < 60; ++i) {
      const std::string letter(1, static_cast<char>('a' + i % 4));
      const std::string other(1, static_cast<char>('a' + (i + 1) % 4));
      absl::StrAppend(&lines, R"({"prompt": "say )", letter, R"(", "chosen": ")", letter, letter,
                      letter, R"(", "rejected": ")", other, other, other, R"("})", "\n");
    }
    Write("preferences.jsonl", lines);
    data::TextPreprocessing like = {.tokenizer = tokenizer_};
    like.chat = text::ChatTemplate{};
    config_.data.path = Path("preferences.jsonl");
    config_.data.text.emplace().like = std::make_shared<const data::TextPreprocessing>(like);
    config_.data.validation_fraction = 0.1;
    config_.data.test_fraction = 0;
    config_.task = tasks::PreferenceOptimizationOptions{.window = kWindow, .beta = kBeta};
    config_.model.inputs = {std::string(kTokensInput), std::string(kOffsetsInput)};
    config_.model.preset = {.name = "gpt",
                            .options = R"({"layers": 1, "heads": 2, "width": 32, "window": 64})"};
    config_.optimizer = optim::Adam{.learning_rate = 0.01};
    config_.epochs = 60;
    config_.batch_size = 8;
    config_.threads = 2;
    config_.run_directory = NewRun();
  }

  // Two sequences with a common beginning; `few`: of which few tokens are the answer, so that the
  // program takes their rows alone.
  static std::pair<Sequence, Sequence> Pair(size_t number, bool few) {
    std::pair<Sequence, Sequence> pair;
    for (const auto& [sequence, side] : {std::pair(&pair.first, 0), std::pair(&pair.second, 1)}) {
      const size_t asked = few ? 12 : 1, answered = 3 + number + static_cast<size_t>(side);
      for (size_t i = 0; i < asked + answered; ++i) {
        const size_t other = i < asked ? 0 : static_cast<size_t>(side);
        sequence->tokens.push_back(static_cast<int32_t>((5 * i + 11 * number + 29 * other) % 90));
        sequence->learned.push_back(i < asked ? 0 : 1);
      }
    }
    return pair;
  }

  // Values of a task's loss for a batch of all rows: the loss's sum, then its gradients.
  std::vector<double> LossAndGradients(const tasks::TaskOptions& options,
                                       const std::vector<std::vector<Sequence>>& rows,
                                       const std::vector<float>& reference = {}) {
    config_.task = options;
    const auto documents = std::make_shared<data::PackedDocuments>();
    for (const std::vector<Sequence>& row : rows) {
      std::vector<Tokens> pieces;
      std::vector<Mask> learned;
      for (const Sequence& sequence : row) {
        pieces.push_back(sequence.tokens);
        learned.push_back(sequence.learned);
      }
      documents->AddRow(pieces, learned);
    }
    const data::Dataset dataset{std::shared_ptr<const data::OwnExamples>(documents)};
    return hone::engine::testing::LossAndGradients(config_, tokenizer_, dataset,
                                                   {.state = StateOf(reference)});
  }

  // −log π_ref of the chosen and the rejected answer of each row.
  static checkpoint::RunState StateOf(const std::vector<float>& reference) {
    tasks::StateWriter out;
    out.Add(static_cast<int64_t>(reference.size()));
    out.AddAll(reference);
    checkpoint::RunState state;
    state.sections["reference"] = out.Take();
    return state;
  }

  // Equation 7, and the gradient of section 4, of what a language model's loss says of each answer:
  //   −log σ(β (r_chosen − r_rejected)),  −β σ(−β (…)) (∇ log π(chosen) − ∇ log π(rejected)).
  void ExpectThePapersLoss(bool few) {
    const tasks::LanguageModelingOptions writes = {.window = kWindow,
                                                   .documents = tasks::Documents::kChats};
    const std::vector<float> reference = {14.5f, 18.25f, 21.0f, 25.75f};
    std::vector<std::vector<Sequence>> rows;
    std::vector<double> expected;
    for (size_t number = 0; number < 2; ++number) {
      const auto [chosen, rejected] = Pair(number, few);
      rows.push_back({chosen, rejected});
      const std::vector<double> of_chosen = LossAndGradients(writes, {{chosen}});
      const std::vector<double> of_rejected = LossAndGradients(writes, {{rejected}});
      const double margin = kBeta * ((reference[2 * number] - of_chosen[0]) -
                                     (reference[2 * number + 1] - of_rejected[0]));
      const double factor = kBeta / (1 + std::exp(margin));
      expected.resize(of_chosen.size());
      expected[0] += std::log1p(std::exp(-margin));
      for (size_t i = 1; i < expected.size(); ++i) {
        expected[i] += factor * (of_chosen[i] - of_rejected[i]);
      }
    }
    const std::vector<double> actual = LossAndGradients(
        tasks::PreferenceOptimizationOptions{.window = kWindow, .beta = kBeta}, rows, reference);
    ASSERT_EQ(actual.size(), expected.size());
    EXPECT_NEAR(actual[0], expected[0], 1e-4);
    double difference = 0, norm = 0;
    for (size_t i = 1; i < actual.size(); ++i) {
      difference += std::pow(actual[i] - expected[i], 2);
      norm += std::pow(expected[i], 2);
    }
    EXPECT_GT(norm, 0);
    EXPECT_LE(std::sqrt(difference), 1e-4 * std::sqrt(norm));
  }

  const std::shared_ptr<const text::PretrainedTokenizer> tokenizer_ = ChatTokenizer();
  tasks::TrainingConfig config_;
};

TEST_F(PreferenceTask, HasTheLossAndGradientsOfThePaperWhereFewTokensAreAnswers) {
  ExpectThePapersLoss(/*few=*/true);
}

TEST_F(PreferenceTask, HasTheLossAndGradientsOfThePaperWhereAllTokensAreAnswers) {
  ExpectThePapersLoss(/*few=*/false);
}

// The model of the first step is the reference.
TEST_F(PreferenceTask, BeginsWithALossOfLogTwo) {
  config_.epochs = 0;
  config_.steps = 1;
  ASSERT_THAT(Run(config_), IsOk());
  ASSERT_FALSE(recorder_.metrics.empty());
  const auto& values = recorder_.metrics.back().values;
  EXPECT_NEAR(values.at("loss"), std::numbers::ln2, 1e-4);
  EXPECT_NEAR(values.at("rewards_margin"), 0, 1e-4);
}

TEST_F(PreferenceTask, LearnsToPreferTheChosenAnswers) {
  ASSERT_THAT(Run(config_), IsOk());
  const auto& metrics = recorder_.evaluations.back().metrics;
  EXPECT_GT(metrics.at("validation_reward_accuracy"), 0.9);
  EXPECT_LT(metrics.at("validation_loss"), 0.4);
  EXPECT_GT(metrics.at("validation_rewards_chosen"), metrics.at("validation_rewards_rejected"));
  EXPECT_NEAR(metrics.at("validation_rewards_margin"),
              metrics.at("validation_rewards_chosen") - metrics.at("validation_rewards_rejected"),
              1e-9);
  EXPECT_GT(metrics.at("reward_accuracy"), 0.9);
  EXPECT_GT(metrics.at("rewards_margin"), 0.5);
}

TEST_F(PreferenceTask, TellsTheRewardsOfBothAnswersOfTheTrainingsBatches) {
  config_.epochs = 20;
  ASSERT_THAT(Run(config_), IsOk());
  const auto& values = recorder_.metrics.back().values;
  EXPECT_GT(values.at("rewards_chosen"), values.at("rewards_rejected"));
  EXPECT_NEAR(values.at("rewards_margin"),
              values.at("rewards_chosen") - values.at("rewards_rejected"), 1e-9);
}

// Ten small steps down the gradient, which is that of log π(chosen) − log π(rejected).
TEST_F(PreferenceTask, MakesTheChosenAnswerMoreProbableThanItWas) {
  std::string lines;
  for (int i = 0; i < 10; ++i) {
    absl::StrAppend(&lines, R"({"prompt": "say a", "chosen": "aaa", "rejected": "zzz"})", "\n");
  }
  Write("preferences.jsonl", lines);
  config_.optimizer = optim::Sgd{.learning_rate = 0.01};
  config_.epochs = 0;
  config_.steps = 10;
  ASSERT_THAT(Run(config_), IsOk());
  const auto& metrics = recorder_.evaluations.back().metrics;
  EXPECT_GT(metrics.at("validation_rewards_chosen"), 0);
  EXPECT_LT(metrics.at("validation_rewards_rejected"), 0);
  EXPECT_LT(metrics.at("validation_loss"), std::numbers::ln2);
}

// Its reference is that of the first step, not of the step that it goes on with.
TEST_F(PreferenceTask, StoppedAndResumedIsNeverStopped) {
  config_.epochs = 1;
  ExpectSameBitsInPieces(config_);
}

TEST_F(PreferenceTask, StoppedBeforeItsFirstStepBeginsAnew) {
  config_.epochs = 1;
  ASSERT_THAT(Run(config_), IsOk());
  const std::string whole = ModelSha(config_);
  config_.run_directory = NewRun();
  config_.resume = true;
  recorder_.on_progress = [this](const std::string& phase) { stop_ = phase == "training"; };
  EXPECT_EQ(Run(config_).value(), EndReason::kCancelled);
  recorder_.on_progress = nullptr;
  stop_ = false;
  ASSERT_THAT(Run(config_), IsOk());
  EXPECT_EQ(ModelSha(config_), whole);
}

TEST_F(PreferenceTask, RefusesACheckpointWithoutAReference) {
  const auto state = tasks::MakeTask(config_.task)->NewState(config_);
  EXPECT_THAT(state->Restore({}), StatusIs(kInvalid, HasSubstr("no section \"reference\"")));
  checkpoint::RunState cut = StateOf({1, 2, 3, 4});
  cut.sections["reference"].pop_back();
  EXPECT_THAT(state->Restore(cut), StatusIs(kInvalid, HasSubstr("not what was written")));
}

TEST_F(PreferenceTask, IsPlanned) {
  job::Phase phase;
  const auto plan = job::PlanJob(config_, /*measure=*/true, &phase);
  ASSERT_THAT(plan, IsOk());
  EXPECT_GT(*plan->step_seconds, 0);
  // 28 tokens are read of each side, and five of them learned: the answer, the end and a line feed.
  EXPECT_EQ(plan->train_tokens, 54 * 2 * 28);
  EXPECT_EQ(plan->learned_tokens, 54 * 2 * 5);
}

// Two log-probabilities of each of the 60 rows, as floats.
TEST_F(PreferenceTask, IsPlannedWithTheReferencesAnswersInMemoryAndCheckpoints) {
  const auto info = tasks::MakeTask(config_.task)->InspectExamples(config_);
  ASSERT_THAT(info, IsOk());
  EXPECT_EQ(info->kept_bytes, 60 * 2 * 4);
}

// All of its lines are equally long: 27 batches of two evaluate the training part, and three the
// validation part.
TEST_F(PreferenceTask, IsPlannedWithThePassThatComputesTheReference) {
  config_.task = tasks::PreferenceOptimizationOptions{.window = 512, .beta = kBeta};
  config_.model.preset.options = R"({"layers": 1, "heads": 2, "width": 32, "window": 512})";
  const auto task = tasks::MakeTask(config_.task);
  const auto info = task->InspectExamples(config_);
  ASSERT_THAT(info, IsOk());
  constexpr double kValidations = 5;
  const auto evaluated = EvaluatedShapes(*info, kValidations, task->evaluates_training_rows());
  ASSERT_EQ(evaluated.size(), 1u);
  EXPECT_EQ(evaluated[0].shape.batch, 2);
  EXPECT_EQ(evaluated[0].batches, 27 + 3 + kValidations * 3);
}

TEST_F(PreferenceTask, MakesUpExamplesOfAShapeThatIsEvaluated) {
  const auto task = tasks::MakeTask(config_.task);
  const auto info = task->InspectExamples(config_);
  ASSERT_THAT(info, IsOk());
  const tasks::BatchShape shape = info->evaluated_train_shapes.front().shape;
  const auto examples = task->MakeUpExamples(config_, *info, shape.batch, shape.bucket);
  ASSERT_THAT(examples, IsOk());
  std::vector<int32_t> rows(static_cast<size_t>(shape.batch));
  std::iota(rows.begin(), rows.end(), 0);
  EXPECT_EQ(task->BucketOf(*examples, rows, nullptr), shape.bucket);
}

TEST_F(PreferenceTask, LeavesALanguageModelThatIsAsked) {
  config_.epochs = 1;
  ASSERT_THAT(Run(config_), IsOk());
  const std::string directory = config_.run_directory + "/model";
  const auto json = checkpoint::LoadModelJson(directory);
  ASSERT_THAT(json, IsOk());
  const auto file = tasks::ModelFileFromJson(*json);
  ASSERT_THAT(file, IsOk());
  const auto* const task = std::get_if<tasks::LanguageModelingOptions>(&file->task);
  ASSERT_NE(task, nullptr);
  EXPECT_EQ(task->window, kWindow);
  EXPECT_EQ(task->documents, tasks::Documents::kChats);
  const auto model = predict::Predictor::Load(directory, 1);
  ASSERT_THAT(model, IsOk());
  const auto example = (*model)->Read(
      tasks::WritingQuestion{
          .messages = {{"user", "say c"}}, .count = 3, .sampling = {.temperature = 0}},
      "wish");
  ASSERT_THAT(example, IsOk());
  EXPECT_THAT((*model)->Predict({&*example, 1}), IsOk());
}

TEST_F(PreferenceTask, RefusesABetaOfZero) {
  config_.task = tasks::PreferenceOptimizationOptions{.window = kWindow, .beta = 0};
  EXPECT_THAT(Run(config_), StatusIs(kInvalid, HasSubstr("preference_optimization.beta")));
}

}  // namespace
}  // namespace hone::engine::train
