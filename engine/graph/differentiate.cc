#include <algorithm>

#include "engine/graph/graph.h"
#include "engine/graph/sum.h"

namespace hone::engine {

void Gradient::Accumulate(int i, absl::FunctionRef<Value()> make) {
  if (!Needs(i) || !graph_.status().ok()) {
    return;
  }
  const Value value = make();
  Value& slot = made_[static_cast<size_t>(i)];
  slot = slot.valid() ? Sum(graph_, slot, value) : value;
}

// Reverse-mode differentiation: from the loss back to the nodes it was made of, each node once,
// when the gradients of all its outputs are complete.
struct Differentiation {
  Graph& graph;
  std::vector<bool> needed;                  // by node: something asked for depends on it
  std::vector<std::vector<Value>> gradient;  // by node and output

  void Visit(int32_t index) {
    const Graph::Node node = graph.node(index);  // a copy: adding nodes moves the originals
    Gradient g(graph, index);
    g.inputs_ = node.inputs;
    g.dy_ = gradient[static_cast<size_t>(index)];
    g.made_.resize(node.inputs.size());
    for (const Value input : node.inputs) {
      g.needs_.push_back(needed[static_cast<size_t>(input.node)]);
    }
    graph.set_scope(node.name);
    node.op->Differentiate(g);
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (g.made_[i].valid()) {
        Accumulate(node.inputs[i], g.made_[i]);
      }
    }
  }

  void Accumulate(Value value, Value more) {
    Value& slot = gradient[static_cast<size_t>(value.node)][static_cast<size_t>(value.output)];
    slot = slot.valid() ? Sum(graph, slot, more) : more;
  }
};

std::vector<Value> Differentiate(Graph& graph, Value loss,
                                 const std::vector<Value>& with_respect_to) {
  return Differentiate(graph, {{loss, graph.Constant(1)}}, with_respect_to);
}

std::vector<Value> Differentiate(Graph& graph, const std::vector<std::pair<Value, Value>>& known,
                                 const std::vector<Value>& with_respect_to) {
  std::vector<Value> result(with_respect_to.size());
  if (!graph.status().ok()) {
    return result;
  }
  const size_t count = graph.nodes().size();
  Differentiation d{graph, std::vector<bool>(count, false), {}};
  for (const Value value : with_respect_to) {
    d.needed[static_cast<size_t>(value.node)] = true;
  }
  for (size_t i = 0; i < count; ++i) {
    for (const Value input : graph.nodes()[i].inputs) {
      d.needed[i] = d.needed[i] || d.needed[static_cast<size_t>(input.node)];
    }
    d.gradient.emplace_back(graph.nodes()[i].types.size());
  }
  const std::string scope = graph.scope();
  int32_t last = -1;
  for (const auto& [value, gradient] : known) {
    d.Accumulate(value, gradient);
    last = std::max(last, value.node);
  }
  for (int32_t i = last; i >= 0 && graph.status().ok(); --i) {
    const bool reached = std::ranges::any_of(d.gradient[static_cast<size_t>(i)], &Value::valid);
    if (reached && d.needed[static_cast<size_t>(i)] &&
        graph.node(i).kind == Graph::Node::Kind::kOp) {
      d.Visit(i);
    }
  }
  graph.set_scope(scope);
  for (size_t i = 0; i < with_respect_to.size(); ++i) {
    const Value value = with_respect_to[i];
    result[i] = d.gradient[static_cast<size_t>(value.node)][static_cast<size_t>(value.output)];
  }
  return result;
}

}  // namespace hone::engine
