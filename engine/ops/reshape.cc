#include "engine/ops/reshape.h"

#include "engine/base/status.h"
#include "engine/graph/dims.h"

namespace hone::engine {
namespace {

class ReshapeOp final : public Op {
 public:
  explicit ReshapeOp(Shape shape) : shape_(std::move(shape)) {}

  absl::string_view kind() const override { return "reshape"; }

  Precision precision(int) const override { return {Precision::Rule::kCopied}; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    if (in[0].shape.elements() != shape_.elements()) {
      return absl::InvalidArgumentError(
          absl::StrCat("cannot reshape ", in[0].shape.ToString(), " into ", shape_.ToString(), ": ",
                       in[0].shape.elements(), " elements against ", shape_.elements()));
    }
    return std::vector<TensorType>{{shape_, in[0].dtype}};
  }

  void Differentiate(Gradient& g) const override {
    g.Accumulate(0, [&] { return Reshape(g.graph(), g.dy(), g.graph().shape(g.input(0))); });
  }

  Cost EstimateCost(std::span<const TensorType>, std::span<const TensorType>) const override {
    return {};
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    out[0].values = in[0]->values;
  }

  absl::Status Lower(Lowering& l) const override {
    const DType dtype = l.output_dtype(0);
    HONE_ASSIGN_OR_RETURN(const Slot x,
                          l.Input(0, onednn::MemoryDesc::Plain({l.input_type(0).shape, dtype})));
    l.OutputAlias(0, onednn::MemoryDesc::Plain({shape_, dtype}), x);
    return absl::OkStatus();
  }

 private:
  Shape shape_;
};

}  // namespace

Value Reshape(Graph& graph, Value x, const Shape& shape) {
  if (graph.shape(x) == shape) {
    return x;
  }
  return graph.Add(std::make_shared<ReshapeOp>(shape), {x});
}

Value Flatten(Graph& graph, Value x) {
  const Shape& shape = graph.shape(x);
  if (shape.rank() == 0 || shape[0] == 0) {
    return graph.Fail(WrongShape("flatten: the input", "[batch, ...]", shape));
  }
  return Reshape(graph, x, Shape{shape[0], shape.elements() / shape[0]});
}

}  // namespace hone::engine
