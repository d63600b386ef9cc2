#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/data/batches.h"
#include "engine/data/dataset.h"
#include "engine/data/load.h"
#include "engine/tasks/config.h"
#include "engine/tasks/data_info.h"

namespace hone::engine::tasks {

class TaskState;

// A task's examples: the part of a task that knows where they come from and how they make batches.
// `state` is what the task's NewState made, or null.
class TaskExamples {
 public:
  virtual ~TaskExamples() = default;

  // INVALID_ARGUMENT where the data cannot be learned with this task, or the options do not fit it.
  virtual absl::Status CheckData(const DataInfo& info) const = 0;
  // The run's examples, and what a plan must know of them without reading them. As they stand here:
  // pictures and tables (data::Load, data::Inspect), or numbered rows where the task makes its
  // examples itself. A task with another kind of input brings its own. Errors of data::Load.
  virtual absl::StatusOr<data::LoadedData> MakeExamples(const data::LoadOptions& options,
                                                        const TrainingConfig& config) const;
  virtual absl::StatusOr<DataInfo> InspectExamples(const TrainingConfig& config) const;
  // Synthetic examples with targets that fit, for a plan to time its steps on: `count` of
  // one bucket. As it stands here: random pictures or tables; none where the task makes its own.
  virtual absl::StatusOr<data::Dataset> MakeUpExamples(const TrainingConfig& config,
                                                       const DataInfo& info, int64_t count,
                                                       int64_t bucket) const;

  // The task makes its examples itself, so many to an epoch, and there is no data set: their rows
  // are numbers from 0. 0: they are a data set's.
  virtual int64_t own_examples(const TrainingConfig&) const { return 0; }
  // The buckets that batches come in, kMostBuckets of them at most. None: what occurs is found by
  // going through the batches of the run, whose buckets follow from their rows alone (BucketOf
  // without a state), and has a program, however many these are: counts of token rows
  // (tensor/token_rows.h).
  virtual std::vector<int64_t> buckets(const TrainingConfig&) const { return {0}; }
  // Where a row's bucket follows from the row alone: batches are then made of rows of one bucket
  // each, and only the shapes that occur are compiled. Null: batches are made without regard to
  // buckets, and BucketOf says which one a batch is in. The data set outlives the function.
  virtual data::RowBucket RowBuckets(const data::Dataset&) const { return nullptr; }
  // Rows of a batch go on where those of the batch before ended. The training's batches are then
  // made of its rows in their order, in every epoch, and evaluation programs may have state of
  // their own (role kTransient) beside the training's.
  virtual bool carries_state() const { return false; }
  // The evaluation programs are run over the training part, too, evaluation_batch examples at a
  // time in their order: what the task's state makes of them before the first step
  // (TaskState::Begin).
  virtual bool evaluates_training_rows() const { return false; }
  // Bytes that the state keeps of each example then, in memory and in checkpoints.
  virtual int64_t kept_bytes_per_row() const { return 0; }
  // That of a batch, where there are no RowBuckets. `state` is what NewState made, or null.
  virtual int64_t BucketOf(const data::Dataset&, std::span<const int32_t>, const TaskState*) const {
    return 0;
  }
  // Where a batch of the training is sequences of tokens that threads may compute in parts, each
  // with a program of its own for BucketOf of its rows: the tokens of a row. Null: a batch is
  // computed as a whole. The data set outlives the function.
  virtual data::RowTokens RowTokens(const data::Dataset&) const { return nullptr; }
  // The tokens of these rows, true ones alone, where a run is measured by them.
  virtual TokenCounts CountTokens(const data::Dataset&, std::span<const int32_t>) const {
    return {};
  }
};

// Task::MakeExamples, with the fingerprint of a task's own examples, and with what is said of an
// earlier model's tokens (TextOptions::like_notes) in the report.
absl::StatusOr<data::LoadedData> LoadExamples(const data::LoadOptions& options,
                                              const TrainingConfig& config,
                                              const TaskExamples& task);
// With the counts by bucket.
DataInfo InfoOf(const data::LoadedData& loaded, const TaskExamples& task);
// And with the shapes that occur in the job's run, and in its evaluations of `evaluation_batch`
// examples at a time, where the task names no buckets.
DataInfo InfoOf(const data::LoadedData& loaded, const TaskExamples& task,
                const TrainingConfig& config, int64_t evaluation_batch);

// How batches of the training are made of its rows.
data::BatchesOptions TrainingBatches(const data::Dataset& dataset, const TaskExamples& task,
                                     const TrainingConfig& config);
// The bucket of one of them that is computed in so many parts (ShapesInParts), where BucketOf says
// it.
int64_t TrainingBucketOf(const data::Dataset& dataset, const TaskExamples& task,
                         std::span<const int32_t> rows, const TaskState* state, int parts);
// So many of a batch's `bucket` tokens has example `i` of those a plan makes up for it, `batch` a
// batch: all equally many, but for what is left, which is spread over them.
int64_t MadeUpTokens(int64_t bucket, int64_t batch, int64_t i);

// The shapes of the batches that the rows make in their order, `batch` at a time; of a task that
// names no buckets.
std::vector<ShapeCount> ShapesInOrder(const data::Dataset& dataset, std::span<const int32_t> rows,
                                      const TaskExamples& task, int64_t batch);

}  // namespace hone::engine::tasks
