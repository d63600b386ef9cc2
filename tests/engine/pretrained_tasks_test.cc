// Jobs that go on from what other tasks have left: two networks, and an agent.
#include <gmock/gmock.h>

#include "engine/checkpoint/checkpoint.h"
#include "engine/job/pretrained.h"
#include "tests/engine/generation_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::train {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::HasSubstr;

std::vector<float> WeightsOf(const tasks::TrainingConfig& config, const std::string& name) {
  const auto model = checkpoint::LoadModel(config.run_directory + "/model");
  const checkpoint::FileTensor* tensor = model->tensors.Find(name).value();
  std::vector<float> values(static_cast<size_t>(tensor->shape.elements()));
  EXPECT_THAT(model->tensors.Read(*tensor, values), IsOk());
  return values;
}

class GenerationPretrained : public GenerationTest {
 protected:
  GenerationPretrained() {
    options_.average_decay = 0.5;
    config_.task = options_;
    EXPECT_EQ(Run(config_).value(), EndReason::kCompleted);
    from_.directory = config_.run_directory + "/model";
  }
  // One step of a job that goes on from the model, with `own` networks beside the earlier ones.
  absl::StatusOr<tasks::TrainingConfig> Second(double learning_rate,
                                               const models::ModelDescription& own = {}) const {
    tasks::TrainingConfig config = config_;
    config.run_directory = NewRun();
    config.seed = 5;
    config.epochs = 0;
    config.steps = 1;
    config.optimizer = optim::Sgd{.learning_rate = learning_rate};
    config.pretrained = from_;
    HONE_ASSIGN_OR_RETURN(config.model, job::WithPretrained(from_, own));
    return config;
  }
  tasks::PretrainedOptions from_;
};

TEST_F(GenerationPretrained, BothNetworksBeginWithTheEarlierWeights) {
  const auto second = Second(/*learning_rate=*/1e-30);
  ASSERT_THAT(second, IsOk());
  ASSERT_EQ(Run(*second).value(), EndReason::kCompleted);
  for (const char* name : {"generator.dense_1.weight", "generator.dense_2.bias",
                           "discriminator.dense_1.weight", "discriminator.dense_2.bias"}) {
    EXPECT_EQ(WeightsOf(*second, name), WeightsOf(config_, name)) << name;
  }
}

TEST_F(GenerationPretrained, BothNetworksLearnOn) {
  const auto second = Second(/*learning_rate=*/0.1);
  ASSERT_THAT(second, IsOk());
  ASSERT_EQ(Run(*second).value(), EndReason::kCompleted);
  for (const char* name : {"generator.dense_1.weight", "discriminator.dense_1.weight"}) {
    EXPECT_NE(WeightsOf(*second, name), WeightsOf(config_, name)) << name;
  }
}

TEST_F(GenerationPretrained, AGeneratorAloneIsNotTrainedOn) {
  from_.directory = Without(from_.directory, "discriminator.", "discriminator");
  const auto second = Second(0.1);
  ASSERT_THAT(second, IsOk());
  EXPECT_THAT(Run(*second),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("none is called discriminator; there are: generator")));
}

TEST_F(GenerationPretrained, ADiscriminatorThatIsDescribedAndHasNoWeightsIsNotGoneOnWith) {
  from_.directory = Without(from_.directory, "discriminator.", "");
  EXPECT_THAT(Second(0.1).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("model.pretrained: the earlier model has no weights of its "
                                 "network discriminator")));
}

TEST_F(GenerationPretrained, AGeneratorAlonePlaysAgainstANewDiscriminatorOfTheJob) {
  from_.directory = Without(from_.directory, "discriminator.", "discriminator");
  const auto second = Second(1e-30, {.networks = {config_.model.networks[1]}});
  ASSERT_THAT(second, IsOk());
  ASSERT_EQ(Run(*second).value(), EndReason::kCompleted);
  EXPECT_EQ(WeightsOf(*second, "generator.dense_1.weight"),
            WeightsOf(config_, "generator.dense_1.weight"));
  EXPECT_NE(WeightsOf(*second, "discriminator.dense_1.weight"),
            WeightsOf(config_, "discriminator.dense_1.weight"));
}

// A job of an agent, by a network of its own or by two.
class AgentPretrained : public TrainTest {
 protected:
  AgentPretrained() {
    options_.environment = environments::Control::kCartPole;
    options_.steps = 256;
    options_.learning_starts = 64;
    options_.evaluation_episodes = 4;
    config_.batch_size = 16;
    config_.threads = 1;
    config_.model.layers = {DenseLayer(8, kRelu), DenseLayer(2)};
    config_.optimizer = optim::Adam{.learning_rate = 0.01};
  }
  void Train() {
    config_.task = options_;
    config_.steps = tasks::LoopSteps(options_);
    config_.run_directory = NewRun();
    ASSERT_EQ(Run(config_).value(), EndReason::kCompleted);
  }
  // Trains and goes on from that with another seed; the earlier weights are left in `before`.
  void GoOn(double learning_rate, const std::string& name, std::vector<float>& before) {
    Train();
    before = WeightsOf(config_, name);
    config_.pretrained.directory = config_.run_directory + "/model";
    config_.model = job::WithPretrained(config_.pretrained, {}).value();
    config_.seed = 5;
    config_.optimizer = optim::Sgd{.learning_rate = learning_rate};
    Train();
  }

  tasks::ReinforcementLearningOptions options_;
  tasks::TrainingConfig config_;
};

TEST_F(AgentPretrained, TheNetworkAndItsTargetBeginWithTheEarlierWeights) {
  std::vector<float> before;
  GoOn(1e-30, "dense_1.weight", before);
  EXPECT_EQ(WeightsOf(config_, "dense_1.weight"), before);
  EXPECT_EQ(WeightsOf(config_, "target.dense_1.weight"), before);
}

TEST_F(AgentPretrained, TheNetworkLearnsOn) {
  std::vector<float> before;
  GoOn(0.1, "dense_1.weight", before);
  EXPECT_NE(WeightsOf(config_, "dense_1.weight"), before);
}

TEST_F(AgentPretrained, APolicyAndItsValuesBeginWithTheEarlierWeights) {
  options_.copies = 4;
  options_.policy = tasks::PolicyOptions{.rollout = 16, .minibatch = 16};
  config_.model.layers.clear();
  config_.model.networks = {{.name = "policy", .layers = {DenseLayer(8, kRelu), DenseLayer(2)}},
                            {.name = "value", .layers = {DenseLayer(8, kRelu), DenseLayer(1)}}};
  std::vector<float> before;
  GoOn(1e-30, "policy.dense_1.weight", before);
  EXPECT_EQ(WeightsOf(config_, "policy.dense_1.weight"), before);
}

TEST_F(AgentPretrained, ANetworkForOtherStatesIsRefused) {
  Train();
  config_.pretrained.directory = config_.run_directory + "/model";
  config_.model = job::WithPretrained(config_.pretrained, {}).value();
  options_.environment = environments::Control::kMountainCar;
  config_.task = options_;
  config_.run_directory = NewRun();
  EXPECT_THAT(Run(config_), StatusIs(absl::StatusCode::kInvalidArgument,
                                     HasSubstr("the model was made for examples of")));
}

}  // namespace
}  // namespace hone::engine::train
