#include "engine/job/pretrained.h"

#include <gmock/gmock.h>

#include "engine/base/status.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/tasks/model_file.h"
#include "tests/engine/train_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::train {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

// A job on the pictures that goes on from a finished one: conv2d_1, …, dense_1.
class PretrainedTest : public TrainTest {
 protected:
  PretrainedTest() : first_(Pictures()) { EXPECT_EQ(Run(first_).value(), EndReason::kCompleted); }

  tasks::PretrainedOptions From(int64_t drop_layers) const {
    return {.directory = first_.run_directory + "/model", .drop_layers = drop_layers};
  }
  // With one dense layer in the place of those dropped.
  absl::StatusOr<tasks::TrainingConfig> Second(const tasks::PretrainedOptions& pretrained,
                                               const std::vector<std::string>& freeze) const {
    tasks::TrainingConfig config = Pictures();
    config.seed = 5;
    config.pretrained = pretrained;
    models::ModelDescription head;
    if (pretrained.drop_layers > 0) {
      head.layers = {DenseLayer(2)};
    }
    HONE_ASSIGN_OR_RETURN(config.model, job::WithPretrained(pretrained, head));
    HONE_ASSIGN_OR_RETURN(config.parameter_rules, job::FreezeRules(pretrained, freeze));
    return config;
  }
  static std::vector<float> Weights(const tasks::TrainingConfig& config, const std::string& name) {
    const auto model = checkpoint::LoadModel(config.run_directory + "/model");
    const checkpoint::FileTensor* tensor = model->tensors.Find(name).value();
    std::vector<float> values(static_cast<size_t>(tensor->shape.elements()));
    EXPECT_THAT(model->tensors.Read(*tensor, values), IsOk());
    return values;
  }

  const tasks::TrainingConfig first_;
};

TEST_F(PretrainedTest, FrozenLayersKeepTheirBitsAndTheHeadIsLearned) {
  const auto second = Second(From(1), {"conv2d_1"});
  ASSERT_THAT(second, IsOk());
  ASSERT_EQ(Run(*second).value(), EndReason::kCompleted);
  EXPECT_EQ(Weights(*second, "conv2d_1.weight"), Weights(first_, "conv2d_1.weight"));
  EXPECT_EQ(Weights(*second, "conv2d_1.bias"), Weights(first_, "conv2d_1.bias"));
  EXPECT_NE(Weights(*second, "dense_1.weight"), Weights(first_, "dense_1.weight"));
}

TEST_F(PretrainedTest, LayersThatAreNotFrozenBeginWithTheEarlierWeightsAndLearn) {
  auto second = Second(From(0), {});
  ASSERT_THAT(second, IsOk());
  second->epochs = 0;
  second->steps = 1;
  second->optimizer = optim::Sgd{.learning_rate = 1e-6};
  ASSERT_EQ(Run(*second).value(), EndReason::kCompleted);
  const std::vector<float> before = Weights(first_, "dense_1.weight");
  const std::vector<float> after = Weights(*second, "dense_1.weight");
  EXPECT_NE(after, before);
  EXPECT_THAT(after, ::testing::Pointwise(::testing::FloatNear(1e-4f), before));
}

TEST_F(PretrainedTest, StoppedAtEveryStepAndResumedIsNeverStopped) {
  auto whole = Second(From(1), {"*"}), pieces = Second(From(1), {"*"});
  ASSERT_THAT(whole, IsOk());
  ASSERT_EQ(Run(*whole).value(), EndReason::kCompleted);
  pieces->resume = true;
  pieces->layer_statistics_every = 1;
  recorder_.on_step = [&](int64_t) { stop_ = true; };
  absl::StatusOr<EndReason> end = EndReason::kCancelled;
  for (int attempts = 0; end.ok() && *end == EndReason::kCancelled; ++attempts) {
    stop_ = false;
    end = Run(*pieces);
    ASSERT_LT(attempts, 100);
  }
  EXPECT_EQ(ModelSha(*pieces), ModelSha(*whole));
}

TEST_F(PretrainedTest, MoreLayersDroppedThanThereAreIsRefusedWithTheirNames) {
  EXPECT_THAT(Second(From(5), {}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("drop_layers"), HasSubstr("conv2d_1, max_pool2d_1"))));
}

TEST_F(PretrainedTest, ALayerToFreezeThatIsNotKeptIsRefused) {
  EXPECT_THAT(Second(From(1), {"dense_1"}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("freeze"), HasSubstr("dense_1"))));
}

TEST_F(PretrainedTest, ALayerWithoutWeightsMayBeFrozen) {
  const auto second = Second(From(1), {"max_pool2d_1"});
  ASSERT_THAT(second, IsOk());
  EXPECT_EQ(Run(*second).value(), EndReason::kCompleted);
}

