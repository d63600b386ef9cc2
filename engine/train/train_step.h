#pragma once

#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "engine/base/team.h"
#include "engine/optim/optimizer.h"
#include "engine/plan/replicas.h"
#include "engine/tasks/graphs.h"
#include "engine/train/reducer.h"

namespace hone::engine::train {

// What is asked of one step.
struct StepRequest {
  RunScalars scalars;
  int64_t update_number = 1;  // of the optimizer, from 1
  double learning_rate = 0;
  double clip_norm = 0;   // 0: off
  double clip_value = 0;  // 0: off
  bool layer_norms = false;
};

struct StepResult {
  double loss_sum = 0;
  double weight = 0;
  double correct = 0;
  double gradient_norm = 0;  // of the mean loss, before clipping
  bool finite = true;        // loss and gradient; if not, nothing was updated
};

// Puts the examples [first, first + count) of the batch into a shard's inputs.
using FillInputs = absl::FunctionRef<void(const Program& program, int64_t first, int64_t count)>;

// One step of training: every shard's forward and backward pass, then the optimizer over the slab
// in two passes, each shared by all threads; between them barriers, not new teams. Nothing is
// allocated. Not thread safe.
class TrainStep {
 public:
  // All outlive it. The optimizer's ranges lie in the store's trainable slab. Without a reducer
  // this process trains alone.
  TrainStep(ParameterStore& store, optim::Optimizer& optimizer, int threads,
            Reducer* reducer = nullptr);

  // INTERNAL if oneDNN refuses.
  absl::StatusOr<StepResult> Run(const Replicas& replicas, const StepRequest& request,
                                 FillInputs fill);

  // Forward and backward only, the gradients added to those of earlier calls; the next Run takes
  // them along (gradient accumulation). Sums of the accumulated batches are in Run's result.
  absl::Status Accumulate(const Replicas& replicas, const RunScalars& scalars, FillInputs fill);

 private:
  absl::Status ForwardBackward(int k, const Replicas& replicas, const RunScalars& scalars,
                               FillInputs fill);
  void Collect(const Replicas& replicas, StepResult& result) const;

  ParameterStore& store_;
  optim::Optimizer& optimizer_;
  int threads_;
  Reducer* reducer_;
  Barrier barrier_;
  std::vector<absl::Status> statuses_;
  std::vector<float*> gradients_;   // of the shards that ran, and the accumulated ones
  std::vector<ParameterId> moved_;  // by the optimizer
  Buffer accumulated_;
  StepResult pending_;  // sums of accumulated batches
  bool has_accumulated_ = false;
};

// Forward only over one batch: a loss and metrics, nothing updated.
absl::StatusOr<StepResult> Evaluate(const Replicas& replicas, const RunScalars& scalars,
                                    FillInputs fill);

}  // namespace hone::engine::train
