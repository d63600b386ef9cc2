#include "engine/plan/destinations.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "engine/ops/concat.h"
#include "engine/ops/reshape.h"
#include "engine/ops/transpose.h"

namespace hone::engine {
namespace {

using onednn::MemoryDesc;

class Finder {
 public:
  explicit Finder(const PlanGraph& plan) : plan_(plan), readers_(plan.nodes.size(), 0) {
    const auto count = [&](Value value) { ++readers_[static_cast<size_t>(value.node)]; };
    for (const PlanGraph::Node& node : plan.nodes) {
      if (node.live) {
        std::for_each(node.inputs.begin(), node.inputs.end(), count);
      }
    }
    plan.roots.ForEachValue(count);
  }

  absl::flat_hash_map<int64_t, Destination> Find() && {
    for (const int32_t index : plan_.order) {
      const PlanGraph::Node& node = plan_.nodes[static_cast<size_t>(index)];
      std::vector<TensorType> types;
      for (const Value input : node.inputs) {
        types.push_back(TypeOf(input));
      }
      for (size_t i = 0; i < node.inputs.size() && node.op != nullptr; ++i) {
        if (const auto part = PartOf(*node.op, types, static_cast<int>(i))) {
          Follow(node.inputs[i], {index, 0}, *part);
        }
      }
    }
    return std::move(found_);
  }

 private:
  const PlanGraph::Node& NodeOf(Value value) const {
    return plan_.nodes[static_cast<size_t>(value.node)];
  }
  const TensorType& TypeOf(Value value) const {
    return NodeOf(value).types[static_cast<size_t>(value.output)];
  }
  DType StoredOf(Value value) const {
    return NodeOf(value).stored[static_cast<size_t>(value.output)];
  }

  // From the reader back to who computes the part: with the strides that the part has in `whole`,
  // seen as each value on the way is.
  void Follow(Value value, Value whole, const PartPlace& part) {
    const Shape& all = TypeOf(whole).shape;
    std::vector<int64_t> strides = MemoryDesc::Plain({all, DType::kF32}).strides();
    const int64_t first = part.begin * strides[static_cast<size_t>(part.axis)];
    for (;;) {
      const PlanGraph::Node& node = NodeOf(value);
      if (value.output != 0 || readers_[static_cast<size_t>(value.node)] != 1 ||
          node.op == nullptr || StoredOf(value) != StoredOf(whole)) {
        return;
      }
      const Value before = node.inputs.empty() ? Value() : node.inputs[0];
      if (const std::vector<int>* axes = TransposedAxes(*node.op)) {
        std::vector<int64_t> back(strides.size());
        for (size_t d = 0; d < strides.size(); ++d) {
          back[static_cast<size_t>((*axes)[d])] = strides[d];
        }
        strides = std::move(back);
      } else if (IsReshape(*node.op)) {
        auto seen = ReshapedStrides(TypeOf(value).shape, strides, TypeOf(before).shape);
        if (!seen.has_value()) {
          return;
        }
        strides = *std::move(seen);
      } else {
        break;
      }
      value = before;
    }
    const TensorType type = {TypeOf(value).shape, StoredOf(value)};
    int64_t last = 0;
    for (int d = 0; d < type.shape.rank(); ++d) {
      last += (type.shape[d] - 1) * strides[static_cast<size_t>(d)];
    }
    const int64_t size = SizeOf(type.dtype);
    found_[KeyOf(value)] = {.whole = whole,
                            .desc = MemoryDesc::Strided(type, strides),
                            .offset = first * size,
                            .bytes = (last + 1) * size};
  }

  const PlanGraph& plan_;
  std::vector<int> readers_;
  absl::flat_hash_map<int64_t, Destination> found_;
};

}  // namespace

absl::flat_hash_map<int64_t, Destination> FindDestinations(const PlanGraph& plan) {
  return Finder(plan).Find();
}

}  // namespace hone::engine
