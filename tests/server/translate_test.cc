#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/tasks/table.h"
#include "google/protobuf/util/json_util.h"
#include "server/jobs/resolve.h"
#include "server/jobs/validate.h"
#include "server/translate/events.h"
#include "server/translate/job.h"
#include "server/translate/prediction.h"
#include "server/translate/repeat.h"
#include "tests/support/status_matchers.h"

namespace hone::server::translate {
namespace {

using ::testing::ElementsAre;
namespace job = engine::job;
namespace tasks = engine::tasks;
namespace train = engine::train;
namespace optim = engine::optim;

v1::WorkerRequest RequestOf(const std::string& spec) {
  v1::WorkerRequest request;
  const auto status = google::protobuf::util::JsonStringToMessage(spec, request.mutable_spec());
  EXPECT_TRUE(status.ok()) << status.ToString();
  request.set_threads(2);
  return request;
}

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
          "training": {"epochs": 5, "optimizer": {"adam": {"learning_rate": 0.003, "epsilon": 1e-9}}},
          "model": {"layers": [{"dense": {"units": 10}}]}})"));
  ASSERT_TRUE(config.ok()) << config.status();
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

// The layers of a model by name, each with what it reads: "block_1.a(input)".
std::vector<std::string> LayersOf(const std::string& model) {
  const auto config = ToTrainingConfig(
      RequestOf(absl::StrCat(R"({"classification": {}, "data": {"dataset": "mnist"},
                                 "training": {"epochs": 1}, "model": )",
                             model, "}")));
  EXPECT_TRUE(config.ok()) << config.status();
  std::vector<std::string> layers;
  for (const auto& layer : config->model.layers) {
    layers.push_back(absl::StrCat(layer.name, layer.frozen ? "!" : "",
                                  layer.inputs.empty() ? "" : "(", absl::StrJoin(layer.inputs, " "),
                                  layer.inputs.empty() ? "" : ")"));
  }
  return layers;
}

TEST(Repeat, IsWrittenOutCopyBehindCopy) {
  EXPECT_THAT(LayersOf(R"({"layers": [{"flatten": {}},
                  {"repeat": {"times": 2, "layers": [{"dense": {"units": 4}}, {"dropout": {}}]}},
                  {"dense": {"units": 2}}]})"),
              ElementsAre("flatten_1", "block_1.dense_1", "block_1.dropout_1", "block_2.dense_1",
                          "block_2.dropout_1", "dense_1"));
}

TEST(Repeat, ACopyReadsTheOneBeforeAndItsOwnLayers) {
  EXPECT_THAT(
      LayersOf(R"({"layers": [{"name": "stem", "dense": {"units": 4}},
                  {"repeat": {"times": 2, "name": "stage", "layers": [
                      {"name": "a", "dense": {"units": 4}},
                      {"name": "sum", "inputs": ["a", "input"], "add": {}}]}},
                  {"inputs": ["stage", "stem"], "add": {}}, {"dense": {"units": 2}}]})"),
      ElementsAre("stem", "stage_1.a", "stage_1.sum(stage_1.a stem)", "stage_2.a",
                  "stage_2.sum(stage_2.a stage_1.sum)", "add_1(stage_2.sum stem)", "dense_2"));
}

TEST(Repeat, ReadsWhatItsInputsName) {
  EXPECT_THAT(LayersOf(R"({"layers": [{"name": "a", "dense": {"units": 4}},
                  {"name": "b", "dense": {"units": 4}},
                  {"inputs": ["a"], "repeat": {"times": 2, "layers": [{"dense": {"units": 4}}]}},
                  {"dense": {"units": 2}}]})"),
              ElementsAre("a", "b", "block_1.dense_1(a)", "block_2.dense_1", "dense_3"));
}

TEST(Repeat, StandsWithinAnother) {
  EXPECT_THAT(
      LayersOf(R"({"layers": [{"repeat": {"times": 2, "name": "stage", "layers": [
                  {"repeat": {"times": 2, "layers": [{"dense": {"units": 4}},
                      {"inputs": ["dense_1", "input"], "add": {}}]}}]}}]})"),
      ElementsAre("stage_1.block_1.dense_1", "stage_1.block_1.add_1(stage_1.block_1.dense_1 input)",
                  "stage_1.block_2.dense_1",
                  "stage_1.block_2.add_1(stage_1.block_2.dense_1 stage_1.block_1.add_1)",
                  "stage_2.block_1.dense_1",
                  "stage_2.block_1.add_1(stage_2.block_1.dense_1 stage_1.block_2.add_1)",
                  "stage_2.block_2.dense_1",
                  "stage_2.block_2.add_1(stage_2.block_2.dense_1 stage_2.block_1.add_1)"));
}

TEST(Repeat, IsFrozenWhole) {
  EXPECT_THAT(LayersOf(R"({"layers": [{"frozen": true, "repeat": {"times": 2, "layers":
                  [{"dense": {"units": 4}}]}}, {"dense": {"units": 2}}]})"),
              ElementsAre("block_1.dense_1!", "block_2.dense_1!", "dense_1"));
}

