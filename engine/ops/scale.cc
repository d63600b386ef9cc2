#include "engine/ops/scale.h"

#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/flat_memory.h"
#include "engine/graph/shape_checks.h"
#include "engine/kernels/arrays.h"

namespace hone::engine {
namespace {

class ScaleOp final : public Op {
 public:
  absl::string_view kind() const override { return "scale"; }

  Precision precision(int) const override { return {Precision::Rule::kFollows, 0}; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    if (in[1].shape.elements() != 1) {
      return WrongShape("the factor", "a scalar", in[1].shape);
    }
    return std::vector<TensorType>{{in[0].shape, DType::kF32}};
  }

  void Differentiate(Gradient& g) const override {
    g.Accumulate(0, [&] { return ScaleBy(g.graph(), g.dy(), g.input(1)); });
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    for (size_t i = 0; i < out[0].values.size(); ++i) {
      out[0].values[i] = in[0]->values[i] * (*in[1])[0];
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const onednn::MemoryDesc desc = FlatDesc(l.desc(0), l.output_dtype(0), true);
    HONE_ASSIGN_OR_RETURN(const Slot x, l.Input(0, desc));
    HONE_ASSIGN_OR_RETURN(const Slot factor, l.PlainInput(1));
    const Slot y = l.OutputInPlace(0, desc, 0);
    const int64_t n = FlatElements(desc);
    const DType dtype = desc.type().dtype;
    l.Emit(kind(), [=, threads = l.threads()](const Memory& m) {
      void* from = m[x];
      auto* by = m.as<float>(factor);
      void* to = m[y];
      ForElements(n, threads, [&](int64_t begin, int64_t end) {
        kernels::ScaleArray(dtype, *by, from, to, begin, end);
      });
    });
    return absl::OkStatus();
  }
};

}  // namespace

Value ScaleBy(Graph& graph, Value x, Value factor) {
  if (graph.IsConstant(factor, 1)) {
    return x;
  }
  return graph.Add(std::make_shared<ScaleOp>(), {x, factor});
}

}  // namespace hone::engine
