#include "engine/train/programs.h"

#include <algorithm>
#include <numeric>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/cpu.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/row_sums.h"
#include "engine/train/training_graph.h"

namespace hone::engine::train {
namespace {

constexpr int64_t kFloat = sizeof(float);

std::string Describe(const tasks::BatchShape& shape) {
  return absl::StrCat(shape.batch, " examples in bucket ", shape.bucket);
}

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

// The shapes that occur in an epoch over `examples`. Without rows by bucket (a task without
// RowBuckets) any size may come in any of the buckets.
std::vector<tasks::BatchShape> ShapesOf(int64_t examples,
                                        std::span<const data::BucketRows> by_bucket, int64_t batch,
                                        std::span<const int64_t> buckets) {
  std::vector<tasks::BatchShape> shapes;
  for (const data::BucketRows& rows : by_bucket) {
    for (const int64_t size : BatchSizes(rows.rows, batch)) {
      shapes.push_back({size, rows.bucket});
    }
  }
  if (by_bucket.empty()) {
    for (const int64_t size : BatchSizes(examples, batch)) {
      for (const int64_t bucket : buckets) {
        shapes.push_back({size, bucket});
      }
    }
  }
  return shapes;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Programs>> Programs::Compile(const tasks::TrainingConfig& config,
                                                            const tasks::DataInfo& info,
                                                            const tasks::Task& task,
                                                            const Lend& lend, const Place& place) {
  HONE_RETURN_IF_ERROR(CheckTeam(config.threads));
  HONE_RETURN_IF_ERROR(task.CheckData(info));
  if (info.train < 1) {
    return absl::InvalidArgumentError("the training part of the data is empty");
  }
  std::unique_ptr<Programs> p(new Programs);
  p->place_ = place;
  p->buckets_ = task.buckets(config);
  std::ranges::sort(p->buckets_);
  if (p->buckets_.empty() || p->buckets_.size() > tasks::kMostBuckets) {
    return absl::InternalError(absl::StrCat(task.name(), ": must have 1 to ", tasks::kMostBuckets,
                                            " buckets, got ", p->buckets_.size()));
  }
  p->training_rows_ = info.train_buckets;
  if (p->training_rows_.empty()) {
    p->training_rows_ = {{p->buckets_.back(), info.train}};
  }
  HONE_RETURN_IF_ERROR(p->DeclareParameters(config, info, task));
  const int64_t available = config.memory_bytes > 0 ? config.memory_bytes : AvailableMemoryBytes();
  if (lend) {
    HONE_RETURN_IF_ERROR(lend(p->store_));
  }
  HONE_RETURN_IF_ERROR(p->CheckMemory(config, available));
  p->store_.Allocate(p->shards_);
  HONE_RETURN_IF_ERROR(p->MakeOptimizers(config));
  p->recomputes_ = config.recompute == tasks::Recompute::kAlways;
  HONE_RETURN_IF_ERROR(p->CompileTraining(config, info, task));
  HONE_RETURN_IF_ERROR(p->CompileEvaluation(config, info, task));
  HONE_RETURN_IF_ERROR(p->CompileForwards(config, info, task));
  absl::Status fits = p->CheckMemory(config, available);
  if (!fits.ok() && config.recompute == tasks::Recompute::kWhenNeeded) {
    p->recomputes_ = true;
    HONE_RETURN_IF_ERROR(p->CompileTraining(config, info, task));
    fits = p->CheckMemory(config, available);
  }
  HONE_RETURN_IF_ERROR(fits);
  return p;
}

// What a graph holds, the same name once.
absl::Status Programs::Declare(const Graph& graph, models::BuiltModel& model) {
  for (models::LayerSummary& layer : model.layers) {
    if (std::ranges::find(layers_, layer.name, &models::LayerSummary::name) == layers_.end()) {
      layers_.push_back(std::move(layer));
    }
  }
  depth_ = std::max(depth_, model.depth);
  for (const Graph::Node& node : graph.nodes()) {
    if (node.kind == Graph::Node::Kind::kParameter) {
      HONE_RETURN_IF_ERROR(store_.Declare(node.parameter).status());
    }
  }
  return absl::OkStatus();
}

// What all graphs hold; each parameter is moved by one update at most.
absl::Status Programs::DeclareParameters(const tasks::TrainingConfig& config,
                                         const tasks::DataInfo& info, const tasks::Task& task) {
  const tasks::BatchShape shape = {std::min(config.batch_size, info.train), buckets_.back()};
  absl::flat_hash_set<ParameterId> moved;
  bool all_need_whole_batch = true;
  for (const tasks::UpdateSpec& spec : task.updates()) {
    CompiledUpdate update{.spec = spec};
    if (spec.every < 1) {
      return absl::InternalError(absl::StrCat("the update \"", spec.name, "\" of ", task.name(),
                                              " is made at every ", spec.every, ". step"));
    }
    HONE_ASSIGN_OR_RETURN(tasks::TaskGraph built,
                          BuildTraining(config, info, task, updates_.size(), nullptr, shape,
                                        {.rows = place_.size == 1}));
    const Graph& graph = *built.built.graph;
    HONE_RETURN_IF_ERROR(Declare(graph, built.model));
    all_need_whole_batch = all_need_whole_batch && NeedsWholeBatch(graph);
    if (place_.size > 1 && NeedsWholeBatch(graph)) {
      return absl::InvalidArgumentError(
          "model.layers: a model with layers that see the whole batch, such as batch "
          "normalisation, cannot be trained on several hosts");
    }
    for (const Graph::Node& node : graph.nodes()) {
      if (node.kind != Graph::Node::Kind::kParameter ||
          node.parameter.role != ParameterRole::kTrainable ||
          !absl::StartsWith(node.parameter.name, spec.parameters)) {
        continue;
      }
      HONE_ASSIGN_OR_RETURN(const ParameterId id, store_.Find(node.parameter.name));
      // A parameter that was declared in no scope stands in one named after it: CompleteLayers.
      const int layer = models::RowOf(layers_, node.name.empty() ? node.parameter.name : node.name);
      if (layer < 0) {
        return absl::InternalError(absl::StrCat(node.parameter.name, " is in no layer"));
      }
      // The gradients stand in the order of their parameters.
      if (IsRowSums(graph, built.built.request.gradients[update.trained.size()].first)) {
        store_.GiveRows(id);
      }
      update.trained.push_back({id, layer});
      if (!moved.insert(id).second) {
        return absl::InternalError(
            absl::StrCat(node.parameter.name, " is moved by two updates of ", task.name()));
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
  for (const tasks::BatchShape& wanted :
       ShapesOf(info.train, info.train_buckets, config.batch_size, buckets_)) {
    const auto [begin, end] = place_.PartOf(wanted.batch);
    shards_ = std::max(shards_, ShardsFor(end - begin, config.threads, all_need_whole_batch,
                                          gradient_slab_bytes()));
  }
  for (const tasks::ForwardSpec& spec : task.forwards(config)) {
    HONE_ASSIGN_OR_RETURN(tasks::TaskGraph built, task.BuildForward(config, info, spec));
    HONE_RETURN_IF_ERROR(built.built.graph->status());
    tasks::FreezeByRules(config.parameter_rules, *built.built.graph);
    models::CompleteLayers(*built.built.graph, std::max<int64_t>(spec.shape.batch, 1), built.model);
    HONE_RETURN_IF_ERROR(Declare(*built.built.graph, built.model));
  }
  std::vector<std::string> names;
  for (ParameterId id = 0; id < store_.size(); ++id) {
    const ParameterRole role = store_.spec(id).role;
    if (role == ParameterRole::kTrainable || role == ParameterRole::kFrozen) {
      names.push_back(store_.spec(id).name);
    }
  }
  return tasks::CheckRules(config.parameter_rules, names);
}

// Before any of it is touched: a plan of a net that cannot be had must not be killed for it. The
// arenas are known when all is compiled, so that it is asked twice.
absl::Status Programs::CheckMemory(const tasks::TrainingConfig& config, int64_t available) const {
  // Saturating, as all these sums are.
  int64_t bytes = SaturatingSum(SaturatingSum(store_.SlabBytes(shards_), store_.borrowed_bytes()),
                                accumulated_bytes(config));
  for (const CompiledUpdate& update : updates_) {
    for (const TrainedParameter& trained : update.trained) {
      const auto states = static_cast<int64_t>(optim::StateNames(update.options(config)).size());
      bytes = SaturatingSum(bytes, SaturatingProduct(store_.spec(trained.id).shape.elements(),
                                                     states * int64_t{sizeof(float)}));
    }
  }
  const int64_t weights = bytes, values = SaturatingSum(arena_bytes(), store_.packed_bytes());
  bytes = SaturatingSum(weights, values);
  if (bytes <= available) {
    return absl::OkStatus();
  }
  if (weights > available) {
    return absl::InvalidArgumentError(
        absl::StrCat("model.layers: the weights, their gradients and the optimizer's state need ",
                     (weights >> 20) + 1, " MiB of memory, there are ", available >> 20,
                     " MiB; smaller layers, or an optimizer with less state (sgd), may help"));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "training.batch_size: with ", config.batch_size, " examples, what lies between the layers ",
      "needs ", (values >> 20) + 1, " MiB of memory beside ", (weights >> 20) + 1,
      " MiB for the weights, their gradients and the optimizer's state; there are ",
      available >> 20, " MiB; a smaller batch (with accumulate_batches, if it is to count as one) ",
      "may help"));
}

absl::Status Programs::MakeOptimizers(const tasks::TrainingConfig& config) {
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
      const float own_decay = tasks::WeightDecay(config.parameter_rules, spec.name)
                                  .value_or(excluded(parameter) ? 0.0f : decay);
      ranges.push_back(
          {.begin = begin,
           .end = begin + spec.shape.elements(),
           .learning_rate_multiplier = tasks::LearningRateFactor(config.parameter_rules, spec.name),
           .weight_decay = spec.decays ? own_decay : 0.0f,
           .row_width = store_.gives_rows(parameter.id) ? spec.shape[1] : 0});
    }
    HONE_ASSIGN_OR_RETURN(update.optimizer, optim::Optimizer::Create(options, std::move(ranges)));
  }
  return absl::OkStatus();
}

absl::Status Programs::CompileShapes(const tasks::TrainingConfig& config, const ShapeBuilder& build,
                                     const std::vector<tasks::BatchShape>& wanted,
                                     const Place& place, std::vector<ShapePrograms>& shapes) {
  for (const tasks::BatchShape& shape : wanted) {
    const auto [begin, end] = place.PartOf(shape.batch);
    if (begin == end) {
      shapes.push_back({shape, Replicas()});
      continue;
    }
    HONE_ASSIGN_OR_RETURN(const tasks::TaskGraph whole, build({end - begin, shape.bucket}));
    const int shards = ShardsFor(end - begin, config.threads, NeedsWholeBatch(*whole.built.graph),
                                 whole.built.request.gradients.empty() ? 0 : gradient_slab_bytes());
    const GraphBuilder part = [&](int64_t n) -> absl::StatusOr<BuiltGraph> {
      HONE_ASSIGN_OR_RETURN(tasks::TaskGraph graph, build({n, shape.bucket}));
      return std::move(graph.built);
    };
    HONE_ASSIGN_OR_RETURN(Replicas replicas, Replicas::Compile(part, end - begin, store_,
                                                               {.threads = config.threads,
                                                                .shards = shards,
                                                                .compute = config.compute}));
    shapes.push_back({shape, std::move(replicas)});
  }
  return absl::OkStatus();
}

absl::Status Programs::CompileTraining(const tasks::TrainingConfig& config,
                                       const tasks::DataInfo& info, const tasks::Task& task) {
  const std::vector<tasks::BatchShape> wanted =
      ShapesOf(info.train, info.train_buckets, config.batch_size, buckets_);
  for (size_t u = 0; u < updates_.size(); ++u) {
    updates_[u].shapes.clear();
    const ShapeBuilder build = [&](const tasks::BatchShape& shape) {
      return BuildTraining(config, info, task, u, &store_, shape,
                           {.rows = place_.size == 1, .recompute = recomputes_});
    };
    HONE_RETURN_IF_ERROR(CompileShapes(config, build, wanted, place_, updates_[u].shapes));
  }
  return absl::OkStatus();
}

absl::Status Programs::CompileEvaluation(const tasks::TrainingConfig& config,
                                         const tasks::DataInfo& info, const tasks::Task& task) {
  evaluation_batch_ = task.evaluation_batch(config);
  if (evaluation_batch_ < 1) {
    return absl::InternalError(absl::StrCat(
        task.name(), ": a batch of an evaluation has at least 1 example, got ", evaluation_batch_));
  }
  std::vector<tasks::BatchShape> wanted =
      ShapesOf(info.validation, info.validation_buckets, evaluation_batch_, buckets_);
  for (const tasks::BatchShape& shape :
       ShapesOf(info.test, info.test_buckets, evaluation_batch_, buckets_)) {
    wanted.push_back(shape);
  }
  std::ranges::sort(wanted);
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  const ShapeBuilder build = [&](const tasks::BatchShape& shape) {
    return task.BuildEvaluation(config, info, shape);
  };
  return CompileShapes(config, build, wanted, Place(), evaluation_);
}

absl::Status Programs::CompileForwards(const tasks::TrainingConfig& config,
                                       const tasks::DataInfo& info, const tasks::Task& task) {
  for (const tasks::ForwardSpec& spec : task.forwards(config)) {
    HONE_ASSIGN_OR_RETURN(tasks::TaskGraph graph, task.BuildForward(config, info, spec));
    graph.built.request.update_buffers = !graph.built.graph->updates().empty();
    HONE_ASSIGN_OR_RETURN(Program program,
                          Program::Compile(graph.built.request, store_,
                                           {.threads = config.threads, .compute = config.compute}));
    forwards_.push_back({spec, std::move(program)});
  }
  return absl::OkStatus();
}

// What each shard's arena must hold: the largest of its programs.
std::vector<int64_t> Programs::ArenaSizes() const {
  std::vector<int64_t> sizes(1, 0);
  const auto add = [&](const std::vector<ShapePrograms>& all) {
    for (const auto& [unused, replicas] : all) {
      const auto shards = static_cast<size_t>(replicas.shards());
      sizes.resize(std::max(sizes.size(), shards));
      for (size_t k = 0; k < shards; ++k) {
        sizes[k] = std::max(sizes[k], replicas.arena_bytes());
      }
    }
  };
  for (const CompiledUpdate& update : updates_) {
    add(update.shapes);
  }
  add(evaluation_);
  for (const CompiledForward& forward : forwards_) {
    sizes[0] = std::max(sizes[0], forward.program.arena_bytes());
  }
  return sizes;
}

int64_t Programs::arena_bytes() const {
  const std::vector<int64_t> sizes = ArenaSizes();
  return std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
}

int64_t Programs::accumulated_bytes(const tasks::TrainingConfig& config) const {
  if (config.accumulate_batches <= 1) {
    return 0;
  }
  int64_t tables = 0;
  for (ParameterId id = 0; id < store_.size(); ++id) {
    const Shape& shape = store_.spec(id).shape;
    tables = SaturatingSum(tables, store_.gives_rows(id) ? shape.elements() * kFloat : 0);
  }
  return SaturatingSum(
      tables, SaturatingProduct(gradient_slab_bytes(), static_cast<int64_t>(updates_.size())));
}

absl::Status Programs::Bind() {
  arenas_.clear();
  for (const int64_t size : ArenaSizes()) {
    arenas_.emplace_back(std::max<int64_t>(size, 64));
  }
  for (CompiledUpdate& update : updates_) {
    for (ShapePrograms& programs : update.shapes) {
      HONE_RETURN_IF_ERROR(programs.replicas.Bind(arenas_));
    }
  }
  for (ShapePrograms& programs : evaluation_) {
    HONE_RETURN_IF_ERROR(programs.replicas.Bind(arenas_));
  }
  for (CompiledForward& forward : forwards_) {
    HONE_RETURN_IF_ERROR(forward.program.Bind(arenas_[0].as<std::byte>()));
  }
  return absl::OkStatus();
}

absl::StatusOr<const Replicas*> Programs::Find(const std::vector<ShapePrograms>& all,
                                               const tasks::BatchShape& shape) {
  const auto found = std::ranges::find(all, shape, &ShapePrograms::shape);
  if (found != all.end()) {
    return &found->replicas;
  }
  std::vector<std::string> known;
  for (const ShapePrograms& programs : all) {
    known.push_back(absl::StrCat(programs.shape.batch, " in ", programs.shape.bucket));
  }
  return absl::NotFoundError(absl::StrCat("no program for ", Describe(shape),
                                          "; there are: ", absl::StrJoin(known, ", ")));
}

absl::StatusOr<const Program*> Programs::forward(absl::string_view name,
                                                 const tasks::BatchShape& shape) const {
  std::vector<std::string> known;
  for (const CompiledForward& forward : forwards_) {
    if (forward.spec.name == name && forward.spec.shape == shape) {
      return &forward.program;
    }
    known.push_back(absl::StrCat(forward.spec.name, " for ", Describe(forward.spec.shape)));
  }
  return absl::NotFoundError(absl::StrCat("no program ", name, " for ", Describe(shape),
                                          "; there are: ", absl::StrJoin(known, ", ")));
}

absl::Status Programs::Run(const Program& program, const RunScalars& scalars) {
  store_.RefreshAll();
  HONE_RETURN_IF_ERROR(program.Run(scalars));
  store_.MarkChanged(program.updated());
  return absl::OkStatus();
}

}  // namespace hone::engine::train
