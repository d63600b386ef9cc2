#include "engine/plan/node_lowering.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/plan/packed_copy.h"

namespace hone::engine {
namespace {

using onednn::Arg;
using onednn::MemoryDesc;

class PlannedSubprogram final : public Subprogram {
 public:
  explicit PlannedSubprogram(Program program) : program_(std::move(program)) {}

  int64_t arena_bytes() const override { return program_.arena_bytes(); }
  void Place(absl::string_view input, void* data) override { program_.Place(input, data); }
  absl::Status Bind(std::byte* arena) override { return program_.Bind(arena); }
  void* input(absl::string_view name) const override { return program_.input(name); }
  const void* fetched(size_t i) const override { return program_.fetched(static_cast<int>(i)); }
  bool Run(const RunScalars& scalars) const override { return program_.Run(scalars).ok(); }

 private:
  Program program_;
};

}  // namespace

absl::Status NodeLowering::Lower() {
  const PlanGraph::Node& n = node();
  to_.homes[static_cast<size_t>(index_)].resize(n.types.size());
  switch (n.kind) {
    case Graph::Node::Kind::kInput: {
      // Filled before the run, and left as they are, so that steps can be run again on their own
      // (profiles).
      const Slot slot = to_.placement.New(n.types[0].bytes());
      to_.placement.PinFromStart(slot);
      SetHome({index_, 0}, MemoryDesc::Plain(n.types[0]), slot);
      to_.inputs.push_back({n.source->name, slot, n.types[0]});
      break;
    }
    case Graph::Node::Kind::kParameter: {
      HONE_ASSIGN_OR_RETURN(const ParameterId id, to_.store.Find(n.source->parameter.name));
      const ConstParameterView values = to_.store.values(id);
      SetHome({index_, 0}, MemoryDesc::Plain(n.types[0]),
              to_.placement.Fixed(const_cast<void*>(values.data)));
      if (values.dtype != n.types[0].dtype) {
        to_.home({index_, 0}).kept_dtype = values.dtype;
      }
      break;
    }
    case Graph::Node::Kind::kConstant: {
      to_.constants.emplace_back(int64_t{64});
      *to_.constants.back().as<float>() = static_cast<float>(n.source->constant);
      SetHome({index_, 0}, MemoryDesc::Plain(n.types[0]),
              to_.placement.Fixed(to_.constants.back().data()));
      break;
    }
    case Graph::Node::Kind::kOp:
      HONE_RETURN_IF_ERROR(
          Annotate(n.op->Lower(*this), absl::StrCat(n.name, " (", n.op->kind(), ")")));
      HONE_RETURN_IF_ERROR(CheckPrecision());
      break;
  }
  to_.placement.Advance();
  return absl::OkStatus();
}

absl::StatusOr<Slot> NodeLowering::Input(int i, const MemoryDesc& wanted,
                                         const MemoryDesc& seen_as) {
  const bool as_it_is = wanted == seen_as && !to_.home(input(i)).kept_dtype.has_value();
  return as_it_is ? Input(i) : Convert(input(i), wanted, seen_as);
}

Slot NodeLowering::Output(int i, const MemoryDesc& desc) {
  const Value value = {index_, i};
  void* slab = SlabPlace(value, desc);
  const Slot slot = slab != nullptr ? to_.placement.Fixed(slab) : to_.placement.New(desc.bytes());
  SetHome(value, desc, slot);
  return to_.placement.Use(slot);
}

Slot NodeLowering::OutputInPlace(int i, const MemoryDesc& desc, int in) {
  const Value value = {index_, i};
  const Slot slot = Converted(input(in), desc, to_.home(input(in)).desc);
  if (slot < 0 || !to_.placement.MayOverwrite(slot, value)) {
    return Output(i, desc);
  }
  SetHome(value, desc, slot);
  return to_.placement.Use(slot);
}

void NodeLowering::OutputAlias(int i, const MemoryDesc& desc, Slot slot) {
  SetHome({index_, i}, desc, slot);
  to_.placement.Use(slot);
}

absl::StatusOr<std::shared_ptr<Subprogram>> NodeLowering::Plan(const Graph& graph,
                                                               const std::vector<Value>& fetch) {
  HONE_ASSIGN_OR_RETURN(
      Program program,
      Program::Compile({.graph = &graph, .fetch = fetch, .gradients = {}}, to_.store, to_.options));
  return std::make_shared<PlannedSubprogram>(std::move(program));
}

void NodeLowering::Emit(absl::string_view label, BindFunction bind) {
  Cost cost;
  if (!cost_given_) {
    std::vector<TensorType> in;
    for (const Value value : node().inputs) {
      in.push_back(to_.type(value));
    }
    cost = node().op->EstimateCost(in, node().types);
    cost_given_ = true;
  }
  AddStep(node().op->kind(), label, cost, std::move(bind));
}

absl::StatusOr<Slot> NodeLowering::Convert(Value value, const MemoryDesc& wanted,
                                           const MemoryDesc& seen_as) {
  Placement& placement = to_.placement;
  if (const Slot known = Converted(value, wanted, seen_as); known >= 0) {
    return placement.Use(known);
  }
  const PlanGraph::Node& producer = to_.plan.nodes[static_cast<size_t>(value.node)];
  if (producer.kind == Graph::Node::Kind::kParameter) {
    return ConvertParameter(value, wanted, seen_as);
  }
  HONE_ASSIGN_OR_RETURN(const onednn::Primitive reorder, onednn::MakeReorder(seen_as, wanted));
  const Slot slot = placement.New(wanted.bytes());
  placement.Put(value, slot);
  EmitReorder(reorder, placement.Use(to_.home(value).slot), slot);
  to_.home(value).copies.push_back({wanted, seen_as, slot});
  return placement.Use(slot);
}

absl::StatusOr<Slot> NodeLowering::ConvertParameter(Value value, const MemoryDesc& wanted,
                                                    const MemoryDesc& seen_as) {
  const Graph::Node& source = *to_.plan.nodes[static_cast<size_t>(value.node)].source;
  HONE_ASSIGN_OR_RETURN(const ParameterId id, to_.store.Find(source.parameter.name));
  Placement& placement = to_.placement;
  Home& home = to_.home(value);
  const MemoryDesc there =
      home.kept_dtype.has_value() ? seen_as.WithDType(*home.kept_dtype) : seen_as;
  if (there == wanted) {
    return placement.Use(home.slot);
  }
  if (IsConvertedAtUse(to_.store, id, wanted, there)) {
    // Anew for each node that reads it, so that the arena holds one such weight at a time.
    HONE_ASSIGN_OR_RETURN(const onednn::Primitive reorder, onednn::MakeReorder(there, wanted));
    const Slot slot = placement.New(wanted.bytes());
    EmitReorder(reorder, placement.Use(home.slot), slot);
    return placement.Use(slot);
  }
  HONE_ASSIGN_OR_RETURN(void* packed, PackedCopy(to_.store, id, wanted, there));
  home.copies.push_back({wanted, seen_as, placement.Fixed(packed)});
  return home.copies.back().slot;
}

// Mostly a few numbers: a primitive would wake every thread for them.
void NodeLowering::EmitCopy(Slot from, Slot to, int64_t bytes) {
  AddStep(
      "copy", "memcpy", {},
      [=, size = static_cast<size_t>(bytes)](const Memory& memory) -> absl::StatusOr<StepFunction> {
        return [source = memory[from], target = memory[to], size](const RunScalars&) {
          std::memcpy(target, source, size);
          return true;
        };
      });
}

void NodeLowering::EmitReorder(const onednn::Primitive& reorder, Slot from, Slot to) {
  AddStep("reorder", reorder.implementation(), {},
          BindPrimitive(reorder, {{Arg::kSrc, from}, {Arg::kDst, to}}));
}

void NodeLowering::SetHome(Value value, const MemoryDesc& desc, Slot slot) {
  to_.home(value) = {desc, slot, {}, {}};
  to_.placement.Put(value, slot);
}

Slot NodeLowering::Converted(Value value, const MemoryDesc& wanted,
                             const MemoryDesc& seen_as) const {
  const Home& home = to_.home(value);
  if (wanted == seen_as && !home.kept_dtype.has_value()) {
    return home.slot;
  }
  const auto known = std::ranges::find_if(home.copies, [&](const Home::Copy& copy) {
    return copy.wanted == wanted && copy.seen_as == seen_as;
  });
  return known == home.copies.end() ? Slot{-1} : known->slot;
}

void* NodeLowering::SlabPlace(Value value, const MemoryDesc& desc) const {
  const auto& gradients = to_.plan.roots.gradients;
  const auto gradient = std::ranges::find(gradients, value, &Roots::Gradient::value);
  if (gradient == gradients.end()) {
    return nullptr;
  }
  const MemoryDesc slab = MemoryDesc::Plain({to_.store.spec(gradient->id).shape, DType::kF32});
  return desc == slab ? to_.store.gradients(gradient->id, to_.options.shard).data() : nullptr;
}

absl::Status NodeLowering::CheckPrecision() const {
  for (int i = 0; i < static_cast<int>(node().types.size()); ++i) {
    const MemoryDesc& desc = to_.home({index_, i}).desc;
    const bool own = node().op->precision(i).rule == Precision::Rule::kOwn;
    if (!own && !desc.empty() && desc.type().dtype != output_dtype(i)) {
      return absl::InternalError(absl::StrCat(node().name, " (", node().op->kind(), "): output ", i,
                                              " is ", NameOf(desc.type().dtype),
                                              " in memory and must be ", NameOf(output_dtype(i))));
    }
  }
  return absl::OkStatus();
}

void NodeLowering::AddStep(absl::string_view op, absl::string_view label, const Cost& cost,
                           BindFunction bind) {
  Program::Step step;
  step.layer = node().name;
  step.op = std::string(op);
  step.implementation = std::string(label);
  step.backward = index_ >= to_.first_backward;
  step.cost = cost;
  to_.steps.push_back(std::move(step));
  to_.binds.push_back(std::move(bind));
}

}  // namespace hone::engine
