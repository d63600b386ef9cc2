#include "engine/ops/dropout.h"

#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/graph/dims.h"

namespace hone::engine {
namespace {

// The gradient is the same op on dy: it makes the same mask again instead of keeping it.
class DropoutOp final : public Op {
 public:
  DropoutOp(float rate, uint64_t layer, bool gradient)
      : rate_(rate), layer_(layer), gradient_(gradient) {}

  absl::string_view kind() const override { return gradient_ ? "dropout_gradient" : "dropout"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    if (in[0].shape.rank() < 1) {
      return WrongShape("the input", "[batch, ...]", in[0].shape);
    }
    HONE_RETURN_IF_ERROR(CheckNotEmpty("the input", in[0].shape));
    return std::vector<TensorType>{{in[0].shape, DType::kF32}};
  }

  void Differentiate(Gradient& g) const override {
    g.Accumulate(0, [&] {
      return g.graph().Add(std::make_shared<DropoutOp>(rate_, layer_, true), {g.dy()});
    });
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars& scalars) const override {
    const uint64_t key = Key(scalars), first = First(scalars, in[0]->shape);
    for (size_t i = 0; i < in[0]->values.size(); ++i) {
      const bool kept = kernels::DropoutKeeps(rate_, key, first + i);
      out[0].values[i] = kept ? in[0]->values[i] / (1 - double{rate_}) : 0;
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const Shape shape = l.input_type(0).shape;
    // Row major: the mask counts elements as the graph does.
    const onednn::MemoryDesc desc =
        onednn::MemoryDesc::Plain({shape, ActivationDType(l.desc(0).type())});
    HONE_ASSIGN_OR_RETURN(const Slot x, l.Input(0, desc));
    const Slot y = l.OutputInPlace(0, desc, 0);
    const DType dtype = desc.type().dtype;
    l.Emit(kind(),
           [=, op = *this, threads = l.threads()](const Memory& m) -> absl::StatusOr<StepFunction> {
             return [=, from = m[x], to = m[y]](const RunScalars& scalars) {
               const uint64_t key = op.Key(scalars), first = op.First(scalars, shape);
               ForSlices(shape.elements(), threads, [&](int64_t begin, int64_t end) {
                 kernels::Dropout(dtype, op.rate_, key, first + static_cast<uint64_t>(begin),
                                  At(from, dtype, begin), At(to, dtype, begin), end - begin);
               });
               return true;
             };
           });
    return absl::OkStatus();
  }

 private:
  uint64_t Key(const RunScalars& scalars) const {
    const auto words =
        Philox({static_cast<uint32_t>(scalars.step), static_cast<uint32_t>(scalars.step >> 32),
                static_cast<uint32_t>(layer_), static_cast<uint32_t>(layer_ >> 32)},
               {static_cast<uint32_t>(scalars.seed), static_cast<uint32_t>(scalars.seed >> 32)});
    return uint64_t{words[1]} << 32 | words[0];
  }
  static uint64_t First(const RunScalars& scalars, const Shape& x) {
    return static_cast<uint64_t>(scalars.first_example * (x.elements() / x[0]));
  }

  float rate_;
  uint64_t layer_;
  bool gradient_;
};

}  // namespace

Value Dropout(Graph& graph, Value x, float rate) {
  if (!(rate >= 0 && rate < 1)) {
    return graph.Fail(absl::InvalidArgumentError(
        absl::StrCat("dropout ", graph.scope(), ": the rate must be in [0, 1), got ", rate)));
  }
  if (rate == 0) {
    return x;
  }
  int64_t before = 0;
  for (const Graph::Node& node : graph.nodes()) {
    before += node.op != nullptr && node.name == graph.scope() && node.op->kind() == "dropout";
  }
  const uint64_t layer = NameHash(absl::StrCat(graph.scope(), "/dropout", before));
  return graph.Add(std::make_shared<DropoutOp>(rate, layer, false), {x});
}

}  // namespace hone::engine
