#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "engine/train/loop.h"

namespace hone::engine::job {

// Runs the training step of a whole batch on real examples and gives, as tables of text, how long
// the first thread is in each of its parts: filling the batch, the steps of the program, the
// optimizer's passes, waiting; then the same by op and by kind of work. Each with layer, op, pass,
// share, rate, and what limits it:
//   compute   at least half of the measured product rate,
//   memory    at least half of the measured bandwidth,
//   overhead  neither: the step is too small, or its code can be better.
// Buffers of normalisation layers and the optimizer's state move on, so the model is published
// before.
absl::StatusOr<std::string> ProfileTraining(const train::LoopParts& parts);

}  // namespace hone::engine::job
