#include <algorithm>
#include <limits>

#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/kernels/instruction_set.h"
#include "engine/plan/node_lowering.h"
#include "engine/plan/passes.h"
#include "engine/plan/precision.h"
#include "engine/plan/program.h"
#include "engine/plan/state.h"

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
      float* data = to_.store.gradients(id, to_.options.shard).data();
      HONE_RETURN_IF_ERROR(Bring(value, data, {to_.store.spec(id).shape, DType::kF32}));
    }
    // All buffers change at once: what one takes is kept before another is written.
    for (const Roots::Update& update : roots_.updates) {
      const Home home = to_.home(update.value);
      if (IsOverwritten(home.slot) && !LiesIn(update.memory, home)) {
        to_.home(update.value).slot = Saved(update.value, home.slot, home.desc);
      }
    }
    for (const Roots::Update& update : roots_.updates) {
      HONE_RETURN_IF_ERROR(Bring(update.value, update.memory, to_.type(update.target)));
    }
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<Slot> Fetch(Value value) {
    const MemoryDesc desc = to_.home(value).desc;
    const TensorType& type = to_.type(value);
    const bool is_real = type.dtype == DType::kF32 || type.dtype == DType::kBf16;
    const MemoryDesc plain = is_real ? MemoryDesc::Plain({type.shape, DType::kF32})
                             : to_.home(value).is_view ? MemoryDesc::Plain(type)
                                                       : desc;
    HONE_ASSIGN_OR_RETURN(const Slot slot,
                          NodeLowering(to_, value.node).Convert(value, plain, desc));
    return IsOverwritten(slot) ? Saved(value, slot, plain) : slot;
  }

  // The value to this memory, of a parameter or its gradient or of a carry, unless it lies there.
  absl::Status Bring(Value value, void* data, const TensorType& type) {
    const Home home = to_.home(value);
    if (LiesIn(data, home)) {
      return absl::OkStatus();
    }
    NodeLowering lowering(to_, value.node);
    HONE_ASSIGN_OR_RETURN(const Slot from, lowering.Convert(value, home.desc, home.desc));
    // A grouped kernel's gradient has the same elements in the same order with one more dimension.
    const Shape seen = home.desc.type().shape;
    const bool same = seen.elements() == type.shape.elements();
    const MemoryDesc plain = MemoryDesc::Plain({same ? seen : type.shape, type.dtype});
    const Slot to = SlotOf(data);
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
    // With gaps between, a desc counts the last one, too.
    const bool is_part = to_.placement.whole(slot) != slot;
    const int64_t bytes = is_part ? to_.placement.bytes(slot) : desc.bytes();
    const Slot copy = to_.placement.New(desc.bytes());
    NodeLowering(to_, value.node).EmitCopy(to_.placement.Use(slot), copy, bytes);
    to_.placement.Advance();
    return copy;
  }

  // The slot at this memory: a carry's own, since its memory is not known yet.
  Slot SlotOf(void* memory) {
    for (const Slot carry : to_.carries) {
      if (to_.placement.fixed(carry) == memory) {
        return carry;
      }
    }
    return to_.placement.Fixed(memory);
  }

  bool LiesIn(const void* memory, const Home& home) const {
    return to_.placement.fixed(home.slot) == memory && to_.placement.offset(home.slot) == 0 &&
           !home.is_view;
  }

  // The slot is a buffer's memory or in it, and at the end of the run a value from elsewhere goes
  // there.
  bool IsOverwritten(Slot slot) const {
    return std::ranges::any_of(roots_.updates, [&](const Roots::Update& update) {
      return to_.placement.fixed(slot) == update.memory &&
             !LiesIn(update.memory, to_.home(update.value));
    });
  }

  Lowered& to_;
  const Roots& roots_;
};

}  // namespace

void Program::Settle(const Placement& placement, const std::vector<Slot>& given) {
  for (Slot slot = 0; slot < placement.size(); ++slot) {
    const Slot whole = placement.whole(slot);
    places_.push_back(whole == slot ? SlotPlace{.fixed = placement.fixed(slot)}
                                    : SlotPlace{.offset = placement.offset(slot), .inside = whole});
  }
  for (const Slot slot : given) {
    places_[static_cast<size_t>(slot)] = {.is_given = true};
  }
  const Placement::Layout layout = placement.Finish();
  for (const auto& [slot, lifetime, offset, inside] : layout.pieces) {
    if (inside < 0) {
      places_[static_cast<size_t>(slot)].offset = offset;
    }
    const auto whole = std::ranges::find(layout.pieces, inside, &Placement::Layout::Piece::slot);
    const auto number = static_cast<int32_t>(whole - layout.pieces.begin());
    intervals_.push_back(
        {offset, lifetime.bytes, lifetime.first, lifetime.last, inside < 0 ? -1 : number});
  }
  arena_bytes_ = layout.bytes;
}

absl::StatusOr<Program> Program::Compile(const ProgramRequest& request, ParameterStore& store,
                                         const ProgramOptions& options) {
  HONE_RETURN_IF_ERROR(request.graph->status());
  kernels::KeepToInstructionSet();
  HONE_ASSIGN_OR_RETURN(const Roots roots, RootsOf(request, store, options.shard));
  PlanGraph plan = MakePlanGraph(*request.graph, roots);
  RemoveDeadNodes(plan);
  FuseActivations(plan);
  MoveActivationGradientsBehindPools(plan);
  JoinGradientsOfSlices(plan);
  HONE_RETURN_IF_ERROR(OrderReadersOfState(plan));
  ChoosePrecision(options.compute, plan);
  JoinSums(plan);

  Lowered lowered(plan, store, options);
  lowered.first_backward = FirstBackwardNode(request);
  lowered.known_constants = request.constants;
  Program program;
  const ScopedThreads threads(options.threads);
  for (const int32_t index : plan.order) {
    HONE_RETURN_IF_ERROR(NodeLowering(lowered, index).Lower());
  }
  HONE_RETURN_IF_ERROR(RootLowering(lowered).Lower(program.fetched_));
  for (const Value value : request.fetch) {
    program.fetched_shapes_.push_back(request.graph->shape(value));
  }
  for (const auto& [sums, rows, id] : plan.roots.row_gradients) {
    const Slot at = lowered.home(sums).slot, names = lowered.home(rows).slot;
    lowered.placement.Pin(at);
    lowered.placement.Pin(names);
    program.row_slots_.push_back({id, names, at, lowered.type(rows).shape[0]});
  }

  program.steps_ = std::move(lowered.steps);
  program.binds_ = std::move(lowered.binds);
  program.inputs_ = std::move(lowered.inputs);
  program.constants_ = std::move(lowered.constants);
  for (const Roots::Update& update : roots.updates) {
    if (update.id >= 0) {
      program.updated_.push_back(update.id);
    }
  }
  program.Settle(lowered.placement, lowered.carries);
  return program;
}

}  // namespace hone::engine
