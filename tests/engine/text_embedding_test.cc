#include "engine/tasks/text_embedding.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
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

TEST_F(EmbeddingTask, HasNoTripletAccuracyOfPairs) {
  config_.epochs = 1;
  EXPECT_FALSE(Trained().contains("triplet_accuracy"));
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

// Triples whose negative shares a word with the anchor and differs from the positive in nothing
// else. All positives have the same word there, so that they are told from each other without it.
class TripleTask : public EmbeddingTask {
 protected:
  using Texts = std::array<std::string, 3>;

  TripleTask() {
    Write("triples.tsv", Table(0, kWords));
    config_.data.path = Path("triples.tsv");
    config_.data.text->columns = {};
    config_.data.text->second_columns = {};
    config_.epochs = 15;
  }

  static Texts TripleOf(int a, int b) {
    const std::string belongs = absl::StrCat("say", a, " and give", b);
    return {absl::StrCat("ask", a, " and want", b, " please"), belongs + " sure",
            belongs + " please"};
  }
  static std::string Table(int begin, int end) {
    std::string table = "anchor\tpositive\tnegative\n";
    for (int a = begin; a < end; ++a) {
      for (int b = 0; b < kWords; ++b) {
        absl::StrAppend(&table, absl::StrJoin(TripleOf(a, b), "\t"), "\n");
      }
    }
    return table;
  }
  void ReadPairsAlone() {
    config_.data.text->columns = {"anchor"};
    config_.data.text->second_columns = {"positive"};
  }
  // Of the model of the last run, on the test part of triples.
  std::map<std::string, double> EvaluatedOnTriples() {
    job::EvaluationConfig evaluation;
    evaluation.models = {config_.run_directory + "/model"};
    evaluation.data = config_.data;
    evaluation.data.text->columns = {"anchor"};
    evaluation.data.text->second_columns = {"positive"};
    evaluation.data.text->negative_columns = {"negative"};
    evaluation.part = job::EvaluationConfig::Part::kTest;
    evaluation.batch_size = 16;
    evaluation.threads = 2;
    evaluation.run_directory = NewRun();
    job::Phase phase;
    const auto result = job::Evaluate(evaluation, stop_, recorder_, phase);
    EXPECT_THAT(result, IsOk());
    return result.ok() ? result->evaluation.metrics : std::map<std::string, double>();
  }
  // The vectors that a model gives these texts.
  static std::vector<std::vector<float>> VectorsOf(predict::Predictor& model,
                                                   const std::vector<std::string>& texts) {
    std::vector<tasks::Example> examples;
    for (const std::string& text : texts) {
      examples.push_back(model.Read(tasks::TextQuestion{.text = text}, "it").value());
    }
    std::vector<std::vector<float>> vectors;
    const auto answers = model.Predict(examples).value();
    for (const auto& answer : answers) {
      vectors.push_back(answer.embedding->values);
    }
    return vectors;
  }
};

TEST_F(TripleTask, TellsNegativesFromPositives) {
  const auto metrics = Trained();
  EXPECT_LT(metrics.at("start_triplet_accuracy"), 0.5);
  EXPECT_GT(metrics.at("triplet_accuracy"), 0.9);
  EXPECT_GT(metrics.at("recall_at_1"), 0.9);
  EXPECT_TRUE(metrics.contains("validation_triplet_accuracy"));
}

TEST_F(TripleTask, WithoutNegativesDoesNotTellThemFromPositives) {
  ReadPairsAlone();
  EXPECT_GT(Trained().at("recall_at_1"), 0.9);
  EXPECT_LT(EvaluatedOnTriples().at("triplet_accuracy"), 0.5);
}

TEST_F(TripleTask, AModelIsEvaluatedOnItsTriplesAgain) {
  config_.epochs = 2;
  const auto trained = Trained();
  const auto again = EvaluatedOnTriples();
  for (const char* name : {"triplet_accuracy", "recall_at_1", "test_loss"}) {
    EXPECT_NEAR(again.at(name), trained.at(name), 1e-6) << name;
  }
}

// Loss and metrics of a part that is one batch, by the formula and the vectors that the model
// gives.
TEST_F(TripleTask, HasTheLossAndTheMetricsOfTheFormula) {
  Write("set/train.tsv", Table(1, kWords));
  Write("set/test.tsv", Table(0, 1));
  config_.data.path = Path("set");
  config_.data.validation_fraction = 0;
  config_.batch_size = kWords;
  config_.epochs = 2;
  const auto metrics = Trained();
  std::vector<std::string> texts;
  for (size_t which = 0; which < 3; ++which) {
    for (int b = 0; b < kWords; ++b) {
      texts.push_back(TripleOf(0, b)[which]);
    }
  }
  const auto vectors = VectorsOf(*Model(), texts);
  ASSERT_THAT(vectors, SizeIs(3 * kWords));
  double loss = 0, nearer = 0, found = 0;
  for (size_t i = 0; i < kWords; ++i) {
    std::vector<double> cosines;  // of the positives, then of the negatives
    for (size_t j = kWords; j < vectors.size(); ++j) {
      cosines.push_back(
          std::inner_product(vectors[i].begin(), vectors[i].end(), vectors[j].begin(), 0.0));
    }
    double sum = 0;
    for (const double cosine : cosines) {
      sum += std::exp(20 * cosine);
    }
    loss += std::log(sum) - 20 * cosines[i];
    nearer += cosines[i] > cosines[kWords + i] ? 1 : 0;
    found += std::ranges::max_element(cosines.begin(), cosines.begin() + kWords) ==
                     cosines.begin() + static_cast<std::ptrdiff_t>(i)
                 ? 1
                 : 0;
  }
  EXPECT_NEAR(metrics.at("test_loss"), loss / kWords, 1e-3);
  EXPECT_NEAR(metrics.at("triplet_accuracy"), nearer / kWords, 1e-9);
  EXPECT_NEAR(metrics.at("recall_at_1"), found / kWords, 1e-9);
}

TEST_F(TripleTask, StoppedAndResumedIsNeverStopped) {
  config_.epochs = 1;
  ExpectSameBitsInPieces(config_);
}

TEST_F(TripleTask, IsPlannedAndTimed) {
  job::Phase phase;
  const auto plan = job::PlanJob(config_, /*measure=*/true, &phase);
  ASSERT_THAT(plan, IsOk());
  EXPECT_GT(*plan->step_seconds, 0);
}

TEST_F(TripleTask, RefusesPairsAmongTriplesByTheirLine) {
  Write("mixed.jsonl",
        "{\"anchor\": \"a\", \"positive\": \"b\", \"negative\": \"c\"}\n"
        "{\"anchor\": \"d\", \"positive\": \"e\"}\n");
  config_.data.path = Path("mixed.jsonl");
  config_.run_directory = NewRun();
  EXPECT_THAT(Run(config_), StatusIs(kInvalid, HasSubstr("line 2: has no \"negative\"")));
}

TEST(CountNearer, CountsSecondVectorsThatAreMoreSimilarThanTheOther) {
  const std::vector<float> first = {1, 0, 0, 1, 1, 0};
  const std::vector<float> second = {0.8f, 0.6f, 1, 0, 1, 0};
  const std::vector<float> other = {0.6f, 0.8f, 0, 1, 0, 1};
  EXPECT_EQ(tasks::CountNearer(first, second, other, 2), 2);
}

TEST(CountNearer, OfEqualOnesNoneIsNearer) {
  const std::vector<float> same = {1, 0, 0, 1};
  EXPECT_EQ(tasks::CountNearer(same, same, same, 2), 0);
}

TEST(CountNearer, WhatIsNoNumberIsNotNearer) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> first = {1, 0, 1, 0};
  EXPECT_EQ(tasks::CountNearer(first, std::vector<float>{nan, 0, 1, 0},
                               std::vector<float>{0, 1, nan, 0}, 2),
            0);
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
