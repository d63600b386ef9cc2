#include "engine/ops/batch_norm.h"

#include <cmath>

#include "engine/base/status.h"
#include "engine/ops/dims.h"
#include "engine/ops/moving_average.h"

namespace hone::engine {
namespace {

using onednn::Arg;
using onednn::MemoryDesc;
using onednn::Primitive;

// How often each channel's statistics see a value, and which channel an element belongs to.
struct Channels {
  explicit Channels(const Shape& x)
      : count(x[1]), plane(x.elements() / (x[0] * x[1])), values(x[0] * plane) {}
  int64_t Of(int64_t i) const { return i / plane % count; }

  int64_t count, plane, values;
};

// The memory of x as oneDNN's batch norm takes it: four dimensions. Matrices are row major.
MemoryDesc Pictures(const MemoryDesc& desc, const Shape& x) {
  const DType dtype = ActivationDType(desc.type());
  if (x.rank() == 2) {
    return MemoryDesc::Plain({Shape{x[0], x[1], 1, 1}, dtype});
  }
  return desc.type().dtype == dtype ? desc : MemoryDesc::Plain({x, dtype});
}

// Layouts whose padding oneDNN has no fast code for are left for row major ones.
absl::StatusOr<Primitive> Fast(const std::function<absl::StatusOr<Primitive>(MemoryDesc)>& make,
                               const MemoryDesc& desc) {
  absl::StatusOr<Primitive> primitive = make(desc);
  if ((primitive.ok() && !primitive->is_reference()) || desc.is_plain()) {
    return primitive;
  }
  return make(MemoryDesc::Plain(desc.type()));
}

// Input i, laid out as the primitive's argument.
absl::StatusOr<Slot> PictureInput(Lowering& l, int i, const MemoryDesc& desc) {
  const Shape& shape = l.input_type(i).shape;
  return shape.rank() == 2 ? l.Input(i, MemoryDesc::Plain({shape, desc.type().dtype}))
                           : l.Input(i, desc);
}
Slot PictureOutput(Lowering& l, const MemoryDesc& desc) {
  const Shape& shape = l.output_type(0).shape;
  return l.Output(0, shape.rank() == 2 ? MemoryDesc::Plain({shape, desc.type().dtype}) : desc);
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
    HONE_ASSIGN_OR_RETURN(const Primitive primitive,
                          Fast(
                              [&](const MemoryDesc& desc) {
                                return onednn::MakeBatchNormGradient(desc, desc, epsilon_, fixed_);
                              },
                              Pictures(l.desc(0), l.input_type(0).shape)));
    HONE_ASSIGN_OR_RETURN(const Slot x, PictureInput(l, 0, primitive.desc(Arg::kSrc)));
    HONE_ASSIGN_OR_RETURN(const Slot dy, PictureInput(l, 1, primitive.desc(Arg::kDiffDst)));
    HONE_ASSIGN_OR_RETURN(const Slot scale, l.PlainInput(2));
    HONE_ASSIGN_OR_RETURN(const Slot mean, l.PlainInput(3));
    HONE_ASSIGN_OR_RETURN(const Slot variance, l.PlainInput(4));
    const MemoryDesc channels = MemoryDesc::Plain(l.output_type(1));
    std::vector<std::pair<Arg, Slot>> arguments = {
        {Arg::kSrc, x},
        {Arg::kDiffDst, dy},
        {Arg::kScale, scale},
        {Arg::kMean, mean},
        {Arg::kVariance, variance},
        {Arg::kDiffSrc, PictureOutput(l, primitive.desc(Arg::kDiffSrc))},
        {Arg::kDiffScale, l.Output(1, channels)},
        {Arg::kDiffShift, l.Output(2, channels)}};
    // oneDNN 2 refuses to run without a shift, although no gradient depends on it.
    if (!primitive.desc(Arg::kShift).empty()) {
      arguments.emplace_back(Arg::kShift, scale);
    }
    l.EmitPrimitive(primitive, std::move(arguments));
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
  BatchNormOp(float epsilon, bool fixed) : epsilon_(epsilon), fixed_(fixed) {}

  absl::string_view kind() const override { return fixed_ ? "batch_norm_with" : "batch_norm"; }

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
    }
  }

  absl::Status Lower(Lowering& l) const override {
    HONE_ASSIGN_OR_RETURN(
        const Primitive primitive,
        Fast([&](const MemoryDesc& desc) { return onednn::MakeBatchNorm(desc, epsilon_, fixed_); },
             Pictures(l.desc(0), l.input_type(0).shape)));
    HONE_ASSIGN_OR_RETURN(const Slot x, PictureInput(l, 0, primitive.desc(Arg::kSrc)));
    std::vector<std::pair<Arg, Slot>> arguments = {{Arg::kSrc, x}};
    constexpr Arg kChannelInputs[] = {Arg::kScale, Arg::kShift, Arg::kMean, Arg::kVariance};
    for (int i = 0; i < (fixed_ ? 4 : 2); ++i) {
      HONE_ASSIGN_OR_RETURN(const Slot slot, l.PlainInput(i + 1));
      arguments.emplace_back(kChannelInputs[i], slot);
    }
    arguments.emplace_back(Arg::kDst, PictureOutput(l, primitive.desc(Arg::kDst)));
    for (int i = 1; i < (fixed_ ? 1 : 3); ++i) {
      arguments.emplace_back(i == 1 ? Arg::kMean : Arg::kVariance,
                             l.Output(i, MemoryDesc::Plain(l.output_type(i))));
    }
    l.EmitPrimitive(primitive, std::move(arguments));
    return absl::OkStatus();
  }

 private:
  float epsilon_;
  bool fixed_;
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
