#include "engine/ops/batch_norm.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "engine/base/status.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"
#include "engine/kernels/batch_norm.h"
#include "engine/ops/channel_layout.h"
#include "engine/ops/moving_average.h"

namespace hone::engine {
namespace {

using onednn::MemoryDesc;

// How often each channel's statistics see a value, and which channel an element belongs to.
struct Channels {
  explicit Channels(const Shape& x)
      : count(x[1]), plane(x.elements() / (x[0] * x[1])), values(x[0] * plane) {}
  int64_t Of(int64_t i) const { return i / plane % count; }

  int64_t count, plane, values;
};

float ValueAt(const void* x, DType dtype, int64_t i) {
  return dtype == DType::kBf16
             ? std::bit_cast<float>(uint32_t{static_cast<const uint16_t*>(x)[i]} << 16)
             : static_cast<const float*>(x)[i];
}

// Inputs: x, dy, scale, mean, variance. With x̂ = (x − mean) · r, r = 1 / sqrt(variance + ε):
//   dshift = Σ dy;  dscale = Σ dy · x̂;
//   dx = scale · r · (dy − dshift / count − x̂ · dscale / count), or scale · r · dy if the
//   statistics are fixed.
class BatchNormGradientOp final : public Op {
 public:
  BatchNormGradientOp(float epsilon, bool fixed) : epsilon_(epsilon), fixed_(fixed) {}

  absl::string_view kind() const override {
    return fixed_ ? "batch_norm_with_gradient" : "batch_norm_gradient";
  }

  Precision precision(int output) const override {
    return output == 0 ? Precision{Precision::Rule::kFollows, 0} : Precision{};
  }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    const TensorType channels{in[2].shape, DType::kF32};
    return std::vector<TensorType>{{in[0].shape, DType::kF32}, channels, channels};
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const DoubleTensor &x = *in[0], &dy = *in[1], &scale = *in[2], &mean = *in[3];
    const Channels channels(x.shape);
    const auto count = static_cast<double>(channels.values);
    const auto inverse = [&](int64_t c) { return 1 / std::sqrt((*in[4])[c] + epsilon_); };
    for (int64_t i = 0; i < x.shape.elements(); ++i) {
      const int64_t c = channels.Of(i);
      out[1][c] += dy[i] * (x[i] - mean[c]) * inverse(c);
      out[2][c] += dy[i];
    }
    for (int64_t i = 0; i < x.shape.elements(); ++i) {
      const int64_t c = channels.Of(i);
      const double through_statistics =
          (out[2][c] + (x[i] - mean[c]) * inverse(c) * out[1][c]) / count;
      out[0][i] = scale[c] * inverse(c) * (dy[i] - (fixed_ ? 0 : through_statistics));
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const ChannelLayout layout(l.desc(0), l.output_dtype(0), l.threads());
    HONE_ASSIGN_OR_RETURN(const Slot x, l.Input(0, layout.desc));
    HONE_ASSIGN_OR_RETURN(const Slot dy, l.Input(1, layout.desc));
    HONE_ASSIGN_OR_RETURN(const Slot scale, l.PlainInput(2));
    HONE_ASSIGN_OR_RETURN(const Slot mean, l.PlainInput(3));
    HONE_ASSIGN_OR_RETURN(const Slot variance, l.PlainInput(4));
    const Slot dx = l.wanted(0) ? l.OutputInPlace(0, layout.desc, 1) : Slot{-1};
    const Slot dscale = l.Output(1, MemoryDesc::Plain(l.output_type(1)));
    const Slot dshift = l.Output(2, MemoryDesc::Plain(l.output_type(2)));
    const Slot sums = l.Scratch(layout.sum_bytes());
    const Slot rows = l.Scratch(layout.row_bytes(4));
    const Channels channels(l.input_type(0).shape);
    l.Emit(kind(), [=, epsilon = epsilon_, fixed = fixed_](const Memory& m) {
      void* x_at = m[x];
      void* dy_at = m[dy];
      const auto dx_at = dx >= 0 ? m[dx] : nullptr;
      auto* scale_at = m.as<float>(scale);
      auto* mean_at = m.as<float>(mean);
      auto* variance_at = m.as<float>(variance);
      auto* dscale_at = m.as<float>(dscale);
      auto* dshift_at = m.as<float>(dshift);
      auto* sums_at = m.as<double>(sums);
      const int64_t padded = layout.view.padded_channels();
      auto* const center = m.as<float>(rows);
      float *const dy_factor = center + padded, *const x_factor = dy_factor + padded,
                   *const offset = x_factor + padded;
      std::memset(center, 0, static_cast<size_t>(layout.row_bytes(4)));
      std::memcpy(center, mean_at, static_cast<size_t>(channels.count) * sizeof(float));
      layout.Sum(sums_at, [&](int64_t begin, int64_t end, double* sum, double* products) {
        kernels::ChannelProducts(layout.view, layout.dtype(), x_at, dy_at, center, begin, end, sum,
                                 products);
      });
      const auto count = static_cast<double>(channels.values);
      for (int64_t c = 0; c < channels.count; ++c) {
        const double inverse = 1 / std::sqrt(static_cast<double>(variance_at[c]) + epsilon);
        const double to_shift = sums_at[c], to_scale = sums_at[padded + c] * inverse;
        const double factor = static_cast<double>(scale_at[c]) * inverse;
        dshift_at[c] = static_cast<float>(to_shift);
        dscale_at[c] = static_cast<float>(to_scale);
        dy_factor[c] = static_cast<float>(factor);
        x_factor[c] = fixed ? 0 : static_cast<float>(-factor * inverse * to_scale / count);
        offset[c] = fixed ? 0 : static_cast<float>(-factor * to_shift / count);
      }
      if (dx_at != nullptr) {
        layout.ForParts([&](int, int64_t begin, int64_t end) {
          kernels::ChannelScaleGradient(layout.view, layout.dtype(), x_at, dy_at, center, dy_factor,
                                        x_factor, offset, begin, end, dx_at);
        });
      }
    });
    return absl::OkStatus();
  }

