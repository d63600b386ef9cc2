#include "engine/ops/reshape.h"

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"

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
    if (l.desc(0).is_plain() && shape_.rank() > 0) {
      HONE_ASSIGN_OR_RETURN(const Lowering::Strided x, l.View(0));
      const auto strides = ReshapedStrides(x.desc.type().shape, x.desc.strides(), shape_);
      if (strides.has_value() && !x.desc.is_plain()) {
        l.OutputView(0, onednn::MemoryDesc::Strided({shape_, dtype}, *strides), x.slot);
        return absl::OkStatus();
      }
    }
    HONE_ASSIGN_OR_RETURN(const Slot x,
                          l.Input(0, onednn::MemoryDesc::Plain({l.input_type(0).shape, dtype})));
    l.OutputAlias(0, onednn::MemoryDesc::Plain({shape_, dtype}), x);
    return absl::OkStatus();
  }

  bool shares_memory() const override { return true; }

 private:
  Shape shape_;
};

}  // namespace

bool IsReshape(const Op& op) { return dynamic_cast<const ReshapeOp*>(&op) != nullptr; }

// Both shapes are split into the shortest runs of dimensions with as many elements; those of x must
// lie without gaps between them.
std::optional<std::vector<int64_t>> ReshapedStrides(const Shape& from,
                                                    const std::vector<int64_t>& strides,
                                                    const Shape& to) {
  std::vector<int64_t> result(static_cast<size_t>(to.rank()));
  int x_end = from.rank(), y_end = to.rank();
  while (x_end > 0 || y_end > 0) {
    int x = x_end, y = y_end;
    int64_t of_x = x > 0 ? from[--x] : 1, of_y = y > 0 ? to[--y] : 1;
    while (of_x != of_y) {
      if (of_x < of_y) {
        of_x *= from[--x];
      } else {
        of_y *= to[--y];
      }
    }
    for (int d = x_end - 1; d > x; --d) {
      const auto at = static_cast<size_t>(d);
      if (strides[at - 1] != strides[at] * from[d]) {
        return std::nullopt;
      }
    }
    int64_t stride = x_end > 0 ? strides[static_cast<size_t>(x_end - 1)] : 1;
    for (int d = y_end - 1; d >= y; --d) {
      result[static_cast<size_t>(d)] = stride;
      stride *= to[d];
    }
    x_end = x;
    y_end = y;
  }
  return result;
}

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
