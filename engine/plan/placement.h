#pragma once

#include <vector>

#include "absl/container/flat_hash_map.h"
#include "engine/graph/lowering.h"
#include "engine/plan/memory_plan.h"
#include "engine/plan/passes.h"

namespace hone::engine {

// Where the values of a plan lie: slots in the arena, each with the time that it is in use, and
// slots that are elsewhere, in the store. Several values may lie in one slot: in place of one
// another, or one seen with another shape. A slot may also lie inside another: then it is in use
// with it, and nothing is written over it.
//
// Time is the number of the node in the plan's order, so that all steps of a node see all its
// memory; it goes on behind the last node, for what is done with the results. The plan outlives it.
class Placement {
 public:
  explicit Placement(const PlanGraph& plan);

  int32_t now() const { return now_; }
  void Advance() { ++now_; }

  // A piece of the arena, in use from now on; or memory elsewhere.
  Slot New(int64_t bytes);
  Slot Fixed(void* data);
  // The `bytes` of `whole`, itself inside another or not, that begin there.
  Slot Inside(Slot whole, int64_t offset, int64_t bytes);
  // It is in use now, with what it lies in.
  Slot Use(Slot slot);
  // It is in use to the end, and nothing else may be written there; an input's from the start.
  void Pin(Slot slot);
  void PinFromStart(Slot slot);
  // The slot that it lies in, itself if in none, and where in it.
  Slot whole(Slot slot) const;
  int64_t offset(Slot slot) const { return places_[static_cast<size_t>(slot)].offset; }
  // Its size if it lies in another, or in the arena.
  int64_t bytes(Slot slot) const { return places_[static_cast<size_t>(slot)].lifetime.bytes; }
  // The memory elsewhere that it lies in; null: in the arena.
  void* fixed(Slot slot) const { return places_[static_cast<size_t>(whole(slot))].fixed; }

  // The value lies there, or a copy of it.
  void Put(Value value, Slot slot);

  // A node that is still to come, this one or the end of the run reads the value.
  bool IsRead(Value value) const { return last_reader_.contains(Key(value)); }
  // This node may write `value` over what lies in the slot, which it reads: nobody reads that
  // later, the slot is in the arena or the memory of a buffer that takes this value and no other,
  // and `value` is no gradient, whose place is in the slab.
  bool MayOverwrite(Slot slot, Value value) const;

  // Places the arena's slots: those that lie in no other, then what lies in them.
  struct Layout {
    struct Piece {
      Slot slot;
      Lifetime lifetime;
      int64_t offset;
      Slot inside = -1;
    };
    std::vector<Piece> pieces;
    int64_t bytes = 0;
  };
  Layout Finish() const;
  int size() const { return static_cast<int>(places_.size()); }

 private:
  struct Place {
    void* fixed = nullptr;
    Lifetime lifetime;
    std::vector<Value> values;  // all that lie here
    bool pinned = false;
    Slot inside = -1;
    int64_t offset = 0;
  };

  Place& WholeOf(Slot slot) { return places_[static_cast<size_t>(whole(slot))]; }
  static int64_t Key(Value value) { return (int64_t{value.node} << 16) + value.output; }
  bool TakesInPlace(const void* memory, Value value) const;

  const PlanGraph& plan_;
  std::vector<Place> places_;
  absl::flat_hash_map<int64_t, int32_t> last_reader_;
  int32_t now_ = 0;
};

}  // namespace hone::engine
