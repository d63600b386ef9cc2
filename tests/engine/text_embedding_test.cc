#include "engine/tasks/text_embedding.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "engine/base/rng.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/data/text_pairs.h"
#include "engine/job/evaluator.h"
#include "engine/job/plan.h"
#include "engine/predict/predictor.h"
#include "engine/tasks/model_file.h"
#include "engine/tasks/similarity_ranks.h"
#include "engine/tasks/table.h"
#include "engine/tensor/token_rows.h"
#include "tests/engine/task_testing.h"
#include "tests/support/status_matchers.h"

// Vectors of texts, from pairs to answers.
namespace hone::engine::train {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr int kWords = 12;

class EmbeddingTask : public TrainTest {
 protected:
  // A pair says two things, in words that its two texts do not share: what belongs together is
  // learned of one part of the combinations, and found in the others.
  EmbeddingTask() {
    std::string table = "question\tanswer\n";
    for (int a = 0; a < kWords; ++a) {
      for (int b = 0; b < kWords; ++b) {
        absl::StrAppend(&table, "ask", a, " and want", b, "\tsay", a, " and give", b, "\n");
      }
    }
    Write("pairs.tsv", table);
    config_.task = tasks::TextEmbeddingOptions();
    config_.data.task = data::Task::kTextPairs;
    config_.data.path = Path("pairs.tsv");
    config_.data.text.emplace();
    config_.data.text->columns = {"question"};
    config_.data.text->second_columns = {"answer"};
    config_.data.validation_fraction = 0.1;
    config_.model.inputs = {std::string(kTokensInput), std::string(kOffsetsInput)};
    config_.model.layers = {Of(layers::EmbeddingOptions{.width = 32}),
                            Of(layers::SequencePoolOptions())};
    config_.model = models::WithNames(config_.model).value();
    config_.optimizer = optim::Adam{.learning_rate = 0.02};
    config_.epochs = 40;
    config_.batch_size = 16;
    config_.threads = 2;
  }

  static models::PresetDescription Encoder() {
    const nlohmann::json options = {
        {"layers", 1}, {"heads", 2}, {"width", 32}, {"length", 8}, {"dropout", 0}};
    return {.name = "transformer_encoder", .options = options.dump()};
  }

  std::map<std::string, double> Trained() {
    config_.run_directory = NewRun();
    EXPECT_THAT(Run(config_), IsOk());
    return recorder_.evaluations.empty() ? std::map<std::string, double>()
                                         : recorder_.evaluations.back().metrics;
  }

  std::unique_ptr<predict::Predictor> Model() const {
    return predict::Predictor::Load(config_.run_directory + "/model", 2).value();
  }