 private:
  float epsilon_;
  bool fixed_;
};

// Inputs: x, scale, shift and, if fixed, mean and variance. Outputs: y and, unless fixed, mean and
// variance, which are not differentiated.
class BatchNormOp final : public Op {
 public:
  BatchNormOp(float epsilon, bool fixed, bool relu = false)
      : epsilon_(epsilon), fixed_(fixed), relu_(relu) {}

  absl::string_view kind() const override { return fixed_ ? "batch_norm_with" : "batch_norm"; }

  OpAttributes attributes() const override { return {{"epsilon", {epsilon_}}}; }

  Precision precision(int output) const override {
    return output == 0 ? Precision{Precision::Rule::kFollows, 0} : Precision{};
  }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    const Shape& x = in[0].shape;
    if (x.rank() != 2 && x.rank() != 4) {
      return WrongShape("the input", "[batch, channels] or [batch, channels, height, width]", x);
    }
    HONE_RETURN_IF_ERROR(CheckNotEmpty("the input", x));
    const Shape channels{x[1]};
    for (size_t i = 1; i < in.size(); ++i) {
      if (in[i].shape != channels) {
        return WrongShape("scale, shift and statistics", channels.ToString(), in[i].shape);
      }
    }
    std::vector<TensorType> types = {{x, DType::kF32}};
    types.resize(fixed_ ? 1 : 3, {channels, DType::kF32});
    return types;
  }

