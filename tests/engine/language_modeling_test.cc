#include "engine/tasks/language_modeling.h"

#include <gmock/gmock.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

#include "absl/strings/str_cat.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/data/running_text.h"
#include "engine/job/evaluator.h"
#include "engine/job/plan.h"
#include "engine/tasks/model_file.h"
#include "engine/tasks/table.h"
#include "engine/tensor/token_rows.h"
#include "tests/engine/task_testing.h"
#include "tests/support/status_matchers.h"

// Language models, from a text to their loss on its end.
namespace hone::engine::train {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int64_t kWindow = 16;
constexpr int64_t kVocabulary = 3 + 6;  // special tokens, letters
// The loss of whoever looks at the last character alone: three of eight stand behind an a, which is
// b, c or d, and all others are told.
const double kLossOfPairs = 3.0 / 8 * std::log(3);

class LanguageTask : public TrainTest {
 protected:
  LanguageTask() {
    std::string text;
    while (text.size() < 1500) {
      text += "abacadef";  // what follows an a is told by what stood before it
    }
    Write("text.txt", text);
    config_.task = tasks::LanguageModelingOptions{.window = kWindow};
    config_.data.task = data::Task::kLanguageModeling;
    config_.data.path = Path("text.txt");
    config_.data.text.emplace();
    config_.data.text->tokenizer = text::CharacterTokens();
    config_.data.validation_fraction = 0.1;
    config_.data.test_fraction = 0;
    config_.model.inputs = {std::string(kTokensInput), std::string(kOffsetsInput)};
    config_.model.preset = Gpt();
    config_.optimizer = optim::Adam{.learning_rate = 0.01};
    config_.epochs = 40;
    config_.batch_size = 8;
    config_.threads = 2;
  }

  static models::PresetDescription Gpt(nlohmann::json changes = nlohmann::json::object()) {
    nlohmann::json options = {{"layers", 1}, {"heads", 2}, {"width", 32}, {"window", kWindow}};
    options.update(changes);
    return {.name = "gpt", .options = options.dump()};
  }
  // The states of a recurrence, and so many numbers made of each.
  void UseLayers(int64_t units, bool bidirectional = false) {
    config_.model.preset = {};
    config_.model.layers = {
        Of(layers::EmbeddingOptions{.width = 16}),
        Of(models::Gru{{.units = 16, .bidirectional = bidirectional, .return_sequences = true}}),
        DenseLayer(units)};
    config_.model = models::WithNames(config_.model).value();
  }

  std::map<std::string, double> Trained() {
    config_.run_directory = NewRun();
    EXPECT_THAT(Run(config_), IsOk());
    return recorder_.evaluations.empty() ? std::map<std::string, double>()
                                         : recorder_.evaluations.back().metrics;
  }

