#include <gmock/gmock.h>

#include <limits>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/jobs/resolve.h"
#include "server/jobs/validate.h"
#include "server/translate/events.h"
#include "server/translate/job.h"
#include "tests/server/translate_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::server::translate {
namespace {

using ::testing::ElementsAre;
namespace job = engine::job;
namespace tasks = engine::tasks;
namespace train = engine::train;
namespace optim = engine::optim;

TEST(ToTrainingConfig, FillsInTheDefaultsOfTheJobFile) {
  const auto config = ToTrainingConfig(RequestOf(
      R"({"classification": {}, "data": {"dataset": "mnist"}, "training": {"epochs": 5},
          "model": {"layers": [{"flatten": {}}, {"dense": {"units": 10}}]}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->batch_size, 32);
  EXPECT_EQ(config->seed, 1u);
  EXPECT_EQ(config->layer_statistics_every, 50);
  EXPECT_EQ(config->accumulate_batches, 1);
  EXPECT_EQ(config->checkpoints.keep_latest, 2);
  EXPECT_EQ(config->checkpoints.every_seconds, 300);
  ASSERT_TRUE(std::holds_alternative<optim::Adam>(config->optimizer));
  EXPECT_EQ(std::get<optim::Adam>(config->optimizer).epsilon, 1e-7);
  EXPECT_EQ(config->data.validation_fraction, 0);
  EXPECT_TRUE(config->data.standardize);
  EXPECT_EQ(config->model.layers[1].name, "dense_1");
  EXPECT_TRUE(std::get<engine::layers::DenseOptions>(config->model.layers[1].kind).use_bias);
}

TEST(ToTrainingConfig, TakesNumbersAsTheyAreWritten) {
  const auto config = ToTrainingConfig(RequestOf(
      R"({"classification": {}, "data": {"dataset": "mnist"},
          "training": {"epochs": 5, "optimizer": {"adam": {"learning_rate": 0.003, "epsilon": 1e-9}},
                       "layer_decay": 0.87654321},
          "model": {"layers": [{"dense": {"units": 10}}]}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  // A float has no more digits than these; six would be 0.876543.
  EXPECT_NEAR(config->layer_decay, 0.87654321, 1e-7);
  EXPECT_EQ(std::get<optim::Adam>(config->optimizer).learning_rate, 0.003);
  EXPECT_EQ(std::get<optim::Adam>(config->optimizer).epsilon, 1e-9);
}

TEST(ToTrainingConfig, EarlyStoppingBringsValidation) {
  const auto config = ToTrainingConfig(RequestOf(
      R"({"classification": {}, "data": {"dataset": "mnist"},
          "training": {"epochs": 5, "early_stopping": {"patience": 3}},
          "model": {"layers": [{"dense": {"units": 10}}]}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->data.validation_fraction, 0.1);
  EXPECT_EQ(config->early_stopping->patience, 3);
}

TEST(ToTrainingConfig, NoCheckpointsByTimeIsNotTheDefault) {
  const auto config = ToTrainingConfig(RequestOf(
      R"({"classification": {}, "data": {"dataset": "mnist"},
          "training": {"epochs": 5, "checkpoints": {"every_seconds": 0}},
          "model": {"layers": [{"dense": {"units": 10}}]}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->checkpoints.every_seconds, 0);
}

TEST(ToTrainingConfig, TakesTheRarerOptions) {
  const auto config = ToTrainingConfig(RequestOf(
      R"({"classification": {},
          "data": {"dataset": "mnist",
                   "image": {"augmentation": {"brightness": 0.25, "contrast": 0.5}}},
          "training": {"epochs": 5, "optimizer": {"rmsprop": {"centered": true}},
                       "schedule": {"plateau": {"min_delta": 0.5}},
                       "weight_decay_exclude": ["dense_1"],
                       "parameter_rules": [{"parameters": "dense_*", "freeze": false,
                                            "learning_rate_factor": 0.5}]},
          "model": {"layers": [{"dense": {"units": 10}}]}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->augmentation.brightness, 0.25f);
  EXPECT_EQ(config->augmentation.contrast, 0.5f);
  EXPECT_TRUE(std::get<optim::RmsProp>(config->optimizer).centered);
  EXPECT_EQ(std::get<optim::Plateau>(config->schedule.kind).min_delta, 0.5);
  ASSERT_EQ(config->parameter_rules.size(), 2u);
  EXPECT_EQ(config->parameter_rules[0].parameters, "dense_1");  // the short form stands first
  EXPECT_EQ(config->parameter_rules[0].weight_decay, 0.0f);
  EXPECT_EQ(config->parameter_rules[0].field, "training.weight_decay_exclude[0]");
  EXPECT_EQ(config->parameter_rules[1].parameters, "dense_*");
  EXPECT_EQ(config->parameter_rules[1].freeze, false);
  EXPECT_EQ(config->parameter_rules[1].learning_rate_factor, 0.5f);
  EXPECT_FALSE(config->parameter_rules[1].weight_decay.has_value());
}

TEST(ToTrainingConfig, TakesTheAugmentationOfATable) {
  const auto config = ToTrainingConfig(RequestOf(
      R"({"classification": {},
          "data": {"dataset": "wine",
                   "table": {"augmentation": {"noise": 0.25, "cell_dropout": 0.5}}},
          "training": {"epochs": 5}, "model": {"layers": [{"dense": {"units": 3}}]}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->table_augmentation.noise, 0.25f);
  EXPECT_EQ(config->table_augmentation.cell_dropout, 0.5f);
}

TEST(ToTrainingConfig, TakesALazyOptimizerAndWhetherToRecompute) {
  for (const auto& [name, expected] : {std::pair("WHEN_NEEDED", tasks::Recompute::kWhenNeeded),
                                       std::pair("NEVER", tasks::Recompute::kNever),
                                       std::pair("ALWAYS", tasks::Recompute::kAlways)}) {
    std::string text = R"({"classification": {}, "data": {"dataset": "mnist"},
          "training": {"epochs": 5, "recompute": "HOW", "optimizer": {"adamw": {"lazy": true}}},
          "model": {"layers": [{"dense": {"units": 10}}]}})";
    text.replace(text.find("HOW"), 3, name);
    const auto config = ToTrainingConfig(RequestOf(text));
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(config->recompute, expected) << name;
    EXPECT_TRUE(std::get<optim::AdamW>(config->optimizer).lazy);
  }
}

TEST(ToTrainingConfig, KeepsWhatFrozenLayersGiveWhereTheJobDoesNotSayOtherwise) {
  for (const auto& [said, expected] :
       {std::pair("", true), std::pair(R"(, "cache_frozen": true)", true),
        std::pair(R"(, "cache_frozen": false)", false)}) {
    const auto config = ToTrainingConfig(RequestOf(absl::StrCat(
        R"({"classification": {}, "data": {"dataset": "mnist"}, "training": {"epochs": 5)", said,
        R"(}, "model": {"layers": [{"dense": {"units": 10}}]}})")));
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(config->cache_frozen, expected) << said;
  }
}

TEST(ToTrainingConfig, TakesAFold) {
  const auto config = ToTrainingConfig(RequestOf(
      R"({"classification": {}, "data": {"dataset": "wine", "fold": {"count": 5, "index": 2}},
          "training": {"epochs": 5}, "model": {"layers": [{"dense": {"units": 3}}]}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->data.fold_count, 5);
  EXPECT_EQ(config->data.fold_index, 2);
}

TEST(ToTrainingConfig, TakesWhatIsGiven) {
  const auto config = ToTrainingConfig(RequestOf(
      R"({"regression": {"loss": "HUBER", "huber_delta": 2}, "data": {"dataset": "x"},
          "training": {"steps": 7, "precision": "BF16", "clip_norm": 1,
                       "optimizer": {"sgd": {"momentum": 0.9, "nesterov": true}},
                       "schedule": {"warmup_steps": 3, "cosine": {"final_factor": 0.1}}},
          "model": {"layers": [{"name": "a", "frozen": true, "dense": {"units": 2}},
                               {"inputs": ["input"], "dense": {"units": 1, "use_bias": false}}]}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->steps, 7);
  EXPECT_EQ(config->compute, engine::DType::kBf16);
  const auto& task = std::get<tasks::RegressionOptions>(config->task);
  EXPECT_EQ(task.loss, tasks::RegressionOptions::Loss::kHuber);
  EXPECT_EQ(task.huber_delta, 2);
  EXPECT_TRUE(std::get<optim::Sgd>(config->optimizer).nesterov);
  EXPECT_EQ(std::get<optim::Sgd>(config->optimizer).learning_rate, 0.01);
  EXPECT_EQ(config->schedule.warmup_steps, 3);
  EXPECT_TRUE(config->model.layers[0].frozen);
  EXPECT_THAT(config->model.layers[1].inputs, ElementsAre("input"));
  EXPECT_FALSE(std::get<engine::layers::DenseOptions>(config->model.layers[1].kind).use_bias);
}

constexpr char kTastes[] =
    R"({"recommendation": {"feedback": "IMPLICIT", "negatives": "3"},
        "data": {"dataset": "x", "ratings": {"user": "who", "item": "what", "rating": "stars",
                 "time": "when", "name": "title", "ids": "NUMBERS", "split": "LEAVE_ONE_OUT",
                 "at_least": 3.5}},
        "training": {"epochs": 1},
        "model": {"layers": [
            {"name": "a", "inputs": ["user"], "embedding": {"width": 8}},
            {"name": "b", "inputs": ["item"],
             "embedding": {"width": 8, "rows": "70", "initializer": {"kind": "ZEROS"}}},
            {"inputs": ["a", "b"], "dot": {}}]}})";

TEST(ToTrainingConfig, TakesARecommendation) {
  const auto config = ToTrainingConfig(RequestOf(kTastes));
  ASSERT_TRUE(config.ok()) << config.status();
  const auto& task = std::get<tasks::RecommendationOptions>(config->task);
  EXPECT_EQ(task.feedback, tasks::RecommendationOptions::Feedback::kImplicit);
  EXPECT_EQ(task.negatives, 3);
  EXPECT_EQ(config->data.task, engine::data::Task::kRecommendation);
  const engine::data::RatingOptions& ratings = config->data.ratings;
  EXPECT_THAT((std::vector<std::string>{ratings.user, ratings.item, ratings.rating, ratings.time,
                                        ratings.name}),
              ElementsAre("who", "what", "stars", "when", "title"));
  EXPECT_EQ(ratings.ids, engine::data::RatingOptions::Ids::kNumbers);
  EXPECT_EQ(ratings.split, engine::data::RatingOptions::Split::kLeaveOneOut);
  EXPECT_EQ(ratings.at_least, 3.5);
  EXPECT_THAT(config->model.inputs, ElementsAre("user", "item"));
  using engine::Initializer;
  const auto& first = std::get<engine::layers::EmbeddingOptions>(config->model.layers[0].kind);
  EXPECT_EQ(first.rows, 0);
  EXPECT_EQ(first.initializer.kind, Initializer::Kind::kNormal);
  EXPECT_EQ(first.initializer.stddev, 0.05f);
  const auto& second = std::get<engine::layers::EmbeddingOptions>(config->model.layers[1].kind);
  EXPECT_EQ(second.rows, 70);
  EXPECT_EQ(second.initializer.kind, Initializer::Kind::kZeros);
}

constexpr char kForecast[] =
    R"({"forecasting": {"loss": "MAE", "huber_delta": 2},
        "data": {"dataset": "x", "series": {"target": "sold", "columns": ["rain"], "time": "month",
                 "window": "24", "horizon": "12", "step": "2", "period": "12",
                 "scaling": "LOG_STANDARD", "base": "SEASONAL"}},
        "training": {"epochs": 1},
        "model": {"layers": [{"gru": {"units": 8}}, {"dense": {"units": 12}}]}})";

TEST(ToTrainingConfig, TakesAForecast) {
  const auto config = ToTrainingConfig(RequestOf(kForecast));
  ASSERT_TRUE(config.ok()) << config.status();
  const auto& task = std::get<tasks::ForecastingOptions>(config->task);
  EXPECT_EQ(task.loss, tasks::RegressionOptions::Loss::kMae);
  EXPECT_EQ(task.huber_delta, 2);
  EXPECT_EQ(config->data.task, engine::data::Task::kForecasting);
  const engine::data::SeriesOptions& series = config->data.series;
  EXPECT_EQ(series.target, "sold");
  EXPECT_THAT(series.columns, ElementsAre("rain"));
  EXPECT_EQ(series.time, "month");
  EXPECT_THAT((std::vector<int64_t>{series.window, series.horizon, series.step, series.period}),
              ElementsAre(24, 12, 2, 12));
  EXPECT_EQ(series.scaling, engine::data::SeriesOptions::Scaling::kLogStandard);
  EXPECT_EQ(series.base, engine::data::SeriesOptions::Base::kSeasonal);
  EXPECT_THAT(config->model.inputs, ElementsAre("points", "offsets"));
}

constexpr char kTexts[] =
    R"({"classification": {"binary": true},
        "data": {"dataset": "x", "text": {"columns": ["title", "story"], "label": "subject",
                 "encoding": "LATIN1", "min_characters": "3", "max_characters": "900",
                 "near_copies": 0.8, "keep": "LONGEST", "max_tokens": "120",
                 "cleaning": {"html": true, "normalization": "NFKC", "lower_case": true,
                              "control_characters": true, "white_space": true},
                 "augmentation": {"character_noise": 0.25, "word_dropout": 0.5, "unknown": 0.125,
                                  "swap": 0.75},
                 "tokenizer": TOKENIZER}},
        "training": {"epochs": 1},
        "model": {"layers": [{"inputs": ["tokens"], "embedding": {"width": 8}}, {"dense": {"units": 1}}]}})";
v1::WorkerRequest TextsBy(const std::string& tokenizer) {
  std::string text = kTexts;
  return RequestOf(text.replace(text.find("TOKENIZER"), 9, tokenizer));
}

TEST(ToTrainingConfig, TakesTexts) {
  const auto config = ToTrainingConfig(
      TextsBy(R"({"words": {"vocabulary": "500", "min_count": "2", "split": "SPACES"}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(config->model.inputs, ElementsAre("tokens", "offsets"));
  EXPECT_EQ(config->data.target, "subject");
  ASSERT_TRUE(config->data.text.has_value());
  const engine::data::TextOptions& texts = *config->data.text;
  EXPECT_THAT(texts.columns, ElementsAre("title", "story"));
  EXPECT_EQ(texts.encoding, engine::data::TextOptions::Encoding::kLatin1);
  EXPECT_EQ(texts.cleaning,
            (engine::text::CleaningOptions{.html = true,
                                           .normalization = engine::text::Normalization::kNfkc,
                                           .lower_case = true,
                                           .control_characters = true,
                                           .white_space = true}));
  EXPECT_EQ(texts.min_characters, 3);
  EXPECT_EQ(texts.max_characters, 900);
  EXPECT_EQ(texts.near_copies, 0.8);
  EXPECT_EQ(texts.keep, engine::data::TextOptions::Keep::kLongest);
  EXPECT_EQ(texts.max_tokens, 120);
  EXPECT_EQ(texts.augmentation.character_noise, 0.25f);
  EXPECT_EQ(texts.augmentation.word_dropout, 0.5f);
  EXPECT_EQ(texts.augmentation.unknown, 0.125f);
  EXPECT_EQ(texts.augmentation.swap, 0.75f);
  const auto& words = std::get<engine::text::WordTokens>(texts.tokenizer);
  EXPECT_EQ(words.vocabulary, 500);
  EXPECT_EQ(words.min_count, 2);
  EXPECT_EQ(words.split, engine::text::WordSplit::kSpaces);
}

TEST(ToTrainingConfig, TakesPairsOfTexts) {
  v1::WorkerRequest request = TextsBy(R"({"characters": {}})");
  request.mutable_spec()->mutable_data()->mutable_text()->add_second_columns("answer");
  const auto config = ToTrainingConfig(request);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(config->model.inputs, ElementsAre("tokens", "offsets", "segments"));
  EXPECT_THAT(config->data.text->second_columns, ElementsAre("answer"));
}

constexpr char kPairs[] =
    R"({"translation": {},
        "data": {"dataset": "x", "limit": "9",
                 "pairs": {"source": "en", "target": "fr", "encoding": "LATIN1",
                           "cleaning": {"normalization": "NFC", "lower_case": true},
                           "drop_empty": true, "max_source_tokens": "10", "max_target_tokens": "12",
                           "first": "40000",
                           "source_tokenizer": {"words": {"vocabulary": "500"}},
                           "target_tokenizer": {"characters": {}}, "near_copies": 0.8,
                           "keep": "LONGEST", "augmentation": {"swap": 0.25}}},
        "training": {"epochs": 1},
        "model": {"preset": {"seq2seq": {}}}})";

TEST(ToTrainingConfig, TakesSentencePairs) {
  const auto config = ToTrainingConfig(RequestOf(kPairs));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->data.task, engine::data::Task::kTranslation);
  EXPECT_EQ(config->data.limit, 9);
  const engine::data::PairOptions& pairs = config->data.pairs;
  EXPECT_EQ(pairs.source, "en");
  EXPECT_EQ(pairs.target, "fr");
  EXPECT_EQ(pairs.encoding, engine::data::TextOptions::Encoding::kLatin1);
  EXPECT_EQ(pairs.cleaning,
            (engine::text::CleaningOptions{.normalization = engine::text::Normalization::kNfc,
                                           .lower_case = true}));
  EXPECT_TRUE(pairs.drop_empty);
  EXPECT_EQ(pairs.max_source_tokens, 10);
  EXPECT_EQ(pairs.max_target_tokens, 12);
  EXPECT_EQ(pairs.first, 40000);
  EXPECT_EQ(std::get<engine::text::WordTokens>(pairs.source_tokenizer).vocabulary, 500);
  EXPECT_TRUE(std::holds_alternative<engine::text::CharacterTokens>(pairs.target_tokenizer));
  EXPECT_EQ(pairs.near_copies, 0.8);
  EXPECT_EQ(pairs.keep, engine::data::TextOptions::Keep::kLongest);
  EXPECT_EQ(pairs.augmentation.swap, 0.25f);
}

TEST(ResolvedTranslation, HasEveryDefaultOfItsPairsWrittenOut) {
  v1::JobSpec spec;
  spec.mutable_translation();
  const v1::PairOptions pairs = jobs::Resolve(spec).data().pairs();
  EXPECT_EQ(pairs.encoding(), v1::TextOptions::UTF8);
  EXPECT_EQ(pairs.keep(), v1::TextOptions::FIRST);
  EXPECT_EQ(pairs.cleaning().normalization(), v1::TextCleaning::NONE);
  EXPECT_EQ(pairs.source_tokenizer().words().vocabulary(), 10000);
  EXPECT_EQ(pairs.target_tokenizer().words().split(), v1::Tokenizer::Words::PUNCTUATION);
}

TEST(ToTrainingConfig, TakesTextsByPartsOfWords) {
  using Pieces = engine::text::SentencePieceTokens;
  const auto pieces = [](const std::string& tokenizer) {
    return std::get<Pieces>(ToTrainingConfig(TextsBy(tokenizer))->data.text->tokenizer);
  };
  const Pieces given = pieces(
      R"({"sentencepiece": {"model": "BPE", "vocabulary": "500", "character_coverage": 0.99,
                            "byte_fallback": true}})");
  EXPECT_EQ(given.algorithm, Pieces::Algorithm::kBpe);
  EXPECT_EQ(given.vocabulary, 500);
  EXPECT_EQ(given.character_coverage, 0.99);
  EXPECT_TRUE(given.byte_fallback);
  const Pieces defaults = pieces(R"({"sentencepiece": {}})");
  EXPECT_EQ(defaults.algorithm, Pieces::Algorithm::kUnigram);
  EXPECT_EQ(defaults.vocabulary, 8000);
  EXPECT_EQ(defaults.character_coverage, 0.9995);
  EXPECT_FALSE(defaults.byte_fallback);
}

