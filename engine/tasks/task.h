#pragma once

#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "engine/checkpoint/run_state.h"
#include "engine/data/batches.h"
#include "engine/data/dataset.h"
#include "engine/models/build.h"
#include "engine/plan/replicas.h"
#include "engine/tasks/artifacts.h"
#include "engine/tasks/config.h"
#include "engine/tasks/data_info.h"
#include "engine/tasks/evaluation.h"
#include "engine/tasks/graphs.h"
#include "engine/tasks/prediction.h"
#include "engine/tasks/task_programs.h"

namespace hone::engine::tasks {

// Sums over examples, as losses give them.
struct Sums {
  double loss = 0;
  double weight = 0;
  double correct = 0;
  int64_t examples = 0;

  void Add(const Sums& more) {
    loss += more.loss;
    weight += more.weight;
    correct += more.correct;
    examples += more.examples;
  }
  double mean_loss() const { return weight > 0 ? loss / weight : 0; }
};

// Collects the outputs of a split, batch by batch.
class Scorer {
 public:
  virtual ~Scorer() = default;
  // `outputs` [rows, outputs] are the model's, row major; `rows` are those of the data set.
  virtual void Add(const float* outputs, std::span<const int32_t> rows) = 0;
  // Metrics without a prefix, such as "accuracy"; the loss is added by the caller.
  virtual Evaluation Finish() const = 0;
};

// One update within a step of training: a loss, and the parameters that an optimizer moves against
// it. Most tasks have one; the two halves of a GAN have one each.
struct UpdateSpec {
  std::string name;        // such as "generator"; "" where a task has only one
  std::string parameters;  // those whose names begin so are moved; "": all that are trainable
  std::optional<optim::OptimizerOptions> optimizer = {};  // else the job's
};

// A program's part of a batch.
struct Examples {
  std::span<const int32_t> rows;  // of the data set
  int64_t first = 0;              // of them, counted over all batches of the step
  int64_t epoch = 0;
};

// What a task's state works with at the beginning of a step.
struct StepContext {
  int64_t step = 1;      // counted from 1
  int64_t examples = 0;  // of the step: all its batches
  TaskPrograms&
      programs;  // the task's forward programs; the store, to copy and blend parameters in
  const ArtifactSink& artifacts;  // pictures, texts: now and then, each is a file
};

// What a task carries from step to step beside the parameters: a replay buffer, an epsilon. Made
// for one run, on the thread that trains.
class TaskState {
 public:
  virtual ~TaskState() = default;
  // Before the updates of a step: acts, makes the step's examples, moves target networks.
  virtual absl::Status BeginStep(const StepContext& context) = 0;
  // Metrics of its own, such as "epsilon".
  virtual void AddMetrics(std::map<std::string, double>&) const {}
  // Into named sections and scalars of its own, and back.
  virtual void Save(checkpoint::RunState& state) const = 0;
  virtual absl::Status Restore(const checkpoint::RunState& state) = 0;
};

// What an evaluation works on; all of it outlives it.
struct EvaluationContext {
  const data::Dataset& dataset;
  const DataInfo& info;
  const TaskState* state;         // the run's, or null where the task has none
  TaskPrograms& programs;         // evaluation programs, and the task's forward programs
  std::span<const int32_t> rows;  // of the split; none where the task evaluates without
  std::string split;              // "validation" at an epoch's end, "test" after the training
  int64_t step = 0;               // of training, that the weights have come to
  const ArtifactSink& artifacts;
  absl::FunctionRef<void(double)> progress;  // called now and then with the share done, or -1
};

// What tells one task from another: its updates, its losses, its metrics. Immutable.
class Task {
 public:
  virtual ~Task() = default;

  virtual absl::string_view name() const = 0;  // "classification"

  // --- Its examples.

  // INVALID_ARGUMENT where the data cannot be learned with this task, or the options do not fit it.
  virtual absl::Status CheckData(const DataInfo& info) const = 0;
  // The run's examples, and what a plan must know of them without reading them. As they stand here:
  // pictures and tables (data::Load, data::Inspect), or numbered rows where the task makes its
  // examples itself. A task with another kind of input brings its own. Errors of data::Load.
  virtual absl::StatusOr<data::LoadedData> MakeExamples(const data::LoadOptions& options,
                                                        const TrainingConfig& config) const;
  virtual absl::StatusOr<DataInfo> InspectExamples(const TrainingConfig& config) const;
  // Examples that never were, with targets that fit, for a plan to time its steps on: `count` of
  // one bucket. As it stands here: random pictures or tables; none where the task makes its own.
  virtual absl::StatusOr<data::Dataset> MakeUpExamples(const TrainingConfig& config,
                                                       const DataInfo& info, int64_t count,
                                                       int64_t bucket) const;

