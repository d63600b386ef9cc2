#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/data/dataset.h"
#include "engine/ops/cross_entropy.h"
#include "engine/train/config.h"
#include "engine/train/data_info.h"
#include "engine/train/observer.h"

namespace hone::engine::train {

// Sums over examples, as losses give them.
struct Sums {
  double loss = 0;
  double weight = 0;
  double correct = 0;
  int64_t examples = 0;
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

// What tells one task from another: its targets, its loss, its metrics. Immutable.
class Task {
 public:
  virtual ~Task() = default;

  virtual absl::string_view name() const = 0;  // "classification"

  // INVALID_ARGUMENT where the data cannot be learned with this task, or the options do not fit it.
  virtual absl::Status CheckData(const DataInfo& info) const = 0;
  // INVALID_ARGUMENT where the model's output [batch, …] does not fit the data; names the last
  // layer.
  virtual absl::Status CheckOutput(const Shape& output, const models::LayerSummary& last,
                                   const DataInfo& info) const = 0;

  // Of the program's input "targets".
  virtual TensorType targets(int64_t batch, const DataInfo& info) const = 0;
  virtual void FillTargets(const data::Dataset& dataset, std::span<const int32_t> rows,
                           void* targets) const = 0;
  virtual Loss AddLoss(Graph& graph, Value output, Value targets) const = 0;

  // Metrics of training batches beside the loss.
  virtual void AddTrainingMetrics(const Sums& sums,
                                  std::map<std::string, double>& values) const = 0;
  // The dataset outlives the scorer.
  virtual std::unique_ptr<Scorer> NewScorer(const data::Dataset& dataset,
                                            const DataInfo& info) const = 0;
};

std::unique_ptr<Task> MakeClassification(const ClassificationOptions& options);
std::unique_ptr<Task> MakeRegression(const RegressionOptions& options);
// The task table.
std::unique_ptr<Task> MakeTask(const TaskOptions& options);

}  // namespace hone::engine::train
