// Jobs of agents: what is given, and what is written out.
#include <gmock/gmock.h>

#include <string>
#include <variant>
#include <vector>

#include "server/jobs/resolve.h"
#include "server/jobs/validate.h"
#include "server/translate/job.h"
#include "tests/server/translate_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::server::translate {
namespace {

namespace tasks = engine::tasks;

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

}  // namespace
}  // namespace hone::server::translate
