#pragma once

#include <cstdint>
#include <memory>

namespace hone::engine::tasks {

class Task;

// Direct preference optimization (Rafailov et al., "Direct Preference Optimization: Your Language
// Model is Secretly a Reward Model", 2023, equation 7). An example is a question with two answers,
// of which one is preferred (data/chats.h, LoadPreferences). With the reward of an answer
//
//   r(answer) = beta · (log π(answer) − log π_ref(answer)),
//
// where log-probabilities are summed over the answer's tokens, the loss of an example is
// −log σ(r(chosen) − r(rejected)), in nats. The reference π_ref is the model that the training
// begins with. What it says of all answers is computed once, before the first step, and kept in the
// run state, so that no second model is there. At the first step, without dropout, all rewards are
// 0 and the loss is log 2.
//
// A batch of n examples is 2 n sequences, first all chosen ones. Metrics of the training and of
// evaluations are "reward_accuracy", the share of the examples whose chosen answer has the larger
// reward, "rewards_chosen" and "rewards_rejected", the means of the rewards, and "rewards_margin",
// the mean of r(chosen) − r(rejected). Evaluations of other examples than the run's have no
// reference: the model is saved as a language model of conversations, and evaluated as one.
struct PreferenceOptimizationOptions {
  int64_t window = 512;  // tokens of a conversation that are read
  float beta = 0.1f;
};

std::unique_ptr<Task> MakePreferenceOptimization(const PreferenceOptimizationOptions& options);

}  // namespace hone::engine::tasks
