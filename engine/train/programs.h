#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "engine/models/build.h"
#include "engine/optim/optimizer.h"
#include "engine/params/parameter_store.h"
#include "engine/plan/replicas.h"
#include "engine/tasks/config.h"
#include "engine/tasks/data_info.h"
#include "engine/tasks/task.h"
#include "engine/tasks/task_programs.h"
#include "engine/train/batch_shapes.h"
#include "engine/train/frozen_trunk.h"
#include "engine/train/trunk_features.h"
#include "engine/train/world.h"

namespace hone::engine::train {

// A parameter that an update moves: its place in that update's list is the optimizer's range.
struct TrainedParameter {
  ParameterId id;
  int layer;  // index into layers()
};

// The programs for batches of one shape.
struct ShapePrograms {
  tasks::BatchShape shape;  // of the whole batch
  Replicas replicas;        // of this rank's part of it
};

// An update of the task, compiled: its optimizer over its parameters, and its programs for a whole
// batch and for the last short one, in each bucket.
struct CompiledUpdate {
  tasks::UpdateSpec spec;
  std::vector<TrainedParameter> trained = {};  // in the order of the optimizer's ranges
  std::optional<optim::Optimizer> optimizer = {};
  std::vector<ShapePrograms> shapes = {};

  const optim::OptimizerOptions& options(const tasks::TrainingConfig& config) const {
    return spec.optimizer.has_value() ? *spec.optimizer : config.optimizer;
  }
};

// A program of the task's own, run by all threads.
struct CompiledForward {
  tasks::ForwardSpec spec;
  Program program;
};

// Programs around a frozen trunk: those that give its features, of a whole batch of the training
// and of the validation, and evaluation programs of validation batches that read them. The updates'
// programs read them, too.
struct TrunkPrograms {
  FrozenTrunk trunk;
  std::vector<ShapePrograms> training = {};    // one
  std::vector<ShapePrograms> validation = {};  // one, or none where nothing is held out
  std::vector<ShapePrograms> evaluation = {};
};

// The examples that a frozen trunk is run over.
struct TrunkExamples {
  const data::Dataset& dataset;
  std::span<const int32_t> training;  // a batch at least
  std::span<const int32_t> validation;
  std::string folder;                      // for features that are too large for memory
  absl::FunctionRef<bool()> asked_to_end;  // asked after each batch
};

// Lends the store values that lie in files, when all parameters are declared and none has memory
// yet.
using Lend = std::function<absl::Status(ParameterStore& store)>;

// What the programs are for.
enum class Purpose {
  kTraining,
  kEvaluation,  // no updates: neither gradients nor an optimizer's state take memory
};

// Everything compiled that a run needs, over one store: the parameters, the updates of a step, the
// evaluation programs and those of the task; all of them share one arena for each shard. Points
// into itself, so it is not moved. Not thread safe.
class Programs final : public tasks::TaskPrograms {
 public:
  // Compiles; nothing is bound to memory yet and the parameters have no values. INVALID_ARGUMENT
  // where model, task and data do not fit, or the model cannot be trained on several hosts.
  // FAILED_PRECONDITION of CheckTeam. Training programs are of the part that `place` computes.
  static absl::StatusOr<std::unique_ptr<Programs>> Compile(
      const tasks::TrainingConfig& config, const tasks::DataInfo& info, const tasks::Task& task,
      const Lend& lend = {}, const Place& place = {}, Purpose purpose = Purpose::kTraining);
  Programs(const Programs&) = delete;
  Programs& operator=(const Programs&) = delete;

  // Allocates the arenas and binds the programs.
  absl::Status Bind();

  ParameterStore& store() override { return store_; }
  const ParameterStore& store() const { return store_; }
  const std::vector<models::LayerSummary>& layers() const { return layers_; }
  int depth() const { return depth_; }
  // That work: the job's, or one where that is enough (TrainingConfig::one_thread_if_small).
  int threads() const { return threads_; }
  // At least one, in the order of a step; none for an evaluation.
  std::vector<CompiledUpdate>& updates() { return updates_; }
  const std::vector<CompiledUpdate>& updates() const { return updates_; }

  // The training examples by bucket (RowsByBucket).
  std::span<const data::BucketRows> training_rows() const { return training_rows_; }

  // For whole batches of exactly this shape, NOT_FOUND if it is none of those compiled; or of so
  // many examples in the largest bucket, which must be one of them.
  absl::StatusOr<const Replicas*> training(size_t update, const tasks::BatchShape& shape) const {
    return Find(updates_[update].shapes, shape);
  }
  const Replicas& training(size_t update, int64_t batch) const {
    return *training(update, {batch, buckets_.back()}).value();
  }
  absl::StatusOr<const Replicas*> evaluation(const tasks::BatchShape& shape) const {
    return Find(evaluation_, shape);
  }
  int64_t evaluation_batch() const { return evaluation_batch_; }

  // In how many parts batches of sequences are computed by the training: tasks::TrainingBucketOf is
  // asked with this for a batch's bucket.
  int parts() const { return parts_; }
  // The bucket of each of a batch's programs: of a part of its tokens, where it is in parts.
  int64_t PartBucket(const Replicas& replicas, int64_t bucket) const {
    return parts_ > 1 ? bucket / std::max(replicas.shards(), 1) : bucket;
  }

