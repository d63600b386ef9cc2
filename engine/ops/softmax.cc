#include "engine/ops/softmax.h"

#include <algorithm>
#include <cmath>

#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"
#include "engine/kernels/softmax.h"

namespace hone::engine {
namespace {

using onednn::MemoryDesc;

// Inputs: y, dy. dx = y · (dy − Σ dy · y) of each row.
class SoftmaxGradientOp final : public Op {
 public:
  absl::string_view kind() const override { return "softmax_gradient"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    return std::vector<TensorType>{{in[0].shape, DType::kF32}};
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const DoubleTensor &y = *in[0], &dy = *in[1];
    const int64_t n = y.shape.back();
    for (int64_t row = 0; row < y.shape.elements(); row += n) {
      double product = 0;
      for (int64_t i = row; i < row + n; ++i) {
        product += y[i] * dy[i];
      }
      for (int64_t i = row; i < row + n; ++i) {
        out[0][i] = y[i] * (dy[i] - product);
      }
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const Shape shape = l.input_type(0).shape;
    const int64_t n = shape.back(), rows = shape.elements() / n;
    const int parts = PartsFor(shape.elements(), l.threads());
    HONE_ASSIGN_OR_RETURN(const Slot y, l.PlainInput(0));
    HONE_ASSIGN_OR_RETURN(const Slot dy, l.PlainInput(1));
    const Slot dx = l.OutputInPlace(0, MemoryDesc::Plain(l.output_type(0)), 1);
    l.Emit(kind(), [=](const Memory& m) {
      auto* a = m.as<float>(y);
      auto* b = m.as<float>(dy);
      auto* to = m.as<float>(dx);
      ForShares(rows, parts, [&](int64_t begin, int64_t end) {
        kernels::SoftmaxGradient(a, b, n, to, begin, end);
      });
    });
    return absl::OkStatus();
  }
};

class SoftmaxOp final : public Op {
 public:
  absl::string_view kind() const override { return "softmax"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    if (in[0].shape.rank() < 1) {
      return WrongShape("the input", "[..., classes]", in[0].shape);
    }
    HONE_RETURN_IF_ERROR(CheckNotEmpty("the input", in[0].shape));
    return std::vector<TensorType>{{in[0].shape, DType::kF32}};
  }

  void Differentiate(Gradient& g) const override {
    g.Accumulate(0, [&] {
      return g.graph().Add(std::make_shared<SoftmaxGradientOp>(), {g.output(0), g.dy()});
    });
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const int64_t n = in[0]->shape.back();
    for (int64_t row = 0; row < in[0]->shape.elements(); row += n) {
      const double* x = in[0]->values.data() + row;
      const double top = *std::max_element(x, x + n);
      double sum = 0;
      for (int64_t i = 0; i < n; ++i) {
        sum += out[0][row + i] = std::exp(x[i] - top);
      }
      for (int64_t i = 0; i < n; ++i) {
        out[0][row + i] /= sum;
      }
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const Shape shape = l.input_type(0).shape;
    const int64_t n = shape.back(), rows = shape.elements() / n;
    const int parts = PartsFor(shape.elements(), l.threads());
    HONE_ASSIGN_OR_RETURN(const Slot x, l.PlainInput(0));
    const Slot y = l.OutputInPlace(0, MemoryDesc::Plain(l.output_type(0)), 0);
    l.Emit(kind(), [=](const Memory& m) {
      auto* from = m.as<float>(x);
      auto* to = m.as<float>(y);
      ForShares(rows, parts,
                [&](int64_t begin, int64_t end) { kernels::Softmax(from, n, to, begin, end); });
    });
    return absl::OkStatus();
  }
};

}  // namespace

Value Softmax(Graph& graph, Value x) { return graph.Add(std::make_shared<SoftmaxOp>(), {x}); }

}  // namespace hone::engine