TEST_F(PretrainedTest, AParameterIsFrozenByAGlobAndThawedByARuleOfTheJob) {
  auto second = Second(From(0), {"*.weight"});
  ASSERT_THAT(second, IsOk());
  second->parameter_rules.push_back({.parameters = "dense_1", .freeze = false});
  ASSERT_EQ(Run(*second).value(), EndReason::kCompleted);
  EXPECT_EQ(Weights(*second, "conv2d_1.weight"), Weights(first_, "conv2d_1.weight"));
  EXPECT_NE(Weights(*second, "conv2d_1.bias"), Weights(first_, "conv2d_1.bias"));
  EXPECT_NE(Weights(*second, "dense_1.weight"), Weights(first_, "dense_1.weight"));
}

TEST_F(PretrainedTest, NothingLeftToLearnIsRefused) {
  const auto second = Second(From(0), {"*"});
  ASSERT_THAT(second, IsOk());
  EXPECT_THAT(Run(*second).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nothing can be learned")));
}

TEST_F(PretrainedTest, ExamplesOfAnotherShapeAreRefused) {
  auto second = Second(From(1), {});
  ASSERT_THAT(second, IsOk());
  second->data.height = second->data.width = 12;
  EXPECT_THAT(Run(*second).status(), StatusIs(absl::StatusCode::kInvalidArgument,
                                              AllOf(HasSubstr("[1, 8, 8]"), HasSubstr("12"))));
}

TEST_F(PretrainedTest, PixelsBroughtToNumbersInAnotherWayAreRefused) {
  auto second = Second(From(1), {});
  ASSERT_THAT(second, IsOk());
  second->data.pixel_mean = {0.5f};
  EXPECT_THAT(Run(*second).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("data.image")));
}

TEST_F(PretrainedTest, AModelThatIsNotThereIsNotFound) {
  EXPECT_THAT(Second({.directory = Path("nowhere")}, {}).status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("model.pretrained")));
}

// Earlier models that are no list of layers: what both have is found by its name.
class NamedPretrainedTest : public TrainTest {
 protected:
  // A preset on the points, and a job that goes on from it.
  NamedPretrainedTest() {
    first_ = Points();
    first_.model.layers.clear();
    first_.model.preset = {.name = "mlp", .options = R"({"units": [8, 6, 3]})"};
    EXPECT_EQ(Run(first_).value(), EndReason::kCompleted);
    options_.directory = first_.run_directory + "/model";
    second_ = Points();
    second_.seed = 5;
    second_.pretrained = options_;
  }
  // As this model is before anything is learned.
  std::vector<float> Start(const tasks::TrainingConfig& config, const std::string& name) {
    tasks::TrainingConfig still = config;
    still.run_directory = NewRun();
    still.epochs = 0;
    still.steps = 1;
    still.optimizer = optim::Sgd{.learning_rate = 1e-30};
    EXPECT_EQ(Run(still).value(), EndReason::kCompleted);
    return Weights(still, name);
  }
  static std::vector<float> Weights(const tasks::TrainingConfig& config, const std::string& name) {
    const auto model = checkpoint::LoadModel(config.run_directory + "/model");
    const checkpoint::FileTensor* tensor = model->tensors.Find(name).value();
    std::vector<float> values(static_cast<size_t>(tensor->shape.elements()));
    EXPECT_THAT(model->tensors.Read(*tensor, values), IsOk());
    return values;
  }

  tasks::TrainingConfig first_, second_;
  tasks::PretrainedOptions options_;
};

TEST_F(NamedPretrainedTest, APresetIsGoneOnWithAsItIs) {
  second_.model = job::WithPretrained(options_, {}).value();
  second_.parameter_rules = job::FreezeRules(options_, {"layer.0"}).value();
  ASSERT_EQ(Run(second_).value(), EndReason::kCompleted);
  EXPECT_EQ(Weights(second_, "layer.0.weight"), Weights(first_, "layer.0.weight"));
  EXPECT_NE(Weights(second_, "layer.2.weight"), Weights(first_, "layer.2.weight"));
}

TEST_F(NamedPretrainedTest, TheJobsOwnModelTakesThePrefixesItNames) {
  second_.pretrained.parameters = {"layer.0"};
  second_.model = job::WithPretrained(second_.pretrained, first_.model).value();
  EXPECT_EQ(Start(second_, "layer.0.weight"), Weights(first_, "layer.0.weight"));
  EXPECT_NE(Start(second_, "layer.1.weight"), Weights(first_, "layer.1.weight"));
}

