#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/tasks/policy_learner.h"
#include "engine/tasks/table.h"
#include "tests/engine/golden_step.h"
#include "tests/engine/task_testing.h"
#include "tests/support/status_matchers.h"

// Proximal policy optimisation: its advantages, its loss against PyTorch's, and runs of the one
// loop.
namespace hone::engine::train {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using tasks::ReinforcementLearningOptions;
using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::HasSubstr;

TEST(EstimateAdvantages, AddsDiscountedErrorsUpToTheEndOfAnEpisode) {
  const std::vector<float> rewards = {1, 2, 4, 8}, values = {1, 1, 2, 4}, next = {1, 0, 4, 6};
  const std::vector<uint8_t> ends = {0, 1, 0, 0};
  std::vector<float> advantages(4);
  tasks::EstimateAdvantages(rewards, values, next, ends, /*discount=*/0.5, /*lambda=*/0.5,
                            advantages);
  // The errors are 0.5, 1, 4 and 7; those behind count a quarter, but not over the end.
  EXPECT_THAT(advantages, ElementsAre(FloatEq(0.75), FloatEq(1), FloatEq(5.75), FloatEq(7)));
}

TEST(EstimateAdvantages, WithLambdaOneAreReturnsLessValues) {
  const std::vector<float> rewards = {1, 1, 1}, values = {0.5f, 0.25f, 2}, next = {0.25f, 2, 0};
  const std::vector<uint8_t> ends = {0, 0, 1};
  std::vector<float> advantages(3);
  tasks::EstimateAdvantages(rewards, values, next, ends, /*discount=*/1, /*lambda=*/1, advantages);
  EXPECT_THAT(advantages, ElementsAre(FloatEq(2.5), FloatEq(1.75), FloatEq(-1)));
}

environments::MazeOptions SmallMaze() {
  environments::MazeOptions maze;
  maze.own = environments::ParseMaze(
                 "S.#.\n"
                 "#..T\n"
                 "...G\n",
                 "maze")
                 .value();
  return maze;
}

class Policy : public TaskTest {
 protected:
  Policy() {
    options_.environment = SmallMaze();
    options_.steps = 16'384;
    options_.copies = 8;
    options_.policy = tasks::PolicyOptions{.rollout = 32, .minibatch = 64};
    options_.evaluate_every = 4096;
    config_.optimizer = optim::Adam{.learning_rate = 0.003};
    config_.clip_norm = 0.5;
    config_.layer_statistics_every = 0;
    config_.checkpoints.every_seconds = 0;
    SetNetworks(4);
  }

  void SetNetworks(int64_t actions, int64_t values = 1) {
    config_.model = {};
    config_.model.networks = {
        {.name = "policy", .layers = {DenseLayer(32, ActivationKind::kTanh), DenseLayer(actions)}},
        {.name = "value", .layers = {DenseLayer(32, ActivationKind::kTanh), DenseLayer(values)}}};
  }
  absl::StatusOr<EndReason> Train(const std::string& directory) {
    config_.task = options_;
    config_.batch_size = options_.policy->minibatch;
    config_.steps = tasks::LoopSteps(options_);
    task_ = tasks::MakeTask(config_.task);
    return Attempt(*task_, directory);
  }
  double Last(const std::string& name) { return state_.history.back().values.at(name); }

