#pragma once

#include <functional>
#include <vector>

#include "engine/graph/graph.h"

namespace hone::engine {

// What a loop over time works on, in the graph around it. [time, …] is outermost first.
struct ScanInputs {
  std::vector<Value> carries;    // what the state is at first, each of any shape
  std::vector<Value> sequences;  // [time, …]: the body sees one step, without that dimension
  std::vector<Value> constants;  // the same at every step: weights, an encoder's output
};

// What the body sees at one step, as inputs of its own graph and in the same order …
struct ScanStep {
  std::vector<Value> carries;
  std::vector<Value> sequences;
  std::vector<Value> constants;
};

// … and what it makes of it.
struct ScanStepResult {
  std::vector<Value> carries;  // the state at the next step: as many, of the same types
  std::vector<Value> outputs;  // collected over time
};

using ScanBody = std::function<ScanStepResult(Graph& body, const ScanStep& step)>;

struct ScanResult {
  std::vector<Value> carries;  // after the last step
  std::vector<Value> outputs;  // [time, …]
};

struct ScanOptions {
  int64_t steps = 0;     // time: as long as the sequences
  bool reverse = false;  // from the last step to the first; outputs keep their places
};

// A loop over time (Appendix of Bradbury et al., JAX: `lax.scan`): a graph in a graph, planned once
// and run for each step. Its gradient is another scan, run the other way, that computes each step's
// forward pass again from the state the step began with (Chen et al., "Training Deep Nets with
// Sublinear Memory Cost", 2016): of the body only the carries are kept. That scan has no gradient
// of its own: UNIMPLEMENTED.
//
// The body declares no parameters and updates no buffers: what it needs comes in as a constant.
// Random ops in it draw the same numbers at every step (Gal and Ghahramani, "A Theoretically
// Grounded Application of Dropout in Recurrent Neural Networks", 2016). Values are f32, sequences
// and constants also integers.
ScanResult Scan(Graph& graph, const ScanInputs& inputs, const ScanOptions& options,
                const ScanBody& body);

}  // namespace hone::engine
