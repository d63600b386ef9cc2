#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/tasks/agent.h"
#include "engine/tasks/episodes.h"
#include "engine/tasks/reinforcement_learning.h"
#include "engine/tasks/run.h"

namespace hone::engine::tasks {

// What the loss fetches behind kFetchCorrect: the errors of the examples.
inline constexpr int kFetchErrors = 3;

inline constexpr char kTargetScope[] = "target";
inline constexpr char kWantedInput[] = "wanted", kWeightsInput[] = "weights";
// A forward program beside those of agent.h: the values of actions for the states after a batch's,
// by the target network (fetched first) and, for double Q-learning, by the network itself.
inline constexpr char kAfterProgram[] = "after";

// What an agent carries from step to step: the running episodes, its replay, how much it explores.
class QLearner final : public TaskState {
 public:
  QLearner(const ReinforcementLearningOptions& options, uint64_t seed, int64_t batch_size);

  // Acts, and makes the step's batch where there is one.
  absl::Status BeginStep(const StepContext& context) override;
  bool Makes(size_t) const override { return learns_; }
  void AfterUpdate(const UpdateOutcome& outcome) override;
  bool Finished() const override;
  void AddMetrics(std::map<std::string, double>& values) const override;
  void Save(checkpoint::RunState& state) const override;
  absl::Status Restore(const checkpoint::RunState& state) override;

  // The step's batch, into the inputs of a program. Safe from several threads.
  absl::Status Fill(const Examples& examples, const Inputs& inputs) const;

 private:
  // The last steps of a copy, until n of them are together: `count` of this ring, from `first` on.
  struct Waiting {
    struct Step {
      std::vector<std::byte> before;
      int32_t action = 0;
      float reward = 0;
    };
    std::vector<Step> steps;
    int64_t first = 0;
    int64_t count = 0;
  };

  absl::Status Act(TaskPrograms& programs);
  void Take(int64_t copy, int32_t action);
  void Remember(Waiting& waiting, std::span<const std::byte> after, bool terminated);
  absl::Status MoveTarget(ParameterStore& store);
  absl::Status MakeBatch(const StepContext& context);
  // How far the training is, 0 to 1.
  double progress() const;
  double epsilon() const;

  const ReinforcementLearningOptions options_;
  const uint64_t seed_;
  Episodes episodes_;
  Replay replay_;
  std::vector<Waiting> waiting_;  // by copy
  const int64_t actions_;
  const size_t observation_;  // numbers of one
  int64_t copied_ = -1;       // the step at which the target network was copied last
  double decayed_ = 1;        // the factor of the exploration so far
  bool learns_ = false;       // at this step
  double q_sum_ = 0;          // of the last batch's values of the actions taken
  int64_t q_count_ = 0;

  const Program* act_ = nullptr;
  const Program* after_ = nullptr;
  std::vector<std::pair<ParameterId, ParameterId>> networks_;  // online, target

  // The step's batch.
  std::vector<int32_t> places_;
  std::vector<int32_t> taken_;
  std::vector<float> wanted_;
  std::vector<float> weights_;

  std::vector<int32_t> chosen_;  // actions of the copies
};

}  // namespace hone::engine::tasks
