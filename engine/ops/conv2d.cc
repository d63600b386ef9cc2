#include "engine/ops/conv2d.h"

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"
#include "engine/kernels/conv_weight_gradient.h"
#include "engine/ops/add_channels.h"
#include "engine/ops/implementation.h"
#include "engine/ops/windows.h"

namespace hone::engine {
namespace {

using onednn::Arg;
using onednn::MemoryDesc;

int64_t OutputSize(const ConvGeometry& g, int dim, int64_t size, int64_t kernel) {
  return WindowsIn(size + g.padding_before[dim] + g.padding_after[dim],
                   g.dilation * (kernel - 1) + 1, g.stride);
}

double Flops(const Shape& w, const Shape& y) {
  return 2.0 * static_cast<double>(y.elements()) * static_cast<double>(w[1] * w[2] * w[3]);
}

// [oc, ic / groups, kh, kw] as oneDNN names it: with the group in front if there is one.
Shape KernelShape(const Shape& w, int64_t groups) {
  return groups == 1 ? w : Shape{groups, w[0] / groups, w[1], w[2], w[3]};
}

// Element types of a product: all alike, but for a gradient that stays f32.
struct Types {
  DType src, weights, dst;
};

onednn::Convolution Describe(const ConvGeometry& g, const Shape& x, const Shape& w, const Shape& y,
                             bool bias, const Types& types) {
  onednn::Convolution c;
  // One grey plane is the same memory in every layout; asking for "any" would add a copy.
  c.src = x[1] == 1 ? MemoryDesc::Plain({x, types.src}) : MemoryDesc::Any({x, types.src});
  c.weights = MemoryDesc::Any({KernelShape(w, g.groups), types.weights});
  c.dst = MemoryDesc::Any({y, types.dst});
  if (bias) {
    c.bias = MemoryDesc::Plain({Shape{w[0]}, DType::kF32});
  }
  for (int dim = 0; dim < 2; ++dim) {
    c.stride[dim] = g.stride;
    c.dilation[dim] = g.dilation;
    c.padding_before[dim] = g.padding_before[dim];
    c.padding_after[dim] = g.padding_after[dim];
  }
  return c;
}

// The element type of a convolution of x and of its gradients.
DType ProductType(const Lowering& l, const Shape& x) {
  return ConvProductType(CpuInstructionSet(), l.compute_dtype(), x[1]);
}

// Calls tap(x index, w index, y index) for every product of the convolution.
template <typename Tap>
void ForTaps(const ConvGeometry& g, const Shape& x, const Shape& w, const Shape& y, Tap&& tap) {
  const int64_t in_per_group = w[1], out_per_group = w[0] / g.groups;
  for (int64_t n = 0; n < y[0]; ++n) {
    for (int64_t o = 0; o < y[1]; ++o) {
      for (int64_t i = 0; i < in_per_group; ++i) {
        const int64_t channel = o / out_per_group * in_per_group + i;
        for (int64_t yh = 0; yh < y[2]; ++yh) {
          for (int64_t yw = 0; yw < y[3]; ++yw) {
            for (int64_t kh = 0; kh < w[2]; ++kh) {
              for (int64_t kw = 0; kw < w[3]; ++kw) {
                const int64_t xh = yh * g.stride + kh * g.dilation - g.padding_before[0];
                const int64_t xw = yw * g.stride + kw * g.dilation - g.padding_before[1];
                if (xh >= 0 && xh < x[2] && xw >= 0 && xw < x[3]) {
                  tap(((n * x[1] + channel) * x[2] + xh) * x[3] + xw,
                      ((o * w[1] + i) * w[2] + kh) * w[3] + kw,
                      ((n * y[1] + o) * y[2] + yh) * y[3] + yw);
                }
              }
            }
          }
        }
      }
    }
  }
}

// Inputs: y, w. x = the transposed convolution of y: the gradient of a convolution of x with
// respect to x, or an op in its own right, whose result has the convolution's input's shape.
class TransposedConvOp final : public Op {
 public:
  // `in_f32`: also where the program computes in bf16.
  TransposedConvOp(const ConvGeometry& geometry, Shape x, bool is_gradient, bool in_f32)
      : geometry_(geometry), x_(std::move(x)), is_gradient_(is_gradient), in_f32_(in_f32) {}

