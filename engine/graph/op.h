#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/tensor/activation_kind.h"
#include "engine/tensor/tensor.h"

namespace hone::engine {

class Graph;
class Lowering;

// One output of one node.
struct Value {
  int32_t node = -1;
  int32_t output = 0;

  bool valid() const { return node >= 0; }
  friend bool operator==(const Value&, const Value&) = default;
};

// What a run of a program is told beside its inputs: what random numbers are keyed by.
struct RunScalars {
  uint64_t seed = 0;
  uint64_t step = 0;
  int64_t first_example = 0;  // position in the whole batch of this program's first example
};

struct Cost {
  double flops = 0;  // a multiplication and an addition are two
  double bytes = 0;  // read and written once each
};

// Handed to Op::Differentiate: the gradient of the loss with respect to a node's outputs is known;
// the op adds the nodes that carry it to its inputs.
class Gradient {
 public:
  Graph& graph() const { return graph_; }
  const Value& input(int i) const { return inputs_[static_cast<size_t>(i)]; }
  int input_count() const { return static_cast<int>(inputs_.size()); }
  Value output(int i) const { return outputs_[static_cast<size_t>(i)]; }
  // The gradient with respect to output i; not valid if the loss does not depend on it.
  Value dy(int i = 0) const { return dy_[static_cast<size_t>(i)]; }
  // Whether anybody asked for the gradient with respect to input i.
  bool Needs(int i) const { return needs_[static_cast<size_t>(i)]; }
  // Adds make() to the gradient of input i; make is called only if it is needed.
  void Accumulate(int i, absl::FunctionRef<Value()> make);
  // Input i is a table [rows, width]: adds `dy`, which has the index's dimensions and the width, to
  // the rows that `index` names, and nothing to the others (graph/row_sums.h).
  void AccumulateRows(int i, Value dy, Value index);

 private:
  friend struct Differentiation;
  struct Rows {
    int input;
    Value dy;
    Value index;
  };
  explicit Gradient(Graph& graph) : graph_(graph) {}

  Graph& graph_;
  std::vector<Value> inputs_;
  std::vector<Value> outputs_;
  std::vector<Value> dy_;
  std::vector<bool> needs_;
  std::vector<Value> made_;
  std::vector<Rows> rows_;
};

// Which element type a real result of an op has in memory. A program that computes in f32 and reads
// nothing but f32 has f32 everywhere; the others follow these rules, and nothing else decides.
struct Precision {
  enum class Rule {
    kF32,  // always
    // What products are computed in: bf16 where the program computes in it. f32 still where the
    // value becomes a parameter's gradient without another product.
    kComputed,
    // As the input numbered `input` is, where the program computes in bf16.
    kFollows,
    // f32 if any real input is, else bf16: the same whichever of two summands comes first.
    kWidest,
    // bf16 where the program computes in it and products alone read the value, as it is or through
    // ops that follow it: what they multiply is rounded anyway. Who fetches it does not count.
    kForProducts,
    kCopied,  // as that input is, whatever the program computes in: the op moves elements
    kOwn,     // the op's own bytes, read by nothing but its gradient
  };
  Rule rule = Rule::kF32;
  int input = 0;
};

// What an op is told beside its inputs: numbers by name, flags as 0 and 1.
using OpAttributes = std::map<std::string, std::vector<double>>;

// A coarse operation, everything about it in one class. Immutable; shared by the nodes of graphs.
class Op {
 public:
  virtual ~Op() = default;

  // Such as "conv2d": for tables, profiles and messages.
  virtual absl::string_view kind() const = 0;

  // For those who write a graph down in another form (export/onnx_graph.h). As it stands here: an
  // op that is told nothing, or that has no such form.
  virtual OpAttributes attributes() const { return {}; }

  // Types of the outputs; INVALID_ARGUMENT naming the dimension that does not fit.
  virtual absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const = 0;

  // Adds the gradient's nodes. The default fails the graph: the op has no gradient.
  virtual void Differentiate(Gradient& gradient) const;

  virtual Cost EstimateCost(std::span<const TensorType> in, std::span<const TensorType> out) const;

  // Plain loops in double, row major: the definition of the op. Outputs have their shapes and are
  // zero.
  virtual void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                         const RunScalars& scalars) const = 0;

  // Of output i, where its dtype is f32; integers stay what they are.
  virtual Precision precision(int output) const;

  // Of an op whose results are f32: it reads real inputs as they lie, f32 or bf16, or multiplies
  // them in the program's type.
  virtual bool takes_bf16() const { return false; }

  // The input of which output 0 is a copy with a part changed, −1 if none. Where a buffer takes the
  // output, the part alone is written, in place, after all others have read the buffer.
  virtual int changed_input() const { return -1; }
  // Output 0 may lie in the memory of input 0.
  virtual bool shares_memory() const { return false; }

  // Emits the steps that compute it.
  virtual absl::Status Lower(Lowering& lowering) const = 0;

  // The same op with an activation computed on output 0 in the same pass; null if it has none.
  virtual std::shared_ptr<const Op> WithActivation(ActivationKind kind) const;
};

}  // namespace hone::engine
