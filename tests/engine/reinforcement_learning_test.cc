#include "engine/tasks/reinforcement_learning.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "engine/tasks/table.h"
#include "tests/engine/task_testing.h"
#include "tests/support/status_matchers.h"

// Deep Q-learning through the one loop.
namespace hone::engine::train {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using tasks::ReinforcementLearningOptions;
using ::testing::HasSubstr;

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

class Agent : public TaskTest {
 protected:
  Agent() {
    options_.environment = SmallMaze();
    options_.steps = 3000;
    options_.learning_starts = 64;
    options_.replay.capacity = 1000;
    options_.target_every = 100;
    options_.evaluate_every = 1000;
    config_.batch_size = 16;
    config_.optimizer = optim::Adam{.learning_rate = 0.003};
    config_.layer_statistics_every = 0;
    config_.checkpoints.every_seconds = 0;
    config_.model.layers = {DenseLayer(32, ActivationKind::kRelu), DenseLayer(4)};
  }

  absl::StatusOr<EndReason> Train(const std::string& directory) {
    config_.task = options_;
    config_.steps = tasks::LoopSteps(options_);
    task_ = tasks::MakeTask(config_.task);
    return Attempt(*task_, directory);
  }
  double Last(const std::string& name) { return state_.history.back().values.at(name); }