  absl::string_view kind() const override {
    return is_gradient_ ? "conv2d_data_gradient" : "conv2d_transpose";
  }

  Precision precision(int) const override {
    return {in_f32_ ? Precision::Rule::kF32 : Precision::Rule::kComputed};
  }

  absl::StatusOr<std::vector<TensorType>> InferTypes(std::span<const TensorType>) const override {
    return std::vector<TensorType>{{x_, DType::kF32}};
  }

  void Differentiate(Gradient& g) const override;

  Cost EstimateCost(std::span<const TensorType> in,
                    std::span<const TensorType> out) const override {
    Cost cost = Op::EstimateCost(in, out);
    cost.flops = Flops(in[1].shape, in[0].shape);
    return cost;
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    ForTaps(geometry_, x_, in[1]->shape, in[0]->shape,
            [&](int64_t x, int64_t w, int64_t y) { out[0][x] += (*in[0])[y] * (*in[1])[w]; });
  }

  absl::Status Lower(Lowering& l) const override {
    const Shape& w = l.input_type(1).shape;
    const DType dtype = in_f32_ ? DType::kF32 : l.compute_dtype();
    HONE_ASSIGN_OR_RETURN(
        const onednn::Primitive primitive,
        onednn::MakeConvolutionGradientOfData(Describe(geometry_, x_, w, l.input_type(0).shape,
                                                       false, {l.output_dtype(0), dtype, dtype})));
    HONE_ASSIGN_OR_RETURN(const Slot dy, l.Input(0, primitive.desc(Arg::kDiffDst)));
    HONE_ASSIGN_OR_RETURN(
        const Slot weight,
        l.Input(1, primitive.desc(Arg::kWeights),
                MemoryDesc::Plain({KernelShape(w, geometry_.groups), DType::kF32})));
    const Slot dx = l.Output(0, primitive.desc(Arg::kDiffSrc));
    l.EmitPrimitive(primitive, {{Arg::kDiffDst, dy}, {Arg::kWeights, weight}, {Arg::kDiffSrc, dx}});
    return absl::OkStatus();
  }

 private:
  ConvGeometry geometry_;
  Shape x_;
  bool is_gradient_;
  bool in_f32_;
};

// Inputs: x, dy. dw[o, i, k] = Σ x · dy over the batch and the picture;  db[o] = Σ dy.
class ConvWeightGradientOp final : public Op {
 public:
  ConvWeightGradientOp(const ConvGeometry& geometry, Shape w, bool bias)
      : geometry_(geometry), w_(std::move(w)), bias_(bias) {}

  absl::string_view kind() const override { return "conv2d_weight_gradient"; }