  ReinforcementLearningOptions options_;
  std::unique_ptr<tasks::Task> task_;
};

TEST_F(Policy, FindsTheWayFromEveryStart) {
  ASSERT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
  EXPECT_EQ(Last("validation_success_rate"), 1);
  EXPECT_LE(Last("validation_path_ratio"), 1.1);
  EXPECT_EQ(state_.best->name, "validation_mean_return");
}

TEST_F(Policy, TellsHowItDoesWhileItLearns) {
  ASSERT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
  const std::map<std::string, double>& values = recorder_.metrics.back().values;
  EXPECT_EQ(values.at("environment_steps"), 16'384);
  EXPECT_GT(values.at("recent_success_rate"), 0.8);
  EXPECT_GE(values.at("entropy"), 0);
  EXPECT_LT(values.at("entropy"), std::log(4.0));
  EXPECT_GE(values.at("policy_divergence"), 0);
  EXPECT_GE(values.at("clipped_share"), 0);
  EXPECT_LE(values.at("clipped_share"), 1);
  EXPECT_GT(values.at("value_error"), 0);
}

TEST_F(Policy, MakesAllUpdatesOfARolloutBeforeItActsAgain) {
  options_.steps = 300;  // two rollouts of 256
  ASSERT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
  EXPECT_EQ(state_.step, 2 * 4 * 256 / 64);
  EXPECT_EQ(recorder_.metrics.back().values.at("environment_steps"), 512);
}

TEST_F(Policy, StoppedAndResumedIsNeverStopped) {
  options_.steps = 512;
  options_.evaluate_every = 256;
  config_.threads = 2;  // two shards of 32
  ASSERT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
  const checkpoint::RunState whole = state_;
  const auto policy = Values("policy.dense_1.weight"), value = Values("value.dense_1.weight");
  EXPECT_EQ(InPieces(*task_), 2 * 4 * 256 / 64);
  EXPECT_EQ(Values("policy.dense_1.weight"), policy);
  EXPECT_EQ(Values("value.dense_1.weight"), value);
  EXPECT_EQ(state_.sections, whole.sections);
}

TEST_F(Policy, KilledInTheMiddleOfARolloutItGoesOnAsIfItHadNotBeen) {
  options_.steps = 1024;
  config_.threads = 2;
  ASSERT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
  const checkpoint::RunState whole = state_;
  const auto policy = Values("policy.dense_2.weight");
  config_.checkpoints.every_steps = 10;
  config_.layer_statistics_every = 1;
  recorder_.on_step = [this](int64_t step) { stop_ = step == 25; };
  const std::string killed = NewRun();
  ASSERT_EQ(Train(killed).value(), EndReason::kCancelled);
  stop_ = false;
  recorder_.on_step = nullptr;
  // A kill leaves no checkpoint of its own: steps 21 to 25 are made again.
  std::filesystem::remove_all(checkpoint::CheckpointDirectory(CheckpointRoot(config_), 25));
  ASSERT_EQ(Train(killed).value(), EndReason::kCompleted);
  EXPECT_EQ(Values("policy.dense_2.weight"), policy);
  EXPECT_EQ(state_.sections, whole.sections);
}

TEST_F(Policy, EndsWithTheRolloutInWhichTheLastEpisodeEnds) {
  options_.steps = 0;
  options_.episodes = 60;
  ASSERT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
  EXPECT_GE(recorder_.metrics.back().values.at("episodes"), 60);
  EXPECT_EQ(state_.step % (4 * 256 / 64), 0);
  EXPECT_LT(state_.step, config_.steps);
}

TEST_F(Policy, BalancesAPole) {
  options_.environment = environments::Control::kCartPole;
  options_.steps = 20'480;
  options_.evaluate_every = 10'240;
  options_.evaluation_episodes = 20;
  SetNetworks(2);
  ASSERT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
  EXPECT_GT(Last("validation_mean_return"), 60);  // at random it is 22
}

// Of values that are all 0 the error is the mean square of the returns, which grow with the bound
// that rewards are cut to.
TEST_F(Policy, LearnsFromRewardsThatAreCut) {
  options_.environment = environments::Control::kCartPole;  // each step has the reward 1
  options_.steps = 256;
  options_.policy->epochs = 1;
  options_.policy->minibatch = 256;
  SetNetworks(2);
  std::get<layers::DenseOptions>(config_.model.networks[1].layers.back().kind).initializer.kind =
      Initializer::Kind::kZeros;
  const auto error = [&](float clip) {
    options_.reward_clip = clip;
    EXPECT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
    return recorder_.metrics.back().values.at("value_error");
  };
  const double whole = error(0);
  EXPECT_GT(whole, 1);
  EXPECT_NEAR(error(2), whole, 1e-6 * whole);
  EXPECT_NEAR(error(0.5), whole / 4, 1e-5 * whole);
}

TEST_F(Policy, NamesTheNetworkWhoseLastLayerDoesNotFit) {
  SetNetworks(3);
  EXPECT_THAT(Train(NewRun()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("model.networks[0] (policy): the last layer must have 4 units")));
  SetNetworks(4, /*values=*/2);
  EXPECT_THAT(Train(NewRun()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("model.networks[1] (value): the last layer must have 1 unit")));
}

TEST_F(Policy, RefusesMinibatchesThatDoNotDivideTheRollout) {
  options_.policy->minibatch = 60;
  EXPECT_THAT(Train(NewRun()), StatusIs(absl::StatusCode::kInvalidArgument,
                                        HasSubstr("must divide the steps of a rollout")));
}

TEST_F(Policy, HasAModelFileOfWhichTheTaskIsMadeAgain) {
  const nlohmann::json json = tasks::MakeTask(options_)->ToJson();
  const auto read = tasks::TaskOptionsFromJson(json);
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(tasks::MakeTask(*read)->ToJson(), json);
}

// Threads of the program, 0: the reference interpreter. The numbers are explained in
// tests/golden/first_step_of_policy.py.
class FirstStepOfPolicy : public ::testing::TestWithParam<int> {};

TEST_P(FirstStepOfPolicy, HasPyTorchsLossAndGradients) {
  const nlohmann::json golden = nlohmann::json::parse(
      std::ifstream(HONE_SOURCE_DIR "/tests/golden/first_step_of_policy.json"))["ppo"];
  ReinforcementLearningOptions options;
  options.environment = environments::Control::kCartPole;
  options.steps = 1;
  options.policy = tasks::PolicyOptions{
      .rollout = 24, .minibatch = 24, .clip = 0.2f, .entropy_coefficient = 0.05f};
  tasks::TrainingConfig config;
  config.task = options;
  config.batch_size = golden["batch"].get<int64_t>();
  config.model.networks = {
      {.name = "policy", .layers = {DenseLayer(16, ActivationKind::kTanh), DenseLayer(2)}},
      {.name = "value", .layers = {DenseLayer(16, ActivationKind::kTanh), DenseLayer(1)}}};
  const std::unique_ptr<tasks::Task> task = tasks::MakeTask(config.task);
  const auto data = tasks::LoadExamples(config.data, config, *task);
  ASSERT_THAT(data, IsOk());
  auto built =
      task->BuildLoss(config, tasks::InfoOf(*data, *task), 0, {.batch = config.batch_size});
  ASSERT_THAT(built, IsOk());
  testing::GoldenStep step{.graph = std::move(*built->built.graph),
                           .loss = built->built.request.fetch[tasks::kFetchLossSum]};
  ASSERT_THAT(step.Differentiate(), IsOk());
  const auto between = [](uint64_t stream, double offset, double scale) {
    return nlohmann::json{{"stream", stream}, {"offset", offset}, {"scale", scale}};
  };
  const std::map<std::string, nlohmann::json> inputs = {
      {tasks::kFeaturesInput, between(101, 0, 2)},
      {tasks::kLogTakenInput, between(103, -0.8, 0.4)},
      {tasks::kAdvantagesInput, between(104, 0, 2)},
      {tasks::kReturnsInput, between(105, 1, 3)}};
  testing::ExpectGolden(
      step, golden,
      [&](const std::string& input, int64_t i) {
        return input == tasks::kTakenInput ? static_cast<double>(testing::Number(102, i) % 2)
                                           : double{testing::Start(inputs.at(input), i)};
      },
      GetParam());
}

INSTANTIATE_TEST_SUITE_P(All, FirstStepOfPolicy, ::testing::Values(0, 1, 2));

}  // namespace
}  // namespace hone::engine::train
