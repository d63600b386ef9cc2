#include "engine/plan/passes.h"

#include <algorithm>

#include "engine/graph/sum.h"
#include "engine/ops/activation.h"
#include "engine/ops/concat.h"
#include "engine/ops/pool2d.h"

namespace hone::engine {
namespace {

PlanGraph::Node& At(PlanGraph& plan, Value value) {
  return plan.nodes[static_cast<size_t>(value.node)];
}

// How often each node's output 0 is read, roots included.
std::vector<int> Readers(const PlanGraph& plan) {
  std::vector<int> readers(plan.nodes.size(), 0);
  const auto count = [&](Value value) {
    readers[static_cast<size_t>(value.node)] += value.output == 0 ? 1 : 0;
  };
  for (const PlanGraph::Node& node : plan.nodes) {
    if (node.live) {
      std::for_each(node.inputs.begin(), node.inputs.end(), count);
    }
  }
  plan.roots.ForEachValue(count);
  return readers;
}

void Redirect(PlanGraph& plan, Value from, Value to) {
  for (PlanGraph::Node& node : plan.nodes) {
    std::replace(node.inputs.begin(), node.inputs.end(), from, to);
  }
  plan.roots.ForEachValue([&](Value& root) { root = root == from ? to : root; });
}

}  // namespace

// Depth-first from the roots: a node after its inputs. Iterative, since graphs are deep.
void Order(PlanGraph& plan) {
  plan.order.clear();
  std::vector<char> state(plan.nodes.size(), 0);  // 0 new, 1 entered, 2 done
  std::vector<int32_t> wanted;
  for (size_t i = 0; i < plan.nodes.size(); ++i) {
    if (plan.nodes[i].live) {
      wanted.push_back(static_cast<int32_t>(i));
    }
  }
  for (const int32_t start : wanted) {
    std::vector<int32_t> stack = {start};
    while (!stack.empty()) {
      const int32_t index = stack.back();
      char& s = state[static_cast<size_t>(index)];
      if (s == 2) {
        stack.pop_back();
        continue;
      }
      if (s == 1) {
        s = 2;
        plan.order.push_back(index);
        stack.pop_back();
        continue;
      }
      s = 1;
      const auto enter = [&](int32_t before) {
        if (state[static_cast<size_t>(before)] == 0) {
          stack.push_back(before);
        }
      };
      const PlanGraph::Node& node = plan.nodes[static_cast<size_t>(index)];
      for (const Value input : node.inputs) {
        enter(input.node);
      }
      std::ranges::for_each(node.after, enter);
    }
  }
}

PlanGraph MakePlanGraph(const Graph& graph, const Roots& roots) {
  PlanGraph plan;
  plan.nodes.reserve(graph.nodes().size());
  for (const Graph::Node& node : graph.nodes()) {
    plan.nodes.push_back({node.kind, node.name, node.op, node.inputs, node.types, &node});
  }
  plan.roots = roots;
  return plan;
}

void RemoveDeadNodes(PlanGraph& plan) {
  for (PlanGraph::Node& node : plan.nodes) {
    node.live = false;
  }
  std::vector<int32_t> pending;
  plan.roots.ForEachValue([&](Value root) { pending.push_back(root.node); });
  for (const Roots::Update& update : plan.roots.updates) {
    if (update.id < 0) {
      pending.push_back(update.target.node);  // its memory is there though nothing may read it
    }
  }
  while (!pending.empty()) {
    PlanGraph::Node& node = plan.nodes[static_cast<size_t>(pending.back())];
    pending.pop_back();
    if (!node.live) {
      node.live = true;
      for (const Value input : node.inputs) {
        pending.push_back(input.node);
      }
    }
  }
  Order(plan);
}

void FuseActivations(PlanGraph& plan) {
  const std::vector<int> readers = Readers(plan);
  for (size_t i = 0; i < plan.nodes.size(); ++i) {
    PlanGraph::Node& activation = plan.nodes[i];
    const ActivationInfo* info =
        activation.live && activation.op != nullptr ? AsActivation(*activation.op) : nullptr;
    if (info == nullptr || activation.inputs[0].output != 0) {
      continue;
    }
    PlanGraph::Node& product = At(plan, activation.inputs[0]);
    if (product.op == nullptr || readers[static_cast<size_t>(activation.inputs[0].node)] != 1) {
      continue;
    }
    if (std::shared_ptr<const Op> fused = product.op->WithActivation(info->kind)) {
      product.op = std::move(fused);
      Redirect(plan, {static_cast<int32_t>(i), 0}, activation.inputs[0]);
    }
  }
  RemoveDeadNodes(plan);
}

void MoveActivationGradientsBehindPools(PlanGraph& plan) {
  const std::vector<int> readers = Readers(plan);
  for (size_t i = 0; i < plan.nodes.size(); ++i) {
    PlanGraph::Node& outer = plan.nodes[i];
    const ActivationInfo* info =
        outer.live && outer.op != nullptr ? AsActivationGradient(*outer.op) : nullptr;
    if (info == nullptr || !GradientUsesOutput(info->kind)) {
      continue;
    }
    const Value inner_value = outer.inputs[0];
    PlanGraph::Node& inner = At(plan, inner_value);
    if (inner.op == nullptr || !IsMaxPoolGradient(*inner.op) ||
        readers[static_cast<size_t>(inner_value.node)] != 1 || inner.inputs[1] != outer.inputs[1]) {
      continue;
    }
    // inner: pool'(dy, y, where), outer: activation'(inner, y). They swap places: the node that ran
    // first becomes the activation's gradient on the pooled side.
    const Value pooled = {inner.inputs[2].node, 0};
    const Value y = outer.inputs[1], where = inner.inputs[2], dy = inner.inputs[0];
    std::swap(inner.op, outer.op);
    std::swap(inner.name, outer.name);
    outer.types = {At(plan, y).types[0]};
    inner.types = {At(plan, pooled).types[0]};
    inner.inputs = {dy, pooled};
    outer.inputs = {inner_value, y, where};
  }
  RemoveDeadNodes(plan);
}

void JoinGradientsOfSlices(PlanGraph& plan) {
  const std::vector<int> readers = Readers(plan);
  for (PlanGraph::Node& sum : plan.nodes) {
    if (!sum.live || sum.op == nullptr || sum.op->kind() != "add" ||
        sum.inputs[0] == sum.inputs[1]) {
      continue;
    }
    const PlanGraph::Node &a = At(plan, sum.inputs[0]), &b = At(plan, sum.inputs[1]);
    const bool read_elsewhere = readers[static_cast<size_t>(sum.inputs[0].node)] != 1 ||
                                readers[static_cast<size_t>(sum.inputs[1].node)] != 1;
    if (a.op == nullptr || b.op == nullptr || read_elsewhere) {
      continue;
    }
    if (std::shared_ptr<const Op> joined = JoinedGradientsOfSlices(*a.op, *b.op)) {
      std::vector<Value> parts = a.inputs;
      parts.insert(parts.end(), b.inputs.begin(), b.inputs.end());
      sum.op = std::move(joined);
      sum.inputs = std::move(parts);
    }
  }
  RemoveDeadNodes(plan);
}

void JoinSums(PlanGraph& plan) {
  constexpr size_t kMostTerms = 4;
  const std::vector<int> readers = Readers(plan);
  // What reads a state before it changes is known by name: it stays.
  std::vector<bool> is_awaited(plan.nodes.size(), false);
  for (const PlanGraph::Node& node : plan.nodes) {
    for (const int32_t before : node.after) {
      is_awaited[static_cast<size_t>(before)] = true;
    }
  }
  const auto stored = [&](Value value) {
    return At(plan, value).stored[static_cast<size_t>(value.output)];
  };
  const auto is_sum = [](const PlanGraph::Node& node) {
    return node.live && node.op != nullptr && node.op->kind() == "add";
  };
  // Inner sums come before outer ones.
  for (PlanGraph::Node& sum : plan.nodes) {
    if (!is_sum(sum)) {
      continue;
    }
    const DType dtype = sum.stored[0];
    const auto joins = [&](Value term) {
      const PlanGraph::Node& inner = At(plan, term);
      return is_sum(inner) && inner.inputs.size() < kMostTerms &&
             readers[static_cast<size_t>(term.node)] == 1 &&
             !is_awaited[static_cast<size_t>(term.node)] && stored(term) == dtype &&
             std::ranges::all_of(inner.inputs, [&](Value v) { return stored(v) == dtype; });
    };
    const bool of_one_type =
        std::ranges::all_of(sum.inputs, [&](Value term) { return stored(term) == dtype; });
    const auto inner = std::ranges::find_if(sum.inputs, joins);
    if (!of_one_type || inner == sum.inputs.end()) {
      continue;
    }
    // The inner sum first, as it was added up; of two, one is joined. x + y has the bits of y + x.
    std::vector<Value> terms = At(plan, *inner).inputs;
    const Value outer = sum.inputs[inner == sum.inputs.begin() ? 1 : 0];
    terms.push_back(outer);
    sum.inputs = std::move(terms);
    sum.op = SumOf(static_cast<int>(sum.inputs.size()));
  }
  RemoveDeadNodes(plan);
}

}  // namespace hone::engine
