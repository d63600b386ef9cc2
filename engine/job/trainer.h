#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/base/file_lock.h"
#include "engine/job/observer.h"
#include "engine/job/pretrained.h"
#include "engine/train/loop.h"

namespace hone::engine::job {

// A whole job: loads the data, compiles, trains, evaluates, and leaves the model in
// RUN/model and checkpoints in RUN/checkpoints; RUN/lock keeps other processes from that folder.
// One job for each object, on one thread (and its team).
//
// In a world of several ranks each has a trainer of the same job, whose run folders are one and the
// same. Rank 0 alone locks it, writes into it, tells its observer, and goes on after the training.
class Trainer {
 public:
  // All outlive it. `stop` asks for a checkpoint and an early end; any thread, or a signal handler,
  // may set it. Without a world this process trains alone.
  Trainer(const tasks::TrainingConfig& config, const std::atomic<bool>& stop,
          TrainingObserver& observer, train::World* world = nullptr);
  ~Trainer();

  // OUT_OF_RANGE: a number was not finite. INVALID_ARGUMENT: in kLoading the data, in kPlanning the
  // job is wrong, or not the one whose checkpoints are there. UNAVAILABLE: a download
  // failed, or another process works in the folder. RESOURCE_EXHAUSTED: no space for a file, or no
  // memory. DATA_LOSS: checkpoints are there to resume from, but none is whole. Errors of another
  // rank, with its name.
  absl::StatusOr<train::EndReason> Run();

  Phase phase() const { return phase_; }
  int64_t step() const { return step_; }

 private:
  // The parameters as a new run begins with them.
  absl::Status Start(train::Programs& programs, const Pretrained& pretrained) const;
  absl::StatusOr<train::EndReason> RunJob();
  absl::StatusOr<checkpoint::RunState> StartOrResume(train::Programs& programs,
                                                     const Pretrained& pretrained,
                                                     const tasks::DataInfo& info,
                                                     const data::LoadedData& data);
  // The weights of the best epoch, where the run was validated; those at the end, with a warning,
  // where its checkpoint cannot be read.
  absl::Status RestoreBest(const checkpoint::RunState& state, train::Programs& programs);
  absl::StatusOr<FileLock> LockFolder() const;
  // Puts what the task's evaluation says of the weights that the run begins with into the state's
  // scalars, where the task wants that; so a run that is resumed knows it, too.
  absl::Status EvaluateStart(const train::LoopParts& parts, checkpoint::RunState& state);
  absl::StatusOr<tasks::Evaluation> Evaluate(const train::LoopParts& parts,
                                             const train::TrainingLoop& loop,
                                             const std::string& helper_model);
  absl::Status Publish(const train::LoopParts& parts, const tasks::Evaluation& evaluation);

  const tasks::TrainingConfig& config_;
  const std::atomic<bool>& stop_;
  train::World* world_;
  train::Place place_;
  std::unique_ptr<TrainingObserver> deaf_;  // of a rank that writes nothing
  TrainingObserver& observer_;
  Phase phase_ = Phase::kLoading;
  int64_t step_ = 0;
  train::Clock::time_point begin_ = train::Clock::now();
};

}  // namespace hone::engine::job
