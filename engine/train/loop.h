#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/checkpoint/run_state.h"
#include "engine/data/batches.h"
#include "engine/train/batch_filler.h"
#include "engine/train/layer_statistics.h"
#include "engine/train/length.h"
#include "engine/train/meter.h"
#include "engine/train/run_progress.h"
#include "engine/train/running_update.h"

namespace hone::engine::train {

enum class EndReason { kCompleted, kEarlyStop, kCancelled };

// What a loop works on; all of it outlives the loop.
struct LoopParts {
  const tasks::TrainingConfig& config;
  const data::LoadedData& data;
  const tasks::DataInfo& info;
  const tasks::Task& task;
  Programs& programs;
  const std::atomic<bool>& stop;
  LoopObserver& observer;
  World* world = nullptr;  // null: this process trains alone
};

// The one loop: batch → for each update of the task forward and backward, clip and update → events,
// over epochs, with validation, schedule, early stopping and checkpoints. It knows no task. A step
// allocates nothing and asks the system for nothing but the time.
//
// In a world of several ranks each runs a loop over the same data: it computes its part of every
// batch, evaluates all of what is held out, and ends with the same weights at the same step and for
// the same reason. Rank 0 alone writes checkpoints and artifacts and tells its observer anything.
class TrainingLoop {
 public:
  // Goes on from `state`: the parameters and the optimizer are as they were then.
  TrainingLoop(const LoopParts& parts, checkpoint::RunState state);

  // Trains to the end, to an early stop, or until `stop` is set, on any rank; the state is in a
  // checkpoint then, or it is the one that the loop began with. OUT_OF_RANGE: a loss or a gradient
  // is not finite, the weights were not touched. Errors of writing checkpoints; those of another
  // rank, with its name.
  absl::StatusOr<EndReason> Run();

  const checkpoint::RunState& state() const { return state_; }
  // Run ended because a checkpoint could not be written.
  bool checkpoint_failed() const { return checkpoint_failed_; }
  // Null where the task has none.
  const tasks::TaskState* task_state() const { return task_state_.get(); }
  int64_t samples() const;
  double active_seconds() const { return state_.scalars.at("active_seconds"); }
  // Of steps of this attempt, as the task counts tokens (TaskExamples::CountTokens); 0: it has
  // none.
  double tokens_per_second() const {
    return seconds_of_tokens_ > 0 ? static_cast<double>(tokens_) / seconds_of_tokens_ : 0;
  }
  // Mean time of one step over all attempts.
  double step_seconds() const;

 private:
  absl::StatusOr<EndReason> Train();
  // What is made once, before the first step. CANCELLED: `stop` was set.
  absl::Status Begin();
  // Runs the frozen trunk, where there is one. Errors of Begin.
  absl::Status KeepTrunkFeatures();
  absl::Status Step();
  bool Makes(size_t u, int64_t step) const;
  double LearningRateFactor() const;
  // True if the epoch's validation is the best so far.
  absl::StatusOr<bool> EndEpoch();
  // Values with their prefix, and what the validation goes by, where there is anything.
  absl::Status Validate(std::map<std::string, double>& values, std::optional<Criterion>& criterion);
  absl::Status MaybeCheckpoint(bool improved);
  absl::Status WriteCheckpoint(bool best);
  bool Finished() const {
    return state_.step >= length_.last_step || (task_state_ != nullptr && task_state_->Finished());
  }
  bool Ends() const;
  bool AskedToStop() const;  // by any rank
  Metrics MetricsNow();
  // About four times a second, and at the end.
  void EmitMetrics();
  void EmitLayerStatistics();

  const LoopParts parts_;
  const Place place_;
  DeafObserver deaf_;
  LoopObserver& observer_;
  const tasks::TrainingConfig& config_;
  const Length length_;
  checkpoint::RunState state_;
  data::Batches batches_;
  std::unique_ptr<tasks::TaskState> task_state_;  // may be null
  BatchFiller filler_;
  std::vector<data::Batch> step_batches_;  // of the running step: several where gradients add up
  tasks::ArtifactSink artifacts_;
  LayerMonitor monitor_;
  std::vector<std::unique_ptr<RunningUpdate>> updates_;  // of a step, in their order
  IntervalMeter meter_;
  double active_seconds_ = 0;
  int64_t tokens_ = 0;  // of this attempt, and the time of its steps
  double seconds_of_tokens_ = 0;
  std::map<std::string, double> of_epochs_;  // validation, since the last metrics were sent
  double validation_seconds_ = 0;            // the last validation's
  double checkpoint_seconds_ = 0;            // the last checkpoint's
  bool checkpoint_failed_ = false;
  bool ended_epoch_ = false;
  bool statistics_due_ = false;  // and not told yet
  Clock::time_point mark_;       // where the next step's time begins
  Clock::time_point last_checkpoint_;
};

}  // namespace hone::engine::train
