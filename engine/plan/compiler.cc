#include <algorithm>
#include <limits>

#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/kernels/instruction_set.h"
#include "engine/plan/node_lowering.h"
#include "engine/plan/passes.h"
#include "engine/plan/precision.h"
#include "engine/plan/program.h"

namespace hone::engine {
namespace {

using onednn::MemoryDesc;

// Gradients are added behind the forward nodes; the first node that no fetched value needs is
// theirs.
int32_t FirstBackwardNode(const ProgramRequest& request) {
  int32_t last_forward = -1;
  for (const Value value : request.fetch) {
    last_forward = std::max(last_forward, value.node);
  }
  return request.gradients.empty() ? std::numeric_limits<int32_t>::max() : last_forward + 1;
}

// What is done with the results when all ops have run: fetched values lie row major, gradients in
// the slab, buffers in the store.
class RootLowering {
 public:
  explicit RootLowering(Lowered& to) : to_(to), roots_(to.plan.roots) {}

  absl::Status Lower(std::vector<Slot>& fetched) {
    for (const Value value : roots_.fetch) {
      HONE_ASSIGN_OR_RETURN(const Slot slot, Fetch(value));
      to_.placement.Pin(slot);
      fetched.push_back(slot);
    }
    for (const auto& [value, id] : roots_.gradients) {
      HONE_RETURN_IF_ERROR(Bring(value, to_.store.gradients(id, to_.options.shard).data(), id));
    }
    // All buffers change at once: what one takes is kept before another is written.
    for (const Roots::Update& update : roots_.updates) {
      const Home home = to_.home(update.value);
      if (IsOverwritten(home.slot) && !LiesIn(update.memory, home.slot)) {
        to_.home(update.value).slot = Saved(update.value, home.slot, home.desc);
      }
    }
    for (const Roots::Update& update : roots_.updates) {
      HONE_RETURN_IF_ERROR(Bring(update.value, update.memory, update.id));
    }
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<Slot> Fetch(Value value) {
    const MemoryDesc desc = to_.home(value).desc;
    const TensorType& type = to_.type(value);
    const MemoryDesc plain = type.dtype == DType::kF32 ? MemoryDesc::Plain(type) : desc;
    HONE_ASSIGN_OR_RETURN(const Slot slot,
                          NodeLowering(to_, value.node).Convert(value, plain, desc));
    return IsOverwritten(slot) ? Saved(value, slot, plain) : slot;
  }

  // The value to this parameter's gradient or memory, unless it lies there.
  absl::Status Bring(Value value, float* data, ParameterId id) {
    const Home home = to_.home(value);
    if (LiesIn(data, home.slot)) {
      return absl::OkStatus();
    }
    NodeLowering lowering(to_, value.node);
    HONE_ASSIGN_OR_RETURN(const Slot from, lowering.Convert(value, home.desc, home.desc));
    // A grouped kernel's gradient has the same elements in the same order with one more dimension.
    const Shape seen = home.desc.type().shape, shape = to_.store.spec(id).shape;
    const MemoryDesc plain =
        MemoryDesc::Plain({seen.elements() == shape.elements() ? seen : shape, DType::kF32});
    const Slot to = to_.placement.Fixed(data);
    if (home.desc == plain) {
      lowering.EmitCopy(from, to, plain.bytes());
    } else {
      HONE_ASSIGN_OR_RETURN(const onednn::Primitive reorder, onednn::MakeReorder(home.desc, plain));
      lowering.EmitReorder(reorder, from, to);
    }
    to_.placement.Advance();
    return absl::OkStatus();
  }

  // A copy of what lies in the slot now, when all ops have run.
  Slot Saved(Value value, Slot slot, const MemoryDesc& desc) {
    const Slot copy = to_.placement.New(desc.bytes());
    NodeLowering(to_, value.node).EmitCopy(to_.placement.Use(slot), copy, desc.bytes());
    to_.placement.Advance();
    return copy;
  }

  bool LiesIn(const float* memory, Slot slot) const { return to_.placement.fixed(slot) == memory; }

  // The slot is a buffer's memory, and at the end of the run a value from elsewhere goes there.
  bool IsOverwritten(Slot slot) const {
    return std::ranges::any_of(roots_.updates, [&](const Roots::Update& update) {
      return LiesIn(update.memory, slot) && !LiesIn(update.memory, to_.home(update.value).slot);
    });
  }

  Lowered& to_;
  const Roots& roots_;
};

}  // namespace

absl::StatusOr<Program> Program::Compile(const ProgramRequest& request, ParameterStore& store,
                                         const ProgramOptions& options) {
  HONE_RETURN_IF_ERROR(request.graph->status());
  kernels::KeepToInstructionSet();
  HONE_ASSIGN_OR_RETURN(const Roots roots, RootsOf(request, store, options.shard));
  PlanGraph plan = MakePlanGraph(*request.graph, roots);
  RemoveDeadNodes(plan);
  FuseActivations(plan);
  MoveActivationGradientsBehindPools(plan);
  ChoosePrecision(options.compute, plan);

  Lowered lowered(plan, store, options);
  lowered.first_backward = FirstBackwardNode(request);
  Program program;
  const ScopedThreads threads(options.threads);
  for (const int32_t index : plan.order) {
    HONE_RETURN_IF_ERROR(NodeLowering(lowered, index).Lower());
  }
  HONE_RETURN_IF_ERROR(RootLowering(lowered).Lower(program.fetched_));

  program.steps_ = std::move(lowered.steps);
  program.binds_ = std::move(lowered.binds);
  program.inputs_ = std::move(lowered.inputs);
  program.constants_ = std::move(lowered.constants);
  for (const Roots::Update& update : roots.updates) {
    program.updated_.push_back(update.id);
  }
  for (Slot slot = 0; slot < lowered.placement.size(); ++slot) {
    program.places_.push_back({lowered.placement.fixed(slot), 0});
  }
  const Placement::Layout layout = lowered.placement.Finish();
  for (const auto& [slot, lifetime, offset] : layout.pieces) {
    program.places_[static_cast<size_t>(slot)].offset = offset;
    program.intervals_.push_back({offset, lifetime.bytes, lifetime.first, lifetime.last});
  }
  program.arena_bytes_ = layout.bytes;
  return program;
}

}  // namespace hone::engine
