#include "engine/train/programs.h"

#include <algorithm>
#include <numeric>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/cpu.h"
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
  if (!config.pretrained.directory.empty()) {
    HONE_RETURN_IF_ERROR(CheckPretrainedData(config.pretrained, info));
  }
  std::unique_ptr<Programs> p(new Programs);
  HONE_RETURN_IF_ERROR(p->DeclareParameters(config, info, task));
  int shards = 1;
  for (const int64_t batch : BatchSizes(info.train, config.batch_size)) {
    shards = std::max(shards, p->OptionsFor(config, batch, true).shards);
  }
  HONE_RETURN_IF_ERROR(p->CheckMemory(config, shards));
  p->store_.Allocate(shards);
  HONE_RETURN_IF_ERROR(p->MakeOptimizers(config));
  HONE_RETURN_IF_ERROR(p->CompileTraining(config, info, task));
  HONE_RETURN_IF_ERROR(p->CompileEvaluation(config, info, task));
  return p;
}

// What the updates' graphs hold, the same name once; each parameter is moved by one update at most.
absl::Status Programs::DeclareParameters(const TrainingConfig& config, const DataInfo& info,
                                         const Task& task) {
  const int64_t batch = std::min(config.batch_size, info.train);
  absl::flat_hash_set<ParameterId> moved;
  for (const UpdateSpec& spec : task.updates()) {
    CompiledUpdate update{.spec = spec};
    HONE_ASSIGN_OR_RETURN(TaskGraph graph,
                          BuildTraining(config, info, task, updates_.size(), nullptr, batch));
    for (models::LayerSummary& layer : graph.model.layers) {
      if (std::ranges::find(layers_, layer.name, &models::LayerSummary::name) == layers_.end()) {
        layers_.push_back(std::move(layer));
      }
    }
    depth_ = std::max(depth_, graph.model.depth);
    needs_batch_statistics_ |= graph.model.needs_batch_statistics;
    for (const Graph::Node& node : graph.built.graph->nodes()) {
      if (node.kind != Graph::Node::Kind::kParameter) {
        continue;
      }
      HONE_ASSIGN_OR_RETURN(const ParameterId id, store_.Declare(node.parameter));
      if (node.parameter.role == ParameterRole::kTrainable &&
          absl::StartsWith(node.parameter.name, spec.parameters)) {
        const auto layer = std::ranges::find(layers_, node.name, &models::LayerSummary::name);
        if (layer == layers_.end()) {
          return absl::InternalError(
              absl::StrCat(node.parameter.name, ": ", node.name, " is no layer of the model"));
        }
        update.trained.push_back({id, static_cast<int>(layer - layers_.begin())});
        if (!moved.insert(id).second) {
          return absl::InternalError(
              absl::StrCat(node.parameter.name, " is moved by two updates of ", task.name()));
        }
      }
    }
    if (update.trained.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("model.layers: nothing can be learned: no layer ",
                       spec.name.empty() ? "" : absl::StrCat("of the ", spec.name, " "),
                       "has weights that are not frozen"));
    }
    updates_.push_back(std::move(update));
  }
  return absl::OkStatus();
}

// Before any of it is touched: a plan of a net that cannot be had must not be killed for it.
absl::Status Programs::CheckMemory(const TrainingConfig& config, int shards) const {
  int64_t bytes = store_.SlabBytes(shards);
  for (const CompiledUpdate& update : updates_) {
    for (const TrainedParameter& trained : update.trained) {
      bytes += store_.spec(trained.id).shape.elements() * static_cast<int64_t>(sizeof(float)) *
               static_cast<int64_t>(optim::StateNames(update.options(config)).size());
    }
  }
  const int64_t available = AvailableMemoryBytes();
  if (bytes <= available) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("model.layers: the weights, their gradients and the optimizer's state need ",
                   (bytes >> 20) + 1, " MiB of memory, there are ", available >> 20,
                   " MiB; smaller layers, or an optimizer with less state (sgd), may help"));
}

