#pragma once

#include <functional>
#include <memory>
#include <span>
#include <type_traits>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/graph/op.h"
#include "engine/onednn/primitive.h"

namespace hone::engine {

// A piece of a program's memory; its address is known when the program is bound.
using Slot = int32_t;

// Where the slots are. A value; good while the program is bound.
class Memory {
 public:
  explicit Memory(std::span<void* const> addresses) : addresses_(addresses) {}
  void* operator[](Slot slot) const { return addresses_[static_cast<size_t>(slot)]; }
  template <typename T>
  T* as(Slot slot) const {
    return static_cast<T*>(addresses_[static_cast<size_t>(slot)]);
  }

 private:
  std::span<void* const> addresses_;
};

// Does the work; false if oneDNN refused. Allocates nothing.
using StepFunction = std::function<bool(const RunScalars&)>;
// Called once when addresses are known.
using BindFunction = std::function<absl::StatusOr<StepFunction>(const Memory&)>;

// Brings row major f32 into a layout of an op's own. Allocates nothing.
using PackFunction = std::function<void(const float* values, void* packed)>;

// What to plan of a graph inside another's program.
struct SubprogramRequest {
  std::vector<Value> fetch;
  // Inputs that are the same in every run, by name, and which input of the op they are. What the
  // body's ops want in another layout is brought there once, parameters by the store.
  std::vector<std::pair<std::string, int>> constants = {};
  // Inputs and what they take at the end of a run, all at once: in place where nothing reads the
  // old ones afterwards. They must be placed.
  std::vector<std::pair<Value, Value>> carries = {};
};

// A graph planned inside another's program, for an op that runs it itself. Its memory is a scratch
// slot of that op; nothing is allocated in Run.
class Subprogram {
 public:
  virtual ~Subprogram() = default;

  virtual int64_t arena_bytes() const = 0;
  // The input lies there instead of in the arena; before Bind.
  virtual void Place(absl::string_view input, void* data) = 0;
  virtual absl::Status Bind(std::byte* arena) = 0;
  // Before the first Run, and when constants have changed. False if oneDNN refused.
  virtual bool Start(const RunScalars& scalars) const = 0;
  // Memory of an input, to be filled before Run; null if nothing reads it.
  virtual void* input(absl::string_view name) const = 0;
  virtual const void* fetched(size_t i) const = 0;
  // False if oneDNN refused.
  virtual bool Run(const RunScalars& scalars) const = 0;
};

// Handed to Op::Lower: what the op may ask of the plan, and where it leaves its steps. Layouts flow
// with the values: an op sees how its producer left an input and either takes it so or asks for
// another layout, which costs a reorder.
//
// What an op keeps to:
// - Input(i) gives the memory as the producer left it, whatever layout and element type that is:
//   only for an op that has asked desc(i), or for integers, which are always row major. An op that
//   needs a certain layout says so, or uses PlainInput. A value that lies among others, as a part
//   of a tensor does, is copied out first; an op that can step over gaps asks for a View instead.
// - All Input… calls before any Output…: they say what is read now, and OutputInPlace may take the
//   memory of an input only if that is known. Later steps of the same op see all of its memory.
// - In place an op may read element i of that input only before it writes element i of the output.
// - Memory that holds more than the elements (MemoryDesc::has_padding) is zero there and is left
//   so: products run over it. Who writes such a layout keeps zero where the inputs are zero, or
//   asks for another layout (FlatDesc in flat_memory.h).
// - A real output has the element type output_dtype(i); a plan in which it does not is INTERNAL.
// - Every wanted output is given a place exactly once; one that is not wanted may be left out.
class Lowering {
 public:
  virtual ~Lowering() = default;

  virtual const TensorType& input_type(int i) const = 0;
  virtual const TensorType& output_type(int i) const = 0;
  // The layer's name.
  virtual absl::string_view name() const = 0;
  // As many as the steps may use.
  virtual int threads() const = 0;
  // What products multiply: f32 or bf16.
  virtual DType compute_dtype() const = 0;
  // The element type that output i must have in memory, by the op's rule (Precision).
  virtual DType output_dtype(int output) const = 0;
  // Somebody reads output i.
  virtual bool wanted(int output) const = 0;

