#include "engine/plan/state.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace hone::engine {
namespace {

const PlanGraph::Node& NodeOf(const PlanGraph& plan, Value value) {
  return plan.nodes[static_cast<size_t>(value.node)];
}

// The changes from the buffer to the value that it takes, the last one first; none if the value is
// not made by changes alone.
std::vector<Value> ChangesOf(const PlanGraph& plan, const Roots::Update& update) {
  std::vector<Value> changes;
  Value value = update.value;
  while (value != update.target) {
    const PlanGraph::Node& node = NodeOf(plan, value);
    const int changed = node.op == nullptr || value.output != 0 ? -1 : node.op->changed_input();
    if (changed < 0) {
      return {};
    }
    changes.push_back(value);
    value = node.inputs[static_cast<size_t>(changed)];
  }
  return changes;
}

// Node `later` needs node `earlier`, through inputs or through what it comes after.
bool DependsOn(const PlanGraph& plan, int32_t later, int32_t earlier) {
  std::vector<bool> seen(plan.nodes.size(), false);
  std::vector<int32_t> pending = {later};
  while (!pending.empty()) {
    const int32_t index = pending.back();
    pending.pop_back();
    if (index == earlier) {
      return true;
    }
    if (seen[static_cast<size_t>(index)]) {
      continue;
    }
    seen[static_cast<size_t>(index)] = true;
    const PlanGraph::Node& node = plan.nodes[static_cast<size_t>(index)];
    pending.insert(pending.end(), node.after.begin(), node.after.end());
    for (const Value input : node.inputs) {
      pending.push_back(input.node);
    }
  }
  return false;
}

// One change of a state: `old` is what it was, `change` the node that writes over it.
class Change {
 public:
  Change(PlanGraph& plan, const Roots::Update& update, Value old, int32_t change)
      : plan_(plan), update_(update), old_(old), change_(change) {}

  // Puts all readers of what was there before the change.
  absl::Status Order() {
    std::vector<Value> there = {old_};  // the old state, and what lies in its memory
    for (size_t i = 0; i < there.size(); ++i) {
      for (const Value fetched : plan_.roots.fetch) {
        if (fetched == there[i]) {
          return Refusal("a fetch");
        }
      }
      for (const Roots::Update& other : plan_.roots.updates) {
        if (other.value == there[i]) {
          return Refusal(absl::StrCat("an update of ", NameOf(other)));
        }
      }
      for (const int32_t index : plan_.order) {
        const PlanGraph::Node& reader = plan_.nodes[static_cast<size_t>(index)];
        if (std::ranges::find(reader.inputs, there[i]) == reader.inputs.end()) {
          continue;
        }
        if (index != change_) {
          if (DependsOn(plan_, index, change_)) {
            return Refusal(absl::StrCat(reader.name, " (", reader.op->kind(), ")"));
          }
          plan_.nodes[static_cast<size_t>(change_)].after.push_back(index);
          if (reader.op->shares_memory()) {
            there.push_back({index, 0});
          }
        } else if (std::ranges::count(reader.inputs, there[i]) > (there[i] == old_ ? 1 : 0)) {
          return Refusal("what is written, which is a part of it,");
        }
      }
    }
    return absl::OkStatus();
  }

 private:
  std::string NameOf(const Roots::Update& update) const {
    return NodeOf(plan_, update.target).source->parameter.name;
  }
  absl::Status Refusal(absl::string_view reader) const {
    const PlanGraph::Node& change = plan_.nodes[static_cast<size_t>(change_)];
    return absl::FailedPreconditionError(
        absl::StrCat("state ", NameOf(update_), " cannot be changed in place: ", reader,
                     " reads it as it was before ", change.name, " (", change.op->kind(), ")"));
  }

  PlanGraph& plan_;
  const Roots::Update& update_;
  Value old_;
  int32_t change_;
};

}  // namespace

absl::Status OrderReadersOfState(PlanGraph& plan) {
  for (const Roots::Update& update : plan.roots.updates) {
    const auto& updates = plan.roots.updates;
    if (std::ranges::count(updates, update.memory, &Roots::Update::memory) != 1) {
      continue;
    }
    for (const Value change : ChangesOf(plan, update)) {
      const PlanGraph::Node& node = NodeOf(plan, change);
      const Value old = node.inputs[static_cast<size_t>(node.op->changed_input())];
      absl::Status ordered = Change(plan, update, old, change.node).Order();
      if (!ordered.ok()) {
        return ordered;
      }
      plan.changes.push_back(change);
    }
  }
  if (!plan.changes.empty()) {
    Order(plan);
  }
  return absl::OkStatus();
}

}  // namespace hone::engine
