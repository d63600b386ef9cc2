#pragma once

#include "engine/tasks/evaluation.h"
#include "engine/tasks/reinforcement_learning.h"

namespace hone::engine::tasks {

// Examples of the program that evaluations ask.
int64_t EvaluationBatch(const ReinforcementLearningOptions& options);

// Acts without exploration in episodes that training has not met: "mean_return", "episode_length",
// "success_rate" and, in mazes, "path_ratio": the mean over the solved episodes of their length
// over that of the shortest way. Of a maze it leaves the way from the first start as a picture,
// "paths/step-00001000.png", and as the note.
absl::StatusOr<Evaluation> EvaluateAgent(const ReinforcementLearningOptions& options,
                                         const EvaluationContext& context);

}  // namespace hone::engine::tasks
