#include "engine/ops/layer_norm.h"

#include <cmath>
#include <cstring>

#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"
#include "engine/kernels/arrays.h"
#include "engine/kernels/layer_norm.h"

namespace hone::engine {
namespace {

using onednn::MemoryDesc;

int64_t RowsOf(const Shape& x) { return x.elements() / x.back(); }

// Input i row major, in f32 or bf16 as it is.
absl::StatusOr<Slot> RowInput(Lowering& l, int i, DType dtype) {
  return l.Input(i, MemoryDesc::Plain({l.input_type(i).shape, dtype}));
}

// Inputs: x, dy, scale, mean, rstd; the formula is in kernels/layer_norm.h.
class LayerNormGradientOp final : public Op {
 public:
  absl::string_view kind() const override { return "layer_norm_gradient"; }

  Precision precision(int output) const override {
    return output == 0 ? Precision{Precision::Rule::kFollows, 0} : Precision{};
  }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    return std::vector<TensorType>{{in[0].shape, DType::kF32}, in[2], in[2]};
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const int64_t n = in[0]->shape.back(), rows = RowsOf(in[0]->shape);
    for (int64_t r = 0; r < rows; ++r) {
      const double mean = (*in[3])[r], rstd = (*in[4])[r];
      double sum = 0, product = 0;
      for (int64_t i = 0; i < n; ++i) {
        const double dy = (*in[1])[r * n + i], normal = ((*in[0])[r * n + i] - mean) * rstd;
        sum += dy * (*in[2])[i];
        product += dy * (*in[2])[i] * normal;
        out[1][i] += dy * normal;
        out[2][i] += dy;
      }
      for (int64_t i = 0; i < n; ++i) {
        const double normal = ((*in[0])[r * n + i] - mean) * rstd;
        const double g = (*in[1])[r * n + i] * (*in[2])[i];
        out[0][r * n + i] = rstd * (g - (sum + normal * product) / static_cast<double>(n));
      }
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const Shape shape = l.input_type(0).shape;
    const DType dtype = l.output_dtype(0);
    const int64_t n = shape.back(), rows = RowsOf(shape);
    const int parts = PartsFor(shape.elements(), l.threads());
    HONE_ASSIGN_OR_RETURN(const Slot x, RowInput(l, 0, dtype));
    HONE_ASSIGN_OR_RETURN(const Slot dy, RowInput(l, 1, dtype));
    HONE_ASSIGN_OR_RETURN(const Slot scale, l.PlainInput(2));
    HONE_ASSIGN_OR_RETURN(const Slot mean, l.PlainInput(3));
    HONE_ASSIGN_OR_RETURN(const Slot rstd, l.PlainInput(4));
    const Slot dx = l.Output(0, MemoryDesc::Plain({shape, dtype}));
    const Slot dscale = l.Output(1, MemoryDesc::Plain(l.output_type(1)));
    const Slot dshift = l.Output(2, MemoryDesc::Plain(l.output_type(2)));
    // Each thread sums rows of its own; the parts are added in their order.
    const Slot sums = l.Scratch(int64_t{parts} * 2 * n * static_cast<int64_t>(sizeof(float)));
    l.Emit(kind(), [=](const Memory& m) {
      auto* to_scale = m.as<float>(dscale);
      auto* to_shift = m.as<float>(dshift);
      auto* scratch = m.as<float>(sums);
      const kernels::LayerNormGradientArrays all = {
          m[x],    m[dy],  m.as<float>(scale), m.as<float>(mean), m.as<float>(rstd), m[dx],
          nullptr, nullptr};
      std::memset(scratch, 0, static_cast<size_t>(parts * 2 * n) * sizeof(float));
      RunTeam(parts, [&](int k) {
        const auto [begin, end] = ShareOf(rows, k, parts);
        kernels::LayerNormGradientArrays part = all;
        part.dscale = scratch + k * 2 * n;
        part.dshift = part.dscale + n;
        kernels::LayerNormGradient(dtype, part, n, begin, end);
      });
      std::memcpy(to_scale, scratch, static_cast<size_t>(n) * sizeof(float));
      std::memcpy(to_shift, scratch + n, static_cast<size_t>(n) * sizeof(float));
      for (int k = 1; k < parts; ++k) {
        const float* part = scratch + k * 2 * n;
        kernels::AddArrays(DType::kF32, to_scale, part, to_scale, 0, n);
        kernels::AddArrays(DType::kF32, to_shift, part + n, to_shift, 0, n);
      }
    });
    return absl::OkStatus();
  }
};

// Outputs: y, and of each row mean and rstd, which the gradient needs.
class LayerNormOp final : public Op {
 public:
  explicit LayerNormOp(float epsilon) : epsilon_(epsilon) {}