  bool takes_bf16() const override { return true; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(std::span<const TensorType>) const override {
    std::vector<TensorType> types = {{w_, DType::kF32}};
    if (bias_) {
      types.push_back({Shape{w_[0]}, DType::kF32});
    }
    return types;
  }

  Cost EstimateCost(std::span<const TensorType> in,
                    std::span<const TensorType> out) const override {
    Cost cost = Op::EstimateCost(in, out);
    cost.flops = Flops(w_, in[1].shape);
    return cost;
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const Shape& y = in[1]->shape;
    ForTaps(geometry_, in[0]->shape, w_, y,
            [&](int64_t x, int64_t w, int64_t o) { out[0][w] += (*in[0])[x] * (*in[1])[o]; });
    for (int64_t i = 0; bias_ && i < y.elements(); ++i) {
      out[1][i / (y[2] * y[3]) % y[1]] += (*in[1])[i];
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const Implementation by = ConvWeightGradientBy(CpuInstructionSet(), l.compute_dtype(), w_[1],
                                                   w_[0], geometry_.groups);
    return by == Implementation::kOurs ? LowerBlocked(l) : LowerPrimitive(l);
  }

 private:
  absl::Status LowerBlocked(Lowering& l) const {
    const Shape x = l.input_type(0).shape, y = l.input_type(1).shape;
    const DType dtype = ProductType(l, l.input_type(0).shape);
    HONE_ASSIGN_OR_RETURN(const Slot from, l.Input(0, MemoryDesc::ChannelBlocks({x, dtype})));
    HONE_ASSIGN_OR_RETURN(const Slot dy, l.Input(1, MemoryDesc::ChannelBlocks({y, dtype})));
    const Slot dw = l.Output(0, MemoryDesc::KernelBlocks({w_, DType::kF32}));
    const Slot db = bias_ ? l.Output(1, MemoryDesc::Plain(l.output_type(1))) : Slot{-1};
    const kernels::BlockedConv conv = {.batch = x[0],
                                       .in_channels = x[1],
                                       .in_height = x[2],
                                       .in_width = x[3],
                                       .out_channels = y[1],
                                       .out_height = y[2],
                                       .out_width = y[3],
                                       .kernel_height = w_[2],
                                       .kernel_width = w_[3],
                                       .stride = geometry_.stride,
                                       .dilation = geometry_.dilation,
                                       .padding_top = geometry_.padding_before[0],
                                       .padding_left = geometry_.padding_before[1]};
    const int64_t scratch_bytes =
        dtype == DType::kBf16 ? kernels::BlockedConvScratchBytes(conv) : 0;
    const Slot scratch = l.Scratch(scratch_bytes * l.threads());
    l.Emit("blocked", [=, threads = l.threads()](const Memory& m) {
      void* a = m[from];
      void* b = m[dy];
      auto* to = m.as<float>(dw);
      const auto bias = db < 0 ? nullptr : m.as<float>(db);
      const auto pairs = m.as<std::byte>(scratch);
      RunTeam(threads, [&](int k) {
        const auto [begin, end] = ShareOf(kernels::BlockedConvUnits(conv), k, threads);
        const auto [first, last] =
            ShareOf(bias == nullptr ? 0 : conv.out_channels / 16, k, threads);
        if (dtype == DType::kBf16) {
          const auto *x16 = static_cast<const uint16_t*>(a),
                     *dy16 = static_cast<const uint16_t*>(b);
          kernels::BlockedConvWeightGradientBf16(conv, x16, dy16, to, pairs + k * scratch_bytes,
                                                 begin, end);
          kernels::BlockedConvBiasGradientBf16(conv, dy16, bias, first, last);
        } else {
          const auto *x32 = static_cast<const float*>(a), *dy32 = static_cast<const float*>(b);
          kernels::BlockedConvWeightGradient(conv, x32, dy32, to, begin, end);
          kernels::BlockedConvBiasGradient(conv, dy32, bias, first, last);
        }
      });
    });
    return absl::OkStatus();
  }

  absl::Status LowerPrimitive(Lowering& l) const {
    const DType dtype = ProductType(l, l.input_type(0).shape);
    HONE_ASSIGN_OR_RETURN(const onednn::Primitive primitive,
                          onednn::MakeConvolutionGradientOfWeights(
                              Describe(geometry_, l.input_type(0).shape, w_, l.input_type(1).shape,
                                       bias_, {dtype, DType::kF32, dtype})));
    HONE_ASSIGN_OR_RETURN(const Slot x, l.Input(0, primitive.desc(Arg::kSrc)));
    HONE_ASSIGN_OR_RETURN(const Slot dy, l.Input(1, primitive.desc(Arg::kDiffDst)));
    std::vector<std::pair<Arg, Slot>> arguments = {
        {Arg::kSrc, x},
        {Arg::kDiffDst, dy},
        {Arg::kDiffWeights, l.Output(0, primitive.desc(Arg::kDiffWeights))}};
    if (bias_) {
      arguments.emplace_back(Arg::kDiffBias, l.Output(1, primitive.desc(Arg::kDiffBias)));
    }
    l.EmitPrimitive(primitive, std::move(arguments));
    return absl::OkStatus();
  }

  ConvGeometry geometry_;
  Shape w_;
  bool bias_;
};

class ConvOp final : public Op {
 public:
  // `in_f32`: also where the program computes in bf16 (ConvProductType).
  ConvOp(const ConvGeometry& geometry, bool bias, bool in_f32,
         ActivationKind post_op = ActivationKind::kNone)
      : geometry_(geometry), bias_(bias), in_f32_(in_f32), post_op_(post_op) {}

  absl::string_view kind() const override { return "conv2d"; }

  OpAttributes attributes() const override {
    const auto pair = [](const int64_t(&values)[2]) {
      return std::vector<double>{static_cast<double>(values[0]), static_cast<double>(values[1])};
    };
    return {{"dilation", {static_cast<double>(geometry_.dilation)}},
            {"groups", {static_cast<double>(geometry_.groups)}},
            {"stride", {static_cast<double>(geometry_.stride)}},
            {"padding_before", pair(geometry_.padding_before)},
            {"padding_after", pair(geometry_.padding_after)}};
  }

  Precision precision(int) const override {
    return {in_f32_ ? Precision::Rule::kF32 : Precision::Rule::kComputed};
  }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    const Shape& x = in[0].shape;
    const Shape& w = in[1].shape;
    if (x.rank() != 4) {
      return WrongShape("the input", "[batch, channels, height, width]", x);
    }
    HONE_RETURN_IF_ERROR(CheckNotEmpty("the input", x));
    const int64_t groups = geometry_.groups;
    if (groups < 1 || x[1] % groups != 0 || w[0] % groups != 0) {
      return absl::InvalidArgumentError(absl::StrCat("groups must divide the ", x[1],
                                                     " input channels and the ", w[0],
                                                     " filters, got ", groups));
    }
    if (w.rank() != 4 || w[1] != x[1] / groups) {
      return WrongShape("the weight", absl::StrCat("[filters, ", x[1] / groups, ", kh, kw]"), w);
    }
    const int64_t oh = OutputSize(geometry_, 0, x[2], w[2]);
    const int64_t ow = OutputSize(geometry_, 1, x[3], w[3]);
    if (oh < 1 || ow < 1) {
      return absl::InvalidArgumentError(absl::StrCat("a kernel of ", w[2], "x", w[3],
                                                     " does not fit into a picture of ", x[2], "x",
                                                     x[3], ": use a smaller one, or padding SAME"));
    }
    return std::vector<TensorType>{{Shape{x[0], w[0], oh, ow}, DType::kF32}};
  }

  void Differentiate(Gradient& g) const override {
    const Shape x = g.graph().shape(g.input(0)), w = g.graph().shape(g.input(1));
    g.Accumulate(0, [&] {
      return g.graph().Add(std::make_shared<TransposedConvOp>(geometry_, x, true, false),
                           {g.dy(), g.input(1)});
    });
    const bool bias = bias_ && g.Needs(2);
    if (g.Needs(1) || bias) {
      const Value dw = g.graph().Add(std::make_shared<ConvWeightGradientOp>(geometry_, w, bias),
                                     {g.input(0), g.dy()});
      g.Accumulate(1, [&] { return dw; });
      if (bias) {
        g.Accumulate(2, [&] { return Value{dw.node, 1}; });
      }
    }
  }

  Cost EstimateCost(std::span<const TensorType> in,
                    std::span<const TensorType> out) const override {
    Cost cost = Op::EstimateCost(in, out);
    cost.flops = Flops(in[1].shape, out[0].shape);
    return cost;
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const Shape& shape = out[0].shape;
    for (int64_t i = 0; bias_ && i < shape.elements(); ++i) {
      out[0][i] = (*in[2])[i / (shape[2] * shape[3]) % shape[1]];
    }
    ForTaps(geometry_, in[0]->shape, in[1]->shape, shape,
            [&](int64_t x, int64_t w, int64_t y) { out[0][y] += (*in[0])[x] * (*in[1])[w]; });
    for (double& value : out[0].values) {
      value = ActivationValue(post_op_, 0, value);
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const Shape& w = l.input_type(1).shape;
    const DType dtype = in_f32_ ? DType::kF32 : l.compute_dtype();
    HONE_ASSIGN_OR_RETURN(const onednn::Primitive primitive,
                          onednn::MakeConvolution(
                              Describe(geometry_, l.input_type(0).shape, w, l.output_type(0).shape,
                                       bias_, {dtype, dtype, l.output_dtype(0)}),
                              post_op_));
    HONE_ASSIGN_OR_RETURN(const Slot x, l.Input(0, primitive.desc(Arg::kSrc)));
    HONE_ASSIGN_OR_RETURN(
        const Slot weight,
        l.Input(1, primitive.desc(Arg::kWeights),
                MemoryDesc::Plain({KernelShape(w, geometry_.groups), DType::kF32})));
    std::vector<std::pair<Arg, Slot>> arguments = {{Arg::kSrc, x}, {Arg::kWeights, weight}};
    if (bias_) {
      HONE_ASSIGN_OR_RETURN(const Slot bias, l.PlainInput(2));
      arguments.emplace_back(Arg::kBias, bias);
    }
    arguments.emplace_back(Arg::kDst, l.Output(0, primitive.desc(Arg::kDst)));
    l.EmitPrimitive(primitive, std::move(arguments));
    return absl::OkStatus();
  }

  std::shared_ptr<const Op> WithActivation(ActivationKind kind) const override {
    if (!onednn::IsPostOp(kind) || post_op_ != ActivationKind::kNone) {
      return nullptr;
    }
    return std::make_shared<ConvOp>(geometry_, bias_, in_f32_, kind);
  }

 private:
  ConvGeometry geometry_;
  bool bias_;
  bool in_f32_;
  ActivationKind post_op_;
};

// Both are convolutions again: x is linear in y and in w.
void TransposedConvOp::Differentiate(Gradient& g) const {
  const Shape w = g.graph().shape(g.input(1));
  g.Accumulate(0, [&] { return Conv2d(g.graph(), g.dy(), g.input(1), std::nullopt, geometry_); });
  g.Accumulate(1, [&] {
    return g.graph().Add(std::make_shared<ConvWeightGradientOp>(geometry_, w, false),
                         {g.dy(), g.input(0)});
  });
}

// INVALID_ARGUMENT where x and w are not those of a transposed convolution with this result.
absl::Status CheckTransposed(const ConvGeometry& g, const Shape& x, const Shape& w,
                             const int64_t (&output_padding)[2], const Shape& y) {
  if (x.rank() != 4) {
    return WrongShape("the input", "[batch, channels, height, width]", x);
  }
  HONE_RETURN_IF_ERROR(CheckNotEmpty("the input", x));
  if (w.rank() != 4 || w[0] != x[1]) {
    return WrongShape("the weight", absl::StrCat("[", x[1], ", filters / groups, kh, kw]"), w);
  }
  if (g.groups < 1 || x[1] % g.groups != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("groups must divide the ", x[1], " input channels, got ", g.groups));
  }
  for (const int64_t more : output_padding) {
    if (more < 0 || more >= g.stride) {
      return absl::InvalidArgumentError(absl::StrCat("output_padding must be 0 to ", g.stride - 1,
                                                     ", less than the stride, got ", more));
    }
  }
  if (y[2] < 1 || y[3] < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("padding leaves nothing of a picture of ", x[2], "x", x[3]));
  }
  return absl::OkStatus();
}

}  // namespace

Value Conv2dTranspose(Graph& graph, Value x, Value weight, std::optional<Value> bias,
                      const ConvGeometry& geometry, const int64_t (&output_padding)[2]) {
  const Shape in = graph.shape(x), w = graph.shape(weight);
  Shape out = {1, 1, 1, 1};
  if (in.rank() == 4 && w.rank() == 4) {
    const auto extent = [&](int d) {
      return (in[2 + d] - 1) * geometry.stride + geometry.dilation * (w[2 + d] - 1) + 1 -
             geometry.padding_before[d] - geometry.padding_after[d] + output_padding[d];
    };
    out = {in[0], SaturatingProduct(w[1], geometry.groups), extent(0), extent(1)};
  }
  const absl::Status status = CheckTransposed(geometry, in, w, output_padding, out);
  if (!status.ok()) {
    return graph.Fail(Annotate(status, graph.scope()));
  }
  const bool in_f32 = ConvProductType(CpuInstructionSet(), DType::kBf16, out[1]) == DType::kF32;
  const Value y =
      graph.Add(std::make_shared<TransposedConvOp>(geometry, out, false, in_f32), {x, weight});
  return bias.has_value() ? AddToChannels(graph, y, *bias) : y;
}

Value Conv2d(Graph& graph, Value x, Value weight, std::optional<Value> bias,
             const ConvGeometry& geometry) {
  std::vector<Value> inputs = {x, weight};
  if (bias.has_value()) {
    inputs.push_back(*bias);
  }
  const Shape& shape = graph.shape(x);
  const bool in_f32 = shape.rank() == 4 &&
                      ConvProductType(CpuInstructionSet(), DType::kBf16, shape[1]) == DType::kF32;
  return graph.Add(std::make_shared<ConvOp>(geometry, bias.has_value(), in_f32), std::move(inputs));
}

}  // namespace hone::engine
