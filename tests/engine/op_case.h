#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/graph/graph.h"
#include "engine/tensor/tensor.h"

// Small graphs that the ops are tested with: the reference interpreter against finite differences,
// and the planned program against the reference interpreter.
namespace hone::engine {

// What a tensor of a case is filled with; the same for the same shape and position in the case.
// All numbers are exact in bfloat16, so that converting an input is no error.
enum class Fill {
  kSpread,    // ± 1/64 … 125/64; neighbours differ, and none is 0: far from kinks
  kPositive,  // 1/2 … 5/2
  kPowers,    // ± 1/2, 1, 2: products with the others are exact in bfloat16 too
  kExtreme,   // ± 1/2, 90, 178, 1000: beyond where exp overflows or vanishes in float
};

// Adds a case's inputs to its graph and keeps their numbers.
class CaseBuilder {
 public:
  explicit CaseBuilder(Graph& g) : graph(g) {}

  // Both are differentiated; the gradient of a parameter lands in the store's slab.
  Value Parameter(const Shape& shape, Fill fill = Fill::kSpread);
  Value Input(const Shape& shape, Fill fill = Fill::kSpread);
  // Not differentiated.
  Value Buffer(const Shape& shape, Fill fill = Fill::kSpread);
  Value Bytes(const Shape& shape);
  // One label in [0, classes) for each example; example 1 has −1 if asked for.
  Value Labels(int64_t batch, int64_t classes, bool ignore_one = false);
  // Offsets of sequences of such lengths.
  Value Offsets(const std::vector<int>& lengths);

  Graph& graph;
  std::map<std::string, std::vector<float>> numbers;  // by name of input or parameter
  std::vector<Value> differentiated;

 private:
  std::string NextName(absl::string_view kind);
  Value Keep(Value value, const std::string& name, std::vector<float> numbers);
  std::vector<float> Numbers(const Shape& shape, Fill fill) const;
};

// The values that are compared. Gradients flow from all f32 ones of `outputs`.
struct CaseOutputs {
  std::vector<Value> outputs;
  std::vector<Value> not_differentiated;
};

struct OpCase {
  std::string name;
  std::function<CaseOutputs(CaseBuilder&)> build;
  // Norm of the difference over the norm, for each output and gradient.
  double f32_tolerance = 1e-5;
  double bf16_tolerance = 1.5e-2;
};

// Defined in op_cases_*.cc.
std::vector<OpCase> ProductCases();
std::vector<OpCase> PoolCases();
std::vector<OpCase> ElementwiseCases();
std::vector<OpCase> LossCases();
std::vector<OpCase> NormalizationCases();
std::vector<OpCase> ShapeCases();
std::vector<OpCase> ScanCases();
std::vector<OpCase> SequenceCases();
std::vector<OpCase> DecoderCases();
std::vector<OpCase> AllCases();

// A case built: its graph, the loss that all outputs are contracted to, and its gradients.
struct BuiltCase {
  explicit BuiltCase(const OpCase& what);

  Graph graph;
  CaseBuilder builder{graph};
  CaseOutputs outputs;
  Value loss;
  std::vector<Value> gradients;  // of builder.differentiated; may be invalid: no dependence

  // The numbers of an input or parameter.
  DoubleTensor Source(const Graph::Node& node) const;
};

// What a program is asked for. Fetched values are kept apart, so that only kLossAlone lets the plan
// write over the very outputs of the op.
enum class Asked {
  kEverything,  // the outputs, differentiated ones first, and all gradients that exist
  kLossAlone,   // the loss, and the gradients of parameters that exist
};

// What a run gives: of each of these, in their order, the numbers.
using CaseResult = std::vector<std::vector<double>>;
absl::StatusOr<CaseResult> RunReference(const BuiltCase& built, Asked asked = Asked::kEverything);
// Runs the program twice: a second run on the same arena must give the same bits, else INTERNAL.
absl::StatusOr<CaseResult> RunProgram(const BuiltCase& built, DType compute, int threads,
                                      Asked asked = Asked::kEverything);

// |a − b| / |b|, Euclidean.
double RelativeError(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace hone::engine