TEST(ToTrainingConfig, TakesTextsByCharacters) {
  EXPECT_TRUE(std::holds_alternative<engine::text::CharacterTokens>(
      ToTrainingConfig(TextsBy(R"({"characters": {}})"))->data.text->tokenizer));
}

TEST(ResolvedRecommendation, HasEveryDefaultWrittenOut) {
  v1::JobSpec spec = RequestOf(kTastes).spec();
  spec.mutable_recommendation()->Clear();
  spec.mutable_data()->clear_ratings();
  const v1::JobSpec resolved = jobs::Resolve(spec);
  std::vector<std::string> left;
  CollectDefaults(resolved, "", left);
  EXPECT_THAT(left, ::testing::IsEmpty());
  EXPECT_EQ(resolved.data().ratings().split(), v1::RatingOptions::RANDOM);
  EXPECT_EQ(jobs::Resolve(resolved).SerializeAsString(), resolved.SerializeAsString());
  EXPECT_THAT(jobs::Validate(resolved, {.max_threads = 4}), ::hone::testing::IsOk());
}

TEST(ResolvedRecommendation, TrainsAsTheSpec) {
  v1::WorkerRequest request = RequestOf(kTastes);
  const auto sent = ToTrainingConfig(request);
  *request.mutable_spec() = jobs::Resolve(request.spec());
  const auto resolved = ToTrainingConfig(request);
  ASSERT_TRUE(sent.ok()) << sent.status();
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  for (size_t i = 0; i < 2; ++i) {
    const auto& was = std::get<engine::layers::EmbeddingOptions>(sent->model.layers[i].kind);
    const auto& is = std::get<engine::layers::EmbeddingOptions>(resolved->model.layers[i].kind);
    EXPECT_EQ(is.initializer.kind, was.initializer.kind);
    EXPECT_EQ(is.initializer.stddev, was.initializer.stddev);
    EXPECT_EQ(is.rows, was.rows);
  }
  EXPECT_EQ(std::get<tasks::RecommendationOptions>(resolved->task).negatives, 3);
}