absl::Status Programs::MakeOptimizers(const TrainingConfig& config) {
  for (CompiledUpdate& update : updates_) {
    const optim::OptimizerOptions& options = update.options(config);
    const auto decay = static_cast<float>(optim::WeightDecayOf(options));
    const auto excluded = [&](const TrainedParameter& parameter) {
      return std::ranges::find(config.weight_decay_exclude,
                               layers_[static_cast<size_t>(parameter.layer)].name) !=
             config.weight_decay_exclude.end();
    };
    std::vector<optim::ParameterRange> ranges;
    std::ranges::sort(update.trained, {},
                      [&](const TrainedParameter& trained) { return store_.offset(trained.id); });
    for (const TrainedParameter& parameter : update.trained) {
      const ParameterSpec& spec = store_.spec(parameter.id);
      const int64_t begin = store_.offset(parameter.id);
      ranges.push_back({.begin = begin,
                        .end = begin + spec.shape.elements(),
                        .weight_decay = spec.decays && !excluded(parameter) ? decay : 0.0f});
    }
    HONE_ASSIGN_OR_RETURN(update.optimizer, optim::Optimizer::Create(options, std::move(ranges)));
  }
  return absl::OkStatus();
}

ReplicaOptions Programs::OptionsFor(const TrainingConfig& config, int64_t batch,
                                    bool training) const {
  return {.threads = config.threads,
          .shards = ShardsFor(batch, config.threads, training && needs_batch_statistics_),
          .compute = config.compute};
}

absl::Status Programs::CompileTraining(const TrainingConfig& config, const DataInfo& info,
                                       const Task& task) {
  for (size_t u = 0; u < updates_.size(); ++u) {
    const GraphBuilder build = [&](int64_t n) -> absl::StatusOr<BuiltGraph> {
      HONE_ASSIGN_OR_RETURN(TaskGraph graph, BuildTraining(config, info, task, u, &store_, n));
      return std::move(graph.built);
    };
    for (const int64_t batch : BatchSizes(info.train, config.batch_size)) {
      HONE_ASSIGN_OR_RETURN(Replicas replicas, Replicas::Compile(build, batch, store_,
                                                                 OptionsFor(config, batch, true)));
      updates_[u].batches.push_back(std::move(replicas));
    }
  }
  return absl::OkStatus();
}

absl::Status Programs::CompileEvaluation(const TrainingConfig& config, const DataInfo& info,
                                         const Task& task) {
  evaluation_batch_ = std::clamp(config.batch_size, kLeastEvaluationBatch, kMostEvaluationBatch);
  std::vector<int64_t> sizes = BatchSizes(info.validation, evaluation_batch_);
  const std::vector<int64_t> test = BatchSizes(info.test, evaluation_batch_);
  sizes.insert(sizes.end(), test.begin(), test.end());
  std::ranges::sort(sizes);
  sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
  const GraphBuilder build = [&](int64_t n) -> absl::StatusOr<BuiltGraph> {
    HONE_ASSIGN_OR_RETURN(TaskGraph graph, task.BuildEvaluation(config, info, n));
    return std::move(graph.built);
  };
  for (const int64_t batch : sizes) {
    HONE_ASSIGN_OR_RETURN(Replicas replicas, Replicas::Compile(build, batch, store_,
                                                               OptionsFor(config, batch, false)));
    evaluation_.push_back(std::move(replicas));
  }
  return absl::OkStatus();
}

// What each shard's arena must hold: the largest of its programs.
std::vector<int64_t> Programs::ArenaSizes() const {
  std::vector<int64_t> sizes;
  const auto add = [&](const std::vector<Replicas>& all) {
    for (const Replicas& replicas : all) {
      const auto shards = static_cast<size_t>(replicas.shards());
      sizes.resize(std::max(sizes.size(), shards));
      for (size_t k = 0; k < shards; ++k) {
        sizes[k] = std::max(sizes[k], replicas.arena_bytes());
      }
    }
  };
  for (const CompiledUpdate& update : updates_) {
    add(update.batches);
  }
  add(evaluation_);
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
  for (CompiledUpdate& update : updates_) {
    for (Replicas& replicas : update.batches) {
      HONE_RETURN_IF_ERROR(replicas.Bind(arenas_));
    }
  }
  for (Replicas& replicas : evaluation_) {
    HONE_RETURN_IF_ERROR(replicas.Bind(arenas_));
  }
  return absl::OkStatus();
}

const Replicas& Programs::Find(const std::vector<Replicas>& all, int64_t batch) {
  return *std::ranges::find(all, batch, &Replicas::batch);
}

}  // namespace hone::engine::train
