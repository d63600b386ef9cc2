// A resolved job has every default written out, and trains as the one that was sent.
#include <gmock/gmock.h>

#include <string>
#include <tuple>
#include <variant>
#include <vector>

#include "engine/tasks/table.h"
#include "server/jobs/resolve.h"
#include "server/jobs/validate.h"
#include "server/translate/job.h"
#include "tests/server/translate_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::server::translate {
namespace {

using ::testing::ElementsAre;
namespace job = engine::job;
namespace optim = engine::optim;
namespace tasks = engine::tasks;

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
  EXPECT_EQ(resolved->cache_frozen, sent->cache_frozen);
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

}  // namespace
}  // namespace hone::server::translate
