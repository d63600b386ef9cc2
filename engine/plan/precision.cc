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
  // A result that is f32 anyway, such as a norm's sums over examples, says nothing of the node's
  // others.
  const auto mark = [&](Value value) {
    const PlanGraph::Node& node = plan.nodes[static_cast<size_t>(value.node)];
    if (node.op == nullptr || node.op->precision(value.output).rule != Rule::kF32) {
      marked[static_cast<size_t>(value.node)] = true;
    }
  };
  for (const Roots::Gradient& gradient : plan.roots.gradients) {
    mark(gradient.value);
  }
  for (auto index = plan.order.rbegin(); index != plan.order.rend(); ++index) {
    const PlanGraph::Node& node = plan.nodes[static_cast<size_t>(*index)];
    if (node.op == nullptr || !marked[static_cast<size_t>(*index)]) {
      continue;
    }
    const Precision precision = node.op->precision(0);
    if (precision.rule == Rule::kWidest) {
      std::ranges::for_each(node.inputs, mark);
    } else if (precision.rule == Rule::kFollows || precision.rule == Rule::kCopied) {
      mark(node.inputs[static_cast<size_t>(precision.input)]);
    }
  }
  return marked;
}

// By node: its result is bf16 where those that follow rules are, in a program that computes in it.
std::vector<bool> MayBeBf16(const PlanGraph& plan) {
  std::vector<bool> may(plan.nodes.size(), false);
  const auto is_so = [&](Value value) { return may[static_cast<size_t>(value.node)]; };
  for (const int32_t index : plan.order) {
    const PlanGraph::Node& node = plan.nodes[static_cast<size_t>(index)];
    const Precision precision = node.op == nullptr ? Precision{} : node.op->precision(0);
    switch (precision.rule) {
      case Rule::kComputed:
      case Rule::kForProducts:
        may[static_cast<size_t>(index)] = true;
        break;
      case Rule::kFollows:
      case Rule::kCopied:
        may[static_cast<size_t>(index)] = is_so(node.inputs[static_cast<size_t>(precision.input)]);
        break;
      case Rule::kWidest:
        may[static_cast<size_t>(index)] = std::ranges::all_of(node.inputs, is_so);
        break;
      default:
        break;
    }
  }
  return may;
}

// Whether a node that reads a value as its input `i` has it in bf16 where the value is; `through`
// is whether what the node leaves is bf16 then, and read so.
bool TakesBf16(const Op& op, int i, bool through) {
  const Precision precision = op.precision(0);
  switch (precision.rule) {
    case Rule::kComputed:
      return true;
    case Rule::kFollows:
    case Rule::kCopied:
      return precision.input != i || through;
    case Rule::kWidest:
    case Rule::kForProducts:
      return through;
    default:
      return op.takes_bf16();
  }
}

// By node: somebody reads it, and all who do have it in bf16 where it is, and so on to products.
std::vector<bool> ForProducts(const PlanGraph& plan) {
  const std::vector<bool> may = MayBeBf16(plan);
  std::vector<bool> read(plan.nodes.size(), false), for_products(plan.nodes.size(), true);
  for (auto index = plan.order.rbegin(); index != plan.order.rend(); ++index) {
    const auto n = static_cast<size_t>(*index);
    const PlanGraph::Node& node = plan.nodes[n];
    for_products[n] = for_products[n] && read[n];
    for (size_t i = 0; node.op != nullptr && i < node.inputs.size(); ++i) {
      const auto from = static_cast<size_t>(node.inputs[i].node);
      read[from] = true;
      for_products[from] =
          for_products[from] && TakesBf16(*node.op, static_cast<int>(i), may[n] && for_products[n]);
    }
  }
  return for_products;
}

}  // namespace

void ChoosePrecision(DType compute, PlanGraph& plan) {
  const std::vector<bool> marked = OnTheWayToAGradient(plan), for_products = ForProducts(plan);
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
        case Rule::kForProducts:
          return for_products[static_cast<size_t>(index)] ? compute : DType::kF32;
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
