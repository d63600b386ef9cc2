// The first four updates of deep Q-learning, by the one loop, against PyTorch in float64: returns
// of three steps with cut rewards, a prioritised replay that forgets, dueling values, the double
// estimate, Huber's loss, Adam, and a target that is copied now and then. The numbers are explained
// in tests/golden/first_updates_of_agent.py.
#include <gmock/gmock.h>

#include "engine/tasks/table.h"
#include "tests/engine/golden_run.h"

namespace hone::engine::train {
namespace {

class FirstUpdatesOfAgent : public TaskTest, public ::testing::WithParamInterface<int> {};

TEST_P(FirstUpdatesOfAgent, HavePyTorchsLossesAndWeights) {
  const nlohmann::json golden = GoldenRun("first_updates_of_agent.json")["dqn"];
  tasks::ReinforcementLearningOptions options;
  options.environment = environments::Control::kCartPole;
  options.copies = 2;
  options.steps = 76;  // 4 in each step of the loop
  options.train_every = 4;
  options.learning_starts = 64;
  options.replay = {.capacity = 50, .prioritized = true, .alpha = 0.6, .beta = 0.4};
  options.target_every = 8;
  options.discount = 0.9f;
  options.double_q = true;
  options.dueling = true;
  options.n_step = 3;
  options.huber_delta = 1.75f;
  options.reward_clip = 0.8f;
  options.exploration = {.start = 1, .end = 1, .share = 0, .decay = 0};
  options.evaluate_every = 4;  // each step of the loop is an epoch, and has a loss of its own
  options.evaluation_episodes = 1;
  config_.task = options;
  config_.seed = 5;
  config_.batch_size = 16;
  config_.steps = tasks::LoopSteps(options);
  config_.optimizer = optim::Adam{.learning_rate = 0.01, .epsilon = 1e-12};
  config_.layer_statistics_every = 0;
  config_.checkpoints.every_seconds = 0;
  config_.model.layers = {DenseLayer(12, ActivationKind::kTanh), DenseLayer(3)};
  config_.threads = GetParam();
  begin_with_ = [&](ParameterStore& store) { BeginAsGolden(golden, store); };
  ASSERT_EQ(Attempt(*tasks::MakeTask(config_.task), NewRun()).value(), EndReason::kCompleted);
  EXPECT_EQ(recorder_.metrics.back().values.at("episodes"), golden["episodes"].get<double>());
  ExpectLosses(golden["losses"], "loss", state_, /*first=*/15);
  ASSERT_EQ(golden["parameters"].size(), 4u);
  for (const nlohmann::json& parameter : golden["parameters"]) {
    const auto name = parameter["name"].get<std::string>();
    ExpectMovement(parameter, "moved", Values(name));
    ExpectMovement(parameter, "target_moved", Values("target." + name));
  }
}

INSTANTIATE_TEST_SUITE_P(All, FirstUpdatesOfAgent, ::testing::Values(1, 2),
                         [](const auto& test) { return test.param == 1 ? "OneThread" : "Shards"; });

}  // namespace
}  // namespace hone::engine::train
