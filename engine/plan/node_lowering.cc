#include "engine/plan/node_lowering.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
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
  bool Start(const RunScalars& scalars) const override { return program_.Start(scalars).ok(); }
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
  if (n.kind == Graph::Node::Kind::kOp) {
    const std::string where = absl::StrCat(n.name, " (", n.op->kind(), ")");
    HONE_RETURN_IF_ERROR(Annotate(n.op->Lower(*this), where));
    HONE_RETURN_IF_ERROR(Annotate(failed_, where));
    HONE_RETURN_IF_ERROR(CheckPrecision());
    HONE_RETURN_IF_ERROR(CheckChangedInPlace());
  } else {
    HONE_RETURN_IF_ERROR(LowerSource());
  }
  to_.placement.Advance();
  return absl::OkStatus();
}

absl::Status NodeLowering::LowerSource() {
  const PlanGraph::Node& n = node();
  const Value value = {index_, 0};
  Slot slot = -1;
  std::optional<DType> kept_dtype;
  if (n.kind == Graph::Node::Kind::kParameter) {
    HONE_ASSIGN_OR_RETURN(const ParameterId id, to_.store.Find(n.source->parameter.name));
    const ConstParameterView values = to_.store.values(id);
    slot = to_.placement.Fixed(const_cast<void*>(values.data));
    if (values.dtype != n.types[0].dtype) {
      kept_dtype = values.dtype;
    }
  } else if (n.kind == Graph::Node::Kind::kConstant) {
    to_.constants.emplace_back(int64_t{64});
    *to_.constants.back().as<float>() = static_cast<float>(n.source->constant);
    slot = to_.placement.Fixed(to_.constants.back().data());
  } else {
    const auto& updates = to_.plan.roots.updates;
    const auto carry = std::ranges::find_if(updates, [&](const Roots::Update& update) {
      return update.id < 0 && update.target == value;
    });
    if (carry != updates.end()) {
      slot = to_.placement.Fixed(carry->memory);
      to_.carries.push_back(slot);
    } else {
      // Filled before the run, and left as they are, so that steps can be run again on their own
      // (profiles).
      slot = to_.placement.New(n.types[0].bytes());
      to_.placement.PinFromStart(slot);
    }
    to_.inputs.push_back({n.source->name, slot, n.types[0]});
  }
  SetHome(value, MemoryDesc::Plain(n.types[0]), slot);
  to_.home(value).kept_dtype = kept_dtype;
  return absl::OkStatus();
}

MemoryDesc NodeLowering::desc(int i) const {
  const Home& home = to_.home(input(i));
  return home.is_view ? MemoryDesc::Plain(home.desc.type()) : home.desc;
}

Slot NodeLowering::Input(int i) {
  const Home& home = to_.home(input(i));
  if (!home.is_view) {
    return to_.placement.Use(home.slot);
  }
  const absl::StatusOr<Slot> dense = Convert(input(i), desc(i), home.desc);
  failed_.Update(dense.status());
  return dense.ok() ? *dense : home.slot;
}

absl::StatusOr<Lowering::Strided> NodeLowering::View(int i) {
  const Home& home = to_.home(input(i));
  if (!home.desc.strides().empty() && !home.kept_dtype.has_value()) {
    return Strided{home.desc, to_.placement.Use(home.slot)};
  }
  const MemoryDesc plain = MemoryDesc::Plain(home.desc.type());
  HONE_ASSIGN_OR_RETURN(const Slot slot, Convert(input(i), plain, home.desc));
  return Strided{plain, slot};
}

absl::StatusOr<Slot> NodeLowering::Input(int i, const MemoryDesc& wanted,
                                         const MemoryDesc& seen_as) {
  const Home& home = to_.home(input(i));
  if (wanted == seen_as && !home.kept_dtype.has_value()) {
    return Input(i);
  }
  if (!home.is_view) {
    return Convert(input(i), wanted, seen_as);
  }
  return seen_as == desc(i) ? Convert(input(i), wanted, home.desc)
                            : Convert(input(i), wanted, seen_as, Input(i));
}