TEST(ResolvedForecast, HasEveryDefaultWrittenOut) {
  v1::JobSpec spec = RequestOf(kForecast).spec();
  spec.mutable_forecasting()->Clear();
  spec.mutable_data()->clear_series();
  spec.mutable_data()->mutable_series()->set_window(24);
  const v1::JobSpec resolved = jobs::Resolve(spec);
  EXPECT_EQ(resolved.forecasting().loss(), v1::Forecasting::MSE);
  EXPECT_EQ(resolved.forecasting().huber_delta(), 1);
  const v1::SeriesOptions& series = resolved.data().series();
  EXPECT_EQ(series.horizon(), 1);
  EXPECT_EQ(series.step(), 1);
  EXPECT_EQ(series.period(), 1);
  EXPECT_EQ(series.scaling(), v1::SeriesOptions::STANDARD);
  EXPECT_EQ(series.base(), v1::SeriesOptions::ZERO);
  EXPECT_EQ(jobs::Resolve(resolved).SerializeAsString(), resolved.SerializeAsString());
  EXPECT_THAT(jobs::Validate(resolved, {.max_threads = 4}), ::hone::testing::IsOk());
}

TEST(ResolvedTexts, HaveEveryDefaultWrittenOut) {
  for (const char* tokenizer : {"{}", R"({"characters": {}})", R"({"sentencepiece": {}})"}) {
    v1::JobSpec spec = TextsBy(tokenizer).spec();
    v1::Tokenizer kind = spec.data().text().tokenizer();
    *spec.mutable_data()->mutable_text() = v1::TextOptions();
    *spec.mutable_data()->mutable_text()->mutable_tokenizer() = kind;
    const v1::JobSpec resolved = jobs::Resolve(spec);
    std::vector<std::string> left;
    CollectDefaults(resolved, "", left);
    EXPECT_THAT(left, ::testing::IsEmpty()) << tokenizer;
    EXPECT_EQ(jobs::Resolve(resolved).SerializeAsString(), resolved.SerializeAsString());
    EXPECT_THAT(jobs::Validate(resolved, {.max_threads = 4}), ::hone::testing::IsOk());
  }
}