  absl::string_view kind() const override { return "layer_norm"; }

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
    for (int i = 1; i < 3; ++i) {
      if (in[static_cast<size_t>(i)].shape != Shape{x.back()}) {
        return WrongShape(i == 1 ? "the scale" : "the shift", Shape{x.back()}.ToString(),
                          in[static_cast<size_t>(i)].shape);
      }
    }
    const TensorType of_rows{Shape{RowsOf(x)}, DType::kF32};
    return std::vector<TensorType>{{x, DType::kF32}, of_rows, of_rows};
  }

  void Differentiate(Gradient& g) const override {
    if (!g.dy(0).valid()) {
      g.graph().Fail(absl::UnimplementedError("layer norm: statistics have no gradient"));
      return;
    }
    const Value dx = g.graph().Add(std::make_shared<LayerNormGradientOp>(),
                                   {g.input(0), g.dy(0), g.input(1), g.output(1), g.output(2)});
    for (int i = 0; i < 3; ++i) {
      g.Accumulate(i, [&] { return Value{dx.node, i}; });
    }
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const int64_t n = in[0]->shape.back(), rows = RowsOf(in[0]->shape);
    const auto count = static_cast<double>(n);
    for (int64_t r = 0; r < rows; ++r) {
      const double* x = in[0]->values.data() + r * n;
      double variance = 0;
      for (int64_t i = 0; i < n; ++i) {
        out[1][r] += x[i] / count;
      }
      for (int64_t i = 0; i < n; ++i) {
        variance += (x[i] - out[1][r]) * (x[i] - out[1][r]) / count;
      }
      out[2][r] = 1 / std::sqrt(variance + epsilon_);
      for (int64_t i = 0; i < n; ++i) {
        out[0][r * n + i] = (x[i] - out[1][r]) * out[2][r] * (*in[1])[i] + (*in[2])[i];
      }
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const Shape shape = l.input_type(0).shape;
    const DType dtype = l.output_dtype(0);
    const int64_t n = shape.back(), rows = RowsOf(shape);
    const int parts = PartsFor(shape.elements(), l.threads());
    HONE_ASSIGN_OR_RETURN(const Slot x, RowInput(l, 0, dtype));
    HONE_ASSIGN_OR_RETURN(const Slot scale, l.PlainInput(1));
    HONE_ASSIGN_OR_RETURN(const Slot shift, l.PlainInput(2));
    const Slot y = l.Output(0, MemoryDesc::Plain({shape, dtype}));
    const Slot mean = l.Output(1, MemoryDesc::Plain(l.output_type(1)));
    const Slot rstd = l.Output(2, MemoryDesc::Plain(l.output_type(2)));
    l.Emit(kind(), [=, epsilon = epsilon_](const Memory& m) {
      void* from = m[x];
      auto* a = m.as<float>(scale);
      auto* b = m.as<float>(shift);
      void* to = m[y];
      auto* means = m.as<float>(mean);
      auto* rstds = m.as<float>(rstd);
      ForShares(rows, parts, [&](int64_t begin, int64_t end) {
        kernels::LayerNorm(dtype, from, a, b, n, epsilon, to, means, rstds, begin, end);
      });
    });
    return absl::OkStatus();
  }

 private:
  float epsilon_;
};

}  // namespace

Value LayerNorm(Graph& graph, Value x, Value scale, Value shift, float epsilon) {
  return graph.Add(std::make_shared<LayerNormOp>(epsilon), {x, scale, shift});
}

}  // namespace hone::engine
