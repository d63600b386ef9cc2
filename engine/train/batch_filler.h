#pragma once

#include <optional>
#include <span>

#include "absl/status/status.h"
#include "engine/data/augment.h"
#include "engine/data/table_augment.h"
#include "engine/tasks/task.h"
#include "engine/train/trunk_features.h"

namespace hone::engine::train {

// Puts rows of a data set into a program's inputs; pictures, rows of tables and texts of the
// training changed at random.
class BatchFiller {
 public:
  // All outlive it. `state` is the run's, or null where the task has none.
  BatchFiller(const data::Dataset& dataset, const tasks::Task& task, const tasks::TaskState* state)
      : dataset_(dataset), task_(task), state_(state), row_buckets_(task.RowBuckets(dataset)) {}
  // The bucket of a batch of these rows; of the training's with as many parts as Programs::parts.
  int64_t BucketOf(std::span<const int32_t> rows, int parts = 1) const {
    return row_buckets_ ? row_buckets_(rows.front())
                        : tasks::TrainingBucketOf(dataset_, task_, rows, state_, parts);
  }
  // By which batches are made; may be null.
  const data::RowBucket& row_buckets() const { return row_buckets_; }
  // Pictures are changed from now on, keyed by seed, epoch and row.
  void Augment(const data::Augmentation& augmentation, uint64_t seed) {
    augmentation_ = augmentation;
    seed_ = seed;
  }
  // The same, and rows of tables and texts, as the job wants it. The preprocessing has the columns
  // of those, and the tokenizer of these.
  void Augment(const tasks::TrainingConfig& config, const data::Preprocessing& preprocessing);
  // What programs that begin behind a frozen trunk are given; null: nothing. It outlives the
  // filler.
  void ReadTrunk(const TrunkFeatures* features) { trunk_features_ = features; }
  // A batch that is filled outside a team is shared by so many threads, where it is worth that.
  void Share(int threads) { threads_ = threads; }

  // Safe from several threads at a time for different programs. Allocates nothing, but for noise in
  // the characters of texts. After an error (FillInputs, or INTERNAL: the program wants features of
  // a trunk that are not kept) the program must not run.
  absl::Status Fill(const tasks::Inputs& inputs, const tasks::Examples& examples) const;

 private:
  absl::Status FillTrunk(const tasks::Inputs& inputs, std::span<const int32_t> rows) const;
  // Of a batch of so many bytes.
  int TeamFor(int64_t bytes) const;

  const data::Dataset& dataset_;
  const tasks::Task& task_;
  const tasks::TaskState* state_;
  data::RowBucket row_buckets_;
  data::Augmentation augmentation_;
  std::optional<data::TableAugmenter> table_changes_;
  std::optional<data::TextAugmenter> text_changes_;
  const TrunkFeatures* trunk_features_ = nullptr;
  uint64_t seed_ = 0;
  int threads_ = 1;
};

}  // namespace hone::engine::train
