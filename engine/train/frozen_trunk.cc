#include "engine/train/frozen_trunk.h"

#include <algorithm>
#include <array>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/base/status.h"
#include "engine/train/length.h"

namespace hone::engine::train {
namespace {

using NodeKind = Graph::Node::Kind;

// Ops that give an example the same numbers whichever others are in its batch, as long as the
// first dimension of what they give is the batch.
bool IsOfEachExample(absl::string_view kind) {
  constexpr std::array kKinds = {
      "add",        "add_broadcast", "add_channels",     "average_pool2d", "batch_norm_with",
      "concat",     "conv2d",        "conv2d_transpose", "full",           "gelu",
      "gelu_tanh",  "layer_norm",    "leaky_relu",       "linear",         "max_pool2d",
      "mul",        "mul_broadcast", "normalize_pixels", "relu",           "reshape",
      "rms_norm",   "scale",         "sigmoid",          "silu",           "tanh",
      "upsample2d",
  };
  return std::ranges::find(kKinds, kind) != kKinds.end();
}

bool MayReadTrunk(absl::string_view kind) {
  return kind == "linear" || kind == "conv2d" || kind == "dropout";
}

bool IsFeatures(const Graph::Node& node) {
  return node.kind == NodeKind::kInput && node.name == tasks::kFeaturesInput;
}

// What a node's outputs are computed of.
struct Origin {
  bool is_fixed = false;    // they are the same in every epoch
  bool of_example = false;  // its features
  bool of_weights = false;  // frozen ones
};

bool IsUpdated(const Graph& graph, int32_t buffer) {
  return std::ranges::any_of(graph.updates(),
                             [&](const auto& update) { return update.first.node == buffer; });
}

std::vector<Origin> OriginsOf(const Graph& graph, int64_t batch) {
  std::vector<Origin> origins;
  for (const Graph::Node& node : graph.nodes()) {
    Origin origin;
    switch (node.kind) {
      case NodeKind::kInput:
        origin.is_fixed = origin.of_example = IsFeatures(node);
        break;
      case NodeKind::kParameter:
        origin.of_weights = node.parameter.role == ParameterRole::kFrozen;
        origin.is_fixed =
            origin.of_weights || (node.parameter.role == ParameterRole::kBuffer &&
                                  !IsUpdated(graph, static_cast<int32_t>(origins.size())));
        break;
      case NodeKind::kConstant:
        origin.is_fixed = true;
        break;
      case NodeKind::kOp:
        origin.is_fixed = IsOfEachExample(node.op->kind());
        for (const Value input : node.inputs) {
          const Origin& of = origins[static_cast<size_t>(input.node)];
          origin.is_fixed = origin.is_fixed && of.is_fixed;
          origin.of_example = origin.of_example || of.of_example;
          origin.of_weights = origin.of_weights || of.of_weights;
        }
        if (origin.of_example) {
          const Shape& shape = node.types[0].shape;
          origin.is_fixed = origin.is_fixed && shape.rank() > 1 && shape[0] == batch;
        }
        break;
    }
    origins.push_back(origin);
  }
  return origins;
}

// Whether all that is known of the features goes through the node's first output, which is read by
// those alone that may.
bool IsCut(const Graph& graph, int32_t cut) {
  const auto count = static_cast<int32_t>(graph.nodes().size());
  std::vector<bool> before(static_cast<size_t>(count), false);
  before[static_cast<size_t>(cut)] = true;
  for (int32_t i = cut; i >= 0; --i) {
    for (const Value input : graph.node(i).inputs) {
      before[static_cast<size_t>(input.node)] =
          before[static_cast<size_t>(input.node)] || before[static_cast<size_t>(i)];
    }
  }
  std::vector<bool> of_example(static_cast<size_t>(count), false);  // not by way of the cut
  for (int32_t i = 0; i < count; ++i) {
    const Graph::Node& node = graph.node(i);
    bool is_so = IsFeatures(node);
    for (const Value input : node.inputs) {
      if (input.node != cut) {
        is_so = is_so || of_example[static_cast<size_t>(input.node)];
      } else if (input.output != 0 || !MayReadTrunk(node.op->kind())) {
        return false;
      }
    }
    if (is_so && !before[static_cast<size_t>(i)]) {
      return false;
    }
    of_example[static_cast<size_t>(i)] = is_so && i != cut;
  }
  return true;
}

// Whether both graphs compute the same up to this node, each for its own batch.
bool BeginAlike(const Graph& a, const Graph& b, int32_t last) {
  if (static_cast<size_t>(last) >= b.nodes().size()) {
    return false;
  }
  for (int32_t i = 0; i <= last; ++i) {
    const Graph::Node &x = a.node(i), &y = b.node(i);
    if (x.kind != y.kind || x.name != y.name || x.inputs != y.inputs || x.constant != y.constant ||
        x.parameter.name != y.parameter.name) {
      return false;
    }
    if (x.kind == NodeKind::kOp && x.op->kind() != y.op->kind()) {
      return false;
    }
  }
  return true;
}

// What the rule says of the job and its examples.
bool MayKeep(const tasks::TrainingConfig& config, const tasks::DataInfo& info,
             const tasks::Task& task) {
  using Input = data::Preprocessing::Input;
  const Input input = info.preprocessing.input;
  const Length length = LengthOf(config, info);
  return config.cache_frozen && length.last_step > length.steps_per_epoch &&
         (input == Input::kImage || input == Input::kTable) && !config.augmentation.any() &&
         !config.table_augmentation.any() && task.updates().size() == 1 &&
         task.forwards(config).empty() && task.own_examples(config) == 0 && !task.carries_state() &&
         info.train_buckets.empty() && task.buckets(config) == std::vector<int64_t>{0};
}

}  // namespace

int64_t FrozenTrunk::bytes() const {
  return SaturatingProduct(SaturatingProduct(numbers, examples), int64_t{sizeof(float)});
}

absl::StatusOr<std::optional<FrozenTrunk>> FindTrunk(const tasks::TrainingConfig& config,
                                                     const tasks::DataInfo& info,
                                                     const tasks::Task& task) {
  if (!MayKeep(config, info, task)) {
    return std::nullopt;
  }
  const int64_t batch = std::min(config.batch_size, info.train);
  HONE_ASSIGN_OR_RETURN(const tasks::TaskGraph loss, task.BuildLoss(config, info, 0, {batch, 0}));
  tasks::FreezeByRules(config.parameter_rules, *loss.built.graph);
  const Graph& graph = *loss.built.graph;
  const std::vector<Origin> origins = OriginsOf(graph, batch);
  std::optional<tasks::TaskGraph> evaluation;
  for (auto i = static_cast<int32_t>(origins.size()) - 1; i >= 0; --i) {
    const Origin& origin = origins[static_cast<size_t>(i)];
    const Graph::Node& node = graph.node(i);
    if (node.kind != NodeKind::kOp || !origin.is_fixed || !origin.of_example ||
        !origin.of_weights || node.types[0].dtype != DType::kF32 || !IsCut(graph, i)) {
      continue;
    }
    if (!evaluation.has_value()) {
      HONE_ASSIGN_OR_RETURN(evaluation,
                            task.BuildEvaluation(config, info, {task.evaluation_batch(config), 0}));
    }
    const Graph& evaluated = *evaluation->built.graph;
    if (!BeginAlike(graph, evaluated, i) || !IsCut(evaluated, i)) {
      continue;
    }
    const FrozenTrunk trunk = {.node = i,
                               .layer = node.name,
                               .numbers = node.types[0].shape.elements() / batch,
                               .examples = info.train + info.validation};
    return trunk.bytes() <= kMostTrunkBytes ? std::optional(trunk) : std::nullopt;
  }
  return std::nullopt;
}

}  // namespace hone::engine::train