TEST(ResolvedTexts, TrainAsTheSpec) {
  v1::WorkerRequest request = TextsBy("{}");
  const auto sent = ToTrainingConfig(request);
  *request.mutable_spec() = jobs::Resolve(request.spec());
  const auto resolved = ToTrainingConfig(request);
  ASSERT_TRUE(sent.ok()) << sent.status();
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  const auto& was = std::get<engine::text::WordTokens>(sent->data.text->tokenizer);
  const auto& is = std::get<engine::text::WordTokens>(resolved->data.text->tokenizer);
  EXPECT_EQ(is.vocabulary, was.vocabulary);
  EXPECT_EQ(is.min_count, was.min_count);
  EXPECT_EQ(is.split, was.split);
}

TEST(ToEvent, NamesTheMetricsThatAreNotFinite) {
  train::Metrics metrics;
  metrics.values = {{"loss", std::numeric_limits<double>::quiet_NaN()}, {"accuracy", 0.5}};
  const v1::Event event = ToEvent(metrics);
  EXPECT_THAT(event.metrics().non_finite(), ElementsAre("loss"));
  EXPECT_EQ(event.metrics().values().size(), 1u);
  EXPECT_EQ(event.metrics().values().at("accuracy"), 0.5);
}

TEST(ToEvent, CarriesTheLayerTable) {
  job::Started started;
  engine::models::LayerSummary layer;
  layer.name = "dense_1";
  layer.weights = 6;
  layer.biases = 2;
  layer.role = engine::models::LayerRole::kOutput;
  layer.output_shape = {2};
  started.plan.layers = {layer};
  const v1::Event event = ToEvent(started);
  ASSERT_EQ(event.started().plan().layers_size(), 1);
  EXPECT_EQ(event.started().plan().layers(0).weights(), 6);
  EXPECT_EQ(event.started().plan().layers(0).role(), v1::LayerSummary::OUTPUT);
  EXPECT_FALSE(event.started().plan().has_seconds());
}

}  // namespace
}  // namespace hone::server::translate