  // Those of a step, in the order in which they are made; each sees what those before it changed.
  virtual std::vector<UpdateSpec> updates() const { return {UpdateSpec{}}; }
  // The task makes its examples itself, so many to an epoch, and there is no data set: their rows
  // are numbers from 0. 0: they are a data set's.
  virtual int64_t own_examples(const TrainingConfig&) const { return 0; }
  // The buckets that batches come in, kMostBuckets of them at most; not empty.
  virtual std::vector<int64_t> buckets(const TrainingConfig&) const { return {0}; }
  // Where a row's bucket follows from the row alone: batches are then made of rows of one bucket
  // each, and only the shapes that occur are compiled. Null: batches are made without regard to
  // buckets, and BucketOf says which one a batch is in. The data set outlives the function.
  virtual data::RowBucket RowBuckets(const data::Dataset&) const { return nullptr; }
  // That of a batch, where there are no RowBuckets. `state` is what NewState made, or null.
  virtual int64_t BucketOf(const data::Dataset&, std::span<const int32_t>, const TaskState*) const {
    return 0;
  }

  // Model and loss of an update, for a batch. INVALID_ARGUMENT where model, task and data do not
  // fit.
  virtual absl::StatusOr<TaskGraph> BuildLoss(const TrainingConfig& config, const DataInfo& info,
                                              size_t update, const BatchShape& shape) const = 0;
  // Forward only: fetches the same and then the model's output.
  virtual absl::StatusOr<TaskGraph> BuildEvaluation(const TrainingConfig& config,
                                                    const DataInfo& info,
                                                    const BatchShape& shape) const = 0;
  // The programs that the task's state runs, and their graphs, which fetch what it likes.
  virtual std::vector<ForwardSpec> forwards(const TrainingConfig&) const { return {}; }
  virtual absl::StatusOr<TaskGraph> BuildForward(const TrainingConfig& config, const DataInfo& info,
                                                 const ForwardSpec& spec) const;

  // Null: nothing but the parameters.
  virtual std::unique_ptr<TaskState> NewState(const TrainingConfig&) const { return nullptr; }
  // Inputs of a program beside a data set's "features", runtime scalars (inputs without dimensions:
  // a loss scale, an epsilon) among them. Safe from several threads at a time for different
  // programs; allocates nothing. `state` is what NewState made.
  virtual void FillInputs(const data::Dataset& dataset, const Examples& examples,
                                 const TaskState* state, const Program& program) const = 0;

  // Metrics of an update's training batches beside the loss.
  virtual void AddTrainingMetrics(const Sums& sums,
                                  std::map<std::string, double>& values) const = 0;

  // Metrics without a prefix. "loss", where it is among them, is what early stopping, plateaus and
  // the best checkpoint go by. As it stands here: the evaluation programs over all rows, and what
  // NewScorer makes of their outputs. A task may do otherwise: decode, act, draw; in programs of
  // its own.
  virtual absl::StatusOr<Evaluation> Evaluate(const EvaluationContext& context) const;
  // Evaluate is called where nothing is held out, too.
  virtual bool evaluates_without_rows() const { return false; }
  // The dataset outlives the scorer.
  virtual std::unique_ptr<Scorer> NewScorer(const data::Dataset& dataset,
                                            const DataInfo& info) const = 0;

  // --- Its model, once it is trained (model_file.h, predict/).

  // What model.json holds under "task": {"kind": name(), …}; the task table reads it back.
  virtual nlohmann::json ToJson() const;
  // Forward only; fetches the model's output [batch, …] alone. As it stands here: the layers behind
  // the input "features".
  virtual absl::StatusOr<TaskGraph> BuildPrediction(const models::ModelDescription& model,
                                                    const DataInfo& info, int64_t batch) const;
  // INVALID_ARGUMENT where so many outputs for an example do not fit what the model file says.
  virtual absl::Status CheckOutputs(int64_t outputs,
                                    const data::Preprocessing& preprocessing) const;
  // What the output for one example means. As it stands here: its numbers.
  virtual Prediction ReadOutput(std::span<const float> output,
                                const data::Preprocessing& preprocessing) const;
};

std::unique_ptr<Task> MakeClassification(const ClassificationOptions& options);
std::unique_ptr<Task> MakeRegression(const RegressionOptions& options);
// Of what Task::ToJson gave. INVALID_ARGUMENT names the field; throws nlohmann::json::exception
// where one is missing or of another type.
absl::StatusOr<TaskOptions> ClassificationFromJson(const nlohmann::json& json);
absl::StatusOr<TaskOptions> RegressionFromJson(const nlohmann::json& json);

// The task table (task.cc). A new task is a file with these two functions, its options among
// TaskOptions, and its line in the table.
std::unique_ptr<Task> MakeTask(const TaskOptions& options);
absl::StatusOr<TaskOptions> TaskOptionsFromJson(const nlohmann::json& json);

// Task::MakeExamples, with the fingerprint of a task's own examples.
absl::StatusOr<data::LoadedData> LoadExamples(const data::LoadOptions& options,
                                              const TrainingConfig& config, const Task& task);
// With the counts by bucket.
DataInfo InfoOf(const data::LoadedData& loaded, const Task& task);

}  // namespace hone::engine::tasks
