#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/job/profile_tables.h"
#include "engine/optim/optimizer.h"
#include "engine/params/parameter_store.h"
#include "engine/plan/replicas.h"
#include "engine/train/train_step.h"

namespace hone::engine::job {

// A training step with all that it runs on, which outlives the call. It has at least one shard.
struct ProfiledStep {
  const Replicas& replicas;
  optim::Optimizer& optimizer;
  ParameterStore& store;
  std::vector<ParameterId> moved;  // by the optimizer
  int threads;
  train::FillInputs fill;
  double filled_bytes;  // of a whole batch
};

// Runs the step some sixty times with a learning rate of 0 and says how long the first thread is in
// each part of it (profile.h). Buffers and the optimizer's state move on. INTERNAL if oneDNN
// refuses; errors of `fill`.
absl::StatusOr<std::string> ProfileStep(const ProfiledStep& step, const MachineRates& machine,
                                        ProfileDetail detail = ProfileDetail::kSteps);

}  // namespace hone::engine::job
