#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/tasks/reinforcement_learning.h"
#include "engine/tasks/run.h"

namespace hone::engine::tasks {

// What the loss fetches behind kFetchCorrect: the errors of the examples.
inline constexpr int kFetchErrors = 3;

inline constexpr char kTargetScope[] = "target";
inline constexpr char kTakenInput[] = "taken", kWantedInput[] = "wanted",
                      kWeightsInput[] = "weights";
// Forward programs: the values of actions for the copies that act, and for the states after a
// batch's, by the target network (fetched first) and, for double Q-learning, by the network itself.
inline constexpr char kActProgram[] = "act", kAfterProgram[] = "after",
                      kEvaluateProgram[] = "evaluate";

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
  // A copy of the environment with its running episode.
  struct Copy {
    struct Step {
      std::vector<std::byte> before;
      int32_t action = 0;
      float reward = 0;
    };

    std::unique_ptr<environments::Environment> environment;
    std::vector<std::byte> state;  // now
    // The last steps, until n of them are together: `waiting` of this ring, from `first` on.
    std::vector<Step> steps;
    int64_t first = 0;
    int64_t waiting = 0;
    double sum = 0;  // of the episode's rewards
    int64_t length = 0;
  };
  struct Episode {
    double sum = 0;
    double length = 0;
    double solved = 0;
  };

  absl::Status Act(TaskPrograms& programs);
  void Take(Copy& copy, int32_t action);
  void Begin(Copy& copy);
  void Remember(Copy& copy, bool terminated);
  absl::Status MoveTarget(ParameterStore& store);
  absl::Status MakeBatch(const StepContext& context);
  // How far the training is, 0 to 1.
  double progress() const;
  double epsilon() const;

  const ReinforcementLearningOptions options_;
  const uint64_t seed_;
  Replay replay_;
  std::vector<Copy> copies_;
  int64_t actions_ = 0;
  size_t observation_ = 0;       // numbers of one
  int64_t steps_ = 0;            // of the environment
  int64_t episodes_ = 0;         // that have ended
  int64_t begun_ = 0;            // episodes
  int64_t copied_ = -1;          // the step at which the target network was copied last
  double decayed_ = 1;           // the factor of the exploration so far
  bool learns_ = false;          // at this step
  std::vector<Episode> recent_;  // a ring of the last ones
  double q_sum_ = 0;             // of the last batch's values of the actions taken
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
