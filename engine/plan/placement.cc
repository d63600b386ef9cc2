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

Slot Placement::Use(Slot slot) {
  places_[static_cast<size_t>(slot)].lifetime.last = now_;
  return slot;
}

void Placement::Pin(Slot slot) { places_[static_cast<size_t>(slot)].pinned = true; }

void Placement::PinFromStart(Slot slot) {
  places_[static_cast<size_t>(slot)].lifetime.first = -1;
  Pin(slot);
}

void Placement::Put(Value value, Slot slot) {
  places_[static_cast<size_t>(slot)].values.push_back(value);
}

bool Placement::MayOverwrite(Slot slot, Value value) const {
  const Place& place = places_[static_cast<size_t>(slot)];
  const bool is_gradient = std::ranges::any_of(
      plan_.roots.gradients, [&](const Roots::Gradient& g) { return g.value == value; });
  if (place.pinned || is_gradient ||
      (place.fixed != nullptr && !TakesInPlace(place.fixed, value))) {
    return false;
  }
  return std::ranges::all_of(place.values, [&](Value lies_there) {
    const auto reader = last_reader_.find(Key(lies_there));
    return reader == last_reader_.end() || reader->second <= now_;
  });
}

// The memory is a buffer's, and the buffer takes this value and no other.
bool Placement::TakesInPlace(const void* memory, Value value) const {
  const std::vector<Roots::Update>& updates = plan_.roots.updates;
  const auto taken = std::ranges::find(updates, memory, &Roots::Update::memory);
  return taken != updates.end() && taken->value == value &&
         std::ranges::count(updates, memory, &Roots::Update::memory) == 1;
}

Placement::Layout Placement::Finish() const {
  Layout layout;
  std::vector<Lifetime> lifetimes;
  for (size_t i = 0; i < places_.size(); ++i) {
    if (places_[i].fixed == nullptr) {
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
  layout.bytes = memory.bytes;
  return layout;
}

}  // namespace hone::engine