absl::StatusOr<Slot> NodeLowering::PackedInput(int i, absl::string_view key, int64_t bytes,
                                               const PackFunction& pack) {
  HONE_ASSIGN_OR_RETURN(const ParameterId id, ParameterOf(input(i)));
  if (id >= 0) {
    HONE_ASSIGN_OR_RETURN(void* packed, PrivateCopy(to_.store, id, key, bytes, pack));
    return to_.placement.Fixed(packed);
  }
  HONE_ASSIGN_OR_RETURN(const Slot from, PlainInput(i));
  const Slot to = CopySlot(input(i), bytes);
  AddStep(
      "pack", key, {},
      [=](const Memory& memory) -> absl::StatusOr<StepFunction> {
        return [pack, values = memory.as<float>(from), packed = memory[to]](const RunScalars&) {
          pack(values, packed);
          return true;
        };
      },
      IsConstant(input(i)));
  return to;
}

Slot NodeLowering::Output(int i, const MemoryDesc& desc) {
  const Value value = {index_, i};
  const auto begun = to_.begun.find(KeyOf(value));
  const Slot slot = begun != to_.begun.end() ? begun->second : NewHome(value, desc);
  SetHome(value, desc, slot);
  return to_.placement.Use(slot);
}

MemoryDesc NodeLowering::destination() const {
  const auto found = to_.destinations.find(KeyOf({index_, 0}));
  return found == to_.destinations.end() ? MemoryDesc() : found->second.desc;
}

Slot NodeLowering::OutputAtDestination() {
  const Value value = {index_, 0};
  const Destination& there = to_.destinations.at(KeyOf(value));
  const auto [begun, fresh] = to_.begun.try_emplace(KeyOf(there.whole), Slot{-1});
  if (fresh) {
    begun->second = NewHome(
        there.whole, MemoryDesc::Plain({to_.type(there.whole).shape, there.desc.type().dtype}));
  }
  const Slot part = Inside(begun->second, there.offset, there.bytes);
  OutputView(0, there.desc, part);
  return part;
}

