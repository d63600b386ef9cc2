#include "engine/train/programs.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/train/graphs.h"

namespace hone::engine::train {
namespace {

// Large enough that a batch is worth its overhead, small enough that evaluation needs no more
// memory than training does.
constexpr int64_t kLeastEvaluationBatch = 64;
constexpr int64_t kMostEvaluationBatch = 256;

// The batch sizes that occur when `examples` are taken `batch` at a time.
std::vector<int64_t> BatchSizes(int64_t examples, int64_t batch) {
  std::vector<int64_t> sizes;
  if (examples >= batch) {
    sizes.push_back(batch);
  }
  if (examples % batch != 0) {
    sizes.push_back(examples % batch);
  }
  return sizes;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Programs>> Programs::Compile(const TrainingConfig& config,
                                                            const DataInfo& info,
                                                            const Task& task) {
  HONE_RETURN_IF_ERROR(task.CheckData(info));
  if (info.train < 1) {
    return absl::InvalidArgumentError("the training part of the data is empty");
  }
  std::unique_ptr<Programs> p(new Programs);
  HONE_RETURN_IF_ERROR(p->DeclareParameters(config, info, task));
  const std::vector<int64_t> batches = BatchSizes(info.train, config.batch_size);
  const auto shards_for = [&](int64_t batch, bool training) {
    return ShardsFor(batch, config.threads, training && p->needs_batch_statistics_);
  };
  int shards = 1;
  for (const int64_t batch : batches) {
    shards = std::max(shards, shards_for(batch, true));
  }
  p->store_.Allocate(shards);
  HONE_RETURN_IF_ERROR(p->MakeOptimizer(config));
  const auto options = [&](int64_t batch, bool training) {
    return ReplicaOptions{.threads = config.threads,
                          .shards = shards_for(batch, training),
                          .compute = config.compute};
  };
  for (const int64_t batch : batches) {
    const GraphBuilder build = [&](int64_t n) -> absl::StatusOr<BuiltGraph> {
      HONE_ASSIGN_OR_RETURN(TaskGraph graph, BuildTraining(config, info, task, &p->store_, n));
      return std::move(graph.built);
    };
    HONE_ASSIGN_OR_RETURN(Replicas replicas,
                          Replicas::Compile(build, batch, p->store_, options(batch, true)));
    p->training_.push_back(std::move(replicas));
  }
  p->evaluation_batch_ = std::clamp(config.batch_size, kLeastEvaluationBatch, kMostEvaluationBatch);
  std::vector<int64_t> sizes = BatchSizes(info.validation, p->evaluation_batch_);
  const std::vector<int64_t> test = BatchSizes(info.test, p->evaluation_batch_);
  sizes.insert(sizes.end(), test.begin(), test.end());
  std::ranges::sort(sizes);
  sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
  for (const int64_t batch : sizes) {
    const GraphBuilder build = [&](int64_t n) -> absl::StatusOr<BuiltGraph> {
      HONE_ASSIGN_OR_RETURN(TaskGraph graph, BuildEvaluation(config, info, task, n));
      return std::move(graph.built);
    };
    HONE_ASSIGN_OR_RETURN(Replicas replicas,
                          Replicas::Compile(build, batch, p->store_, options(batch, false)));
    p->evaluation_.push_back(std::move(replicas));
  }
  return p;
}

absl::Status Programs::DeclareParameters(const TrainingConfig& config, const DataInfo& info,
                                         const Task& task) {
  const int64_t batch = std::min(config.batch_size, info.train);
  HONE_ASSIGN_OR_RETURN(TaskGraph graph, BuildTraining(config, info, task, nullptr, batch));
  layers_ = std::move(graph.model.layers);
  depth_ = graph.model.depth;
  needs_batch_statistics_ = graph.model.needs_batch_statistics;
  for (const Graph::Node& node : graph.built.graph->nodes()) {
    if (node.kind != Graph::Node::Kind::kParameter) {
      continue;
    }
    HONE_ASSIGN_OR_RETURN(const ParameterId id, store_.Declare(node.parameter));
    if (node.parameter.role == ParameterRole::kTrainable) {
      const auto layer = std::ranges::find(layers_, node.name, &models::LayerSummary::name);
      trained_.push_back({id, static_cast<int>(layer - layers_.begin())});
    }
  }
  if (trained_.empty()) {
    return absl::InvalidArgumentError(
        "model.layers: nothing can be learned: no layer has weights that are not frozen");
  }
  return absl::OkStatus();
}

absl::Status Programs::MakeOptimizer(const TrainingConfig& config) {
  const auto decay = static_cast<float>(optim::WeightDecayOf(config.optimizer));
  std::vector<optim::ParameterRange> ranges;
  for (const TrainedParameter& parameter : trained_) {
    const ParameterSpec& spec = store_.spec(parameter.id);
    const int64_t begin = store_.offset(parameter.id);
    ranges.push_back({.begin = begin,
                      .end = begin + spec.shape.elements(),
                      .weight_decay = spec.decays ? decay : 0.0f});
  }
  HONE_ASSIGN_OR_RETURN(optimizer_, optim::Optimizer::Create(config.optimizer, std::move(ranges)));
  return absl::OkStatus();
}

// What each shard's arena must hold: the largest of its programs.
std::vector<int64_t> Programs::ArenaSizes() const {
  std::vector<int64_t> sizes;
  for (const std::vector<Replicas>* all : {&training_, &evaluation_}) {
    for (const Replicas& replicas : *all) {
      const auto shards = static_cast<size_t>(replicas.shards());
      sizes.resize(std::max(sizes.size(), shards));
      for (size_t k = 0; k < shards; ++k) {
        sizes[k] = std::max(sizes[k], replicas.arena_bytes());
      }
    }
  }
  return sizes;
}

int64_t Programs::arena_bytes() const {
  const std::vector<int64_t> sizes = ArenaSizes();
  return std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
}

absl::Status Programs::Bind() {
  arenas_.clear();
  for (const int64_t size : ArenaSizes()) {
    arenas_.emplace_back(std::max<int64_t>(size, 64));
  }
  for (std::vector<Replicas>* all : {&training_, &evaluation_}) {
    for (Replicas& replicas : *all) {
      HONE_RETURN_IF_ERROR(replicas.Bind(arenas_));
    }
  }
  return absl::OkStatus();
}

const Replicas& Programs::Find(const std::vector<Replicas>& all, int64_t batch) {
  return *std::ranges::find(all, batch, &Replicas::batch);
}

}  // namespace hone::engine::train
