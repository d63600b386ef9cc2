#include "engine/data/packed_documents.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/data/texts.h"
#include "engine/job/evaluator.h"
#include "engine/job/plan.h"
#include "engine/predict/predictor.h"
#include "engine/tasks/language_modeling.h"
#include "engine/tensor/token_rows.h"
#include "tests/engine/task_testing.h"
#include "tests/support/status_matchers.h"
#include "tests/support/task_gradients.h"

// Language models of documents that share rows: how they are packed, that they see nothing of each
// other, and what a model that learned from them writes.
namespace hone::engine::train {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kWindow = 16;
constexpr data::PackedDocuments::Special kSpecial = {1, 2};

// Texts of so many tokens, 10, 11, …, all of the training part.
data::PackedDocuments Packed(const std::vector<int64_t>& lengths) {
  const auto texts = std::make_shared<data::Texts>();
  data::Splits parts;
  int32_t token = 10;
  for (const int64_t length : lengths) {
    std::vector<int32_t> tokens(static_cast<size_t>(length));
    std::ranges::generate(tokens, [&] { return token++; });
    parts.train.push_back(static_cast<int32_t>(texts->size()));
    texts->Add(tokens);
  }
  return data::PackedDocuments(data::Dataset(std::shared_ptr<const data::OwnExamples>(texts)),
                               parts, kSpecial, kWindow);
}

std::vector<int64_t> PiecesOf(const data::PackedDocuments& documents, int32_t row) {
  std::vector<int64_t> lengths;
  for (int64_t i = 0; i < documents.CountPieces(row); ++i) {
    lengths.push_back(std::ssize(documents.piece(row, i)) - 1);
  }
  return lengths;
}

TEST(PackedDocuments, StandBetweenTheirBeginAndTheirEnd) {
  const data::PackedDocuments documents = Packed({3});
  ASSERT_EQ(documents.size(), 1);
  EXPECT_THAT(documents.piece(0, 0), ElementsAre(1, 10, 11, 12, 2));
}

TEST(PackedDocuments, GoWhereLeastRoomIsLeftOver) {
  // With their begin tokens they are 12, 5, 9, 4 and 7 long.
  const data::PackedDocuments documents = Packed({11, 4, 8, 3, 6});
  ASSERT_EQ(documents.size(), 3);
  EXPECT_THAT(PiecesOf(documents, 0), ElementsAre(12, 4));
  EXPECT_THAT(PiecesOf(documents, 1), ElementsAre(9, 7));
  EXPECT_THAT(PiecesOf(documents, 2), ElementsAre(5));
}

TEST(PackedDocuments, LongerThanTheWindowAreCutSoThatEachTokenIsForetoldOnce) {
  const data::PackedDocuments documents = Packed({2 * kWindow + 3});
  ASSERT_EQ(documents.size(), 3);
  EXPECT_EQ(documents.piece(0, 0).front(), kSpecial.begin);
  EXPECT_EQ(documents.piece(0, 0).back(), documents.piece(1, 0).front());
  EXPECT_EQ(documents.piece(1, 0).back(), documents.piece(2, 0).front());
  EXPECT_EQ(documents.piece(2, 0).back(), kSpecial.end);
  EXPECT_EQ(documents.CountTokens(documents.splits().train), 2 * kWindow + 3 + 1);
}

// Documents in rows as they are given.
data::Dataset RowsOf(const std::vector<std::vector<std::vector<int32_t>>>& rows) {
  const auto documents = std::make_shared<data::PackedDocuments>();
  for (const auto& row : rows) {
    documents->AddRow(row);
  }
  return data::Dataset(std::shared_ptr<const data::OwnExamples>(documents));
}

// Documents are lines of some x, then "abc".
class PackedTask : public TrainTest {
 protected:
  PackedTask() {
    std::string lines;
    for (int i = 1; i <= 60; ++i) {
      lines += std::string(static_cast<size_t>(i), 'x') + "abc\n";
    }
    Write("lines.txt", lines);
    config_.task =
        tasks::LanguageModelingOptions{.window = kWindow, .documents = tasks::Documents::kPacked};
    config_.data.task = data::Task::kLanguageModeling;
    config_.data.path = Path("lines.txt");
    config_.data.text.emplace();
    config_.data.text->tokenizer = text::CharacterTokens();
    config_.data.validation_fraction = 0.1;
    config_.data.test_fraction = 0;
    UseGpt();
    config_.optimizer = optim::Adam{.learning_rate = 0.01};
    config_.epochs = 30;
    config_.batch_size = 8;
    config_.threads = 2;
    config_.run_directory = NewRun();
  }