TEST_F(NamedPretrainedTest, AllThatIsTakenIsFrozenAndNothingElse) {
  second_.pretrained.parameters = {"layer.[01].*"};
  second_.model = job::WithPretrained(second_.pretrained, first_.model).value();
  second_.parameter_rules = job::FreezeRules(second_.pretrained, {"*"}).value();
  ASSERT_EQ(Run(second_).value(), EndReason::kCompleted);
  EXPECT_EQ(recorder_.started.back().plan.trainable_parameters, 6 * 3 + 3);
  EXPECT_EQ(Weights(second_, "layer.1.weight"), Weights(first_, "layer.1.weight"));
}

TEST_F(NamedPretrainedTest, APrefixThatNamesNothingThereIsRefused) {
  second_.pretrained.parameters = {"layer.0", "encoder"};
  second_.model = first_.model;
  EXPECT_THAT(Run(second_),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("model.pretrained.parameters[1] (encoder): names nothing")));
}

TEST_F(NamedPretrainedTest, AnotherShapeUnderTheSameNameIsRefused) {
  second_.model = first_.model;
  second_.model.preset.options = R"({"units": [8, 7, 3]})";
  EXPECT_THAT(Run(second_),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("model.pretrained"), HasSubstr("layer.1.weight"))));
}

TEST_F(NamedPretrainedTest, LayersCannotBeDroppedWhereThereIsNoListOfThem) {
  options_.drop_layers = 1;
  EXPECT_THAT(job::WithPretrained(options_, {}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("drop_layers"), HasSubstr("the preset mlp"))));
}

// A model of two networks, in a file of its own.
class NetworksPretrainedTest : public NamedPretrainedTest {
 protected:
  NetworksPretrainedTest() {
    tasks::ModelFile file =
        tasks::ModelFileFromJson(checkpoint::LoadModelJson(options_.directory).value()).value();
    file.model = {};
    for (const char* name : {"encoder", "decoder"}) {
      file.model.networks.push_back({.name = name, .layers = {DenseLayer(2)}});
    }
    file.model = models::WithNames(file.model).value();
    const std::vector<float> encoder = {1, 2, 3, 4}, decoder = {5, 6, 7, 8};
    options_.directory = Path("networks");
    EXPECT_THAT(
        checkpoint::WriteModel(
            options_.directory,
            std::vector<checkpoint::TensorToWrite>{
                {.name = "encoder.dense_1.weight", .shape = {2, 2}, .data = encoder.data()},
                {.name = "decoder.dense_1.weight", .shape = {2, 2}, .data = decoder.data()}},
            {}, tasks::ToJson(file)),
        IsOk());
  }
  // What a store with both networks' weights begins with, where all else is zero.
  std::vector<float> Start() const {
    ParameterStore store;
    std::vector<float> values;
    for (const char* network : {"encoder", "decoder"}) {
      EXPECT_THAT(store.Declare({.name = std::string(network) + ".dense_1.weight",
                                 .shape = {2, 2},
                                 .initializer = {}}),
                  IsOk());
    }
    store.Allocate(1);
    const job::Pretrained pretrained = job::Pretrained::Open(options_).value();
    EXPECT_THAT(pretrained.Load(store), IsOk());
    for (ParameterId id = 0; id < 2; ++id) {
      const auto of_one = store.values(id).f32();
      values.insert(values.end(), of_one.begin(), of_one.end());
    }
    return values;
  }
};

TEST_F(NetworksPretrainedTest, AllAreGoneOnWith) {
  EXPECT_THAT(Start(), ::testing::ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
  EXPECT_EQ(job::WithPretrained(options_, {})->networks.size(), 2u);
}

TEST_F(NetworksPretrainedTest, OneIsTakenByItsPrefix) {
  options_.parameters = {"encoder"};
  EXPECT_THAT(Start(), ::testing::ElementsAre(1, 2, 3, 4, 0, 0, 0, 0));
}

TEST_F(NetworksPretrainedTest, OneOfTheJobTakesThePlaceOfAnEarlierOne) {
  const models::ModelDescription whole =
      job::WithPretrained(
          options_,
          {.networks = {{.name = "decoder", .layers = {DenseLayer(5, kRelu), DenseLayer(4)}},
                        {.name = "critic", .layers = {DenseLayer(1)}}}})
          .value();
  ASSERT_EQ(whole.networks.size(), 3u);
  EXPECT_EQ(whole.networks[0].name, "encoder");
  EXPECT_EQ(whole.networks[1].layers.size(), 2u);
  EXPECT_EQ(whole.networks[2].name, "critic");
}

}  // namespace
}  // namespace hone::engine::train
