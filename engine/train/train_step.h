#pragma once

#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "engine/base/team.h"
#include "engine/optim/optimizer.h"
#include "engine/plan/replicas.h"
#include "engine/tasks/graphs.h"
#include "engine/train/table_gradients.h"
#include "engine/train/world.h"

namespace hone::engine::train {

// What is asked of one step.
struct StepRequest {
  RunScalars scalars;
  int64_t update_number = 1;  // of the optimizer, from 1
  double learning_rate = 0;
  double clip_norm = 0;     // 0: off
  double clip_value = 0;    // 0: off
  double clip_weights = 0;  // above 0: what is moved is cut to ± this afterwards
  bool layer_norms = false;
  bool stop = false;  // told to the other ranks
};

struct StepResult {
  double loss_sum = 0;
  double weight = 0;
  double correct = 0;
  tasks::OwnSums own = {};   // of the task, where the loss fetches them (kFetchOwn)
  double gradient_norm = 0;  // of the mean loss, before clipping
  bool finite = true;        // loss and gradient; if not, nothing was updated
  bool stop = false;         // wanted by this rank or another
};

// Puts the examples [first, first + count) of the batch into a shard's inputs. After an error the
// program does not run.
using FillInputs =
    absl::FunctionRef<absl::Status(const Program& program, int64_t first, int64_t count)>;

// One step of training: every shard's forward and backward pass, then the optimizer over the slab
// in two passes, each shared by all threads; between them barriers, not new teams. In a world of
// several ranks their gradients and sums are added up before the first pass. Nothing is allocated.
// Not thread safe.
class TrainStep {
 public:
  // All outlive it. The optimizer's ranges lie in the store's trainable slab. Without a world this
  // process trains alone.
  TrainStep(ParameterStore& store, optim::Optimizer& optimizer, int threads,
            World* world = nullptr);

  // `replicas` compute this rank's part of the batch, which may be empty: no shard at all. After an
  // error nothing was updated, on any rank. INTERNAL if oneDNN refuses; errors of World.
  absl::StatusOr<StepResult> Run(const Replicas& replicas, const StepRequest& request,
                                 FillInputs fill);

  // Forward and backward only, the gradients added to those of earlier calls; the next Run takes
  // them along (gradient accumulation). Sums of the accumulated batches are in Run's result.
  absl::Status Accumulate(const Replicas& replicas, const RunScalars& scalars, FillInputs fill);

 private:
  // Shard k's part, by worker k. What goes wrong is in its status.
  void ForwardBackward(int k, const Replicas& replicas, const RunScalars& scalars, FillInputs fill);
  // Worker 0 does it, and all wait until it is done.
  void Once(int k, absl::FunctionRef<void()> work);
  void Share(const StepRequest& request, StepResult& result);
  void MarkBuffers(const Replicas& replicas);
  void ClipWeights(float most, int k);
  optim::Slabs Gradients(const Replicas& replicas);
  absl::Status failure() const;  // of the first shard that has one

  ParameterStore& store_;
  optim::Optimizer& optimizer_;
  int threads_;
  World* world_;
  Barrier barrier_;
  std::vector<absl::Status> statuses_;  // of the shards; the world's with the first
  std::vector<float*> gradients_;       // of the shards that ran, and the accumulated ones
  std::vector<SlabRange> ranges_;       // the optimizer's, neighbours joined
  std::vector<ParameterId> moved_;      // by the optimizer
  Buffer accumulated_;
  TableGradients tables_;
  StepResult pending_;  // sums of accumulated batches
  bool has_accumulated_ = false;
};

// Forward only over one batch: every shard, side by side.
absl::Status RunForward(const Replicas& replicas, const RunScalars& scalars, FillInputs fill);

// The same of programs that fetch what an evaluation does: a loss and metrics, nothing updated.
absl::StatusOr<StepResult> Evaluate(const Replicas& replicas, const RunScalars& scalars,
                                    FillInputs fill);

}  // namespace hone::engine::train
