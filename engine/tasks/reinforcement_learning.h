#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>

#include "absl/status/statusor.h"
#include "engine/environments/table.h"
#include "engine/tasks/replay.h"

namespace hone::engine::tasks {

class Task;

// Deep Q-learning: Mnih et al., "Human-level control through deep reinforcement learning", 2015.
// All lengths are steps of the environment, over all copies of it that act side by side. A step of
// the loop is `train_every` of them and then one update at most.
struct ReinforcementLearningOptions {
  environments::EnvironmentOptions environment;

  // The length: one of the two.
  int64_t steps = 0;
  int64_t episodes = 0;

  int64_t copies = 1;  // of the environment
  float discount = 0.99f;
  int64_t train_every = 4;         // rounded up to a multiple of `copies`
  int64_t learning_starts = 1000;  // no update before: the replay fills
  ReplayOptions replay;

  // The target network is a copy that is made anew every so many steps; or, with a rate above 0,
  // moves to the other by this share at each update.
  int64_t target_every = 500;
  float target_rate = 0;

  // The action after is chosen by the network and valued by its target: van Hasselt et al., 2016.
  bool double_q = false;
  // The last layer gives the value of a state and an advantage for each action, which are added:
  // Wang et al., 2016.
  bool dueling = false;
  int64_t n_step = 1;  // rewards that are added up before the target network is asked

  enum class Loss { kHuber, kSquared };
  Loss loss = Loss::kHuber;
  float huber_delta = 1;
  float reward_clip = 0;  // rewards are cut to ± this; 0: not

  // The share of random actions falls linearly from `start` to `end` over a share of the training;
  // or, with a decay, by this factor after each episode.
  struct Exploration {
    double start = 1;
    double end = 0.05;
    double share = 0.5;
    double decay = 0;
  };
  Exploration exploration;

  int64_t evaluate_every = 10'000;
  int64_t evaluation_episodes = 100;  // of one maze with any start: each start once
  int64_t final_episodes = 0;         // after the training; 0: as many as above

  int64_t steps_each() const { return (train_every + copies - 1) / copies * copies; }
};

// Steps of the loop: of as many steps of the environment as there may be. `most_steps` is that of
// an episode.
int64_t LoopSteps(const ReinforcementLearningOptions& options);

// Without a data set. The model is the network: it is given what is seen and says what each action
// is worth. The target network's parameters are named behind "target.".
std::unique_ptr<Task> MakeReinforcementLearning(const ReinforcementLearningOptions& options);
// Of what Task::ToJson gave: see table.h.
absl::StatusOr<ReinforcementLearningOptions> ReinforcementLearningFromJson(
    const nlohmann::json& json);

}  // namespace hone::engine::tasks