  ReinforcementLearningOptions options_;
  std::unique_ptr<tasks::Task> task_;
};

TEST_F(Agent, FindsTheShortestWayFromEveryStart) {
  ASSERT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
  EXPECT_EQ(Last("validation_success_rate"), 1);
  EXPECT_EQ(Last("validation_path_ratio"), 1);
  EXPECT_EQ(state_.best->name, "validation_mean_return");
}

TEST_F(Agent, TellsHowItDoesWhileItLearns) {
  ASSERT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
  const std::map<std::string, double>& values = recorder_.metrics.back().values;
  EXPECT_NEAR(values.at("epsilon"), 0.05, 1e-9);
  EXPECT_EQ(values.at("environment_steps"), 3000);
  EXPECT_GT(values.at("recent_success_rate"), 0.8);
  EXPECT_LT(values.at("recent_length"), 10);
  EXPECT_GT(values.at("recent_return"), 0.5);
  EXPECT_GT(values.at("mean_q"), 0.3);
}

TEST_F(Agent, LeavesItsWayAsAPictureAndAsText) {
  const std::string run = NewRun();
  ASSERT_EQ(Train(run).value(), EndReason::kCompleted);
  ASSERT_EQ(recorder_.artifacts.size(), 3u);  // one for each evaluation
  EXPECT_EQ(recorder_.artifacts[0].path, "artifacts/paths/step-00000250.png");
  EXPECT_THAT(ReadFile(run + "/" + recorder_.artifacts[0].path).value(), HasSubstr("PNG"));
  EXPECT_THAT(recorder_.infos, ::testing::Contains(HasSubstr("S →")));
}

// All that may stand between a network and its updates.
class Variant : public Agent, public ::testing::WithParamInterface<int> {
 protected:
  void SetUp() override {
    switch (GetParam()) {
      case 0:
        options_.double_q = true;
        options_.replay.prioritized = true;
        options_.steps = 12'000;  // what is nearly right is drawn seldom, and takes its time
        break;
      case 1:
        options_.dueling = true;
        config_.model.layers.back() = DenseLayer(5);
        options_.target_rate = 0.05f;
        break;
      case 2:
        options_.n_step = 3;
        options_.copies = 4;
        break;
      case 3:
        options_.loss = ReinforcementLearningOptions::Loss::kSquared;
        options_.exploration = {.start = 1, .end = 0.05, .share = 0, .decay = 0.98};
        options_.reward_clip = 1;
        break;
    }
  }
};

TEST_P(Variant, FindsTheWay) {
  ASSERT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
  EXPECT_GE(Last("validation_success_rate"), 0.85);
}

TEST_P(Variant, StoppedAndResumedIsNeverStopped) {
  options_.steps = 400;
  options_.evaluate_every = 100;
  config_.threads = 2;  // two shards of 8
  ASSERT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
  const checkpoint::RunState whole = state_;
  const auto online = Values("dense_1.weight"), target = Values("target.dense_1.weight");
  EXPECT_EQ(InPieces(*task_), 100);
  EXPECT_EQ(Values("dense_1.weight"), online);
  EXPECT_EQ(Values("target.dense_1.weight"), target);
  EXPECT_EQ(state_.sections, whole.sections);
}

INSTANTIATE_TEST_SUITE_P(All, Variant, ::testing::Range(0, 4));

TEST_F(Agent, KilledBetweenCheckpointsItGoesOnAsIfItHadNotBeen) {
  options_.steps = 400;
  options_.replay.prioritized = true;
  config_.threads = 2;
  ASSERT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
  const checkpoint::RunState whole = state_;
  const auto online = Values("dense_2.weight");
  config_.checkpoints.every_steps = 30;
  config_.layer_statistics_every = 1;
  recorder_.on_step = [this](int64_t step) { stop_ = step == 50; };
  const std::string killed = NewRun();
  ASSERT_EQ(Train(killed).value(), EndReason::kCancelled);
  stop_ = false;
  recorder_.on_step = nullptr;
  // A kill leaves no checkpoint of its own: steps 31 to 50 are made again.
  std::filesystem::remove_all(checkpoint::CheckpointDirectory(CheckpointRoot(config_), 50));
  ASSERT_EQ(Train(killed).value(), EndReason::kCompleted);
  EXPECT_EQ(Values("dense_2.weight"), online);
  EXPECT_EQ(state_.sections, whole.sections);
}

TEST_F(Agent, LearnsNothingBeforeItsReplayHasFilled) {
  options_.steps = 400;
  options_.learning_starts = 1000;
  ASSERT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
  const auto weights = Values("dense_1.weight");
  programs_->store().Initialize(config_.seed);
  EXPECT_EQ(weights, Values("dense_1.weight"));
}

// The rewards in the replay of an agent that keeps a pole up by chance.
class RewardClip : public Agent {
 protected:
  std::vector<float> Rewards(float clip, int64_t steps = 64) {
    options_.environment = environments::Control::kCartPole;  // each step has the reward 1
    options_.steps = steps;
    options_.evaluation_episodes = 1;
    options_.reward_clip = clip;
    config_.model.layers.back() = DenseLayer(2);
    EXPECT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
    tasks::Replay replay(options_.replay,
                         environments::MakeEnvironment(options_.environment)->spec().record_bytes);
    EXPECT_THAT(replay.Restore(state_.sections.at("replay")), IsOk());
    std::vector<float> rewards;
    for (int64_t place = 0; place < replay.size(); ++place) {
      rewards.push_back(replay.at(place).reward);
    }
    return rewards;
  }
};

TEST_F(RewardClip, CutsWhatIsLearnedFrom) {
  const std::vector<float> rewards = Rewards(0.25f);
  EXPECT_EQ(rewards.size(), 64u);
  EXPECT_THAT(rewards, ::testing::Each(0.25f));
}

TEST_F(RewardClip, LeavesTheReturnThatIsToldAsItIs) {
  Rewards(0.25f, 800);  // in which episodes end
  EXPECT_EQ(recorder_.metrics.back().values.at("recent_return"),
            recorder_.metrics.back().values.at("recent_length"));
}

TEST_F(RewardClip, LeavesWhatIsWithinTheBound) { EXPECT_THAT(Rewards(2), ::testing::Each(1.0f)); }

TEST_F(RewardClip, OfZeroCutsNothing) { EXPECT_THAT(Rewards(0), ::testing::Each(1.0f)); }

TEST_F(RewardClip, CutsEachRewardAndNotTheSumOfSeveral) {
  options_.n_step = 2;
  options_.discount = 0.5f;
  // Two steps in one, or the last one of an episode.
  EXPECT_THAT(Rewards(0.25f), ::testing::Contains(0.375f));
  EXPECT_THAT(Rewards(0.25f), ::testing::Each(::testing::AnyOf(0.375f, 0.25f)));
}

TEST_F(Agent, EndsAfterSoManyEpisodes) {
  options_.steps = 0;
  options_.episodes = 20;
  ASSERT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
  EXPECT_EQ(recorder_.metrics.back().values.at("episodes"), 20);
  EXPECT_LT(state_.step, config_.steps);
}

TEST_F(Agent, CopiesItsNetworkIntoTheTargetNowAndThen) {
  options_.steps = 164;  // updates at 64, 68, …, copies at 64 and 164
  ASSERT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
  EXPECT_NE(Values("dense_1.weight"), Values("target.dense_1.weight"));
  options_.steps = 160;
  options_.target_every = 1'000'000;
  ASSERT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
  const auto target = Values("target.dense_1.weight");
  programs_->store().Initialize(config_.seed);
  EXPECT_EQ(target, Values("dense_1.weight"));  // as it was before the first update
}

TEST_F(Agent, BalancesAPole) {
  options_.environment = environments::Control::kCartPole;
  options_.steps = 2000;
  options_.evaluation_episodes = 20;
  config_.model.layers.back() = DenseLayer(2);
  ASSERT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
  EXPECT_GT(Last("validation_mean_return"), 1);
  EXPECT_FALSE(state_.history.back().values.contains("validation_path_ratio"));
}

// The success rate in mazes that were held back, after so many steps in others.
class UnseenMazes : public Agent {
 protected:
  UnseenMazes() {
    environments::MazeOptions maze;
    maze.shape = {.height = 4, .width = 4, .loops = 1, .walls = 0.2};
    maze.unseen = true;
    maze.view = environments::MazeOptions::View::kPlanes;
    options_.environment = maze;
    options_.steps = 24'000;
    options_.copies = options_.train_every = 8;
    options_.learning_starts = 500;
    options_.replay.capacity = 20'000;
    options_.target_every = 400;
    options_.discount = 0.9f;
    options_.evaluate_every = 24'000;
    options_.evaluation_episodes = 200;
    layers::Conv2dOptions conv;
    conv.filters = 16;
    conv.kernel = 3;
    conv.padding = layers::Padding::kSame;
    conv.activation = ActivationKind::kRelu;
    config_.batch_size = 32;
    config_.model.layers = {Of(conv), Of(models::Flatten()), DenseLayer(64, ActivationKind::kRelu),
                            DenseLayer(4)};
  }
  double Solved() {
    EXPECT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
    return Last("validation_success_rate");
  }
};

TEST_F(UnseenMazes, AreSolvedByWhatWasLearnedInOthers) {
  const double learned = Solved();
  options_.learning_starts = 1'000'000;
  const double by_chance = Solved();  // by the network as it begins
  EXPECT_GT(learned, by_chance + 0.25);
}

TEST_F(Agent, NamesTheLastLayerWhoseUnitsAreNotTheActions) {
  config_.model.layers.back() = DenseLayer(3);
  EXPECT_THAT(Train(NewRun()), StatusIs(absl::StatusCode::kInvalidArgument,
                                        HasSubstr("(dense_2): the last layer must have 4 units")));
  options_.dueling = true;
  EXPECT_THAT(Train(NewRun()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("must have 5 units")));
}

TEST_F(Agent, HasAModelFileOfWhichTheTaskIsMadeAgain) {
  options_.dueling = true;
  for (const environments::EnvironmentOptions& environment :
       {environments::EnvironmentOptions(SmallMaze()),
        environments::EnvironmentOptions(environments::Control::kAcrobot)}) {
    options_.environment = environment;
    const nlohmann::json json = tasks::MakeTask(options_)->ToJson();
    const auto read = tasks::TaskOptionsFromJson(json);
    ASSERT_THAT(read, IsOk());
    EXPECT_EQ(tasks::MakeTask(*read)->ToJson(), json);
  }
}

}  // namespace
}  // namespace hone::engine::train
