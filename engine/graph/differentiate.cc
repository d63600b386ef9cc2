#include <algorithm>
#include <utility>

#include "engine/graph/graph.h"
#include "engine/graph/row_sums.h"
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

void Gradient::AccumulateRows(int i, Value dy, Value index) {
  if (Needs(i)) {
    rows_.push_back({i, dy, index});
  }
}

// Reverse-mode differentiation: from the loss back to the nodes it was made of, each node once,
// when the gradients of all its outputs are complete.
struct Differentiation {
  // What has come to a value so far: a tensor, and rows where it is a table.
  struct Slot {
    Value dense = {};
    std::vector<RowPart> rows = {};
    bool reached() const { return dense.valid() || !rows.empty(); }
  };

  Differentiation(Graph& g, const std::vector<Value>& with_respect_to, const GradientOptions& o)
      : graph(g), options(o) {
    needed.resize(g.nodes().size());
    for (const Value value : with_respect_to) {
      needed[static_cast<size_t>(value.node)] = true;
    }
    for (size_t i = 0; i < needed.size(); ++i) {
      for (const Value input : graph.nodes()[i].inputs) {
        needed[i] = needed[i] || needed[static_cast<size_t>(input.node)];
      }
      slots.emplace_back(graph.nodes()[i].types.size());
    }
    if (options.segment_of) {
      FindSegments();
    }
  }

  // Values that cross the border of a segment are kept, and those that live to the end anyway.
  void FindSegments() {
    for (const Graph::Node& node : graph.nodes()) {
      segment.push_back(node.kind == Graph::Node::Kind::kOp ? options.segment_of(node) : -1);
      kept.emplace_back(node.types.size());
    }
    const auto keep = [&](Value value) {
      kept[static_cast<size_t>(value.node)][static_cast<size_t>(value.output)] = true;
    };
    for (size_t i = 0; i < segment.size(); ++i) {
      for (const Value input : graph.nodes()[i].inputs) {
        if (segment[static_cast<size_t>(input.node)] != segment[i]) {
          keep(input);
        }
      }
    }
    for (const auto& [unused, value] : graph.updates()) {
      keep(value);
    }
  }

  // The value as the backward pass reads it: itself, or computed again by nodes that are added
  // here, so that they run when the gradient has come this far.
  Value Again(Value value) {
    const auto node = static_cast<size_t>(value.node);
    if (segment.empty() || segment[node] < 0 || kept[node][static_cast<size_t>(value.output)]) {
      return value;
    }
    if (const auto known = again.find(value.node); known != again.end()) {
      return {known->second, value.output};
    }
    const Graph::Node original = graph.node(value.node);
    std::vector<Value> inputs;
    for (const Value input : original.inputs) {
      inputs.push_back(Again(input));
    }
    graph.set_scope(original.name);
    const Value copy = graph.Add(original.op, std::move(inputs));
    again[value.node] = copy.node;
    return {copy.node, value.output};
  }

  void Visit(int32_t index) {
    const Graph::Node node = graph.node(index);  // a copy: adding nodes moves the originals
    Gradient g(graph);
    for (const Value input : node.inputs) {
      g.inputs_.push_back(Again(input));
      g.needs_.push_back(needed[static_cast<size_t>(input.node)]);
    }
    g.made_.resize(node.inputs.size());
    for (size_t i = 0; i < node.types.size(); ++i) {
      g.outputs_.push_back(Again({index, static_cast<int32_t>(i)}));
    }
    graph.set_scope(node.name);
    for (size_t i = 0; i < node.types.size(); ++i) {
      g.dy_.push_back(Dense({index, static_cast<int32_t>(i)}));
    }
    node.op->Differentiate(g);
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (g.made_[i].valid()) {
        Accumulate(node.inputs[i], g.made_[i]);
      }
    }
    for (const Gradient::Rows& rows : g.rows_) {
      SlotOf(node.inputs[static_cast<size_t>(rows.input)]).rows.push_back({rows.dy, rows.index});
    }
  }

  Slot& SlotOf(Value value) {
    return slots[static_cast<size_t>(value.node)][static_cast<size_t>(value.output)];
  }

  void Accumulate(Value value, Value more) {
    Value& dense = SlotOf(value).dense;
    dense = dense.valid() ? Sum(graph, dense, more) : more;
  }

  // The gradient as one tensor; not valid where there is none.
  Value Dense(Value value) {
    for (const RowPart& part : std::exchange(SlotOf(value).rows, {})) {
      Accumulate(value, ScatterRows(graph, graph.shape(value), part));
    }
    return SlotOf(value).dense;
  }

  // The same, or as rows where the parameter may have them and every reader gave them.
  Value Result(Value value) {
    const Graph::Node& node = graph.node(value.node);
    Slot& slot = SlotOf(value);
    graph.set_scope(node.name);
    return options.rows && node.parameter.sparse && !slot.dense.valid() && !slot.rows.empty()
               ? RowSums(graph, graph.shape(value), slot.rows)
               : Dense(value);
  }

  Graph& graph;
  const GradientOptions& options;
  std::vector<bool> needed;              // by node: something asked for depends on it
  std::vector<std::vector<Slot>> slots;  // by node and output
  std::vector<int> segment;              // by node; empty: all is kept
  std::vector<std::vector<bool>> kept;   // by node and output
  absl::flat_hash_map<int32_t, int32_t> again;
};

std::vector<Value> Differentiate(Graph& graph, Value loss,
                                 const std::vector<Value>& with_respect_to,
                                 const GradientOptions& options) {
  return Differentiate(graph, {{loss, graph.Constant(1)}}, with_respect_to, options);
}

std::vector<Value> Differentiate(Graph& graph, const std::vector<std::pair<Value, Value>>& known,
                                 const std::vector<Value>& with_respect_to,
                                 const GradientOptions& options) {
  std::vector<Value> result(with_respect_to.size());
  if (!graph.status().ok()) {
    return result;
  }
  Differentiation d(graph, with_respect_to, options);
  const std::string scope = graph.scope();
  int32_t last = -1;
  for (const auto& [value, gradient] : known) {
    d.Accumulate(value, gradient);
    last = std::max(last, value.node);
  }
  for (int32_t i = last; i >= 0 && graph.status().ok(); --i) {
    const bool reached =
        std::ranges::any_of(d.slots[static_cast<size_t>(i)], &Differentiation::Slot::reached);
    if (reached && d.needed[static_cast<size_t>(i)] &&
        graph.node(i).kind == Graph::Node::Kind::kOp) {
      d.Visit(i);
    }
  }
  for (size_t i = 0; i < with_respect_to.size() && graph.status().ok(); ++i) {
    result[i] = d.Result(with_respect_to[i]);
  }
  graph.set_scope(scope);
  return result;
}

}  // namespace hone::engine
