// What the graphs of a job declare: the store's parameters, who moves which, their memory and
// their optimizers.
#include <algorithm>
#include <cmath>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/graph/row_sums.h"
#include "engine/train/batch_shapes.h"
#include "engine/train/programs.h"
#include "engine/train/training_graph.h"
#include "engine/train/weight_average.h"

namespace hone::engine::train {
namespace {

constexpr int64_t kFloat = sizeof(float);

}  // namespace

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

absl::Status Programs::DeclareGraph(const tasks::TrainingConfig& config, int64_t batch,
                                    tasks::TaskGraph graph) {
  HONE_RETURN_IF_ERROR(graph.built.graph->status());
  tasks::FreezeByRules(config.parameter_rules, *graph.built.graph);
  models::CompleteLayers(*graph.built.graph, batch, graph.model);
  return Declare(*graph.built.graph, graph.model);
}

// What the updates hold; each parameter is moved by one of them at most.
absl::Status Programs::DeclareUpdates(const tasks::TrainingConfig& config,
                                      const tasks::DataInfo& info, const tasks::Task& task) {
  const tasks::BatchShape shape = {std::min(config.batch_size, info.train), buckets_.back()};
  absl::flat_hash_set<ParameterId> moved;
  bool all_need_whole_batch = true, reads_offsets = false, worth_a_team = false;
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
    reads_offsets = reads_offsets || ReadsOffsets(graph);
    worth_a_team = worth_a_team || IsWorthATeam(CostOf(graph));
    if (place_.size > 1 && (NeedsWholeBatch(graph) || ReadsOffsets(graph))) {
      return absl::InvalidArgumentError(
          "model.layers: a model with layers that see the whole batch, such as batch "
          "normalisation, cannot be trained on several hosts: each computes a part of a batch "
          "only, and its mean and variance would be of that part; layer normalisation, or batch "
          "normalisation that is frozen, needs no other examples");
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
  threads_ = config.one_thread_if_small && !worth_a_team ? 1 : config.threads;
  parts_ = info.train_in_parts.parts;
  for (const tasks::BatchShape& wanted :
       ShapesOf(TrainingExamples(info, parts_), config.batch_size, buckets_)) {
    const auto [begin, end] = place_.PartOf(wanted.batch);
    shards_ = std::max(shards_,
                       ShardsOf({end - begin, wanted.bucket}, all_need_whole_batch, reads_offsets));
  }
  if (shards_ == 1) {
    parts_ = 1;  // a team needs none
  }
  TakeShapes(TrainingExamples(info, parts_));
  return absl::OkStatus();
}

// Of an evaluation beside a training whose graphs have all else.
absl::Status Programs::DeclareEvaluationState(const tasks::TrainingConfig& config,
                                              const tasks::DataInfo& info,
                                              const tasks::Task& task) {
  HONE_ASSIGN_OR_RETURN(
      const tasks::TaskGraph graph,
      task.BuildEvaluation(config, info, {task.evaluation_batch(config), buckets_.back()}));
  for (const Graph::Node& node : graph.built.graph->nodes()) {
    if (node.kind == Graph::Node::Kind::kParameter &&
        node.parameter.role == ParameterRole::kTransient) {
      HONE_RETURN_IF_ERROR(store_.Declare(node.parameter).status());
    }
  }
  return absl::OkStatus();
}

// What all graphs hold.
absl::Status Programs::DeclareParameters(const tasks::TrainingConfig& config,
                                         const tasks::DataInfo& info, const tasks::Task& task,
                                         Purpose purpose) {
  if (purpose == Purpose::kTraining) {
    HONE_RETURN_IF_ERROR(DeclareUpdates(config, info, task));
    HONE_RETURN_IF_ERROR(CheckLazy(config));
    HONE_RETURN_IF_ERROR(DeclareAverages(config));
    if (task.carries_state()) {
      HONE_RETURN_IF_ERROR(DeclareEvaluationState(config, info, task));
    }
  } else {
    shards_ = 0;
    threads_ = config.threads;
    const int64_t batch = task.evaluation_batch(config);
    HONE_ASSIGN_OR_RETURN(tasks::TaskGraph graph,
                          task.BuildEvaluation(config, info, {batch, buckets_.back()}));
    HONE_RETURN_IF_ERROR(DeclareGraph(config, batch, std::move(graph)));
  }
  for (const tasks::ForwardSpec& spec : task.forwards(config)) {
    HONE_ASSIGN_OR_RETURN(tasks::TaskGraph graph, task.BuildForward(config, info, spec));
    HONE_RETURN_IF_ERROR(
        DeclareGraph(config, std::max<int64_t>(spec.shape.batch, 1), std::move(graph)));
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

absl::Status Programs::DeclareAverages(const tasks::TrainingConfig& config) {
  if (config.average_decay == 0) {
    return absl::OkStatus();
  }
  if (updates_.size() != 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "training.average_decay: must be 0 where a step makes ", updates_.size(), " updates"));
  }
  std::vector<ParameterId> trained;
  for (const TrainedParameter& parameter : updates_[0].trained) {
    trained.push_back(parameter.id);
  }
  return WeightAverage::Declare(trained, store_);
}

// A lazy optimizer without a table to be lazy with is a mistake, or a table that is none any more.
absl::Status Programs::CheckLazy(const tasks::TrainingConfig& config) const {
  const auto has_table = [&](const CompiledUpdate& update) {
    return std::ranges::any_of(update.trained, [&](const TrainedParameter& trained) {
      return store_.gives_rows(trained.id);
    });
  };
  if (!optim::IsLazy(config.optimizer) || std::ranges::any_of(updates_, has_table)) {
    return absl::OkStatus();
  }
  const std::string field =
      absl::StrCat("training.optimizer.", optim::NameOf(config.optimizer), ".lazy");
  if (place_.size > 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        field, ": must be false on several hosts, which add up the gradients of whole tables"));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      field,
      ": must be false where no table is sparse; the model has none that is declared so and "
      "that lookups alone read"));
}

