#include "engine/graph/sum.h"

#include "absl/strings/str_cat.h"
#include "engine/graph/flat_memory.h"
#include "engine/kernels/arrays.h"

namespace hone::engine {
namespace {

class AddOp final : public Op {
 public:
  absl::string_view kind() const override { return "add"; }

  Precision precision(int) const override { return {Precision::Rule::kWidest}; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    if (in[0].shape != in[1].shape) {
      return absl::InvalidArgumentError(absl::StrCat("cannot add ", in[0].shape.ToString(), " and ",
                                                     in[1].shape.ToString(),
                                                     ": the shapes must be equal"));
    }
    return std::vector<TensorType>{{in[0].shape, DType::kF32}};
  }

  void Differentiate(Gradient& g) const override {
    g.Accumulate(0, [&] { return g.dy(); });
    g.Accumulate(1, [&] { return g.dy(); });
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    for (size_t i = 0; i < out[0].values.size(); ++i) {
      out[0].values[i] = in[0]->values[i] + in[1]->values[i];
    }
  }

  absl::Status Lower(Lowering& l) const override {
    return LowerElementwise(l, kind(), &kernels::AddArrays);
  }
};

}  // namespace

Value Sum(Graph& graph, Value a, Value b) { return graph.Add(std::make_shared<AddOp>(), {a, b}); }

}  // namespace hone::engine