  void Differentiate(Gradient& g) const override {
    if (!g.dy(0).valid()) {
      g.graph().Fail(absl::UnimplementedError("batch norm: statistics have no gradient"));
      return;
    }
    const Value mean = fixed_ ? g.input(3) : g.output(1);
    const Value variance = fixed_ ? g.input(4) : g.output(2);
    const Value dx = g.graph().Add(std::make_shared<BatchNormGradientOp>(epsilon_, fixed_),
                                   {g.input(0), g.dy(0), g.input(1), mean, variance});
    for (int i = 0; i < 3; ++i) {
      g.Accumulate(i, [&] { return Value{dx.node, i}; });
    }
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const DoubleTensor& x = *in[0];
    const Channels channels(x.shape);
    std::vector<double> mean(static_cast<size_t>(channels.count)), variance = mean;
    if (fixed_) {
      mean = in[3]->values;
      variance = in[4]->values;
    } else {
      const auto count = static_cast<double>(channels.values);
      for (int64_t i = 0; i < x.shape.elements(); ++i) {
        mean[static_cast<size_t>(channels.Of(i))] += x[i] / count;
      }
      for (int64_t i = 0; i < x.shape.elements(); ++i) {
        const auto c = static_cast<size_t>(channels.Of(i));
        variance[c] += (x[i] - mean[c]) * (x[i] - mean[c]) / count;
      }
      out[1].values = mean;
      out[2].values = variance;
    }
    for (int64_t i = 0; i < x.shape.elements(); ++i) {
      const int64_t c = channels.Of(i);
      const double inverse = 1 / std::sqrt(variance[static_cast<size_t>(c)] + epsilon_);
      out[0][i] = (x[i] - mean[static_cast<size_t>(c)]) * inverse * (*in[1])[c] + (*in[2])[c];
      if (relu_ && out[0][i] < 0) {
        out[0][i] = 0;
      }
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const ChannelLayout layout(l.desc(0), l.output_dtype(0), l.threads());
    HONE_ASSIGN_OR_RETURN(const Slot x, l.Input(0, layout.desc));
    HONE_ASSIGN_OR_RETURN(const Slot scale, l.PlainInput(1));
    HONE_ASSIGN_OR_RETURN(const Slot shift, l.PlainInput(2));
    const Slot y = l.Output(0, layout.desc);
    Slot mean = -1, variance = -1;
    if (fixed_) {
      HONE_ASSIGN_OR_RETURN(mean, l.PlainInput(3));
      HONE_ASSIGN_OR_RETURN(variance, l.PlainInput(4));
    } else {
      mean = l.Output(1, MemoryDesc::Plain(l.output_type(1)));
      variance = l.Output(2, MemoryDesc::Plain(l.output_type(2)));
    }
    const Slot sums = l.Scratch(layout.sum_bytes());
    const Slot rows = l.Scratch(layout.row_bytes(3));
    const Channels channels(l.input_type(0).shape);
    l.Emit(relu_ ? "batch_norm+relu" : kind(), [=, epsilon = epsilon_, fixed = fixed_,
                                                relu = relu_](const Memory& m) {
      void* x_at = m[x];
      void* y_at = m[y];
      auto* scale_at = m.as<float>(scale);
      auto* shift_at = m.as<float>(shift);
      auto* mean_at = m.as<float>(mean);
      auto* variance_at = m.as<float>(variance);
      auto* sums_at = m.as<double>(sums);
      auto* center = m.as<float>(rows);
      const int64_t padded = layout.view.padded_channels();
      float *const factor = center + padded, *const offset = factor + padded;
      std::memset(center, 0, static_cast<size_t>(layout.row_bytes(3)));
      if (!fixed) {
        // Sums of differences from one of the channel's own values: they stay small.
        for (int64_t c = 0; c < channels.count; ++c) {
          center[c] = ValueAt(x_at, layout.dtype(), layout.view.FirstOf(c));
        }
        layout.Sum(sums_at, [&](int64_t begin, int64_t end, double* sum, double* squares) {
          kernels::ChannelMoments(layout.view, layout.dtype(), x_at, center, begin, end, sum,
                                  squares);
        });
        const auto count = static_cast<double>(channels.values);
        for (int64_t c = 0; c < channels.count; ++c) {
          const double from_center = sums_at[c] / count;
          mean_at[c] = static_cast<float>(static_cast<double>(center[c]) + from_center);
          variance_at[c] = static_cast<float>(
              std::max(sums_at[padded + c] / count - from_center * from_center, 0.0));
        }
      }
      std::memcpy(center, mean_at, static_cast<size_t>(channels.count) * sizeof(float));
      for (int64_t c = 0; c < channels.count; ++c) {
        factor[c] = static_cast<float>(static_cast<double>(scale_at[c]) /
                                       std::sqrt(static_cast<double>(variance_at[c]) + epsilon));
        offset[c] = shift_at[c];
      }
      layout.ForParts([&](int, int64_t begin, int64_t end) {
        kernels::ChannelScale(layout.view, layout.dtype(), x_at, center, factor, offset, relu,
                              begin, end, y_at);
      });
    });
    return absl::OkStatus();
  }

  std::shared_ptr<const Op> WithActivation(ActivationKind kind) const override {
    return kind == ActivationKind::kRelu && !relu_
               ? std::make_shared<BatchNormOp>(epsilon_, fixed_, true)
               : nullptr;
  }

 private:
  float epsilon_;
  bool fixed_;
  bool relu_;  // of y
};

}  // namespace

Value BatchNormOfBatch(Graph& graph, Value x, Value scale, Value shift, Value running_mean,
                       Value running_variance, const BatchNormOptions& options) {
  const Value y =
      graph.Add(std::make_shared<BatchNormOp>(options.epsilon, false), {x, scale, shift});
  if (!graph.status().ok()) {
    return y;
  }
  // One value has no variance to divide by 0: it counts as 0.
  const auto count = static_cast<double>(Channels(graph.shape(x)).values);
  const double unbiased = count > 1 ? count / (count - 1) : 1;
  graph.Update(running_mean, MovingAverage(graph, running_mean, {y.node, 1}, options.momentum));
  graph.Update(running_variance,
               MovingAverage(graph, running_variance, {y.node, 2}, options.momentum, unbiased));
  return y;
}

Value BatchNormWith(Graph& graph, Value x, Value scale, Value shift, Value mean, Value variance,
                    const BatchNormOptions& options) {
  return graph.Add(std::make_shared<BatchNormOp>(options.epsilon, true),
                   {x, scale, shift, mean, variance});
}

}  // namespace hone::engine