// Before any of it is touched: the plan of a net that does not fit must not be killed. The
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
      "may help",
      config.recompute == tasks::Recompute::kNever ? ", or training.recompute=WHEN_NEEDED" : ""));
}

absl::Status Programs::MakeOptimizers(const tasks::TrainingConfig& config) {
  if (config.layer_decay != 1 && updates_.size() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("training.layer_decay: must be 1 where a step makes ", updates_.size(),
                     " updates, got ", config.layer_decay));
  }
  // What layers that are frozen have is counted, too, so that thawing one changes no other's rate.
  std::vector<std::string> names;
  std::vector<ParameterId> ids;
  for (ParameterId id = 0; id < store_.size(); ++id) {
    const ParameterRole role = store_.spec(id).role;
    if (role == ParameterRole::kTrainable || role == ParameterRole::kFrozen) {
      names.push_back(store_.spec(id).name);
      ids.push_back(id);
    }
  }
  const std::vector<int> behind = tasks::LayersBehind(names);
  std::vector<float> factors(static_cast<size_t>(store_.size()), 1.0f);
  for (size_t i = 0; i < ids.size(); ++i) {
    factors[static_cast<size_t>(ids[i])] =
        static_cast<float>(std::pow(config.layer_decay, behind[i])) *
        tasks::LearningRateFactor(config.parameter_rules, names[i]);
  }
  for (CompiledUpdate& update : updates_) {
    const optim::OptimizerOptions& options = update.options(config);
    const auto decay = static_cast<float>(optim::WeightDecayOf(options));
    std::vector<optim::ParameterRange> ranges;
    std::ranges::sort(update.trained, {},
                      [&](const TrainedParameter& trained) { return store_.offset(trained.id); });
    for (const TrainedParameter& parameter : update.trained) {
      const ParameterSpec& spec = store_.spec(parameter.id);
      const int64_t begin = store_.offset(parameter.id);
      const float own_decay = tasks::WeightDecay(config.parameter_rules, spec.name).value_or(decay);
      ranges.push_back({.begin = begin,
                        .end = begin + spec.shape.elements(),
                        .learning_rate_multiplier = factors[static_cast<size_t>(parameter.id)],
                        .weight_decay = spec.decays ? own_decay : 0.0f,
                        .rests = tasks::FrozenUpdates(config.parameter_rules, spec.name),
                        .row_width = store_.gives_rows(parameter.id) ? spec.shape[1] : 0});
    }
    HONE_ASSIGN_OR_RETURN(update.optimizer, optim::Optimizer::Create(options, std::move(ranges)));
  }
  return absl::OkStatus();
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

}  // namespace hone::engine::train
