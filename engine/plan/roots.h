#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "engine/plan/program.h"

namespace hone::engine {

// What a program is asked for, as values of the graph that the passes rewrite.
struct Roots {
  struct Gradient {
    Value value;
    ParameterId id;
  };
  // A RowSums, and its rows, which several may share.
  struct RowGradient {
    Value sums;
    Value rows;
    ParameterId id;
  };
  // At the end of a run the buffer takes the value; all buffers at once.
  struct Update {
    ParameterId id;  // −1: an input of the graph, a carry
    // The buffer's, in the store. A carry's is given later: until then it stands for it.
    void* memory;
    Value value;
    Value target = {};  // the buffer or the input
  };
  std::vector<Value> fetch;
  std::vector<Gradient> gradients;
  std::vector<RowGradient> row_gradients = {};
  std::vector<Update> updates;

  template <typename Body>
  void ForEachValue(Body&& body) const {
    const_cast<Roots*>(this)->ForEachValue([&](Value& value) { body(std::as_const(value)); });
  }
  template <typename Body>
  void ForEachValue(Body&& body) {
    for (Value& value : fetch) {
      body(value);
    }
    for (Gradient& gradient : gradients) {
      body(gradient.value);
    }
    for (RowGradient& gradient : row_gradients) {
      body(gradient.sums);
      body(gradient.rows);
    }
    for (Update& update : updates) {
      body(update.value);
    }
  }
};

// INVALID_ARGUMENT: the gradient of a parameter that the loss does not depend on. INTERNAL: a
// gradient for a shard without a slab, rows of a parameter that does not give them, or the reverse.
absl::StatusOr<Roots> RootsOf(const ProgramRequest& request, ParameterStore& store, int shard);

}  // namespace hone::engine