Slot NodeLowering::NewHome(Value value, const MemoryDesc& desc) {
  void* slab = SlabPlace(value, desc);
  return slab != nullptr ? to_.placement.Fixed(slab) : to_.placement.New(desc.bytes());
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

void NodeLowering::OutputView(int i, const MemoryDesc& desc, Slot slot) {
  OutputAlias(i, desc, slot);
  to_.home({index_, i}).is_view = !desc.is_plain();
}

absl::StatusOr<std::shared_ptr<Subprogram>> NodeLowering::Plan(const Graph& graph,
                                                               const SubprogramRequest& request) {
  ProgramRequest inner = {.graph = &graph, .fetch = request.fetch, .gradients = {}};
  for (const auto& [name, i] : request.constants) {
    HONE_ASSIGN_OR_RETURN(const ParameterId id, ParameterOf(input(i)));
    inner.constants.push_back({name, id});
  }
  inner.carries = request.carries;
  HONE_ASSIGN_OR_RETURN(Program program, Program::Compile(inner, to_.store, to_.options));
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
                                           const MemoryDesc& seen_as, Slot from) {
  Placement& placement = to_.placement;
  if (const Slot known = Converted(value, wanted, seen_as); known >= 0) {
    return placement.Use(known);
  }
  HONE_ASSIGN_OR_RETURN(const ParameterId id, ParameterOf(value));
  if (id >= 0) {
    return ConvertParameter(value, id, wanted, seen_as);
  }
  HONE_ASSIGN_OR_RETURN(const onednn::Primitive reorder, onednn::MakeReorder(seen_as, wanted));
  const Slot slot = CopySlot(value, wanted.bytes());
  EmitReorder(reorder, placement.Use(from), slot, IsConstant(value));
  to_.home(value).copies.push_back({wanted, seen_as, slot});
  return placement.Use(slot);
}

absl::StatusOr<Slot> NodeLowering::ConvertParameter(Value value, ParameterId id,
                                                    const MemoryDesc& wanted,
                                                    const MemoryDesc& seen_as) {
  Placement& placement = to_.placement;
  Home& home = to_.home(value);
  const ConstParameterView values = to_.store.values(id);
  const bool as_seen = values.dtype == seen_as.type().dtype;
  const MemoryDesc there = as_seen ? seen_as : seen_as.WithDType(values.dtype);
  const Slot from = placement.Fixed(const_cast<void*>(values.data));
  if (there == wanted) {
    return from;
  }
  if (IsConvertedAtUse(to_.store, id, wanted, there)) {
    // Anew for each node that reads it, so that the arena holds one such weight at a time.
    if (!IsConstant(value)) {
      const Slot slot = placement.New(wanted.bytes());
      HONE_RETURN_IF_ERROR(EmitConversion(there, wanted, from, slot));
      return placement.Use(slot);
    }
    home.copies.push_back({wanted, seen_as, CopySlot(value, wanted.bytes())});
    HONE_RETURN_IF_ERROR(
        EmitConversion(there, wanted, from, home.copies.back().slot, /*once=*/true));
    return placement.Use(home.copies.back().slot);
  }
  HONE_ASSIGN_OR_RETURN(void* packed, PackedCopy(to_.store, id, wanted, there));
  home.copies.push_back({wanted, seen_as, placement.Fixed(packed)});
  return home.copies.back().slot;
}

absl::StatusOr<ParameterId> NodeLowering::ParameterOf(Value value) const {
  const PlanGraph::Node& producer = to_.plan.nodes[static_cast<size_t>(value.node)];
  if (producer.kind == Graph::Node::Kind::kParameter) {
    return to_.store.Find(producer.source->parameter.name);
  }
  const auto known = std::ranges::find(to_.known_constants, producer.source->name,
                                       &ProgramRequest::Constant::input);
  return IsConstant(value) ? known->parameter : -1;
}

bool NodeLowering::IsConstant(Value value) const {
  const PlanGraph::Node& producer = to_.plan.nodes[static_cast<size_t>(value.node)];
  return producer.kind == Graph::Node::Kind::kInput &&
         std::ranges::find(to_.known_constants, producer.source->name,
                           &ProgramRequest::Constant::input) != to_.known_constants.end();
}

Slot NodeLowering::CopySlot(Value value, int64_t bytes) {
  const Slot slot = to_.placement.New(bytes);
  to_.placement.Put(value, slot);
  if (IsConstant(value)) {
    to_.placement.PinFromStart(slot);
  }
  return slot;
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

absl::Status NodeLowering::EmitConversion(const MemoryDesc& there, const MemoryDesc& wanted,
                                          Slot from, Slot to, bool once) {
  const std::optional<kernels::TileBlocks> blocks = AsTileBlocks(wanted, there);
  if (!blocks.has_value()) {
    HONE_ASSIGN_OR_RETURN(const onednn::Primitive reorder, onednn::MakeReorder(there, wanted));
    EmitReorder(reorder, from, to, once);
    return absl::OkStatus();
  }
  const int parts = PartsFor(SaturatingProduct(blocks->inputs, blocks->outputs), threads());
  AddStep(
      "reorder", "tile_blocks", {},
      [=, blocks = *blocks](const Memory& memory) -> absl::StatusOr<StepFunction> {
        return [=](const RunScalars&) {
          ForShares(blocks.rows(), parts, [&](int64_t begin, int64_t end) {
            kernels::Pack(blocks, memory[from], memory.as<uint32_t>(to), begin, end);
          });
          return true;
        };
      },
      once);
  return absl::OkStatus();
}

void NodeLowering::EmitReorder(const onednn::Primitive& reorder, Slot from, Slot to, bool once) {
  AddStep("reorder", reorder.implementation(), {},
          BindPrimitive(reorder, {{Arg::kSrc, from}, {Arg::kDst, to}}), once);
}

void NodeLowering::SetHome(Value value, const MemoryDesc& desc, Slot slot) {
  to_.home(value) = {.desc = desc, .slot = slot, .copies = {}, .kept_dtype = {}};
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

absl::Status NodeLowering::CheckChangedInPlace() const {
  const Value value = {index_, 0};
  const bool taken = std::ranges::find(to_.plan.changes, value) != to_.plan.changes.end();
  if (taken && to_.home(value).slot != to_.home(input(node().op->changed_input())).slot) {
    return absl::InternalError(absl::StrCat(node().name, " (", node().op->kind(),
                                            "): its buffer is not changed in place"));
  }
  return absl::OkStatus();
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
                           BindFunction bind, bool once) {
  Program::Step step;
  step.layer = node().name;
  step.op = std::string(op);
  step.implementation = std::string(label);
  step.backward = index_ >= to_.first_backward;
  step.cost = cost;
  step.once = once;
  to_.steps.push_back(std::move(step));
  to_.binds.push_back(std::move(bind));
}

}  // namespace hone::engine