TEST(Repeat, SaysOfEachCopyWhereItsLayerStands) {
  const auto config = ToTrainingConfig(RequestOf(
      R"({"classification": {}, "data": {"dataset": "wine"}, "training": {"epochs": 5},
          "model": {"layers": [{"dense": {"units": 8}}, {"repeat": {"times": 2, "layers":
              [{"dense": {"units": 8}}, {"dropout": {"rate": 0.1}}]}},
              {"dense": {"units": 3}}]}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  const auto& layers = config->model.layers;
  ASSERT_EQ(layers.size(), 6u);
  EXPECT_EQ(layers[0].PlaceIn("model", 0), "model.layers[0]");
  EXPECT_EQ(layers[2].PlaceIn("model", 2), "model.layers[1].repeat.layers[1]");
  EXPECT_EQ(layers[4].PlaceIn("model", 4), "model.layers[1].repeat.layers[1]");
  EXPECT_EQ(layers[5].PlaceIn("model", 5), "model.layers[2]");
}

TEST(Repeat, BehindAPretrainedModelTheLayerThatItReadsNeedsAName) {
  v1::ModelSpec model;
  v1::Repeat& repeat = *model.add_layers()->mutable_repeat();
  repeat.set_times(2);
  repeat.add_layers()->mutable_dense();
  EXPECT_THAT(ExpandRepeats(model.layers(), /*behind_others=*/true), ::hone::testing::IsOk());
  v1::Layer& sum = *repeat.add_layers();
  sum.mutable_add();
  sum.add_inputs("dense_1");
  sum.add_inputs("input");
  EXPECT_THAT(ExpandRepeats(model.layers(), /*behind_others=*/true),
              ::hone::testing::StatusIs(absl::StatusCode::kInvalidArgument,
                                        ::testing::HasSubstr("needs a name")));
  model.mutable_layers(0)->add_inputs("conv2d_2");
  EXPECT_THAT(ExpandRepeats(model.layers(), /*behind_others=*/true), ::hone::testing::IsOk());
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

constexpr char kWritten[] =
    R"({"language_modeling": {"window": "64", "z_loss": 0.125},
        "data": {"dataset": "tiny-shakespeare", "validation_fraction": 0.2},
        "training": {"steps": 10},
        "model": {"preset": {"gpt": {"layers": "6", "heads": "8", "width": "64", "dropout": 0.25,
                                     "positions": "ROTARY", "tied_embeddings": false,
                                     "use_bias": true}}}})";

TEST(ToTrainingConfig, TakesALanguageModelThatCarriesItsState) {
  const auto config = ToTrainingConfig(RequestOf(
      R"({"language_modeling": {"carry_state": true}, "data": {"dataset": "tiny-shakespeare"},
          "training": {"steps": 10},
          "model": {"layers": [{"inputs": ["tokens"], "embedding": {"width": 8}},
                               {"lstm": {"units": 8, "return_sequences": true}},
                               {"dense": {"units": 9}}]}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_TRUE(std::get<tasks::LanguageModelingOptions>(config->task).carry_state);
}

TEST(ToTrainingConfig, TakesALanguageModelOfPackedDocuments) {
  const auto config = ToTrainingConfig(RequestOf(
      R"({"language_modeling": {"documents": "PACKED"}, "data": {"dataset": "stories"},
          "training": {"steps": 10}, "model": {"preset": {"gpt": {}}}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(std::get<tasks::LanguageModelingOptions>(config->task).documents,
            tasks::Documents::kPacked);
}

TEST(ToLoadOptions, TakesConversations) {
  const auto config = ToTrainingConfig(RequestOf(
      R"({"language_modeling": {"documents": "PACKED"},
          "data": {"dataset": "chats", "chat": {"template": "ALPACA", "system": "", "learn": "ALL",
                                                "max_tokens": 9}},
          "training": {"steps": 10}, "model": {"preset": {"gpt": {}}}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(std::get<tasks::LanguageModelingOptions>(config->task).documents,
            tasks::Documents::kPackedChats);
  ASSERT_TRUE(config->data.chat.has_value());
  EXPECT_EQ(config->data.chat->kind, engine::text::ChatTemplate::Kind::kAlpaca);
  EXPECT_EQ(config->data.chat->system, "");
  EXPECT_TRUE(config->data.chat->learn_all);
  EXPECT_EQ(config->data.chat->max_tokens, 9);
}

TEST(ToTrainingConfig, TakesConversationsAsTheCheckpointHasThem) {
  const auto config = ToTrainingConfig(
      RequestOf(R"({"language_modeling": {}, "data": {"dataset": "chats", "chat": {}},
                    "training": {"steps": 10}, "model": {"preset": {"gpt": {}}}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(std::get<tasks::LanguageModelingOptions>(config->task).documents,
            tasks::Documents::kChats);
  EXPECT_FALSE(config->data.chat->kind.has_value());
  EXPECT_FALSE(config->data.chat->system.has_value());
}

TEST(ToTrainingConfig, TakesALanguageModel) {
  const auto config = ToTrainingConfig(RequestOf(kWritten));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(std::get<tasks::LanguageModelingOptions>(config->task).window, 64);
  EXPECT_EQ(std::get<tasks::LanguageModelingOptions>(config->task).z_loss, 0.125f);
  EXPECT_FALSE(std::get<tasks::LanguageModelingOptions>(config->task).carry_state);
  EXPECT_EQ(config->data.task, engine::data::Task::kLanguageModeling);
  EXPECT_EQ(config->data.validation_fraction, 0.2);
  EXPECT_EQ(config->data.test_fraction, 0);
  EXPECT_TRUE(std::holds_alternative<engine::text::CharacterTokens>(config->data.text->tokenizer));
  EXPECT_THAT(config->model.inputs, ElementsAre("tokens", "offsets"));
  EXPECT_EQ(config->model.preset.name, "gpt");
  EXPECT_EQ(config->model.preset.options,
            R"({"dropout":0.25,"heads":8,"layers":6,"positions":"rotary","tied_embeddings":false,)"
            R"("use_bias":true,"width":64,"window":64})");
}

// Of a job with the task translation and this preset.
v1::WorkerRequest TranslatesWith(const std::string& preset) {
  return RequestOf(absl::StrCat(
      R"({"translation": {}, "data": {"dataset": "x"}, "training": {"epochs": 1},
          "model": {"preset": )",
      preset, "}}"));
}

TEST(ToTrainingConfig, TakesARecurrentNetThatTranslates) {
  const auto config = ToTrainingConfig(TranslatesWith(
      R"({"seq2seq": {"cell": "LSTM", "units": "64", "attention": "LUONG", "dropout": 0.25,
                      "bidirectional": true, "layers": "3", "input_feeding": true}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(config->model.inputs,
              ElementsAre("source_tokens", "source_offsets", "tokens", "offsets"));
  EXPECT_EQ(config->model.preset.name, "seq2seq");
  EXPECT_EQ(config->model.preset.options,
            R"({"attention":"luong","bidirectional":true,"cell":"lstm","dropout":0.25,)"
            R"("embedding":64,"input_feeding":true,"layers":3,"units":64})");
}

TEST(ToTrainingConfig, TakesATransformerThatTranslates) {
  const auto config = ToTrainingConfig(TranslatesWith(
      R"({"transformer_translation": {"layers": "2", "width": "64", "dropout": 0.5,
                                      "norm_first": true, "tied_embeddings": true}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->model.preset.name, "transformer_translation");
  EXPECT_EQ(config->model.preset.options,
            R"({"dropout":0.5,"feed_forward":256,"heads":8,"layers":2,"norm_first":true,)"
            R"("tied_embeddings":true,"width":64})");
}

TEST(ToTrainingConfig, TakesHowItTranslates) {
  const auto config = ToTrainingConfig(RequestOf(
      R"({"translation": {"label_smoothing": 0.25, "beams": "4", "length_penalty": 0.6,
                          "longest": "30", "evaluation_sentences": "0", "attention_maps": "7",
                          "scheduled_sampling": {"to": 0.4, "steps": "300"}},
          "data": {"dataset": "x"}, "training": {"epochs": 1},
          "model": {"preset": {"seq2seq": {}}}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  const auto& task = std::get<tasks::TranslationOptions>(config->task);
  EXPECT_EQ(task.label_smoothing, 0.25f);
  EXPECT_EQ(task.beams, 4);
  EXPECT_EQ(task.length_penalty, 0.6);
  EXPECT_EQ(task.longest, 30);
  EXPECT_EQ(task.evaluation_sentences, 0);
  EXPECT_EQ(task.attention_maps, 7);
  EXPECT_EQ(task.sampling->from, 0);
  EXPECT_EQ(task.sampling->to, 0.4);
  EXPECT_EQ(task.sampling->steps, 300);
  EXPECT_EQ(config->data.task, engine::data::Task::kTranslation);
  EXPECT_EQ(config->data.validation_fraction, 0.1);
  EXPECT_EQ(config->data.test_fraction, 0.1);
}

TEST(ResolvedTranslation, HasEveryDefaultOfItsTaskWrittenOut) {
  v1::JobSpec spec;
  spec.mutable_translation()->mutable_scheduled_sampling();
  const v1::JobSpec resolved = jobs::Resolve(spec);
  const v1::Translation& task = resolved.translation();
  const tasks::TranslationOptions defaults;
  EXPECT_EQ(task.beams(), defaults.beams);
  EXPECT_EQ(task.length_penalty(), static_cast<float>(defaults.length_penalty));
  EXPECT_EQ(task.longest(), defaults.longest);
  EXPECT_EQ(task.evaluation_sentences(), defaults.evaluation_sentences);
  EXPECT_EQ(task.attention_maps(), defaults.attention_maps);
  const tasks::ScheduledSampling sampling;
  EXPECT_EQ(task.scheduled_sampling().from(), static_cast<float>(sampling.from));
  EXPECT_EQ(task.scheduled_sampling().to(), static_cast<float>(sampling.to));
  EXPECT_EQ(task.scheduled_sampling().steps(), sampling.steps);
  EXPECT_EQ(resolved.data().validation_fraction(), 0.1f);
  EXPECT_EQ(resolved.data().test_fraction(), 0.1f);
}

TEST(ToQuestion, ATextBringsItsBeams) {
  v1::PredictInput input;
  input.set_text("one two");
  input.set_beams(4);
  const auto question = ToQuestion(input, "inputs[0]");
  ASSERT_TRUE(question.ok()) << question.status();
  EXPECT_EQ(std::get<tasks::TextQuestion>(*question).text, "one two");
  EXPECT_EQ(std::get<tasks::TextQuestion>(*question).beams, 4);
}

TEST(ToProto, TranslationsKeepTheirOrderAndScores) {
  tasks::Prediction prediction;
  prediction.translations = {{.text = "un", .score = -0.5, .ended = true}, {.text = "deux"}};
  const v1::Prediction::Translated translated = ToProto(prediction).translated();
  ASSERT_EQ(translated.translations_size(), 2);
  EXPECT_EQ(translated.translations(0).text(), "un");
  EXPECT_EQ(translated.translations(0).score(), -0.5);
  EXPECT_TRUE(translated.translations(0).ended());
  EXPECT_EQ(translated.translations(1).text(), "deux");
  EXPECT_FALSE(translated.translations(1).ended());
}

TEST(ResolvedTranslation, TrainsAsTheSpec) {
  for (const char* preset : {R"({"seq2seq": {}})", R"({"transformer_translation": {}})"}) {
    v1::WorkerRequest request = TranslatesWith(preset);
    const auto config = ToTrainingConfig(request);
    *request.mutable_spec() = jobs::Resolve(request.spec());
    const auto resolved = ToTrainingConfig(request);
    ASSERT_TRUE(resolved.ok()) << resolved.status();
    EXPECT_EQ(resolved->model.preset.options, config->model.preset.options);
  }
}

TEST(ResolvedLanguageModel, HasEveryDefaultWrittenOut) {
  v1::JobSpec spec;
  spec.mutable_language_modeling();
  spec.mutable_model()->mutable_preset()->mutable_gpt();
  const v1::JobSpec resolved = jobs::Resolve(spec);
  EXPECT_EQ(resolved.language_modeling().window(), 128);
  EXPECT_EQ(resolved.data().validation_fraction(), 0.1f);
  EXPECT_TRUE(resolved.data().has_test_fraction());
  EXPECT_EQ(resolved.data().test_fraction(), 0);
  EXPECT_TRUE(resolved.data().text().tokenizer().has_characters());
  const v1::Gpt& gpt = resolved.model().preset().gpt();
  EXPECT_EQ(gpt.layers(), 4);
  EXPECT_EQ(gpt.heads(), 4);
  EXPECT_EQ(gpt.width(), 128);
  EXPECT_EQ(gpt.window(), 128);
  EXPECT_TRUE(gpt.tied_embeddings());
  EXPECT_EQ(gpt.positions(), v1::Gpt::LEARNED);
}

TEST(ResolvedLanguageModel, TrainsAsTheSpec) {
  v1::WorkerRequest request = RequestOf(kWritten);
  const auto config = ToTrainingConfig(request);
  *request.mutable_spec() = jobs::Resolve(request.spec());
  const auto resolved = ToTrainingConfig(request);
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_EQ(resolved->model.preset.options, config->model.preset.options);
  EXPECT_EQ(resolved->data.test_fraction, config->data.test_fraction);
}

TEST(ToTrainingConfig, TakesVectorsOfPairsOfTexts) {
  const auto config = ToTrainingConfig(RequestOf(
      R"({"text_embedding": {"pooling": "FIRST", "scale": 10}, "training": {"steps": 10},
          "data": {"dataset": "x", "text": {"second_columns": ["b"], "max_tokens": "40"}},
          "model": {"preset": {"transformer_encoder": {}}}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  const auto& task = std::get<tasks::TextEmbeddingOptions>(config->task);
  EXPECT_EQ(task.pooling, tasks::TextEmbeddingOptions::Pooling::kFirst);
  EXPECT_EQ(task.scale, 10);
  EXPECT_EQ(config->data.task, engine::data::Task::kTextPairs);
  EXPECT_THAT(config->model.inputs, ElementsAre("tokens", "offsets"));
}

TEST(ToTrainingConfig, TakesTagsOfWords) {
  const auto config = ToTrainingConfig(RequestOf(
      R"({"token_tagging": {}, "training": {"steps": 10}, "data": {"dataset": "x"},
          "model": {"preset": {"transformer_encoder": {"length": "64"}}}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_TRUE(std::holds_alternative<tasks::TokenTaggingOptions>(config->task));
  EXPECT_EQ(config->data.task, engine::data::Task::kTokenTagging);
  EXPECT_TRUE(config->data.text.has_value());
}

TEST(ToTrainingConfig, TakesSeveralClassesOfAText) {
  const auto config = ToTrainingConfig(RequestOf(
      R"({"multi_label_classification": {"separator": "|", "threshold": 0.25},
          "training": {"steps": 10}, "data": {"dataset": "x", "text": {"max_tokens": "40"}},
          "model": {"preset": {"transformer_encoder": {}}}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  const auto& task = std::get<tasks::MultiLabelClassificationOptions>(config->task);
  EXPECT_EQ(task.separator, "|");
  EXPECT_EQ(task.threshold, 0.25f);
  EXPECT_EQ(config->data.task, engine::data::Task::kMultiLabel);
}

constexpr char kMaskedTexts[] =
    R"({"masked_language_modeling": {}, "data": {"dataset": "x", "text": {"max_tokens": "40"}},
        "training": {"steps": 10},
        "model": {"preset": {"transformer_encoder": {"layers": "2", "heads": "8", "width": "64",
            "norm": "POST", "embedding_norm": true, "epsilon": 0.5, "activation": "RELU",
            "dropout": 0.25, "pooling": "FIRST", "pooler": true}}}})";

TEST(ToTrainingConfig, TakesAModelOfMaskedWords) {
  const auto config = ToTrainingConfig(RequestOf(kMaskedTexts));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(std::get<tasks::MaskedLanguageModelingOptions>(config->task).window, 0);
  EXPECT_EQ(config->data.task, engine::data::Task::kLanguageModeling);
  EXPECT_EQ(config->data.validation_fraction, 0.1);
  EXPECT_EQ(config->data.test_fraction, 0);
  EXPECT_TRUE(std::holds_alternative<engine::text::WordTokens>(config->data.text->tokenizer));
  EXPECT_EQ(config->data.text->like, nullptr);
  EXPECT_THAT(config->model.inputs, ElementsAre("tokens", "offsets"));
  EXPECT_EQ(config->model.preset.name, "transformer_encoder");
  EXPECT_EQ(config->model.preset.options,
            R"({"activation":"relu","dropout":0.25,"embedding_norm":true,"epsilon":0.5,"heads":8,)"
            R"("hidden":256,"layers":2,"length":40,"norm":"post","pooler":true,"pooling":"first",)"
            R"("positions":"learned","width":64})");
}

TEST(ResolvedModelOfMaskedWords, TrainsAsTheSpec) {
  for (const char* window : {"0", "16"}) {
    v1::WorkerRequest request =
        RequestOf(absl::StrCat(R"({"masked_language_modeling": {"window": ")", window,
                               R"("}, "data": {"dataset": "x"}, "training": {"steps": 10},
            "model": {"preset": {"transformer_encoder": {"positions": "ROTARY"}}}})"));
    const auto config = ToTrainingConfig(request);
    ASSERT_TRUE(config.ok()) << config.status();
    *request.mutable_spec() = jobs::Resolve(request.spec());
    const auto resolved = ToTrainingConfig(request);
    ASSERT_TRUE(resolved.ok()) << resolved.status();
    EXPECT_EQ(resolved->model.preset.options, config->model.preset.options);
    EXPECT_EQ(resolved->data.test_fraction, config->data.test_fraction);
    EXPECT_EQ(resolved->data.validation_fraction, config->data.validation_fraction);
  }
}

TEST(ResolvedJob, DoesNotSayTheTokensThatAreThoseOfAnEarlierModel) {
  v1::JobSpec spec;
  spec.mutable_classification();
  spec.mutable_data()->mutable_text()->set_max_tokens(9);
  spec.mutable_model()->mutable_pretrained();
  EXPECT_FALSE(jobs::Resolve(spec).data().text().has_tokenizer());
  EXPECT_FALSE(jobs::Resolve(spec).data().text().has_cleaning());
  spec.mutable_data()->mutable_text()->mutable_tokenizer()->mutable_characters();
  EXPECT_TRUE(jobs::Resolve(spec).data().text().has_cleaning());
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

TEST(ToTrainingConfig, TakesLayersOfSequencesAsTheyAreWritten) {
  const auto config = ToTrainingConfig(RequestOf(
      R"({"regression": {}, "data": {"dataset": "x"}, "training": {"epochs": 1}, "model": {"layers": [
          {"lstm": {"units": "4", "layers": "2", "bidirectional": true, "return_sequences": true,
                    "dropout": 0.25, "initializer": {"kind": "NORMAL", "stddev": 0.5}}},
          {"gru": {"units": "5"}}, {"simple_rnn": {"units": "6"}},
          {"sequence_pool": {"kind": "LAST"}}, {"sequence_pool": {}},
          {"attention": {"heads": "4", "kv_heads": "2", "causal": true, "window": "7", "dropout": 0.5,
                         "rotary": true, "rotary_base": 500, "use_bias": false,
                         "initializer": {"kind": "ZEROS"}}},
          {"attention": {"heads": "3"}},
          {"positions": {"length": "9"}}, {"positions": {"kind": "SINUSOIDAL"}},
          {"rms_norm": {"epsilon": 0.5}},
          {"conv1d": {"filters": "7", "kernel": "3", "causal": true, "activation": "RELU",
                      "use_bias": false, "initializer": {"kind": "ZEROS"}}},
          {"gru": {"units": "5", "reset_after": false}},
          {"attention": {"heads": "3", "alibi": true}}, {"glu": {"units": "8"}},
          {"glu": {"units": "9", "activation": "GELU", "use_bias": true}}]}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  const std::vector<engine::models::LayerDescription>& layers = config->model.layers;
  const auto& lstm = std::get<engine::models::Lstm>(layers[0].kind);
  EXPECT_EQ(lstm.units, 4);
  EXPECT_EQ(lstm.layers, 2);
  EXPECT_TRUE(lstm.bidirectional);
  EXPECT_TRUE(lstm.return_sequences);
  EXPECT_EQ(lstm.dropout, 0.25f);
  EXPECT_EQ(lstm.initializer.kind, engine::Initializer::Kind::kNormal);
  EXPECT_EQ(lstm.initializer.stddev, 0.5f);
  const auto& gru = std::get<engine::models::Gru>(layers[1].kind);
  EXPECT_EQ(gru.units, 5);
  EXPECT_EQ(gru.layers, 1);
  EXPECT_FALSE(gru.bidirectional);
  EXPECT_FALSE(gru.return_sequences);
  EXPECT_EQ(gru.initializer.kind, engine::Initializer::Kind::kGlorotUniform);
  EXPECT_EQ(std::get<engine::models::SimpleRnn>(layers[2].kind).units, 6);
  using engine::layers::SequencePoolOptions;
  EXPECT_EQ(std::get<SequencePoolOptions>(layers[3].kind).kind, engine::SegmentPoolKind::kLast);
  EXPECT_EQ(std::get<SequencePoolOptions>(layers[4].kind).kind, engine::SegmentPoolKind::kMean);
  const auto& attention = std::get<engine::layers::AttentionOptions>(layers[5].kind);
  EXPECT_EQ(attention.heads, 4);
  EXPECT_EQ(attention.kv_heads, 2);
  EXPECT_TRUE(attention.causal);
  EXPECT_EQ(attention.window, 7);
  EXPECT_EQ(attention.dropout, 0.5f);
  EXPECT_TRUE(attention.rotary);
  EXPECT_EQ(attention.rotary_base, 500);
  EXPECT_FALSE(attention.use_bias);
  EXPECT_EQ(attention.initializer.kind, engine::Initializer::Kind::kZeros);
  const auto& plain = std::get<engine::layers::AttentionOptions>(layers[6].kind);
  EXPECT_EQ(plain.kv_heads, 3);
  EXPECT_FALSE(plain.causal || plain.rotary || plain.alibi);
  EXPECT_TRUE(plain.use_bias);
  EXPECT_EQ(plain.rotary_base, 10000);
  using engine::layers::PositionsOptions;
  const auto& learned = std::get<PositionsOptions>(layers[7].kind);
  EXPECT_EQ(learned.kind, PositionsOptions::Kind::kLearned);
  EXPECT_EQ(learned.length, 9);
  EXPECT_EQ(learned.initializer.kind, engine::Initializer::Kind::kNormal);
  EXPECT_EQ(std::get<PositionsOptions>(layers[8].kind).kind, PositionsOptions::Kind::kSinusoidal);
  EXPECT_EQ(std::get<engine::models::RmsNorm>(layers[9].kind).epsilon, 0.5f);
  const auto& conv = std::get<engine::layers::Conv1dOptions>(layers[10].kind);
  EXPECT_EQ(conv.filters, 7);
  EXPECT_EQ(conv.kernel, 3);
  EXPECT_TRUE(conv.causal);
  EXPECT_EQ(conv.activation, engine::ActivationKind::kRelu);
  EXPECT_FALSE(conv.use_bias);
  EXPECT_EQ(conv.initializer.kind, engine::Initializer::Kind::kZeros);
  EXPECT_TRUE(gru.reset_after);
  EXPECT_FALSE(std::get<engine::models::Gru>(layers[11].kind).reset_after);
  EXPECT_TRUE(std::get<engine::layers::AttentionOptions>(layers[12].kind).alibi);
  const auto& swiglu = std::get<engine::layers::GluOptions>(layers[13].kind);
  EXPECT_EQ(swiglu.units, 8);
  EXPECT_EQ(swiglu.activation, engine::ActivationKind::kSilu);
  EXPECT_FALSE(swiglu.use_bias);
  const auto& geglu = std::get<engine::layers::GluOptions>(layers[14].kind);
  EXPECT_EQ(geglu.activation, engine::ActivationKind::kGelu);
  EXPECT_TRUE(geglu.use_bias);
}

constexpr char kEveryKindOfLayer[] =
    R"({"regression": {}, "data": {"dataset": "x"}, "training": {"epochs": 1, "schedule": SCHEDULE,
        "optimizer": OPTIMIZER, "early_stopping": {"patience": 2}},
        "model": {"layers": [{"conv2d": {"filters": 8, "kernel": 3}}, {"batch_norm": {}},
          {"max_pool2d": {"size": 2}}, {"avg_pool2d": {"size": 2}},
          {"activation": {"function": "LEAKY_RELU"}}, {"flatten": {}}, {"layer_norm": {}},
          {"dropout": {"rate": 0.5}}, {"dense": {"units": 4}},
          {"conv2d_transpose": {"filters": 2, "kernel": 4}}, {"upsample2d": {}},
          {"lstm": {"units": 4}}, {"gru": {"units": 4}}, {"simple_rnn": {"units": 4}}, {"sequence_pool": {}},
          {"attention": {"heads": 2}}, {"positions": {"length": 9}}, {"rms_norm": {}},
          {"conv1d": {"filters": 2, "kernel": 3}}, {"glu": {"units": 3}},
          {"repeat": {"times": 2, "layers": [{"dense": {"units": 4}}]}},
          {"name": "sum", "inputs": ["dense_1", "dense_1"], "add": {}}]}})";

// The same of a job that draws pictures.
constexpr char kDrawing[] =
    R"({"image_generation": {}, "data": {"dataset": "mnist"}, "training": {"epochs": 1},
        "model": MODEL})";
constexpr const char* kDrawingModels[] = {
    R"({"preset": {"gan": {}}})", R"({"preset": {"dcgan": {}}})",
    R"({"networks": [{"name": "generator", "preset": {"dcgan": {}}},
                     {"name": "discriminator", "layers": [{"flatten": {}}, {"dense": {"units": 1}}]}]})"};
v1::JobSpec DrawingOf(const char* model) {
  std::string text = kDrawing;
  return RequestOf(text.replace(text.find("MODEL"), 5, model)).spec();
}

// Fields with presence that are not set, and enums at 0: by their paths.
void CollectDefaults(const google::protobuf::Message& message, const std::string& path,
                     std::vector<std::string>& found) {
  const auto& reflection = *message.GetReflection();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const auto& field = *message.GetDescriptor()->field(i);
    const std::string at = path + "." + field.name();
    using Field = google::protobuf::FieldDescriptor;
    if (field.is_map()) {
      continue;
    }
    if (field.cpp_type() == Field::CPPTYPE_MESSAGE) {
      for (int k = 0; field.is_repeated() && k < reflection.FieldSize(message, &field); ++k) {
        CollectDefaults(reflection.GetRepeatedMessage(message, &field, k), at, found);
      }
      if (!field.is_repeated() && reflection.HasField(message, &field)) {
        CollectDefaults(reflection.GetMessage(message, &field), at, found);
      }
    } else if (!field.is_repeated() && !reflection.HasField(message, &field) &&
               (field.has_optional_keyword() || field.cpp_type() == Field::CPPTYPE_ENUM)) {
      found.push_back(at);
    }
  }
}

// The kinds of optimizer and schedule, each with nothing given.
class Resolved : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {
 protected:
  v1::JobSpec Spec() const {
    std::string text = kEveryKindOfLayer;
    const std::string& schedule = std::get<0>(GetParam());
    text.replace(
        text.find("SCHEDULE"), 8,
        schedule == "step" ? R"({"step": {"every_epochs": 1}})" : "{\"" + schedule + "\": {}}");
    text.replace(text.find("OPTIMIZER"), 9, "{\"" + std::get<1>(GetParam()) + "\": {}}");
    return RequestOf(text).spec();
  }
};

TEST_P(Resolved, HasEveryDefaultWrittenOut) {
  std::vector<std::string> left;
  CollectDefaults(jobs::Resolve(Spec()), "", left);
  // The others have no reset: a GRU alone has this field.
  EXPECT_THAT(left, ::testing::UnorderedElementsAre(".model.layers.lstm.reset_after",
                                                    ".model.layers.simple_rnn.reset_after"));
}

TEST(Resolve, AnEvaluationHasItsDefaultsAndNoTraining) {
  v1::JobSpec spec;
  spec.mutable_evaluation()->set_model("models/a");
  spec.mutable_data()->set_dataset("wine");
  const v1::JobSpec resolved = jobs::Resolve(spec);
  EXPECT_EQ(resolved.evaluation().seed(), 1u);
  EXPECT_EQ(resolved.evaluation().batch_size(), 32);
  EXPECT_FALSE(resolved.has_training());
  EXPECT_FALSE(resolved.has_model());
  EXPECT_THAT(jobs::Validate(resolved, {.max_threads = 4}), ::hone::testing::IsOk());
}

TEST(ToEvaluationConfig, TakesWhatIsGiven) {
  v1::WorkerRequest request = RequestOf(
      R"({"data": {"dataset": "wine", "fold": {"count": 5, "index": 2}},
          "evaluation": {"model": "models/a", "against": "models/b", "part": "TEST", "seed": 7,
                         "batch_size": 64}})");
  request.set_model_directory("/a");
  request.set_other_model_directory("/b");
  const job::EvaluationConfig config = ToEvaluationConfig(request);
  EXPECT_THAT(config.models, ElementsAre("/a", "/b"));
  EXPECT_EQ(config.part, job::EvaluationConfig::Part::kTest);
  EXPECT_EQ(config.data.seed, 7u);
  EXPECT_EQ(config.data.fold_index, 2);
  EXPECT_EQ(config.batch_size, 64);
  EXPECT_EQ(config.threads, 2);
}

TEST(Resolve, AFoldLeavesNoShareForTheTest) {
  v1::JobSpec spec;
  spec.mutable_data()->mutable_fold()->set_count(5);
  EXPECT_FALSE(jobs::Resolve(spec).data().has_test_fraction());
}

TEST_P(Resolved, IsResolvedAlready) {
  const v1::JobSpec once = jobs::Resolve(Spec());
  EXPECT_EQ(jobs::Resolve(once).SerializeAsString(), once.SerializeAsString());
}

TEST_P(Resolved, IsFoundRightWhereTheSpecWas) {
  EXPECT_THAT(jobs::Validate(Spec(), {.max_threads = 4}), ::hone::testing::IsOk());
  EXPECT_THAT(jobs::Validate(jobs::Resolve(Spec()), {.max_threads = 4}), ::hone::testing::IsOk());
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

using Numbers = std::vector<double>;

Numbers Of(const optim::Sgd& sgd) {
  return {sgd.learning_rate, sgd.momentum, sgd.nesterov ? 1.0 : 0.0, sgd.weight_decay};
}
Numbers Of(const optim::Adam& adam) {
  return {adam.learning_rate, adam.beta1,        adam.beta2,
          adam.epsilon,       adam.weight_decay, adam.lazy ? 1.0 : 0.0};
}
Numbers Of(const optim::AdamW& adam) {
  return {adam.learning_rate, adam.beta1,        adam.beta2,
          adam.epsilon,       adam.weight_decay, adam.lazy ? 1.0 : 0.0};
}
Numbers Of(const optim::RmsProp& prop) {
  return {prop.learning_rate, prop.decay, prop.epsilon, prop.momentum, prop.weight_decay};
}
Numbers Of(const optim::ConstantRate&) { return {}; }
Numbers Of(const optim::StepDecay& step) {
  return {static_cast<double>(step.every_epochs), step.factor};
}
Numbers Of(const optim::ExponentialDecay& decay) { return {decay.factor_per_epoch}; }
Numbers Of(const optim::CosineDecay& decay) { return {decay.final_factor}; }
Numbers Of(const optim::LinearDecay& decay) { return {decay.final_factor}; }
Numbers Of(const optim::OneCycle& cycle) { return {cycle.rising_share}; }
Numbers Of(const optim::Plateau& plateau) {
  return {plateau.factor, static_cast<double>(plateau.patience), plateau.min_delta};
}

// Of the optimizer and the schedule, each behind its kind.
Numbers NumbersOf(const tasks::TrainingConfig& config) {
  Numbers numbers = {static_cast<double>(config.optimizer.index()),
                     static_cast<double>(config.schedule.kind.index())};
  const auto append = [&](const auto& kind) {
    const Numbers more = Of(kind);
    numbers.insert(numbers.end(), more.begin(), more.end());
  };
  std::visit(append, config.optimizer);
  std::visit(append, config.schedule.kind);
  return numbers;
}

TEST_P(Resolved, TrainsWithTheSameNumbersAsTheSpec) {
  v1::WorkerRequest request;
  *request.mutable_spec() = Spec();
  const auto sent = ToTrainingConfig(request);
  *request.mutable_spec() = jobs::Resolve(Spec());
  const auto resolved = ToTrainingConfig(request);
  ASSERT_TRUE(sent.ok()) << sent.status();
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_EQ(NumbersOf(*resolved), NumbersOf(*sent));
  EXPECT_EQ(resolved->data.validation_fraction, sent->data.validation_fraction);
  EXPECT_EQ(resolved->data.test_fraction, sent->data.test_fraction);
  EXPECT_EQ(resolved->data.standardize, sent->data.standardize);
  EXPECT_EQ(resolved->data.standardize_target, sent->data.standardize_target);
  EXPECT_EQ(resolved->batch_size, sent->batch_size);
  EXPECT_EQ(resolved->seed, sent->seed);
  EXPECT_EQ(resolved->compute, sent->compute);
  EXPECT_EQ(resolved->recompute, sent->recompute);
  EXPECT_EQ(resolved->accumulate_batches, sent->accumulate_batches);
  EXPECT_EQ(resolved->early_stopping->min_delta, sent->early_stopping->min_delta);
  EXPECT_EQ(resolved->checkpoints.every_seconds, sent->checkpoints.every_seconds);
  EXPECT_EQ(resolved->checkpoints.keep_latest, sent->checkpoints.keep_latest);
  EXPECT_EQ(resolved->layer_statistics_every, sent->layer_statistics_every);
  using engine::layers::Conv2dOptions;
  const auto& conv = std::get<Conv2dOptions>(sent->model.layers[0].kind);
  const auto& other = std::get<Conv2dOptions>(resolved->model.layers[0].kind);
  EXPECT_EQ(other.stride, conv.stride);
  EXPECT_EQ(other.dilation, conv.dilation);
  EXPECT_EQ(other.groups, conv.groups);
  EXPECT_EQ(other.use_bias, conv.use_bias);
  EXPECT_EQ(other.padding, conv.padding);
  EXPECT_EQ(other.activation, conv.activation);
  EXPECT_EQ(other.initializer.kind, conv.initializer.kind);
  EXPECT_EQ(other.initializer.stddev, conv.initializer.stddev);
  const auto& norm = std::get<engine::models::BatchNorm>(sent->model.layers[1].kind);
  const auto& other_norm = std::get<engine::models::BatchNorm>(resolved->model.layers[1].kind);
  EXPECT_EQ(other_norm.momentum, norm.momentum);
  EXPECT_EQ(other_norm.epsilon, norm.epsilon);
  EXPECT_EQ(std::get<engine::models::Activation>(resolved->model.layers[4].kind).negative_slope,
            std::get<engine::models::Activation>(sent->model.layers[4].kind).negative_slope);
  EXPECT_EQ(std::get<engine::models::LayerNorm>(resolved->model.layers[6].kind).epsilon,
            std::get<engine::models::LayerNorm>(sent->model.layers[6].kind).epsilon);
}

class ResolvedDrawing : public ::testing::TestWithParam<const char*> {};

TEST_P(ResolvedDrawing, HasEveryDefaultWrittenOutAndIsResolvedAlready) {
  const v1::JobSpec once = jobs::Resolve(DrawingOf(GetParam()));
  std::vector<std::string> left;
  CollectDefaults(once, "", left);
  EXPECT_THAT(left, ::testing::IsEmpty());
  EXPECT_EQ(jobs::Resolve(once).SerializeAsString(), once.SerializeAsString());
  EXPECT_THAT(jobs::Validate(once, {.max_threads = 4}), ::hone::testing::IsOk());
}

TEST_P(ResolvedDrawing, TrainsAsTheSpec) {
  v1::WorkerRequest request;
  *request.mutable_spec() = DrawingOf(GetParam());
  const auto sent = ToTrainingConfig(request);
  *request.mutable_spec() = jobs::Resolve(request.spec());
  const auto resolved = ToTrainingConfig(request);
  ASSERT_TRUE(sent.ok()) << sent.status();
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  const auto& task = std::get<tasks::ImageGenerationOptions>(sent->task);
  const auto& other = std::get<tasks::ImageGenerationOptions>(resolved->task);
  EXPECT_EQ(tasks::MakeTask(other)->ToJson(), tasks::MakeTask(task)->ToJson());
  EXPECT_EQ(NumbersOf(*resolved), NumbersOf(*sent));
  EXPECT_EQ(resolved->data.pixel_mean, sent->data.pixel_mean);
  EXPECT_EQ(resolved->data.pixel_std, sent->data.pixel_std);
  ASSERT_EQ(resolved->model.networks.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(resolved->model.networks[i].name, sent->model.networks[i].name);
    EXPECT_EQ(resolved->model.networks[i].preset.name, sent->model.networks[i].preset.name);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, ResolvedDrawing, ::testing::ValuesIn(kDrawingModels));

TEST(ToTrainingConfig, GivesPixelsFromMinusOneToOneToNetworksThatDraw) {
  v1::WorkerRequest request;
  *request.mutable_spec() = DrawingOf(kDrawingModels[0]);
  EXPECT_THAT(ToTrainingConfig(request)->data.pixel_mean, ElementsAre(0.5f));
  EXPECT_THAT(ToTrainingConfig(request)->data.pixel_std, ElementsAre(0.5f));
}

TEST(ToTrainingConfig, GivesEachNetworkTheOptimizerThatTheTaskNames) {
  v1::WorkerRequest request;
  *request.mutable_spec() = DrawingOf(kDrawingModels[0]);
  request.mutable_spec()
      ->mutable_image_generation()
      ->mutable_generator_optimizer()
      ->mutable_sgd()
      ->set_learning_rate(0.5f);
  const auto config = ToTrainingConfig(request);
  ASSERT_TRUE(config.ok()) << config.status();
  const auto& task = std::get<tasks::ImageGenerationOptions>(config->task);
  EXPECT_EQ(std::get<optim::Sgd>(*task.generator_optimizer).learning_rate, 0.5);
  EXPECT_FALSE(task.discriminator_optimizer.has_value());
}

INSTANTIATE_TEST_SUITE_P(All, Resolved,
                         ::testing::Combine(::testing::Values("constant", "step", "exponential",
                                                              "cosine", "linear", "one_cycle",
                                                              "plateau"),
                                            ::testing::Values("sgd", "adam", "adamw", "rmsprop")));

// Jobs of reinforcement learning, each with nothing given that has a default.
class Agent : public ::testing::TestWithParam<std::string> {
 protected:
  static std::string Text() {
    return R"({"reinforcement_learning": {)" + GetParam() +
           R"(}, "training": {"steps": 1000}, "model": {"layers": [{"dense": {"units": 4}}]}})";
  }
};

TEST_P(Agent, HasEveryDefaultWrittenOut) {
  const v1::JobSpec resolved = jobs::Resolve(RequestOf(Text()).spec());
  std::vector<std::string> left;
  CollectDefaults(resolved, "", left);
  // One of two, or not given beside a whole maze.
  std::erase_if(left, [](const std::string& path) {
    return path == ".reinforcement_learning.exploration.share" ||
           path == ".reinforcement_learning.maze.loops" ||
           path == ".reinforcement_learning.maze.walls";
  });
  EXPECT_THAT(left, ::testing::IsEmpty());
  const v1::ReinforcementLearning& task = resolved.reinforcement_learning();
  for (const int64_t number :
       {task.copies(), task.train_every(), task.n_step(), task.evaluate_every(),
        task.evaluation_episodes(), task.final_episodes(), task.replay().capacity()}) {
    EXPECT_GT(number, 0);
  }
  EXPECT_FALSE(resolved.has_data());
  EXPECT_EQ(jobs::Resolve(resolved).SerializeAsString(), resolved.SerializeAsString());
  EXPECT_THAT(jobs::Validate(resolved, {.max_threads = 4}), ::hone::testing::IsOk());
}

TEST_P(Agent, LearnsWithTheSameNumbersAsTheSpec) {
  v1::WorkerRequest request = RequestOf(Text());
  const auto sent = ToTrainingConfig(request);
  *request.mutable_spec() = jobs::Resolve(request.spec());
  const auto resolved = ToTrainingConfig(request);
  ASSERT_TRUE(sent.ok()) << sent.status();
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  const auto& one = std::get<tasks::ReinforcementLearningOptions>(sent->task);
  const auto& other = std::get<tasks::ReinforcementLearningOptions>(resolved->task);
  EXPECT_EQ(other.copies, one.copies);
  EXPECT_EQ(other.discount, one.discount);
  EXPECT_EQ(other.replay.alpha, one.replay.alpha);
  EXPECT_EQ(other.target_every, one.target_every);
  EXPECT_EQ(other.exploration.end, one.exploration.end);
  EXPECT_EQ(other.evaluate_every, one.evaluate_every);
  EXPECT_EQ(resolved->steps, sent->steps);
}

INSTANTIATE_TEST_SUITE_P(
    All, Agent,
    ::testing::Values(R"("cart_pole": {})", R"("maze": {})", R"("maze": {"unseen": true})",
                      R"("maze": {"text": "S.\nG."})",
                      R"("acrobot": {}, "target": {"rate": 0.1}, "exploration": {"decay": 0.9})"));

TEST(ToTrainingConfig, TakesWhatIsGivenForAnAgent) {
  const auto config = ToTrainingConfig(RequestOf(
      R"({"reinforcement_learning": {"maze": {"text": "S.\nG.", "any_start": false,
            "step_cost": 0.5, "trap_cost": 3, "goal_reward": 2, "most_steps": 9, "view": "PLANES"},
          "copies": 3, "discount": 0.5, "train_every": 4, "learning_starts": 7,
          "replay": {"capacity": 99, "prioritized": true, "alpha": 0.3, "beta": 0.2},
          "target": {"copy_every": 11}, "double_q": true, "dueling": true, "n_step": 2,
          "loss": "MSE", "huber_delta": 4, "reward_clip": 5,
          "exploration": {"start": 0.9, "end": 0.1, "share": 0.7},
          "evaluate_every": 12, "evaluation_episodes": 13, "final_episodes": 14},
        "training": {"steps": 100}, "model": {"layers": [{"dense": {"units": 5}}]}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  const auto& task = std::get<tasks::ReinforcementLearningOptions>(config->task);
  const auto& maze = std::get<engine::environments::MazeOptions>(task.environment);
  EXPECT_EQ(maze.own->start, 0);
  EXPECT_FALSE(maze.any_start);
  EXPECT_EQ(maze.step_reward, -0.5f);
  EXPECT_EQ(maze.trap_reward, -3);
  EXPECT_EQ(maze.goal_reward, 2);
  EXPECT_EQ(maze.most_steps, 9);
  EXPECT_EQ(maze.view, engine::environments::MazeOptions::View::kPlanes);
  EXPECT_EQ(task.copies, 3);
  EXPECT_EQ(task.discount, 0.5f);
  EXPECT_EQ(task.steps_each(), 6);  // 4, rounded up to a multiple of the copies
  EXPECT_EQ(config->steps, 17);     // rounds
  EXPECT_EQ(task.learning_starts, 7);
  EXPECT_EQ(task.replay.capacity, 99);
  EXPECT_TRUE(task.replay.prioritized);
  EXPECT_EQ(task.replay.alpha, 0.3);
  EXPECT_EQ(task.replay.beta, 0.2);
  EXPECT_EQ(task.target_every, 11);
  EXPECT_TRUE(task.double_q);
  EXPECT_TRUE(task.dueling);
  EXPECT_EQ(task.n_step, 2);
  EXPECT_EQ(task.loss, tasks::ReinforcementLearningOptions::Loss::kSquared);
  EXPECT_EQ(task.huber_delta, 4);
  EXPECT_EQ(task.reward_clip, 5);
  EXPECT_EQ(task.exploration.start, 0.9);
  EXPECT_EQ(task.exploration.end, 0.1);
  EXPECT_EQ(task.exploration.share, 0.7);
  EXPECT_EQ(task.evaluate_every, 12);
  EXPECT_EQ(task.evaluation_episodes, 13);
  EXPECT_EQ(task.final_episodes, 14);
}

TEST(ToTrainingConfig, TakesWhatIsGivenForAPolicy) {
  v1::WorkerRequest request = RequestOf(
      R"({"reinforcement_learning": {"cart_pole": {}, "copies": 3, "reward_clip": 5,
            "ppo": {"rollout": 20, "epochs": 2, "clip": 0.3, "lambda": 0.8, "value_coefficient": 0.7,
                    "entropy_coefficient": 0.02, "normalize_advantages": false}},
          "training": {"steps": 100, "stop_after": 60, "batch_size": 15},
          "model": {"networks": [{"name": "policy", "layers": [{"dense": {"units": 2}}]},
                                 {"name": "value", "layers": [{"dense": {"units": 1}}]}]}})");
  const auto config = ToTrainingConfig(request);
  ASSERT_TRUE(config.ok()) << config.status();
  const auto& task = std::get<tasks::ReinforcementLearningOptions>(config->task);
  ASSERT_TRUE(task.policy.has_value());
  EXPECT_EQ(task.copies, 3);
  EXPECT_EQ(task.reward_clip, 5);
  EXPECT_EQ(task.policy->rollout, 20);
  EXPECT_EQ(task.policy->epochs, 2);
  EXPECT_EQ(task.policy->minibatch, 15);
  EXPECT_EQ(task.policy->clip, 0.3f);
  EXPECT_EQ(task.policy->lambda, 0.8);
  EXPECT_EQ(task.policy->value_coefficient, 0.7f);
  EXPECT_EQ(task.policy->entropy_coefficient, 0.02f);
  EXPECT_FALSE(task.policy->normalize_advantages);
  // Rollouts of 60 steps, each with 2 epochs of 4 updates.
  EXPECT_EQ(config->steps, 16);
  EXPECT_EQ(config->stop_after, 8);
}

TEST(Resolve, WritesTheDefaultsOfAPolicyAndNoneOfQLearning) {
  const v1::JobSpec resolved = jobs::Resolve(
      RequestOf(
          R"({"reinforcement_learning": {"cart_pole": {}, "ppo": {}}, "training": {"steps": 5000},
              "model": {"networks": [{"name": "policy", "layers": [{"dense": {"units": 2}}]},
                                     {"name": "value", "layers": [{"dense": {"units": 1}}]}]}})")
          .spec());
  EXPECT_EQ(resolved.reinforcement_learning().copies(), 8);
  EXPECT_EQ(resolved.reinforcement_learning().ppo().rollout(), 128);
  EXPECT_TRUE(resolved.reinforcement_learning().ppo().normalize_advantages());
  EXPECT_EQ(jobs::Resolve(resolved).SerializeAsString(), resolved.SerializeAsString());
  EXPECT_THAT(jobs::Validate(resolved, {.max_threads = 4}), ::hone::testing::IsOk());
}

TEST(ToTrainingConfig, NamesTheLineAndTheColumnOfAMaze) {
  EXPECT_THAT(
      ToTrainingConfig(RequestOf(
          R"({"reinforcement_learning": {"maze": {"text": "S#\n#G"}}, "training": {"steps": 100},
              "model": {"layers": [{"dense": {"units": 4}}]}})")),
      ::hone::testing::StatusIs(
          absl::StatusCode::kInvalidArgument,
          ::testing::HasSubstr("reinforcement_learning.maze.text: line 1, column 1: there is no")));
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