  // How input i is laid out where its producer left it.
  virtual onednn::MemoryDesc desc(int input) const = 0;
  // The element type in which input i is kept: bf16 of a parameter that ops see as f32 unless they
  // ask for it so, which then costs no conversion.
  virtual DType kept_dtype(int input) const = 0;
  // Input i in that layout, or in another one and another element type: a reorder step, or for a
  // parameter a packed copy.
  virtual Slot Input(int i) = 0;
  absl::StatusOr<Slot> Input(int i, const onednn::MemoryDesc& desc_wanted) {
    return Input(i, desc_wanted, desc(i));
  }
  // The same where the op sees the input's memory with other extents or strides than the graph:
  // `seen_as` describes the memory that is there (a transposed matrix, a grouped kernel), which
  // must be as desc(i) says, row major as a rule: parameters are. Its element type is desc(i)'s.
  virtual absl::StatusOr<Slot> Input(int i, const onednn::MemoryDesc& wanted,
                                     const onednn::MemoryDesc& seen_as) = 0;
  // Row major f32.
  absl::StatusOr<Slot> PlainInput(int i) {
    return Input(i, onednn::MemoryDesc::Plain({input_type(i).shape, DType::kF32}));
  }
  // Input i, of the element type that it has, as elements at strides: where it lies, if its
  // producer left it so, else row major.
  struct Strided {
    onednn::MemoryDesc desc;
    Slot slot;
  };
  virtual absl::StatusOr<Strided> View(int i) = 0;
  // Input i as `pack` makes it of the row major f32: of a parameter (or a constant that is one) a
  // copy in the store, shared by all who ask with the same key and packed again when the parameter
  // has changed; else a step. The key names the layout and all that it depends on.
  virtual absl::StatusOr<Slot> PackedInput(int i, absl::string_view key, int64_t bytes,
                                           const PackFunction& pack) = 0;

  // Memory for output i laid out as desc.
  virtual Slot Output(int i, const onednn::MemoryDesc& desc) = 0;
  // The same, on top of input `input` (as Input(input) gives it, same layout) if nothing reads that
  // later: in the arena, or in a buffer that takes this output's value.
  virtual Slot OutputInPlace(int i, const onednn::MemoryDesc& desc, int input) = 0;
  // Output i is the slot `slot`, seen with another shape: no step.
  virtual void OutputAlias(int i, const onednn::MemoryDesc& desc, Slot slot) = 0;
  // The same with strides, row major or not and with gaps: only those who ask for a View see them.
  virtual void OutputView(int i, const onednn::MemoryDesc& desc, Slot slot) = 0;
  // The part of a slot that begins there: `bytes` from `offset` on.
  virtual Slot Inside(Slot whole, int64_t offset, int64_t bytes) = 0;
  virtual Slot Scratch(int64_t bytes) = 0;
  // The slot `part` is what begins `offset` bytes behind the beginning of `whole`.
  virtual bool Lies(Slot part, Slot whole, int64_t offset) const = 0;

  // How output 0 would be laid out in a part of another tensor, into which its only reader would
  // copy it; empty where there is none. And output 0 there: who has asked, and can write such a
  // layout, saves the copy.
  virtual onednn::MemoryDesc destination() const = 0;
  virtual Slot OutputAtDestination() = 0;

  // Plans a graph of its own with the same threads and precision; `graph` is not needed afterwards.
  virtual absl::StatusOr<std::shared_ptr<Subprogram>> Plan(const Graph& graph,
                                                           const SubprogramRequest& request) = 0;

  // A step. `label` is for profiles, such as "relu" or a primitive's implementation. `bind` is for
  // steps that make something of the addresses once.
  virtual void Emit(absl::string_view label, BindFunction bind) = 0;
  // A step that does nothing but this at each run: body(memory), or body(memory, scalars), which is
  // false where it failed.
  template <typename Body>
  requires std::is_void_v<std::invoke_result_t<const Body&, const Memory&>>
  void Emit(absl::string_view label, Body body) {
    Emit(label, [body](const Memory& memory) -> absl::StatusOr<StepFunction> {
      return [body, memory](const RunScalars&) {
        body(memory);
        return true;
      };
    });
  }
  template <typename Body>
  requires std::is_same_v<bool, std::invoke_result_t<const Body&, const Memory&, const RunScalars&>>
  void Emit(absl::string_view label, Body body) {
    Emit(label, [body](const Memory& memory) -> absl::StatusOr<StepFunction> {
      return [body, memory](const RunScalars& scalars) { return body(memory, scalars); };
    });
  }

  // A step that runs a primitive; its scratchpad is taken care of.
  void EmitPrimitive(const onednn::Primitive& primitive,
                     std::vector<std::pair<onednn::Arg, Slot>> arguments);

 protected:
  // What binds it, with its scratchpad.
  BindFunction BindPrimitive(const onednn::Primitive& primitive,
                             std::vector<std::pair<onednn::Arg, Slot>> arguments);
};

}  // namespace hone::engine
