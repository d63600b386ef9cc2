#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/tasks/agent.h"
#include "engine/tasks/episodes.h"
#include "engine/tasks/run.h"

namespace hone::engine::tasks {

// What the loss fetches behind kFetchCorrect: sums over the batch, of the policy's entropy, of its
// divergence from the one that acted, of the examples that are clipped, and of the squared errors
// of the values.
inline constexpr int kFetchEntropy = 3, kFetchDivergence = 4, kFetchClipped = 5,
                     kFetchValueErrors = 6;

// Inputs of the loss beside "features" and kTakenInput, f32 [batch] but for the returns, which are
// [batch, 1] as the values are.
inline constexpr char kLogTakenInput[] = "log_taken", kAdvantagesInput[] = "advantages",
                      kReturnsInput[] = "returns";

// The advantages of one copy's steps in their order, by generalized advantage estimation:
// A_t = δ_t + γ λ A_{t+1}, δ_t = r_t + γ V_{t+1} − V_t, where A_{t+1} is 0 behind the end of an
// episode and behind the last step. `next` is V_{t+1}: 0 where the episode has ended of its own, of
// one that was cut short the value of its end. Into `advantages`; all are equally long.
void EstimateAdvantages(std::span<const float> rewards, std::span<const float> values,
                        std::span<const float> next, std::span<const uint8_t> ends, double discount,
                        double lambda, std::span<float> advantages);

// What an agent that learns a policy carries from step to step: the running episodes, and the
// rollout that it is learning from.
class PolicyLearner final : public TaskState {
 public:
  // The options have a policy.
  PolicyLearner(const ReinforcementLearningOptions& options, uint64_t seed);

  static int64_t BytesFor(const ReinforcementLearningOptions& options, int64_t record_bytes);

  // Makes the step's minibatch; acts before, where the rollout was learned from as often as it is
  // to be. The act program fetches logits [copies, actions] and values [copies, 1].
  absl::Status BeginStep(const StepContext& context) override;
  void AfterUpdate(const UpdateOutcome& outcome) override;
  // The last rollout is learned from to its end.
  bool Finished() const override;
  void AddMetrics(std::map<std::string, double>& values) const override;
  void Save(checkpoint::RunState& state) const override;
  absl::Status Restore(const checkpoint::RunState& state) override;

  // The step's minibatch, into the inputs of a program. Safe from several threads.
  absl::Status Fill(const Examples& examples, const Inputs& inputs) const;

 private:
  absl::Status Collect(TaskPrograms& programs);
  // Has both networks look at so many records, one behind the other, at most as many as there are
  // copies.
  absl::Status Look(TaskPrograms& programs, std::span<const std::byte> records);
  const float* logits() const { return static_cast<const float*>(act_->fetched(0)); }
  const float* values() const { return static_cast<const float*>(act_->fetched(1)); }
  void MakeMinibatch();

  const ReinforcementLearningOptions options_;
  const PolicyOptions policy_;
  const uint64_t seed_;
  Episodes episodes_;
  const int64_t size_;     // steps of a rollout, of all copies
  const int64_t updates_;  // of a rollout
  int64_t used_;           // updates that were made of this one
  int64_t rollouts_ = 0;

  // The rollout: all steps of one copy, then those of the next.
  std::vector<std::byte> records_;  // of the states that were acted in
  std::vector<int32_t> taken_;
  std::vector<float> log_taken_;
  std::vector<float> advantages_;
  std::vector<float> returns_;

  std::vector<int32_t> order_;  // in which an epoch takes the rollout's steps
  int64_t order_of_ = -1;       // the epoch, counted over all rollouts

  // The step's minibatch.
  std::vector<int32_t> places_;
  std::vector<float> scaled_;  // advantages

  // Of the last update.
  double entropy_ = 0, divergence_ = 0, clipped_ = 0, value_errors_ = 0;
  int64_t examples_ = 0;

  const Program* act_ = nullptr;
};

}  // namespace hone::engine::tasks
