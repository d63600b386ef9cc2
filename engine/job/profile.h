#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "engine/train/loop.h"

namespace hone::engine::job {

// What the machine can do with the run's threads, measured.
struct MachineRates {
  double flops_per_second = 0;  // of a product of square matrices in the job's precision
  double bytes_per_second = 0;  // read and written, of arrays beyond the caches
};
absl::StatusOr<MachineRates> MeasureRates(int threads, DType compute);

// Runs the training step of a whole batch on real examples and gives, as tables of text, how long
// the first thread is in each of its parts: filling the batch, the steps of the program, the
// optimizer's passes, waiting; then the same by op. Each with layer, op, pass, share, rate, and
// what limits it:
//   compute   at least half of the measured product rate,
//   memory    at least half of the measured bandwidth,
//   overhead  neither: the step is too small, or its code can be better.
// Buffers of normalisation layers and the optimizer's state move on, so the model is published
// before.
absl::StatusOr<std::string> ProfileTraining(const train::LoopParts& parts);

}  // namespace hone::engine::job
