#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "google/protobuf/util/json_util.h"
#include "server/translate/events.h"
#include "server/translate/job.h"
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
  EXPECT_THAT(config->weight_decay_exclude, ElementsAre("dense_1"));
  ASSERT_EQ(config->parameter_rules.size(), 1u);
  EXPECT_EQ(config->parameter_rules[0].parameters, "dense_*");
  EXPECT_EQ(config->parameter_rules[0].freeze, false);
  EXPECT_EQ(config->parameter_rules[0].learning_rate_factor, 0.5f);
  EXPECT_FALSE(config->parameter_rules[0].weight_decay.has_value());
}

TEST(ToTrainingConfig, AnExcludedLayerMustBeThere) {
  EXPECT_THAT(ToTrainingConfig(RequestOf(
                  R"({"classification": {}, "data": {"dataset": "mnist"},
              "training": {"epochs": 5, "weight_decay_exclude": ["dense_9"]},
              "model": {"layers": [{"dense": {"units": 10}}]}})")),
              ::hone::testing::StatusIs(absl::StatusCode::kInvalidArgument,
                                        ::testing::HasSubstr("weight_decay_exclude[0]")));
}

TEST(ToTrainingConfig, TakesWhatIsGiven) {
  const auto config = ToTrainingConfig(RequestOf(
      R"({"regression": {"loss": "HUBER", "huber_delta": 2}, "data": {"path": "x.csv"},
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
