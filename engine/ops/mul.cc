#include "engine/ops/mul.h"

#include "absl/strings/str_cat.h"
#include "engine/graph/flat_memory.h"
#include "engine/kernels/arrays.h"

namespace hone::engine {
namespace {

class MulOp final : public Op {
 public:
  absl::string_view kind() const override { return "mul"; }

  Precision precision(int) const override { return {Precision::Rule::kWidest}; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    if (in[0].shape != in[1].shape) {
      return absl::InvalidArgumentError(absl::StrCat("cannot multiply ", in[0].shape.ToString(),
                                                     " by ", in[1].shape.ToString(),
                                                     ": the shapes must be equal"));
    }
    return std::vector<TensorType>{{in[0].shape, DType::kF32}};
  }

  // da = dy · b;  db = dy · a
  void Differentiate(Gradient& g) const override {
    g.Accumulate(0, [&] { return Mul(g.graph(), g.dy(), g.input(1)); });
    g.Accumulate(1, [&] { return Mul(g.graph(), g.dy(), g.input(0)); });
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    for (size_t i = 0; i < out[0].values.size(); ++i) {
      out[0].values[i] = in[0]->values[i] * in[1]->values[i];
    }
  }

  absl::Status Lower(Lowering& l) const override {
    return LowerElementwise(l, kind(), &kernels::MultiplyArrays);
  }
};

}  // namespace

Value Mul(Graph& graph, Value a, Value b) { return graph.Add(std::make_shared<MulOp>(), {a, b}); }

}  // namespace hone::engine
