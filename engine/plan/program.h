#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/graph/graph.h"
#include "engine/graph/lowering.h"
#include "engine/params/parameter_store.h"

namespace hone::engine {

class Placement;

// What to compile of a graph.
struct ProgramRequest {
  const Graph* graph = nullptr;
  // Values to read after a run; scalars and tensors, row major f32 (integers stay as they are).
  std::vector<Value> fetch;
  // Gradients and where they go: into the shard's gradient slab, at the parameter's place; those of
  // parameters that give rows stay in the arena (Program::row_gradients).
  std::vector<std::pair<Value, ParameterId>> gradients;
  // Apply Graph::Update in a run.
  bool update_buffers = false;

  // For a graph that another's op runs again and again.
  // Inputs that stay as they are between one Start and the next, and the parameter that is there,
  // −1 if it is none: they are brought into other layouts by Start, or by the store.
  struct Constant {
    std::string input;
    ParameterId parameter = -1;
  };
  std::vector<Constant> constants = {};
  // Inputs and what they take at the end of a run, all at once, as by Graph::Update. Their memory
  // is given by Place and nowhere else.
  std::vector<std::pair<Value, Value>> carries = {};
};

struct ProgramOptions {
  int threads = 1;
  int shard = 0;
  DType compute = DType::kF32;  // kBf16: products and what lies between them in bfloat16
};

// A graph planned once, to be run many times: a flat list of steps over one arena. Nothing is
// allocated, created or looked up in Run. Points into the store and the arena, which outlive it.
// Programs that never run at the same time may share an arena.
class Program {
 public:
  struct Step {
    std::string layer;
    std::string op;              // the op's kind, or "reorder"
    std::string implementation;  // such as "jit:avx512_core"
    bool backward = false;
    bool once = false;  // run by Start
    Cost cost;          // of the op; its first step carries it
    StepFunction run;
  };

  struct Input {
    std::string name;
    Slot slot;
    TensorType type;
  };

  // Plans: errors of the graph, of shapes, and of oneDNN; INTERNAL where gradients are asked for
  // and the store has no slab for the shard. The store is allocated.
  static absl::StatusOr<Program> Compile(const ProgramRequest& request, ParameterStore& store,
                                         const ProgramOptions& options);

  Program(Program&&) = default;
  Program& operator=(Program&&) = default;

  int64_t arena_bytes() const { return arena_bytes_; }
  // The input lies there instead of in the arena; before Bind. Nothing happens if the program does
  // not read it.
  void Place(absl::string_view input, void* data);
  // Gives the program its memory: `arena` has at least arena_bytes(), aligned to 64.
  absl::Status Bind(std::byte* arena);

  // INTERNAL if oneDNN refuses a step. The store's packed copies must be up to date.
  absl::Status Run(const RunScalars& scalars) const { return RunSteps(scalars, /*once=*/false); }
  // Brings constants into the layouts that ops want them in; before the first Run and when they
  // have changed. Nothing to do for a program without constants.
  absl::Status Start(const RunScalars& scalars) const { return RunSteps(scalars, /*once=*/true); }

  // Those that the program reads.
  const std::vector<Input>& inputs() const { return inputs_; }
  // Memory of the input with that name, to be filled before Run; null if the program does not read
  // it.
  void* input(absl::string_view name) const;
  // What lies there.
  const TensorType* input_type(absl::string_view name) const;
  // The i-th fetched value, good until the next run of a program on the same arena.
  const void* fetched(int i) const;
  const Shape& fetched_shape(int i) const { return fetched_shapes_[static_cast<size_t>(i)]; }
  int fetches() const { return static_cast<int>(fetched_.size()); }
  float fetched_scalar(int i) const { return *static_cast<const float*>(fetched(i)); }

  // Where a run leaves the gradient of a parameter that gives rows (graph/row_sums.h): good until
  // the next run of a program on the same arena.
  struct RowGradient {
    ParameterId id;
    const int32_t* rows;
    const float* sums;
    int64_t capacity;
  };
  const std::vector<RowGradient>& row_gradients() const { return row_gradients_; }

  const std::vector<Step>& steps() const { return steps_; }
  // Buffers that a run changes; their packed copies are stale afterwards.
  const std::vector<ParameterId>& updated() const { return updated_; }

  // For tests and `hone plan`: every slot's place and lifetime in the arena. One that lies inside
  // another is known by the other's number in the list.
  struct Interval {
    int64_t offset, bytes;
    int32_t first, last;  // steps, inclusive
    int32_t inside = -1;
  };
  const std::vector<Interval>& intervals() const { return intervals_; }

 private:
  struct SlotPlace {
    void* fixed = nullptr;  // in the store, or null: in the arena
    int64_t offset = 0;     // in the arena, or in the slot that it lies in
    Slot inside = -1;
    bool is_given = false;  // by Place
  };
  Program() = default;
  const Input* FindInput(absl::string_view name) const;
  // Where the slots are; the memory of those `given` is not known yet.
  void Settle(const Placement& placement, const std::vector<Slot>& given);
  absl::Status RunSteps(const RunScalars& scalars, bool once) const;

  std::vector<Step> steps_;
  std::vector<BindFunction> binds_;
  std::vector<SlotPlace> places_;
  std::vector<void*> addresses_;
  std::vector<Input> inputs_;
  std::vector<Slot> fetched_;
  std::vector<Shape> fetched_shapes_;
  struct RowSlots {
    ParameterId id;
    Slot rows, sums;
    int64_t capacity;
  };
  std::vector<RowSlots> row_slots_;
  std::vector<RowGradient> row_gradients_;
  std::vector<ParameterId> updated_;
  std::vector<Interval> intervals_;
  std::vector<Buffer> constants_;
  int64_t arena_bytes_ = 0;
};

}  // namespace hone::engine
