#include "engine/plan/program.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"

namespace hone::engine {

absl::Status Program::Bind(std::byte* arena) {
  addresses_.clear();
  for (const SlotPlace& place : places_) {
    if (place.is_given && place.fixed == nullptr) {
      return absl::InternalError("the memory of a carry was not given");
    }
    if (place.inside >= 0) {
      auto* whole = static_cast<std::byte*>(addresses_[static_cast<size_t>(place.inside)]);
      addresses_.push_back(whole + place.offset);
    } else {
      addresses_.push_back(place.fixed != nullptr ? place.fixed : arena + place.offset);
    }
  }
  const Memory memory(addresses_);
  row_gradients_.clear();
  for (const RowSlots& slots : row_slots_) {
    row_gradients_.push_back(
        {slots.id, memory.as<int32_t>(slots.rows), memory.as<float>(slots.sums), slots.capacity});
  }
  for (size_t i = 0; i < steps_.size(); ++i) {
    HONE_ASSIGN_OR_RETURN(steps_[i].run, binds_[i](memory));
  }
  return absl::OkStatus();
}

void Program::Place(absl::string_view input, void* data) {
  for (const Input& known : inputs_) {
    if (known.name == input) {
      places_[static_cast<size_t>(known.slot)].fixed = data;
    }
  }
}

absl::Status Program::RunSteps(const RunScalars& scalars, bool once) const {
  for (const Step& step : steps_) {
    if (step.once == once && !step.run(scalars)) {
      return absl::InternalError(
          absl::StrCat(step.op, " of ", step.layer, " (", step.implementation,
                       ") failed: oneDNN refused, or an index among its inputs is out of range"));
    }
  }
  return absl::OkStatus();
}

const Program::Input* Program::FindInput(absl::string_view name) const {
  const auto found = std::ranges::find(inputs_, name, &Input::name);
  return found == inputs_.end() ? nullptr : &*found;
}

void* Program::input(absl::string_view name) const {
  const Input* found = FindInput(name);
  return found == nullptr ? nullptr : addresses_[static_cast<size_t>(found->slot)];
}

const TensorType* Program::input_type(absl::string_view name) const {
  const Input* found = FindInput(name);
  return found == nullptr ? nullptr : &found->type;
}

const void* Program::fetched(int i) const {
  return addresses_[static_cast<size_t>(fetched_[static_cast<size_t>(i)])];
}

}  // namespace hone::engine
