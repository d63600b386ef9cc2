#include "engine/graph/graph.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"

namespace hone::engine {

namespace {

void FreezeIf(const std::function<bool(absl::string_view)>& frozen, ParameterSpec& spec) {
  if (frozen && spec.role == ParameterRole::kTrainable && frozen(spec.name)) {
    spec.role = ParameterRole::kFrozen;
  }
}

}  // namespace

Graph::Scope::Scope(Graph& graph, absl::string_view name, absl::string_view kind)
    : graph_(graph), outer_(graph.scope_) {
  if (!name.empty()) {
    graph.scope_ = outer_.empty() ? std::string(name) : absl::StrCat(outer_, ".", name);
  }
  const auto same = std::ranges::find(graph.layers_, graph.scope_, &Layer::path);
  if (same != graph.layers_.end()) {
    layer_ = static_cast<int>(same - graph.layers_.begin());
  } else if (!kind.empty() && !graph.scope_.empty()) {
    layer_ = static_cast<int>(graph.layers_.size());
    graph.layers_.push_back({.path = graph.scope_, .kind = std::string(kind)});
  }
}

Value Graph::Scope::Gives(Value output) {
  if (layer_ >= 0) {
    graph_.layers_[static_cast<size_t>(layer_)].output = output;
  }
  return output;
}

void Graph::Freeze(std::function<bool(absl::string_view)> frozen) {
  frozen_ = std::move(frozen);
  for (Node& node : nodes_) {
    if (node.kind == Node::Kind::kParameter) {
      FreezeIf(frozen_, node.parameter);
    }
  }
}

Value Graph::Append(Node node) {
  nodes_.push_back(std::move(node));
  return {static_cast<int32_t>(nodes_.size()) - 1, 0};
}

Value Graph::Input(absl::string_view name, const TensorType& type) {
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const Node& known = nodes_[i];
    if (known.kind == Node::Kind::kInput && known.name == name) {
      if (known.types[0] != type) {
        return Fail(absl::InvalidArgumentError(absl::StrCat("input ", name, " has two types, ",
                                                            known.types[0].ToString(), " and ",
                                                            type.ToString())));
      }
      return {static_cast<int32_t>(i), 0};
    }
  }
  Node node;
  node.kind = Node::Kind::kInput;
  node.name = std::string(name);
  node.types = {type};
  return Append(std::move(node));
}

Value Graph::Parameter(const ParameterSpec& spec) {
  if (const auto found = parameters_.find(spec.name); found != parameters_.end()) {
    if (node(found->second).parameter.shape != spec.shape) {
      return Fail(absl::InvalidArgumentError(absl::StrCat(
          "parameter ", spec.name, " has two shapes, ",
          node(found->second).parameter.shape.ToString(), " and ", spec.shape.ToString())));
    }
    return {found->second, 0};
  }
  Node node;
  node.kind = Node::Kind::kParameter;
  node.name = scope_;
  // State is what it is declared to be; a weight kept in bf16 is seen as f32 by those who do not
  // ask.
  const bool is_state = spec.role == ParameterRole::kTransient;
  node.types = {{spec.shape, is_state ? spec.dtype : DType::kF32}};
  node.parameter = spec;
  if (buffers_ && !is_state && buffers_(spec.name)) {
    node.parameter.role = ParameterRole::kBuffer;
  }
  FreezeIf(frozen_, node.parameter);
  const Value value = Append(std::move(node));
  parameters_[spec.name] = value.node;
  return value;
}

Value Graph::Constant(double constant) {
  Node node;
  node.kind = Node::Kind::kConstant;
  node.name = "constant";
  node.types = {{Shape{}, DType::kF32}};
  node.constant = constant;
  return Append(std::move(node));
}

Value Graph::Add(std::shared_ptr<const Op> op, std::vector<Value> inputs) {
  std::vector<TensorType> types;
  for (const Value input : inputs) {
    if (!input.valid()) {
      return Fail(
          absl::InternalError(absl::StrCat(op->kind(), " ", scope_, ": an input is missing")));
    }
    types.push_back(type(input));
  }
  if (!status_.ok()) {
    return Fail(status_);
  }
  absl::StatusOr<std::vector<TensorType>> outputs = op->InferTypes(types);
  if (!outputs.ok()) {
    return Fail(Annotate(outputs.status(), scope_.empty() ? op->kind() : scope_));
  }
  Node node;
  node.name = scope_;
  node.op = std::move(op);
  node.inputs = std::move(inputs);
  node.types = *std::move(outputs);
  return Append(std::move(node));
}

void Graph::MakeInput(Value value, absl::string_view name) {
  Node& made = nodes_[static_cast<size_t>(value.node)];
  const bool is_taken = std::ranges::any_of(nodes_, [&](const Node& node) {
    return node.kind == Node::Kind::kInput && node.name == name;
  });
  if (made.kind != Node::Kind::kOp || value.output != 0 || is_taken) {
    Fail(absl::InternalError(absl::StrCat(made.name, ": cannot become the input ", name)));
    return;
  }
  made.kind = Node::Kind::kInput;
  made.name = std::string(name);
  made.op = nullptr;
  made.inputs.clear();
  made.types.resize(1);
}

void Graph::Update(Value buffer, Value value) {
  if (status_.ok()) {
    updates_.emplace_back(buffer, value);
  }
}

Value Graph::Fail(const absl::Status& status) {
  if (status_.ok()) {
    status_ = status;
  }
  // The placeholder has the shape of nothing in particular; nobody looks at it, because status() is
  // not OK.
  Node node;
  node.kind = Node::Kind::kConstant;
  node.name = "placeholder";
  node.types = std::vector<TensorType>(4, TensorType{Shape{1, 1, 1, 1}, DType::kF32});
  return Append(std::move(node));
}

bool Graph::IsConstant(Value value, double constant) const {
  return node(value.node).kind == Node::Kind::kConstant && node(value.node).constant == constant;
}

void Op::Differentiate(Gradient& gradient) const {
  gradient.graph().Fail(absl::UnimplementedError(absl::StrCat(kind(), " has no gradient")));
}

Cost Op::EstimateCost(std::span<const TensorType> in, std::span<const TensorType> out) const {
  Cost cost;
  for (const TensorType& type : in) {
    cost.bytes += static_cast<double>(type.bytes());
  }
  for (const TensorType& type : out) {
    cost.bytes += static_cast<double>(type.bytes());
    cost.flops += static_cast<double>(type.shape.elements());
  }
  return cost;
}

Precision Op::precision(int) const { return {}; }

std::shared_ptr<const Op> Op::WithActivation(ActivationKind) const { return nullptr; }

}  // namespace hone::engine
