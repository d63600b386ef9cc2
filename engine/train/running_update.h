#pragma once

#include <map>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/checkpoint/run_state.h"
#include "engine/data/batches.h"
#include "engine/tasks/run.h"
#include "engine/train/batch_filler.h"
#include "engine/train/layer_statistics.h"
#include "engine/train/programs.h"
#include "engine/train/train_step.h"
#include "engine/train/weight_average.h"
#include "engine/train/world.h"

namespace hone::engine::train {

// What updates are made of; all of it outlives them.
struct UpdateParts {
  const tasks::TrainingConfig& config;
  const tasks::Task& task;
  Programs& programs;
  const BatchFiller& filler;
  LayerMonitor& monitor;
  World* world;             // null: this process trains alone
  tasks::TaskState* state;  // the task's, or null where it has none
};

// What is asked of an update at a step.
struct UpdateRequest {
  int64_t step = 1;                      // of the loop, from 1
  std::span<const data::Batch> batches;  // of the step: several where gradients add up
  int64_t batches_per_epoch = 1;
  double learning_rate_factor = 1;  // the schedule's
  bool stop = false;                // told to the other ranks
};

// An update of the task while a loop makes it again and again, and what it came to.
class RunningUpdate {
 public:
  // `index`: its place among the programs' updates. Goes on from `state`.
  RunningUpdate(const UpdateParts& parts, size_t index, const checkpoint::RunState& state);

  // The update at one step: gradients of all batches but the last are added up before. Returns the
  // step's sums. OUT_OF_RANGE: the loss or the gradient is not finite, the weights were not
  // touched. Errors of TrainStep.
  absl::StatusOr<tasks::Sums> Make(const UpdateRequest& request);

  // The next Make measures the layers' norms.
  void WantNorms() { wants_norms_ = true; }
  bool wants_norms() const { return wants_norms_; }

  const StepResult& result() const { return result_; }     // of the last one
  double learning_rate() const { return learning_rate_; }  // of the last one

  // Sums of the running epoch; the next one begins.
  tasks::Sums EndEpoch();
  // Of these sums; nothing of those without an example. Metrics are named after the update where
  // there are several: "generator_loss".
  void AddMetrics(const tasks::Sums& sums, std::map<std::string, double>& values) const;
  std::string MetricName(absl::string_view name) const;

  void Save(checkpoint::RunState& state) const;

 private:
  RunScalars ScalarsOf(const data::Batch& batch, int64_t batches_per_epoch, int64_t first) const;
  const CompiledUpdate& compiled() const { return parts_.programs.updates()[index_]; }

  const UpdateParts parts_;
  const size_t index_;
  const Place place_;
  TrainStep step_;
  WeightAverage average_;
  // Updates so far, over all attempts: fewer than steps where some are skipped.
  int64_t made_ = 0;
  bool wants_norms_ = false;
  StepResult result_ = {};
  double learning_rate_ = 0;
  tasks::Sums epoch_ = {};
};

// The seed of an update's random numbers: the job's for the first, so that its updates draw others.
uint64_t SeedOfUpdate(uint64_t seed, size_t update);

}  // namespace hone::engine::train