  // The frozen trunk that is run once; null: there is none.
  const FrozenTrunk* trunk() const { return trunk_.has_value() ? &trunk_->trunk : nullptr; }
  // Runs it and keeps what it gives, anew at each call; the parameters have their values. The
  // programs of the updates need that before they run; EvaluateRows takes it where all of its rows
  // are among the examples. CANCELLED: it was asked to end. Errors of TrunkFeatures, and those of a
  // run.
  absl::Status KeepTrunkFeatures(const tasks::Task& task, const TrunkExamples& examples);
  // Null: none are kept.
  const TrunkFeatures* trunk_features() const { return trunk_features_.get(); }
  // Evaluation programs that read them; NOT_FOUND as `evaluation`.
  absl::StatusOr<const Replicas*> trunk_evaluation(const tasks::BatchShape& shape) const {
    return Find(trunk_.has_value() ? trunk_->evaluation : evaluation_, shape);
  }

  absl::StatusOr<const Program*> forward(absl::string_view name,
                                         const tasks::BatchShape& shape) const override;
  absl::Status Run(const Program& program, const RunScalars& scalars) override;
  absl::StatusOr<tasks::Evaluation> EvaluateRows(
      const tasks::Task& task, const tasks::EvaluationContext& context) const override;

  int64_t arena_bytes() const;
  // The backward pass computes parts of the forward pass again instead of keeping them.
  bool recomputes() const { return recomputes_; }
  // What the updates keep of earlier batches of a step: a slab each where gradients add up.
  int64_t accumulated_bytes(const tasks::TrainingConfig& config) const;

 private:
  using ShapeBuilder =
      std::function<absl::StatusOr<tasks::TaskGraph>(const tasks::BatchShape& shape)>;

  Programs() = default;
  absl::Status DeclareParameters(const tasks::TrainingConfig& config, const tasks::DataInfo& info,
                                 const tasks::Task& task, Purpose purpose);
  absl::Status DeclareUpdates(const tasks::TrainingConfig& config, const tasks::DataInfo& info,
                              const tasks::Task& task);
  absl::Status DeclareEvaluationState(const tasks::TrainingConfig& config,
                                      const tasks::DataInfo& info, const tasks::Task& task);
  absl::Status DeclareGraph(const tasks::TrainingConfig& config, int64_t batch,
                            tasks::TaskGraph graph);
  absl::Status DeclareAverages(const tasks::TrainingConfig& config);
  absl::Status CheckLazy(const tasks::TrainingConfig& config) const;
  absl::Status CheckMemory(const tasks::TrainingConfig& config, int64_t available) const;
  int64_t gradient_slab_bytes() const { return store_.SlabBytes(1) - store_.SlabBytes(0); }
  absl::Status MakeOptimizers(const tasks::TrainingConfig& config);
  absl::Status CompileTraining(const tasks::TrainingConfig& config, const tasks::DataInfo& info,
                               const tasks::Task& task);
  absl::Status CompileEvaluation(const tasks::TrainingConfig& config, const tasks::DataInfo& info,
                                 const tasks::Task& task);
  absl::Status CompileForwards(const tasks::TrainingConfig& config, const tasks::DataInfo& info,
                               const tasks::Task& task);
  absl::Status CompileTrunk(const tasks::TrainingConfig& config, const tasks::DataInfo& info,
                            const tasks::Task& task);
  // One of `shapes` for each that is wanted: what `place` computes of it. Those `of_training` have
  // as many shards as the updates have.
  absl::Status CompileShapes(const tasks::TrainingConfig& config, const ShapeBuilder& build,
                             const std::vector<tasks::BatchShape>& wanted, const Place& place,
                             bool of_training, std::vector<ShapePrograms>& shapes);
  void TakeShapes(const ExamplesInfo& training);
  // In how many a batch of the training is computed.
  int ShardsOf(const tasks::BatchShape& part, bool needs_whole_batch, bool reads_offsets) const;
  absl::Status RunTrunk(const Replicas& replicas, const TrunkExamples& examples,
                        std::span<const int32_t> rows, const tasks::Task& task,
                        TrunkFeatures& features);
  absl::Status Declare(const Graph& graph, models::BuiltModel& model);
  std::vector<int64_t> ArenaSizes() const;
  static absl::StatusOr<const Replicas*> Find(const std::vector<ShapePrograms>& all,
                                              const tasks::BatchShape& shape);

  Place place_;
  ParameterStore store_;
  std::vector<models::LayerSummary> layers_;
  int depth_ = 0;
  int threads_ = 1;
  int shards_ = 1;  // gradient slabs: as many as the widest of the updates needs
  int parts_ = 1;   // of batches of sequences
  bool recomputes_ = false;
  std::vector<int64_t> buckets_;  // ascending
  std::vector<data::BucketRows> training_rows_;
  int64_t evaluation_batch_ = 0;
  std::vector<CompiledUpdate> updates_;
  std::vector<ShapePrograms> evaluation_;
  std::vector<CompiledForward> forwards_;
  std::optional<TrunkPrograms> trunk_;
  std::unique_ptr<TrunkFeatures> trunk_features_;  // may be null
  std::vector<Buffer> arenas_;
};

}  // namespace hone::engine::train