  tasks::TrainingConfig config_;
};

TEST_F(EmbeddingTask, FindsTheSecondTextsOfPairsThatItHasNotSeen) {
  const auto metrics = Trained();
  EXPECT_GT(metrics.at("recall_at_1"), 0.9);
  EXPECT_GT(metrics.at("mrr"), 0.93);
  EXPECT_GT(metrics.at("in_batch_accuracy"), 0.9);
  EXPECT_TRUE(metrics.contains("test_loss"));
  EXPECT_TRUE(metrics.contains("validation_recall_at_1"));
}

TEST_F(EmbeddingTask, SaysWhatItFoundBeforeTheTraining) {
  const auto metrics = Trained();
  EXPECT_LT(metrics.at("start_recall_at_1"), 0.5);
  EXPECT_GT(metrics.at("start_loss"), metrics.at("test_loss"));
  EXPECT_THAT(recorder_.infos, Contains(HasSubstr("before the training: mrr")));
}

TEST_F(EmbeddingTask, TheStartIsKnownToARunThatIsResumed) {
  config_.epochs = 2;
  const double start = Trained().at("start_recall_at_1");
  config_.layer_statistics_every = 1;
  config_.run_directory = NewRun();
  config_.resume = true;
  recorder_.on_step = [this](int64_t) { stop_ = true; };
  ASSERT_EQ(Run(config_).value(), EndReason::kCancelled);
  recorder_.on_step = nullptr;
  stop_ = false;
  ASSERT_EQ(Run(config_).value(), EndReason::kCompleted);
  EXPECT_EQ(recorder_.evaluations.back().metrics.at("start_recall_at_1"), start);
}

TEST_F(EmbeddingTask, LearnsByThePresetWithEitherPooling) {
  config_.model.layers = {};
  config_.model.preset = Encoder();
  config_.optimizer = optim::Adam{.learning_rate = 0.005};
  for (const auto pooling : {tasks::TextEmbeddingOptions::Pooling::kMean,
                             tasks::TextEmbeddingOptions::Pooling::kFirst}) {
    config_.task = tasks::TextEmbeddingOptions{.pooling = pooling};
    const auto metrics = Trained();
    EXPECT_GT(metrics.at("recall_at_1"), metrics.at("start_recall_at_1"));
  }
}

TEST_F(EmbeddingTask, StoppedAndResumedIsNeverStopped) {
  config_.epochs = 1;
  ExpectSameBitsInPieces(config_);
}

TEST_F(EmbeddingTask, IsPlannedAndTimed) {
  job::Phase phase;
  const auto plan = job::PlanJob(config_, /*measure=*/true, &phase);
  ASSERT_THAT(plan, IsOk());
  EXPECT_GT(*plan->step_seconds, 0);
}

TEST_F(EmbeddingTask, EachTextOfAPairIsReadByItself) {
  const auto loaded = tasks::MakeTask(config_.task)->MakeExamples(config_.data, config_);
  ASSERT_THAT(loaded, IsOk());
  const data::TextPairs& pairs = data::TextPairsOf(loaded->dataset);
  EXPECT_EQ(pairs.size(), kWords * kWords);
  const text::Tokenizer& tokenizer = *loaded->preprocessing.text->tokenizer;
  EXPECT_EQ(tokenizer.Decode(pairs.first(13)), "ask1 and want1");
  EXPECT_EQ(tokenizer.Decode(pairs.second(13)), "say1 and give1");
  EXPECT_FALSE(loaded->preprocessing.text->pairs);
  const int32_t rows[] = {13, 14};
  EXPECT_EQ(pairs.CountTokens(rows), 12);
}

TEST_F(EmbeddingTask, AnswersWithAVectorOfLengthOne) {
  config_.epochs = 1;
  Trained();
  const auto model = Model();
  const tasks::Example example = model->Read(tasks::TextQuestion{"ask1 and want2"}, "it").value();
  const auto answers = model->Predict({&example, 1});
  ASSERT_THAT(answers, IsOk());
  const std::vector<float>& vector = answers->front().embedding->values;
  ASSERT_THAT(vector, SizeIs(32));
  EXPECT_NEAR(std::inner_product(vector.begin(), vector.end(), vector.begin(), 0.0), 1, 1e-5);
  EXPECT_FALSE(answers->front().embedding->similarity.has_value());
}

TEST_F(EmbeddingTask, AnswersAPairWithItsSimilarityAmongOtherQuestions) {
  Trained();
  const auto model = Model();
  const auto ask = [&](const std::string& text, std::optional<std::string> second) {
    return model->Read(tasks::TextQuestion{.text = text, .second = std::move(second)}, "it")
        .value();
  };
  const std::vector<tasks::Example> examples = {
      ask("ask1 and want2", "say1 and give2"), ask("ask1 and want2", std::nullopt),
      ask("ask1 and want2", "say7 and give8"), ask("ask1 and want2", "ask1 and want2")};
  const auto answers = model->Predict(examples);
  ASSERT_THAT(answers, IsOk());
  ASSERT_THAT(*answers, SizeIs(4));
  EXPECT_GT(*(*answers)[0].embedding->similarity, *(*answers)[2].embedding->similarity + 0.2);
  EXPECT_EQ((*answers)[0].embedding->values, (*answers)[1].embedding->values);
  EXPECT_NEAR(*(*answers)[3].embedding->similarity, 1, 1e-5);
}

TEST_F(EmbeddingTask, AModelIsEvaluatedOnItsDataAgain) {
  const double recall = Trained().at("recall_at_1");
  job::EvaluationConfig evaluation;
  evaluation.models = {config_.run_directory + "/model"};
  evaluation.data = config_.data;
  evaluation.part = job::EvaluationConfig::Part::kTest;
  evaluation.batch_size = 16;
  evaluation.threads = 2;
  evaluation.run_directory = NewRun();
  job::Phase phase;
  const auto result = job::Evaluate(evaluation, stop_, recorder_, phase);
  ASSERT_THAT(result, IsOk());
  EXPECT_NEAR(result->evaluation.metrics.at("recall_at_1"), recall, 1e-9);
}

TEST_F(EmbeddingTask, ItsOptionsComeBackFromTheModelFile) {
  config_.task = tasks::TextEmbeddingOptions{
      .pooling = tasks::TextEmbeddingOptions::Pooling::kFirst, .scale = 10};
  config_.epochs = 1;
  Trained();
  const auto json = checkpoint::LoadModelJson(config_.run_directory + "/model");
  const auto options = std::get<tasks::TextEmbeddingOptions>(tasks::ModelFileFromJson(*json)->task);
  EXPECT_EQ(options.pooling, tasks::TextEmbeddingOptions::Pooling::kFirst);
  EXPECT_EQ(options.scale, 10);
}

TEST_F(EmbeddingTask, RefusesDataWithoutSecondTexts) {
  config_.data.text->second_columns = {};
  config_.run_directory = NewRun();
  EXPECT_THAT(Run(config_), StatusIs(kInvalid, HasSubstr("data.text.second_columns")));
}

TEST_F(EmbeddingTask, RefusesANetThatForetellsFromTheLeft) {
  config_.model.layers = {};
  config_.model.preset = {.name = "gpt", .options = R"({"positions": "rotary"})"};
  config_.run_directory = NewRun();
  EXPECT_THAT(Run(config_), StatusIs(kInvalid, AllOf(HasSubstr("model.preset (gpt)"),
                                                     HasSubstr("transformer_encoder"))));
}

TEST(SimilarityRanks, CountThoseThatAreMoreSimilar) {
  const std::vector<float> first = {1, 0, 0, 1, 0.6f, 0.8f};
  const std::vector<float> second = {0.8f, 0.6f, 0, 1, 1, 0};
  // Of (1, 0): (0.8, 0.6) is its own, (1, 0) is nearer. Of (0, 1) its own is nearest; of (0.6, 0.8)
  // both others are nearer than (1, 0).
  EXPECT_THAT(tasks::SimilarityRanks(first, second, 2), ElementsAre(2, 1, 3));
}

TEST(SimilarityRanks, OfEqualOnesAllAreRight) {
  const std::vector<float> same = {1, 0, 1, 0, 1, 0};
  EXPECT_THAT(tasks::SimilarityRanks(same, same, 2), ElementsAre(1, 1, 1));
}

TEST(SimilarityRanks, WhatIsNoNumberIsNotRight) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> first = {nan, 0, 1, 0};
  const std::vector<float> second = {1, 0, 1, 0};
  EXPECT_THAT(tasks::SimilarityRanks(first, second, 2), ElementsAre(2, 1));
}

}  // namespace
}  // namespace hone::engine::train
