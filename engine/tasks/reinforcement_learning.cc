#include "engine/tasks/reinforcement_learning.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/tasks/agent.h"

namespace hone::engine::tasks {
namespace {

// Steps of the environment, and the steps of the loop that they are made in.
struct Rounds {
  int64_t steps;
  int64_t loop_steps;
};
Rounds RoundsOf(const ReinforcementLearningOptions& options) {
  if (!options.policy.has_value()) {
    return {.steps = options.steps_each(), .loop_steps = 1};
  }
  return {.steps = options.policy->rollout * options.copies,
          .loop_steps = options.policy->updates(options.copies)};
}

}  // namespace

int64_t LoopSteps(const ReinforcementLearningOptions& options) {
  return LoopStepsFor(
      options,
      options.episodes > 0
          ? options.episodes * environments::MakeEnvironment(options.environment)->spec().most_steps
          : options.steps);
}

int64_t LoopStepsFor(const ReinforcementLearningOptions& options, int64_t steps) {
  const Rounds rounds = RoundsOf(options);
  return (steps + rounds.steps - 1) / rounds.steps * rounds.loop_steps;
}

int64_t LoopStepsWithin(const ReinforcementLearningOptions& options, int64_t steps) {
  const Rounds rounds = RoundsOf(options);
  return std::max<int64_t>(1, steps / rounds.steps) * rounds.loop_steps;
}

std::unique_ptr<Task> MakeReinforcementLearning(const ReinforcementLearningOptions& options) {
  return options.policy.has_value() ? MakePolicyLearning(options) : MakeQLearning(options);
}

absl::StatusOr<ReinforcementLearningOptions> ReinforcementLearningFromJson(
    const nlohmann::json& json) {
  ReinforcementLearningOptions options;
  HONE_ASSIGN_OR_RETURN(options.environment, EnvironmentFromJson(json.at("environment")));
  options.discount = json.at("discount").get<float>();
  if (json.contains("algorithm")) {
    const auto algorithm = json.at("algorithm").get<std::string>();
    if (algorithm != kPolicyAlgorithm) {
      return absl::InvalidArgumentError(
          absl::StrCat("`task.algorithm` is not known: \"", algorithm, "\""));
    }
    options.policy.emplace();
    return options;
  }
  options.dueling = json.at("dueling").get<bool>();
  options.double_q = json.at("double_q").get<bool>();
  options.n_step = json.at("n_step").get<int64_t>();
  return options;
}

}  // namespace hone::engine::tasks
