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

// A trainable parameter and the optimizer's range that holds it.
struct TrainedParameter {
  ParameterId id;
  int layer;  // index into layers()
};

// Everything compiled that a run needs, over one store: the parameters, the optimizer, the training
// programs for a whole batch and for the last short one, and the evaluation programs; all of them
// share one arena for each shard. Points into itself, so it is not moved. Not thread safe.
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
  optim::Optimizer& optimizer() { return *optimizer_; }
  const optim::Optimizer& optimizer() const { return *optimizer_; }
  const std::vector<models::LayerSummary>& layers() const { return layers_; }
  int depth() const { return depth_; }
  // In the order of the optimizer's ranges.
  const std::vector<TrainedParameter>& trained() const { return trained_; }

  // For a batch of exactly so many examples; one of those compiled.
  const Replicas& training(int64_t batch) const { return Find(training_, batch); }
  const Replicas& evaluation(int64_t batch) const { return Find(evaluation_, batch); }
  int64_t evaluation_batch() const { return evaluation_batch_; }

  int64_t arena_bytes() const;

 private:
  Programs() = default;
  absl::Status DeclareParameters(const TrainingConfig& config, const DataInfo& info,
                                 const Task& task);
  absl::Status MakeOptimizer(const TrainingConfig& config);
  std::vector<int64_t> ArenaSizes() const;
  static const Replicas& Find(const std::vector<Replicas>& all, int64_t batch);

  ParameterStore store_;
  std::optional<optim::Optimizer> optimizer_;
  std::vector<TrainedParameter> trained_;
  std::vector<models::LayerSummary> layers_;
  int depth_ = 0;
  bool needs_batch_statistics_ = false;
  int64_t evaluation_batch_ = 0;
  std::vector<Replicas> training_;
  std::vector<Replicas> evaluation_;
  std::vector<Buffer> arenas_;
};

}  // namespace hone::engine::train
