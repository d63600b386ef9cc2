#pragma once

#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "engine/tasks/config.h"
#include "engine/tasks/reinforcement_learning.h"
#include "engine/tasks/task.h"

namespace hone::engine::tasks {

// An input of losses: the actions that were taken.
inline constexpr char kTakenInput[] = "taken";
// Forward programs: what the network says of each action to the copies that act, and in an
// evaluation, where the largest number is taken.
inline constexpr char kActProgram[] = "act", kEvaluateProgram[] = "evaluate";

// What a model file calls the algorithm of MakePolicyLearning; of Q-learning it says nothing.
inline constexpr char kPolicyAlgorithm[] = "ppo";

// What a model file says of an environment, and back.
nlohmann::json ToJson(const environments::EnvironmentOptions& options);
absl::StatusOr<environments::EnvironmentOptions> EnvironmentFromJson(const nlohmann::json& json);

// What tasks of agents have in common, however they learn: there is no data set, and evaluations
// act (q_evaluation.h).
class AgentTask : public Task {
 public:
  explicit AgentTask(const ReinforcementLearningOptions& options);

  absl::string_view name() const override { return "reinforcement_learning"; }
  absl::Status CheckData(const DataInfo&) const override { return absl::OkStatus(); }
  // An epoch is what lies between two evaluations.
  int64_t own_examples(const TrainingConfig& config) const override;
  absl::StatusOr<data::LoadedData> MakeExamples(const data::LoadOptions&,
                                                const TrainingConfig& config) const override;
  void AddTrainingMetrics(size_t, const Sums&, std::map<std::string, double>&) const override {}

  absl::StatusOr<TaskGraph> BuildEvaluation(const TrainingConfig&, const DataInfo&,
                                            const BatchShape&) const override;
  bool evaluates_without_rows() const override { return true; }
  absl::StatusOr<Evaluation> Evaluate(const EvaluationContext& context) const override;
  std::unique_ptr<Scorer> NewScorer(const data::Dataset&, const DataInfo&) const override {
    return nullptr;
  }
  absl::StatusOr<std::unique_ptr<Answerer>> NewAnswerer(
      const data::Preprocessing& preprocessing) const override;

 protected:
  // Of what the agent has met and keeps.
  virtual int64_t memory_bytes() const = 0;

  const ReinforcementLearningOptions& options() const { return options_; }
  const environments::EnvironmentSpec& spec() const { return spec_; }
  int64_t actions() const { return static_cast<int64_t>(spec_.actions.size()); }

 private:
  data::Preprocessing Preprocess() const;

  const ReinforcementLearningOptions options_;
  const environments::EnvironmentSpec spec_;
};

// As MakeReinforcementLearning: deep Q-learning, and a policy that is learned itself.
std::unique_ptr<Task> MakeQLearning(const ReinforcementLearningOptions& options);
std::unique_ptr<Task> MakePolicyLearning(const ReinforcementLearningOptions& options);

}  // namespace hone::engine::tasks