  void UseGpt() {
    config_.model = {};
    config_.model.inputs = {std::string(kTokensInput), std::string(kOffsetsInput)};
    config_.model.preset = {.name = "gpt",
                            .options = R"({"layers": 1, "heads": 2, "width": 32, "window": 16})"};
  }
  void UseLayers(models::LayerDescription joins) {
    config_.model.preset = {};
    config_.model.layers = {Of(layers::EmbeddingOptions{.width = 12}), std::move(joins),
                            DenseLayer(3 + 4)};
    config_.model = models::WithNames(config_.model).value();
  }

  // The loss's sum of a batch of all rows, and its gradients, one behind the other.
  std::vector<double> LossAndGradients(const data::Dataset& dataset) const {
    const std::string letters = "xabc";
    return hone::engine::testing::LossAndGradients(
        config_,
        text::TrainTokenizer(text::CharacterTokens(),
                             {1, [&](int64_t) { return absl::string_view(letters); }})
            .value(),
        dataset, {.weights = 4});  // so that what a document would see of another one shows
  }

  void ExpectSameAsAlone() {
    const std::vector<int32_t> a = {1, 3, 3, 4, 5, 6, 2}, b = {1, 4, 5, 2}, c = {1, 3, 4, 5, 6, 2},
                               d = {1, 5, 6, 3, 3, 2};
    const std::vector<double> packed = LossAndGradients(RowsOf({{a, b}, {c, d}}));
    std::vector<double> alone(packed.size());
    for (const std::vector<int32_t>& document : {a, b, c, d}) {
      const std::vector<double> one = LossAndGradients(RowsOf({{document}}));
      ASSERT_EQ(one.size(), alone.size());
      std::ranges::transform(alone, one, alone.begin(), std::plus());
    }
    EXPECT_NEAR(packed[0], alone[0], 1e-5 * alone[0]);
    double difference = 0, norm = 0;
    for (size_t i = 1; i < packed.size(); ++i) {
      difference += std::pow(packed[i] - alone[i], 2);
      norm += std::pow(alone[i], 2);
    }
    EXPECT_GT(norm, 0);
    EXPECT_LE(std::sqrt(difference), 1e-5 * std::sqrt(norm));
  }

