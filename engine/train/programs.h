#pragma once

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

// An update of the task, compiled: its optimizer over its parameters, and its programs for a whole
// batch and for the last short one.
struct CompiledUpdate {
  UpdateSpec spec;
  std::vector<TrainedParameter> trained = {};  // in the order of the optimizer's ranges
  std::optional<optim::Optimizer> optimizer = {};
  std::vector<Replicas> batches = {};

  const optim::OptimizerOptions& options(const TrainingConfig& config) const {
    return spec.optimizer.has_value() ? *spec.optimizer : config.optimizer;
  }
};

// Everything compiled that a run needs, over one store: the parameters, the updates of a step and
// the evaluation programs; all of them share one arena for each shard. Points into itself, so it is
// not moved. Not thread safe.
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

  // For a batch of exactly so many examples; one of those compiled.
  const Replicas& training(size_t update, int64_t batch) const {
    return Find(updates_[update].batches, batch);
  }
  const Replicas& evaluation(int64_t batch) const { return Find(evaluation_, batch); }
  int64_t evaluation_batch() const { return evaluation_batch_; }

  int64_t arena_bytes() const;

 private:
  Programs() = default;
  absl::Status DeclareParameters(const TrainingConfig& config, const DataInfo& info,
                                 const Task& task);
  absl::Status CheckMemory(const TrainingConfig& config, int shards) const;
  absl::Status MakeOptimizers(const TrainingConfig& config);
  absl::Status CompileTraining(const TrainingConfig& config, const DataInfo& info,
                               const Task& task);
  absl::Status CompileEvaluation(const TrainingConfig& config, const DataInfo& info,
                                 const Task& task);
  ReplicaOptions OptionsFor(const TrainingConfig& config, int64_t batch, bool training) const;
  std::vector<int64_t> ArenaSizes() const;
  static const Replicas& Find(const std::vector<Replicas>& all, int64_t batch);

  ParameterStore store_;
  std::vector<models::LayerSummary> layers_;
  int depth_ = 0;
  bool needs_batch_statistics_ = false;
  int64_t evaluation_batch_ = 0;
  std::vector<CompiledUpdate> updates_;
  std::vector<Replicas> evaluation_;
  std::vector<Buffer> arenas_;
};

}  // namespace hone::engine::train
