#include "engine/ops/mul.h"

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
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
    const DType dtype = l.output_dtype(0);
    const int leader = LeadingInput(l);
    const onednn::MemoryDesc desc = FlatDesc(l.desc(leader), dtype, true);
    HONE_ASSIGN_OR_RETURN(const Slot a, l.Input(0, desc));
    HONE_ASSIGN_OR_RETURN(const Slot b, l.Input(1, desc));
    const Slot y = l.OutputInPlace(0, desc, leader);
    const int64_t n = FlatElements(desc);
    l.Emit(kind(), [=, threads = l.threads()](const Memory& m) {
      void* from_a = m[a];
      void* from_b = m[b];
      void* to = m[y];
      ForElements(n, threads, [&](int64_t begin, int64_t end) {
        kernels::MultiplyArrays(dtype, from_a, from_b, to, begin, end);
      });
    });
    return absl::OkStatus();
  }
};

}  // namespace

Value Mul(Graph& graph, Value a, Value b) { return graph.Add(std::make_shared<MulOp>(), {a, b}); }

}  // namespace hone::engine
