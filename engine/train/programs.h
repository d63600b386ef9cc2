#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/models/build.h"
#include "engine/optim/optimizer.h"
#include "engine/params/parameter_store.h"
#include "engine/plan/replicas.h"
#include "engine/train/config.h"
#include "engine/train/data_info.h"
#include "engine/train/task.h"

namespace hone::engine::train {

// The model's output stands behind the sums among the values that an evaluation program fetches.
inline constexpr int kFetchOutput = 3;

// A parameter that an update moves: its place in that update's list is the optimizer's range.
struct TrainedParameter {
  ParameterId id;
  int layer;  // index into layers()
};

// The programs for batches of one shape.
struct ShapePrograms {
  BatchShape shape;
  Replicas replicas;
};

// An update of the task, compiled: its optimizer over its parameters, and its programs for a whole
// batch and for the last short one, in each bucket.
struct CompiledUpdate {
  UpdateSpec spec;
  std::vector<TrainedParameter> trained = {};  // in the order of the optimizer's ranges
  std::optional<optim::Optimizer> optimizer = {};
  std::vector<ShapePrograms> shapes = {};

  const optim::OptimizerOptions& options(const TrainingConfig& config) const {
    return spec.optimizer.has_value() ? *spec.optimizer : config.optimizer;
  }
};

// A program of the task's own, run by all threads.
struct CompiledForward {
  ForwardSpec spec;
  Program program;
};

// Everything compiled that a run needs, over one store: the parameters, the updates of a step, the
// evaluation programs and those of the task; all of them share one arena for each shard. Points
// into itself, so it is not moved. Not thread safe.
class Programs {
 public:
  // Compiles; nothing is bound to memory yet and the parameters have no values. INVALID_ARGUMENT
  // where model, task and data do not fit.
  static absl::StatusOr<std::unique_ptr<Programs>> Compile(const TrainingConfig& config,
                                                           const DataInfo& info, const Task& task);
  Programs(const Programs&) = delete;
  Programs& operator=(const Programs&) = delete;

  // Allocates the arenas and binds the programs.
  absl::Status Bind();

  ParameterStore& store() { return store_; }
  const ParameterStore& store() const { return store_; }
  const std::vector<models::LayerSummary>& layers() const { return layers_; }
  int depth() const { return depth_; }
  // At least one, in the order of a step.
  std::vector<CompiledUpdate>& updates() { return updates_; }
  const std::vector<CompiledUpdate>& updates() const { return updates_; }

  // The training examples by bucket; those of a task without RowBuckets all in its largest.
  std::span<const data::BucketRows> training_rows() const { return training_rows_; }

  // For batches of exactly this shape, NOT_FOUND if it is none of those compiled; or of so many
  // examples in the largest bucket, which must be one of them.
  absl::StatusOr<const Replicas*> training(size_t update, const BatchShape& shape) const {
    return Find(updates_[update].shapes, shape);
  }
  const Replicas& training(size_t update, int64_t batch) const {
    return *training(update, {batch, buckets_.back()}).value();
  }
  absl::StatusOr<const Replicas*> evaluation(const BatchShape& shape) const {
    return Find(evaluation_, shape);
  }
  int64_t evaluation_batch() const { return evaluation_batch_; }

  // A program of the task's own. Its inputs and outputs lie in memory that the other programs use
  // too: fill, run and read it without running another in between. NOT_FOUND names those there are.
  absl::StatusOr<const Program*> forward(absl::string_view name, int64_t bucket = 0) const;
  // Runs it: what was changed in the store is seen, and the buffers that it changes by all others.
  absl::Status Run(const Program& program, const RunScalars& scalars);

  int64_t arena_bytes() const;
  // What the updates keep of earlier batches of a step: a slab each where gradients add up.
  int64_t accumulated_bytes(const TrainingConfig& config) const;

 private:
  using ShapeBuilder = std::function<absl::StatusOr<TaskGraph>(const BatchShape& shape)>;

  Programs() = default;
  absl::Status DeclareParameters(const TrainingConfig& config, const DataInfo& info,
                                 const Task& task);
  absl::Status CheckMemory(const TrainingConfig& config, int shards) const;
  absl::Status MakeOptimizers(const TrainingConfig& config);
  absl::Status CompileTraining(const TrainingConfig& config, const DataInfo& info,
                               const Task& task);
  absl::Status CompileEvaluation(const TrainingConfig& config, const DataInfo& info,
                                 const Task& task);
  absl::Status CompileForwards(const TrainingConfig& config, const DataInfo& info,
                               const Task& task);
  // One of `shapes` for each that is wanted.
  absl::Status CompileShapes(const TrainingConfig& config, const ShapeBuilder& build,
                             const std::vector<BatchShape>& wanted,
                             std::vector<ShapePrograms>& shapes);
  absl::Status Declare(const Graph& graph, models::BuiltModel& model);
  std::vector<int64_t> ArenaSizes() const;
  static absl::StatusOr<const Replicas*> Find(const std::vector<ShapePrograms>& all,
                                              const BatchShape& shape);

  ParameterStore store_;
  std::vector<models::LayerSummary> layers_;
  int depth_ = 0;
  int shards_ = 1;                // gradient slabs: as many as the widest of the updates needs
  std::vector<int64_t> buckets_;  // ascending
  std::vector<data::BucketRows> training_rows_;
  int64_t evaluation_batch_ = 0;
  std::vector<CompiledUpdate> updates_;
  std::vector<ShapePrograms> evaluation_;
  std::vector<CompiledForward> forwards_;
  std::vector<Buffer> arenas_;
};

}  // namespace hone::engine::train
