#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "absl/status/statusor.h"
#include "engine/environments/table.h"
#include "engine/tasks/replay.h"

namespace hone::engine::tasks {

class Task;

// Proximal policy optimisation: Schulman et al., "Proximal Policy Optimization Algorithms", 2017.
// All copies act for a while with the policy as it is, at random by its probabilities; what they
// have met is learned from in several epochs, in minibatches, and then forgotten. Advantages are
// those of Schulman et al., "High-dimensional continuous control using generalized advantage
// estimation", 2016. An episode that was cut short counts what the value network says of its end.
struct PolicyOptions {
  int64_t rollout = 128;  // steps of each copy before it is learned from
  int64_t epochs = 4;
  int64_t minibatch = 32;  // the job's batch size; divides rollout · copies
  float clip = 0.2f;
  double lambda = 0.95;
  float value_coefficient = 0.5f;  // of the squared error of the values
  float entropy_coefficient = 0.01f;
  bool normalize_advantages = true;  // in each minibatch to mean 0 and deviation 1

  // Of a rollout: steps of the loop.
  int64_t updates(int64_t copies) const { return rollout * copies / minibatch * epochs; }
};

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

  // Instead of Q-learning; what stands between `copies` and here is then not used, but for discount
  // and reward_clip. A step of the loop is an update, of which a rollout makes several.
  std::optional<PolicyOptions> policy;

  int64_t evaluate_every = 10'000;
  int64_t evaluation_episodes = 100;  // of one maze with any start: each start once
  int64_t final_episodes = 0;         // after the training; 0: as many as above

  int64_t steps_each() const { return (train_every + copies - 1) / copies * copies; }
};

// Steps of the loop: of as many steps of the environment as there may be. `most_steps` is that of
// an episode.
int64_t LoopSteps(const ReinforcementLearningOptions& options);
// In which so many steps of the environment are made, at least; and those that are wholly within
// them, but for one round that always is.
int64_t LoopStepsFor(const ReinforcementLearningOptions& options, int64_t steps);
int64_t LoopStepsWithin(const ReinforcementLearningOptions& options, int64_t steps);

// Without a data set. Of Q-learning the model is the network: it is given what is seen and says
// what each action is worth; the target network's parameters are named behind "target.". Of a
// policy the model has two networks, "policy" with a logit for each action and "value" with one
// number.
std::unique_ptr<Task> MakeReinforcementLearning(const ReinforcementLearningOptions& options);
// Of what Task::ToJson gave: see table.h.
absl::StatusOr<ReinforcementLearningOptions> ReinforcementLearningFromJson(
    const nlohmann::json& json);

}  // namespace hone::engine::tasks
