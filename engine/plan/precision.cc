#include "engine/plan/precision.h"

#include <algorithm>

namespace hone::engine {
namespace {

using Rule = Precision::Rule;

bool IsReal(DType dtype) { return dtype == DType::kF32 || dtype == DType::kBf16; }

// By node: its results become a parameter's gradient, with no product or sum over examples between
// that would change what rounding them means.
std::vector<bool> OnTheWayToAGradient(const PlanGraph& plan) {
  std::vector<bool> marked(plan.nodes.size(), false);
  for (const Roots::Gradient& gradient : plan.roots.gradients) {
    marked[static_cast<size_t>(gradient.value.node)] = true;
  }
  for (auto index = plan.order.rbegin(); index != plan.order.rend(); ++index) {
    const PlanGraph::Node& node = plan.nodes[static_cast<size_t>(*index)];
    if (node.op == nullptr || !marked[static_cast<size_t>(*index)]) {
      continue;
    }
    const Precision precision = node.op->precision(0);
    const auto mark = [&](Value value) { marked[static_cast<size_t>(value.node)] = true; };
    if (precision.rule == Rule::kWidest) {
      std::ranges::for_each(node.inputs, mark);
    } else if (precision.rule == Rule::kFollows || precision.rule == Rule::kCopied) {
      mark(node.inputs[static_cast<size_t>(precision.input)]);
    }
  }
  return marked;
}

}  // namespace

void ChoosePrecision(DType compute, PlanGraph& plan) {
  const std::vector<bool> marked = OnTheWayToAGradient(plan);
  for (const int32_t index : plan.order) {
    PlanGraph::Node& node = plan.nodes[static_cast<size_t>(index)];
    const auto stored = [&](Value value) {
      return plan.nodes[static_cast<size_t>(value.node)].stored[static_cast<size_t>(value.output)];
    };
    const auto of_input = [&](int i) {
      return stored(node.inputs[static_cast<size_t>(i)]) == DType::kBf16 ? DType::kBf16
                                                                         : DType::kF32;
    };
    const auto is_f32 = [&](Value value) { return stored(value) == DType::kF32; };
    const auto choose = [&](const Precision& precision) {
      switch (precision.rule) {
        case Rule::kF32:
        case Rule::kOwn:
          return DType::kF32;
        case Rule::kComputed:
          return marked[static_cast<size_t>(index)] ? DType::kF32 : compute;
        case Rule::kFollows:
          return compute == DType::kF32 ? DType::kF32 : of_input(precision.input);
        case Rule::kWidest:
          return compute == DType::kF32 || std::ranges::any_of(node.inputs, is_f32) ? DType::kF32
                                                                                    : DType::kBf16;
        case Rule::kCopied:
          return of_input(precision.input);
      }
      return DType::kF32;
    };
    node.stored.clear();
    for (int i = 0; i < static_cast<int>(node.types.size()); ++i) {
      const DType declared = node.types[static_cast<size_t>(i)].dtype;
      node.stored.push_back(node.op != nullptr && IsReal(declared) ? choose(node.op->precision(i))
                                                                   : declared);
    }
  }
}

}  // namespace hone::engine