  tasks::TrainingConfig config_;
};

TEST_F(LanguageTask, LearnsAPatternThatNeedsMoreThanTheLastCharacter) {
  const auto metrics = Trained();
  EXPECT_LT(metrics.at("validation_loss"), 0.1);
  EXPECT_GT(metrics.at("token_accuracy"), 0.8);
  EXPECT_NEAR(metrics.at("validation_perplexity"), std::exp(metrics.at("validation_loss")), 1e-9);
  EXPECT_NEAR(metrics.at("validation_bits_per_byte"),
              metrics.at("validation_loss") / std::numbers::ln2, 1e-9);
}

TEST_F(LanguageTask, LearnsWithPositionsOfEachKind) {
  for (const char* positions : {"sinusoidal", "rotary"}) {
    config_.model.preset = Gpt({{"positions", positions}});
    EXPECT_LT(Trained().at("validation_loss"), 0.9 * kLossOfPairs) << positions;
  }
}

TEST_F(LanguageTask, LearnsWithATableOfItsOwnForTheOutput) {
  config_.model.preset = Gpt({{"tied_embeddings", false}, {"use_bias", true}, {"dropout", 0.05}});
  EXPECT_LT(Trained().at("validation_loss"), 0.9 * kLossOfPairs);
}

TEST_F(LanguageTask, LearnsByAListOfLayers) {
  UseLayers(kVocabulary);
  EXPECT_LT(Trained().at("validation_loss"), 0.9 * kLossOfPairs);
}

TEST_F(LanguageTask, LearnsPairsWithoutALayerThatJoinsTokens) {
  UseLayers(kVocabulary);
  config_.model.layers.erase(config_.model.layers.begin() + 1);
  EXPECT_NEAR(Trained().at("validation_loss"), kLossOfPairs, 0.1);
}

TEST_F(LanguageTask, BeginsAsIfAllTokensWereEquallyLikely) {
  config_.epochs = 0;
  config_.steps = 1;
  config_.optimizer = optim::Sgd{.learning_rate = 1e-6};
  EXPECT_NEAR(Trained().at("validation_loss"), std::log(kVocabulary), 0.15);
}

// With z its loss is log n + z (log n + what all logits have in common)², where these are about 0.
TEST_F(LanguageTask, AddsTheSquareOfTheSoftmaxsSumToTheTrainingAlone) {
  config_.task = tasks::LanguageModelingOptions{.window = kWindow, .z_loss = 0.5f};
  config_.epochs = 0;
  config_.steps = 1;
  config_.optimizer = optim::Sgd{.learning_rate = 1e-6};
  EXPECT_NEAR(Trained().at("validation_loss"), std::log(kVocabulary), 0.15);
  const double at_start = std::log(kVocabulary) + 0.5 * std::pow(std::log(kVocabulary), 2);
  EXPECT_NEAR(recorder_.metrics.back().values.at("loss"), at_start, 0.5);
}

TEST_F(LanguageTask, IsEvaluatedAsItsWindowsAreOneByOne) {
  config_.epochs = 2;
  const double reported = Trained().at("validation_loss");
  const auto model = checkpoint::LoadModel(config_.run_directory + "/model");
  ASSERT_THAT(model, IsOk());
  const tasks::ModelFile file = tasks::ModelFileFromJson(model->model_json).value();
  const auto task = tasks::MakeTask(file.task);
  tasks::DataInfo info;
  info.preprocessing = file.preprocessing;
  const data::LoadedData data = task->MakeExamples(config_.data, config_).value();
  const data::RunningText& text = data::RunningTextOf(data.dataset);
  double sum = 0;
  int64_t count = 0;
  for (const int32_t row : data.splits.validation) {
    const std::span<const int32_t> window = text.window(row, 0);
    const int64_t length = text.length(row), rows = PlannedRows(length);
    const auto graph = task->BuildEvaluation(config_, info, {.batch = 1, .bucket = rows});
    ASSERT_THAT(graph, IsOk());
    ParameterStore store;
    for (const Graph::Node& node : graph->built.graph->nodes()) {
      if (node.kind == Graph::Node::Kind::kParameter) {
        ASSERT_THAT(store.Declare(node.parameter), IsOk());
      }
    }
    store.Allocate(0);
    auto program = Program::Compile(graph->built.request, store, {});
    ASSERT_THAT(program, IsOk());
    Buffer arena(std::max<int64_t>(program->arena_bytes(), 64));
    ASSERT_THAT(program->Bind(arena.as<std::byte>()), IsOk());
    ASSERT_THAT(tasks::ReadModel(model->tensors, store), IsOk());
    const tasks::Inputs inputs(*program, {.batch = 1, .bucket = rows});
    const auto tokens = inputs.Find<int32_t>(kTokensInput).value();
    std::ranges::fill(tokens, 0);
    std::ranges::copy(window.first(static_cast<size_t>(length)), tokens.begin());
    std::ranges::fill(inputs.Find<int32_t>("targets").value(), -1);
    const auto offsets = inputs.Find<int32_t>(kOffsetsInput).value();
    offsets[0] = 0;
    offsets[1] = static_cast<int32_t>(length);
    ASSERT_THAT(program->Run({}), IsOk());
    const auto* const logits = static_cast<const float*>(program->fetched(tasks::kFetchOutput));
    for (int64_t i = 0; i < length; ++i) {
      const float* const of = logits + i * kVocabulary;
      double exponentials = 0;
      for (int64_t v = 0; v < kVocabulary; ++v) {
        exponentials += std::exp(static_cast<double>(of[v]));
      }
      sum += std::log(exponentials) - of[window[static_cast<size_t>(i) + 1]];
      ++count;
    }
  }
  EXPECT_EQ(count + 1, static_cast<int64_t>(text.part(1).tokens.size()));
  EXPECT_NEAR(reported, sum / static_cast<double>(count), 1e-5);
}

TEST_F(LanguageTask, StoppedAndResumedIsNeverStopped) {
  config_.epochs = 1;
  config_.model.preset = Gpt({{"dropout", 0.1}});
  ExpectSameBitsInPieces(config_);
}

// With windows of one token nothing but the state tells what stood before.
TEST_F(LanguageTask, CarriesItsStateFromWindowToWindow) {
  UseLayers(kVocabulary);
  config_.epochs = 15;
  config_.task = tasks::LanguageModelingOptions{.window = 1, .carry_state = true};
  EXPECT_LT(Trained().at("validation_loss"), 0.5 * kLossOfPairs);
  config_.epochs = 5;
  config_.task = tasks::LanguageModelingOptions{.window = 1};
  EXPECT_GT(Trained().at("validation_loss"), 0.9 * kLossOfPairs);
}

TEST_F(LanguageTask, StoppedAndResumedCarriesItsStateOn) {
  UseLayers(kVocabulary);
  config_.task = tasks::LanguageModelingOptions{.window = kWindow, .carry_state = true};
  config_.epochs = 2;
  config_.layer_statistics_every = 1;
  Trained();
  const std::string whole = ModelSha(config_);
  config_.run_directory = NewRun();
  config_.resume = true;
  recorder_.on_step = [this](int64_t) { stop_ = true; };
  int attempts = 1;
  for (; Run(config_).value() == EndReason::kCancelled; ++attempts) {
    stop_ = false;
  }
  EXPECT_GT(attempts, 5);
  EXPECT_EQ(ModelSha(config_), whole);
}

TEST_F(LanguageTask, WithCarriedStateIsPlannedAndTimed) {
  UseLayers(kVocabulary);
  config_.task = tasks::LanguageModelingOptions{.window = kWindow, .carry_state = true};
  job::Phase phase;
  const auto plan = job::PlanJob(config_, /*measure=*/true, &phase);
  ASSERT_THAT(plan, IsOk());
  // Eight rows of the training, eight of an evaluation, sixteen units.
  EXPECT_EQ(plan->buffer_values, 2 * 8 * 16);
  EXPECT_GT(*plan->step_seconds, 0);
}

TEST_F(LanguageTask, RefusesToCarryTheStateOfLayersThatHaveNone) {
  config_.task = tasks::LanguageModelingOptions{.window = kWindow, .carry_state = true};
  config_.run_directory = NewRun();
  EXPECT_THAT(Run(config_), StatusIs(kInvalid, AllOf(HasSubstr("language_modeling.carry_state"),
                                                     HasSubstr("preset gpt"))));
  UseLayers(kVocabulary);
  config_.model.layers.insert(config_.model.layers.begin() + 1,
                              Of(layers::AttentionOptions{.heads = 2, .causal = true}));
  config_.model = models::WithNames(config_.model).value();
  config_.run_directory = NewRun();
  EXPECT_THAT(Run(config_), StatusIs(kInvalid, AllOf(HasSubstr("language_modeling.carry_state"),
                                                     HasSubstr("(attention_1)"))));
}

TEST_F(LanguageTask, RefusesMoreRowsThatCarryTheirStateThanTheTextHasWindows) {
  UseLayers(kVocabulary);
  config_.task = tasks::LanguageModelingOptions{.window = kWindow, .carry_state = true};
  config_.batch_size = 100;
  config_.run_directory = NewRun();
  EXPECT_THAT(Run(config_), StatusIs(kInvalid, AllOf(HasSubstr("in each of 100 rows"),
                                                     HasSubstr("training.batch_size"))));
}

TEST_F(LanguageTask, IsPlannedAndTimed) {
  job::Phase phase;
  const auto plan = job::PlanJob(config_, /*measure=*/true, &phase);
  ASSERT_THAT(plan, IsOk());
  const auto table =
      std::ranges::find(plan->layers, "token_embedding", &models::LayerSummary::name);
  ASSERT_NE(table, plan->layers.end());
  EXPECT_EQ(table->weights, kVocabulary * 32);
  EXPECT_GT(*plan->step_seconds, 0);
}

TEST_F(LanguageTask, RefusesLayersThatShowATokenWhatIsBehindIt) {
  UseLayers(kVocabulary, /*bidirectional=*/true);
  config_.run_directory = NewRun();
  EXPECT_THAT(Run(config_), StatusIs(kInvalid, AllOf(HasSubstr("model.layers[1] (gru"),
                                                     HasSubstr("no token behind"))));
}

TEST_F(LanguageTask, ByItsPlanRefusesFewerLearnedPositionsThanTheWindowHasTokens) {
  UseLayers(kVocabulary);
  config_.model.layers.insert(config_.model.layers.begin() + 1,
                              Of(layers::PositionsOptions{.length = kWindow - 1}));
  config_.model = models::WithNames(config_.model).value();
  job::Phase phase;
  EXPECT_THAT(job::PlanJob(config_, /*measure=*/false, &phase),
              StatusIs(kInvalid, AllOf(HasSubstr("model.layers[1] (positions_1): length"),
                                       HasSubstr(absl::StrCat("at least ", kWindow)))));
}

TEST_F(LanguageTask, RefusesAnOutputThatIsNotOneNumberForEachToken) {
  UseLayers(5);
  config_.run_directory = NewRun();
  EXPECT_THAT(Run(config_), StatusIs(kInvalid, AllOf(HasSubstr("(dense"), HasSubstr("9 numbers"))));
}

TEST_F(LanguageTask, RefusesATextThatIsShorterThanAWindow) {
  config_.task = tasks::LanguageModelingOptions{.window = 5000};
  config_.run_directory = NewRun();
  EXPECT_THAT(Run(config_), StatusIs(kInvalid, HasSubstr("language_modeling.window")));
}

TEST_F(LanguageTask, IsEvaluatedOnAnotherText) {
  Trained();
  Write("other.txt", "abacadefabacadefabacadef");
  job::EvaluationConfig evaluation;
  evaluation.models = {config_.run_directory + "/model"};
  evaluation.data.path = Path("other.txt");
  evaluation.threads = 2;
  evaluation.run_directory = NewRun();
  job::Phase phase;
  const auto result = job::Evaluate(evaluation, stop_, recorder_, phase);
  ASSERT_THAT(result, IsOk());
  EXPECT_LT(result->evaluation.metrics.at("test_loss"), 0.5);
}

TEST_F(LanguageTask, IsKeptWithItsWindow) {
  config_.epochs = 1;
  Trained();
  const auto json = checkpoint::LoadModelJson(config_.run_directory + "/model");
  ASSERT_THAT(json, IsOk());
  const auto file = tasks::ModelFileFromJson(*json);
  ASSERT_THAT(file, IsOk());
  EXPECT_EQ(std::get<tasks::LanguageModelingOptions>(file->task).window, kWindow);
}

}  // namespace
}  // namespace hone::engine::train
