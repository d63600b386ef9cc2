#include "engine/ops/row_dot.h"

#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"
#include "engine/kernels/row_dot.h"

namespace hone::engine {
namespace {

using onednn::MemoryDesc;

// Inputs: x, dy. The gradient of the other factor: dy · x, row by row.
class RowDotGradientOp final : public Op {
 public:
  absl::string_view kind() const override { return "row_dot_gradient"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    return std::vector<TensorType>{{in[0].shape, DType::kF32}};
  }

  Cost EstimateCost(std::span<const TensorType> in,
                    std::span<const TensorType> out) const override {
    return {.flops = static_cast<double>(in[0].shape.elements()),
            .bytes = static_cast<double>(in[0].bytes() + in[1].bytes() + out[0].bytes())};
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const int64_t width = in[0]->shape.back();
    for (int64_t i = 0; i < in[0]->shape.elements(); ++i) {
      out[0][i] = (*in[0])[i] * (*in[1])[i / width];
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const Shape shape = l.input_type(0).shape;
    const int64_t width = shape.back(), rows = shape.elements() / width;
    const int parts = PartsFor(shape.elements(), l.threads());
    HONE_ASSIGN_OR_RETURN(const Slot x, l.PlainInput(0));
    HONE_ASSIGN_OR_RETURN(const Slot dy, l.PlainInput(1));
    const Slot dx = l.OutputInPlace(0, MemoryDesc::Plain(l.output_type(0)), 0);
    l.Emit(kind(), [=](const Memory& m) {
      const auto* from = m.as<float>(x);
      const auto* factors = m.as<float>(dy);
      auto* to = m.as<float>(dx);
      ForShares(rows, parts, [&](int64_t begin, int64_t end) {
        kernels::ScaleRows(factors, from, width, to, begin, end);
      });
    });
    return absl::OkStatus();
  }
};

class RowDotOp final : public Op {
 public:
  absl::string_view kind() const override { return "row_dot"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    if (in[0].shape.rank() < 1) {
      return WrongShape("the first input", "[…, width]", in[0].shape);
    }
    HONE_RETURN_IF_ERROR(CheckNotEmpty("the first input", in[0].shape));
    if (in[0].shape != in[1].shape) {
      return absl::InvalidArgumentError(
          absl::StrCat("cannot take the scalar product of ", in[0].shape.ToString(), " and ",
                       in[1].shape.ToString(), ": the shapes must be equal"));
    }
    std::vector<int64_t> dims = in[0].shape.dims();
    dims.back() = 1;
    return std::vector<TensorType>{{Shape(std::move(dims)), DType::kF32}};
  }

  // da = dy · b;  db = dy · a
  void Differentiate(Gradient& g) const override {
    const auto scaled = [&](int other) {
      return g.graph().Add(std::make_shared<RowDotGradientOp>(), {g.input(other), g.dy()});
    };
    g.Accumulate(0, [&] { return scaled(1); });
    g.Accumulate(1, [&] { return scaled(0); });
  }

  Cost EstimateCost(std::span<const TensorType> in,
                    std::span<const TensorType> out) const override {
    return {.flops = 2.0 * static_cast<double>(in[0].shape.elements()),
            .bytes = static_cast<double>(2 * in[0].bytes() + out[0].bytes())};
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const int64_t width = in[0]->shape.back();
    for (int64_t i = 0; i < in[0]->shape.elements(); ++i) {
      out[0][i / width] += (*in[0])[i] * (*in[1])[i];
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const Shape shape = l.input_type(0).shape;
    const int64_t width = shape.back(), rows = shape.elements() / width;
    const int parts = PartsFor(shape.elements(), l.threads());
    HONE_ASSIGN_OR_RETURN(const Slot a, l.PlainInput(0));
    HONE_ASSIGN_OR_RETURN(const Slot b, l.PlainInput(1));
    const Slot y = l.Output(0, MemoryDesc::Plain(l.output_type(0)));
    l.Emit(kind(), [=](const Memory& m) {
      const auto* u = m.as<float>(a);
      const auto* v = m.as<float>(b);
      auto* to = m.as<float>(y);
      ForShares(rows, parts,
                [&](int64_t begin, int64_t end) { kernels::RowDots(u, v, width, to, begin, end); });
    });
    return absl::OkStatus();
  }
};

}  // namespace

Value RowDot(Graph& graph, Value a, Value b) {
  return graph.Add(std::make_shared<RowDotOp>(), {a, b});
}

}  // namespace hone::engine