  tasks::TrainingConfig config_;
};

TEST_F(PackedTask, HasTheLossAndGradientsOfItsDocumentsAloneByAttention) { ExpectSameAsAlone(); }

TEST_F(PackedTask, HasTheLossAndGradientsOfItsDocumentsAloneByRecurrence) {
  UseLayers(Of(models::Lstm{{.units = 8, .return_sequences = true}}));
  ExpectSameAsAlone();
}

TEST_F(PackedTask, HasTheLossAndGradientsOfItsDocumentsAloneByConvolution) {
  UseLayers(Of(layers::Conv1dOptions{.filters = 8, .kernel = 3, .causal = true}));
  ExpectSameAsAlone();
}

TEST_F(PackedTask, LearnsWhereDocumentsEndAndWritesToTheirEnd) {
  ASSERT_THAT(Run(config_), IsOk());
  const auto metrics = recorder_.evaluations.back().metrics;
  EXPECT_LT(metrics.at("validation_loss"), 0.5);
  EXPECT_FALSE(metrics.contains("validation_bits_per_byte"));
  const auto model = predict::Predictor::Load(config_.run_directory + "/model", 1);
  ASSERT_THAT(model, IsOk());
  tasks::WritingQuestion wish = {.prompt = "xxa", .count = 8, .sampling = {.temperature = 0}};
  std::string text;
  auto end = tasks::Prediction::Writing::End::kNone;
  while (end == tasks::Prediction::Writing::End::kNone) {
    const auto example = (*model)->Read(wish, "wish");
    ASSERT_THAT(example, IsOk());
    const auto answer = (*model)->Predict({&*example, 1});
    ASSERT_THAT(answer, IsOk());
    text += answer->front().writing->text;
    end = answer->front().writing->end;
    wish.state = answer->front().writing->state;
  }
  EXPECT_EQ(text, "bc");
  EXPECT_EQ(end, tasks::Prediction::Writing::End::kEndOfText);
}

TEST_F(PackedTask, StoppedAndResumedIsNeverStopped) {
  config_.epochs = 1;
  config_.layer_statistics_every = 1;
  EXPECT_THAT(Run(config_), IsOk());
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

TEST_F(PackedTask, IsPlannedAndTimed) {
  job::Phase phase;
  const auto plan = job::PlanJob(config_, /*measure=*/true, &phase);
  ASSERT_THAT(plan, IsOk());
  EXPECT_GT(*plan->step_seconds, 0);
}

// Three rows of ten tokens are planned as 32.
TEST_F(PackedTask, IsPlannedAndTimedWhereAFullBatchDoesNotFillItsBucket) {
  config_.task =
      tasks::LanguageModelingOptions{.window = 10, .documents = tasks::Documents::kPacked};
  config_.model.preset.options = R"({"layers": 1, "heads": 2, "width": 32, "window": 10})";
  config_.batch_size = 3;
  config_.epochs = 1;
  job::Phase phase;
  EXPECT_THAT(job::PlanJob(config_, /*measure=*/true, &phase), IsOk());
}

TEST_F(PackedTask, HasWholeDocumentsWhereAnEarlierModelHadTheirBegins) {
  const std::string letters = "xabc";
  const data::TextPreprocessing like = {
      .tokenizer = text::TrainTokenizer(text::CharacterTokens(),
                                        {1, [&](int64_t) { return absl::string_view(letters); }})
                       .value(),
      .max_tokens = 5};
  config_.data.text->like = std::make_shared<const data::TextPreprocessing>(like);
  const auto loaded = data::LoadPackedDocuments(config_.data, kWindow);
  ASSERT_THAT(loaded, IsOk());
  EXPECT_EQ(loaded->preprocessing.text->max_tokens, 0);
  const data::PackedDocuments& documents = data::PackedDocumentsOf(loaded->dataset);
  // Lines of 4 to 63 characters, and the end of each.
  EXPECT_EQ(documents.CountTokens(loaded->splits.train) +
                documents.CountTokens(loaded->splits.validation),
            60 * (5 + 64) / 2);
}

TEST_F(PackedTask, IsEvaluatedOnOtherDocuments) {
  config_.epochs = 2;
  ASSERT_THAT(Run(config_), IsOk());
  Write("other.txt", "xxabc\nxxxabc\n");
  job::EvaluationConfig evaluation;
  evaluation.models = {config_.run_directory + "/model"};
  evaluation.data.path = Path("other.txt");
  evaluation.threads = 2;
  evaluation.run_directory = NewRun();
  job::Phase phase;
  const auto result = job::Evaluate(evaluation, stop_, recorder_, phase);
  ASSERT_THAT(result, IsOk());
  EXPECT_GT(result->evaluation.metrics.at("test_loss"), 0);
}

TEST_F(PackedTask, RefusesToCarryState) {
  config_.task = tasks::LanguageModelingOptions{
      .window = kWindow, .carry_state = true, .documents = tasks::Documents::kPacked};
  EXPECT_THAT(Run(config_), StatusIs(kInvalid, AllOf(HasSubstr("language_modeling.carry_state"),
                                                     HasSubstr("packed"))));
}

}  // namespace
}  // namespace hone::engine::train
