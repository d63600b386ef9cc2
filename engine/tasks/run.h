#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "engine/checkpoint/run_state.h"
#include "engine/data/dataset.h"
#include "engine/data/text_augment.h"
#include "engine/tasks/artifacts.h"
#include "engine/tasks/config.h"
#include "engine/tasks/data_info.h"
#include "engine/tasks/graphs.h"
#include "engine/tasks/inputs.h"
#include "engine/tasks/task_programs.h"

namespace hone::engine::tasks {

// Sums over examples, as losses give them.
struct Sums {
  double loss = 0;
  double weight = 0;
  double correct = 0;
  int64_t examples = 0;
  OwnSums own = {};  // of kFetchOwn

  void Add(const Sums& more) {
    loss += more.loss;
    weight += more.weight;
    correct += more.correct;
    examples += more.examples;
    own.Add(more.own);
  }
  double mean_loss() const { return weight > 0 ? loss / weight : 0; }
};

// A program's part of a batch.
struct Examples {
  std::span<const int32_t> rows;  // of the data set
  int64_t first = 0;              // of them, counted over all batches of the step
  int64_t epoch = 0;
  // By what texts are changed, keyed by `seed`, epoch and row: those of the training, where the job
  // wants that. Null: they are not.
  const data::TextAugmenter* text_changes = nullptr;
  uint64_t seed = 0;
};

// What a task's state works with before the first step.
struct BeginContext {
  const data::Dataset& dataset;
  const data::Splits& splits;
  const DataInfo& info;
  TaskPrograms& programs;
  const ArtifactSink& artifacts;
  absl::FunctionRef<bool()> asked_to_end;  // the run shall stop; called now and then
  absl::FunctionRef<void(const std::string&)> log;
};

// What a task's state works with at the beginning of a step.
struct StepContext {
  int64_t step = 1;      // counted from 1
  int64_t examples = 0;  // of the step: all its batches
  TaskPrograms&
      programs;  // the task's forward programs; the store, to copy and blend parameters in
  const ArtifactSink& artifacts;  // pictures, texts: now and then, each is a file
};

// What a shard's program has left of an update.
struct UpdateOutcome {
  size_t update = 0;
  const Program& program;  // with what it fetched
  int64_t first = 0;       // of its examples, counted over the whole batch
  int64_t examples = 0;
};

// What a task carries from step to step beside the parameters: a replay buffer, an epsilon. Made
// for one run, on the thread that trains.
class TaskState {
 public:
  virtual ~TaskState() = default;
  // Once in a run, before its first step: what the weights that it begins with make of the examples
  // (TaskExamples::evaluates_training_rows). A run that goes on has it from Restore. CANCELLED: the
  // run was asked to end.
  virtual absl::Status Begin(const BeginContext&) { return absl::OkStatus(); }
  // Before the updates of a step: acts, makes the step's examples, moves target networks.
  virtual absl::Status BeginStep(const StepContext& context) = 0;
  // Asked after BeginStep, for an update that is due at this step. False skips it: its weights, its
  // optimizer's state and the number of its updates stay as they are, as at a step at which it is
  // not due. So does a replay buffer that is still filling. The answer is the same on all ranks.
  virtual bool Makes(size_t update) const {
    static_cast<void>(update);
    return true;
  }
  // After an update that was made, for each shard of the step's last batch in its order: what its
  // program fetched beside the loss, such as errors by which a replay draws.
  virtual void AfterUpdate(const UpdateOutcome&) {}
  // Asked after each step: the training has come to its end before all its steps are made, such as
  // one that lasts so many episodes. The answer is the same on all ranks.
  virtual bool Finished() const { return false; }
  // Metrics of its own, such as "epsilon".
  virtual void AddMetrics(std::map<std::string, double>&) const {}
  // Into named sections and scalars of its own, and back.
  virtual void Save(checkpoint::RunState& state) const = 0;
  virtual absl::Status Restore(const checkpoint::RunState& state) = 0;
};

// A task's part in a run: what it remembers, what it gives to programs, and what it says of a step.
class TaskRun {
 public:
  virtual ~TaskRun() = default;

  // Null: nothing but the parameters.
  virtual std::unique_ptr<TaskState> NewState(const TrainingConfig&) const { return nullptr; }
  // Inputs of a program beside a data set's "features", runtime scalars (inputs without dimensions:
  // a loss scale, an epsilon) among them. Safe from several threads at a time for different
  // programs; allocates nothing. `state` is what NewState made. After an error, such as an input of
  // another type than was thought, the program does not run.
  virtual absl::Status FillInputs(const data::Dataset& dataset, const Examples& examples,
                                  const TaskState* state, const Inputs& inputs) const = 0;

  // Metrics of an update's training batches beside the loss.
  virtual void AddTrainingMetrics(size_t update, const Sums& sums,
                                  std::map<std::string, double>& values) const = 0;
};

}  // namespace hone::engine::tasks
