#include "engine/ops/rms_norm.h"

#include <cmath>
#include <cstring>

#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"
#include "engine/kernels/arrays.h"
#include "engine/kernels/rms_norm.h"

namespace hone::engine {
namespace {

using onednn::MemoryDesc;

int64_t RowsOf(const Shape& x) { return x.elements() / x.back(); }

// Inputs: x, dy, scale, rstd; the formula is in kernels/rms_norm.h.
class RmsNormGradientOp final : public Op {
 public:
  absl::string_view kind() const override { return "rms_norm_gradient"; }

  Precision precision(int output) const override {
    return output == 0 ? Precision{Precision::Rule::kFollows, 0} : Precision{};
  }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    return std::vector<TensorType>{{in[0].shape, DType::kF32}, in[2]};
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const int64_t n = in[0]->shape.back(), rows = RowsOf(in[0]->shape);
    for (int64_t r = 0; r < rows; ++r) {
      const double rstd = (*in[3])[r];
      double product = 0;
      for (int64_t i = 0; i < n; ++i) {
        const double dy = (*in[1])[r * n + i], normal = (*in[0])[r * n + i] * rstd;
        product += dy * (*in[2])[i] * normal;
        out[1][i] += dy * normal;
      }
      for (int64_t i = 0; i < n; ++i) {
        const double g = (*in[1])[r * n + i] * (*in[2])[i];
        const double normal = (*in[0])[r * n + i] * rstd;
        out[0][r * n + i] = rstd * (g - normal * product / static_cast<double>(n));
      }
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const Shape shape = l.input_type(0).shape;
    const DType dtype = l.output_dtype(0);
    const int64_t n = shape.back(), rows = RowsOf(shape);
    const int parts = PartsFor(shape.elements(), l.threads());
    HONE_ASSIGN_OR_RETURN(const Slot x, l.Input(0, MemoryDesc::Plain({shape, dtype})));
    HONE_ASSIGN_OR_RETURN(const Slot dy, l.Input(1, MemoryDesc::Plain({shape, dtype})));
    HONE_ASSIGN_OR_RETURN(const Slot scale, l.PlainInput(2));
    HONE_ASSIGN_OR_RETURN(const Slot rstd, l.PlainInput(3));
    const Slot dx = l.Output(0, MemoryDesc::Plain({shape, dtype}));
    const Slot dscale = l.Output(1, MemoryDesc::Plain(l.output_type(1)));
    // Each thread sums rows of its own; the parts are added in their order.
    const Slot sums = l.Scratch(int64_t{parts} * n * static_cast<int64_t>(sizeof(float)));
    l.Emit(kind(), [=](const Memory& m) {
      auto* to_scale = m.as<float>(dscale);
      auto* scratch = m.as<float>(sums);
      std::memset(scratch, 0, static_cast<size_t>(parts * n) * sizeof(float));
      RunTeam(parts, [&](int k) {
        const auto [begin, end] = ShareOf(rows, k, parts);
        kernels::RmsNormGradient(
            dtype, {m[x], m[dy], m.as<float>(scale), m.as<float>(rstd), m[dx], scratch + k * n}, n,
            begin, end);
      });
      std::memcpy(to_scale, scratch, static_cast<size_t>(n) * sizeof(float));
      for (int k = 1; k < parts; ++k) {
        kernels::AddArrays(DType::kF32, to_scale, scratch + k * n, to_scale, 0, n);
      }
    });
    return absl::OkStatus();
  }
};

// Outputs: y, and of each row rstd, which the gradient needs.
class RmsNormOp final : public Op {
 public:
  explicit RmsNormOp(float epsilon) : epsilon_(epsilon) {}

  absl::string_view kind() const override { return "rms_norm"; }

  OpAttributes attributes() const override { return {{"epsilon", {epsilon_}}}; }

  Precision precision(int output) const override {
    return output == 0 ? Precision{Precision::Rule::kFollows, 0} : Precision{};
  }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    const Shape& x = in[0].shape;
    if (x.rank() < 1) {
      return WrongShape("the input", "[..., features]", x);
    }
    HONE_RETURN_IF_ERROR(CheckNotEmpty("the input", x));
    if (in[1].shape != Shape{x.back()}) {
      return WrongShape("the scale", Shape{x.back()}.ToString(), in[1].shape);
    }
    return std::vector<TensorType>{{x, DType::kF32}, {Shape{RowsOf(x)}, DType::kF32}};
  }

  void Differentiate(Gradient& g) const override {
    if (!g.dy(0).valid()) {
      g.graph().Fail(absl::UnimplementedError("rms norm: statistics have no gradient"));
      return;
    }
    const Value dx = g.graph().Add(std::make_shared<RmsNormGradientOp>(),
                                   {g.input(0), g.dy(0), g.input(1), g.output(1)});
    for (int i = 0; i < 2; ++i) {
      g.Accumulate(i, [&] { return Value{dx.node, i}; });
    }
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const int64_t n = in[0]->shape.back(), rows = RowsOf(in[0]->shape);
    for (int64_t r = 0; r < rows; ++r) {
      const double* x = in[0]->values.data() + r * n;
      double mean = 0;
      for (int64_t i = 0; i < n; ++i) {
        mean += x[i] * x[i] / static_cast<double>(n);
      }
      out[1][r] = 1 / std::sqrt(mean + double{epsilon_});
      for (int64_t i = 0; i < n; ++i) {
        out[0][r * n + i] = x[i] * out[1][r] * (*in[1])[i];
      }
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const Shape shape = l.input_type(0).shape;
    const DType dtype = l.output_dtype(0);
    const int64_t n = shape.back(), rows = RowsOf(shape);
    const int parts = PartsFor(shape.elements(), l.threads());
    HONE_ASSIGN_OR_RETURN(const Slot x, l.Input(0, MemoryDesc::Plain({shape, dtype})));
    HONE_ASSIGN_OR_RETURN(const Slot scale, l.PlainInput(1));
    const Slot y = l.Output(0, MemoryDesc::Plain({shape, dtype}));
    const Slot rstd = l.Output(1, MemoryDesc::Plain(l.output_type(1)));
    l.Emit(kind(), [=, epsilon = epsilon_](const Memory& m) {
      ForShares(rows, parts, [&](int64_t begin, int64_t end) {
        kernels::RmsNorm(dtype, m[x], m.as<float>(scale), n, epsilon, m[y], m.as<float>(rstd),
                         begin, end);
      });
    });
    return absl::OkStatus();
  }

 private:
  float epsilon_;
};

}  // namespace

Value RmsNorm(Graph& graph, Value x, Value scale, float epsilon) {
  return graph.Add(std::make_shared<RmsNormOp>(epsilon), {x, scale});
}

}  // namespace hone::engine
