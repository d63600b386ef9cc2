#include "engine/plan/placement.h"

#include <algorithm>
#include <limits>

namespace hone::engine {

Placement::Placement(const PlanGraph& plan) : plan_(plan) {
  for (size_t i = 0; i < plan.order.size(); ++i) {
    for (const Value input : plan.nodes[static_cast<size_t>(plan.order[i])].inputs) {
      last_reader_[Key(input)] = static_cast<int32_t>(i);
    }
  }
  plan.roots.ForEachValue(
      [&](Value root) { last_reader_[Key(root)] = std::numeric_limits<int32_t>::max(); });
}

Slot Placement::New(int64_t bytes) {
  places_.push_back({nullptr, {bytes, now_, now_}, {}});
  return static_cast<Slot>(places_.size()) - 1;
}

Slot Placement::Fixed(void* data) {
  places_.push_back({data, {}, {}});
  return static_cast<Slot>(places_.size()) - 1;
}

Slot Placement::Inside(Slot whole_slot, int64_t offset, int64_t bytes) {
  Place place{nullptr, {bytes, now_, now_}, {}};
  place.inside = whole(whole_slot);
  place.offset = places_[static_cast<size_t>(whole_slot)].offset + offset;
  places_.push_back(std::move(place));
  return static_cast<Slot>(places_.size()) - 1;
}

Slot Placement::whole(Slot slot) const {
  const Slot inside = places_[static_cast<size_t>(slot)].inside;
  return inside < 0 ? slot : inside;
}

Slot Placement::Use(Slot slot) {
  places_[static_cast<size_t>(slot)].lifetime.last = now_;
  WholeOf(slot).lifetime.last = now_;
  return slot;
}

void Placement::Pin(Slot slot) { WholeOf(slot).pinned = true; }

void Placement::PinFromStart(Slot slot) {
  WholeOf(slot).lifetime.first = -1;
  Pin(slot);
}

void Placement::Put(Value value, Slot slot) { WholeOf(slot).values.push_back(value); }

bool Placement::MayOverwrite(Slot slot, Value value) const {
  const Place& place = places_[static_cast<size_t>(slot)];
  const bool is_gradient = std::ranges::any_of(
      plan_.roots.gradients, [&](const Roots::Gradient& g) { return g.value == value; });
  if (place.pinned || place.inside >= 0 || is_gradient ||
      (place.fixed != nullptr && !TakesInPlace(place.fixed, value))) {
    return false;
  }
  return std::ranges::all_of(place.values, [&](Value lies_there) {
    const auto reader = last_reader_.find(Key(lies_there));
    return reader == last_reader_.end() || reader->second <= now_;
  });
}

// The memory is a buffer's, and the buffer takes this value, or one that is made of it by changes
// in place, and no other.
bool Placement::TakesInPlace(const void* memory, Value value) const {
  const std::vector<Roots::Update>& updates = plan_.roots.updates;
  const auto taken = std::ranges::find(updates, memory, &Roots::Update::memory);
  return taken != updates.end() &&
         std::ranges::count(updates, memory, &Roots::Update::memory) == 1 &&
         (taken->value == value || std::ranges::find(plan_.changes, value) != plan_.changes.end());
}

Placement::Layout Placement::Finish() const {
  Layout layout;
  std::vector<Lifetime> lifetimes;
  for (size_t i = 0; i < places_.size(); ++i) {
    if (places_[i].fixed == nullptr && places_[i].inside < 0) {
      Lifetime lifetime = places_[i].lifetime;
      lifetime.last = places_[i].pinned ? now_ : lifetime.last;
      lifetimes.push_back(lifetime);
      layout.pieces.push_back({static_cast<Slot>(i), lifetime, 0});
    }
  }
  const MemoryPlan memory = PlanMemory(lifetimes);
  for (size_t i = 0; i < lifetimes.size(); ++i) {
    layout.pieces[i].offset = memory.offsets[i];
  }
  const size_t wholes = layout.pieces.size();
  for (size_t i = 0; i < places_.size(); ++i) {
    const auto holds = [&](const Layout::Piece& piece) { return piece.slot == places_[i].inside; };
    const auto end = layout.pieces.begin() + static_cast<std::ptrdiff_t>(wholes);
    const auto whole = std::find_if(layout.pieces.begin(), end, holds);
    if (places_[i].inside >= 0 && whole != end) {
      layout.pieces.push_back({static_cast<Slot>(i), places_[i].lifetime,
                               whole->offset + places_[i].offset, places_[i].inside});
    }
  }
  layout.bytes = memory.bytes;
  return layout;
}

}  // namespace hone::engine
