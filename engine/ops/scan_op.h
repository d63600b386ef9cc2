#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/graph/lowering.h"
#include "engine/ops/scan.h"

// The op behind ops/scan.h, for the files that make it up: scan.cc builds it and runs the
// reference, scan_gradient.cc differentiates it, scan_lowering.cc plans it.
namespace hone::engine {

// The body and which of its values mean what.
struct ScanBodyGraph {
  Graph graph;
  ScanStep step;
  ScanStepResult result;

  // What the reference interprets.
  std::vector<Value> All() const {
    std::vector<Value> all = result.carries;
    all.insert(all.end(), result.outputs.begin(), result.outputs.end());
    return all;
  }
};

// Of the n-th run of the body.
inline int64_t TimeOf(int64_t n, const ScanOptions& options) {
  return options.reverse ? options.steps - 1 - n : n;
}

// Adds the inputs of a body, named by kind and number.
class BodyInputs {
 public:
  explicit BodyInputs(Graph& body) : body_(body) {}

  Value Add(absl::string_view kind, const TensorType& type) {
    return body_.Input(absl::StrCat(kind, body_.nodes().size()), type);
  }

 private:
  Graph& body_;
};

// Inputs: carries, sequences, constants. Outputs: the carries after the last step, the outputs over
// time, and for the gradient each carry as it was at the beginning of each step.
class ScanOp final : public Op {
 public:
  ScanOp(ScanBodyGraph body, const ScanOptions& options)
      : body_(std::move(body)), options_(options) {}

  absl::string_view kind() const override { return "scan"; }

  // Its body decides for itself; where it is large, it multiplies.
  bool takes_bf16() const override { return true; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(std::span<const TensorType> in) const override;
  void Differentiate(Gradient& g) const override;

  Cost EstimateCost(std::span<const TensorType> in, std::span<const TensorType> out) const override;
  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars& scalars) const override;
  absl::Status Lower(Lowering& l) const override;

 private:
  class Backwards;  // scan_gradient.cc
  struct Parts;     // scan_lowering.cc

  absl::StatusOr<std::shared_ptr<Subprogram>> PlanBody(Lowering& l) const;
  absl::StatusOr<Parts> PlaceParts(Lowering& l) const;

  std::string NameInBody(Value value) const { return body_.graph.node(value.node).name; }
  // Places among the node's inputs.
  int CarryInput(size_t i) const { return static_cast<int>(i); }
  int SequenceInput(size_t i) const { return static_cast<int>(carries() + i); }
  int ConstantInput(size_t i) const { return static_cast<int>(carries() + sequences() + i); }
  // Places among its outputs: a carry after the last step, what is collected over time, and a carry
  // as it was at the beginning of each step.
  int CarryOutput(size_t i) const { return static_cast<int>(i); }
  int CollectedOutput(size_t i) const { return static_cast<int>(carries() + i); }
  int HistoryOutput(size_t i) const { return static_cast<int>(carries() + outputs() + i); }
  size_t carries() const { return body_.step.carries.size(); }
  size_t sequences() const { return body_.step.sequences.size(); }
  size_t constants() const { return body_.step.constants.size(); }
  size_t outputs() const { return body_.result.outputs.size(); }

  ScanBodyGraph body_;
  ScanOptions options_;
};

// Adds the op's node to the graph. Inputs are carries, sequences, constants.
ScanResult AddScan(Graph& graph, const std::vector<Value>& inputs, ScanBodyGraph body,
                   const ScanOptions& options);

inline std::vector<Value> Joined(std::vector<Value> a, const std::vector<Value>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace hone::engine
