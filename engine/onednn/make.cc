// One maker for each kind of primitive. oneDNN 2 has operation descs, oneDNN 3 has none: Describe
// hides it.

#include <immintrin.h>

#include <limits>

#include "engine/base/status.h"
#include "engine/onednn/guard.h"
#include "engine/onednn/types.h"

namespace hone::engine::onednn {
namespace {

using Dims = dnnl::memory::dims;
using dnnl::algorithm;
using dnnl::prop_kind;

Dims Pair(const int64_t (&values)[2]) { return {values[0], values[1]}; }
// oneDNN counts the holes of a dilated kernel: 0 for none.
Dims Holes(const int64_t (&values)[2]) { return {values[0] - 1, values[1] - 1}; }

const dnnl::memory::desc& Raw(const MemoryDesc& desc) { return desc.rep().desc; }

// oneDNN's ReLU is max(x, 0), which makes 0 of a NaN. With a slope for x < 0 it compares and
// multiplies instead, and a NaN stays one. This slope, the smallest number there is, gives a zero:
// it is one itself where denormal numbers are zero (base/team.h), and elsewhere what it gives is
// smaller than any number that such an x could be told from.
constexpr float kNoSlope = std::numeric_limits<float>::denorm_min();

dnnl::primitive_attr Attributes(ActivationKind post_op = ActivationKind::kNone) {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (!IsPostOp(post_op)) {
    return attributes;
  }
  dnnl::post_ops ops;
#if DNNL_VERSION_MAJOR < 3
  ops.append_eltwise(1.0f, algorithm::eltwise_relu, kNoSlope, 0.0f);
#else
  ops.append_eltwise(algorithm::eltwise_relu, kNoSlope, 0.0f);
#endif
  attributes.set_post_ops(ops);
  return attributes;
}

template <typename P, typename... A>
typename P::primitive_desc Describe(const dnnl::primitive_attr& attributes, const A&... arguments) {
#if DNNL_VERSION_MAJOR < 3
  return typename P::primitive_desc(typename P::desc(arguments...), attributes, Cpu());
#else
  return typename P::primitive_desc(Cpu(), arguments..., attributes);
#endif
}

// For gradients, which oneDNN wants to see the forward desc of.
template <typename P, typename Hint, typename... A>
typename P::primitive_desc DescribeGradient(const Hint& hint, const A&... arguments) {
  const dnnl::primitive_attr attributes = Attributes();
#if DNNL_VERSION_MAJOR < 3
  return typename P::primitive_desc(typename P::desc(arguments...), attributes, Cpu(), hint);
#else
  return typename P::primitive_desc(Cpu(), arguments..., hint, attributes);
#endif
}

// While it lives, denormal numbers are what they are on this thread: oneDNN asks what it is given,
// kNoSlope, whether it is zero.
class WithDenormals {
 public:
  WithDenormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ & ~kFlush); }
  ~WithDenormals() { _mm_setcsr(before_); }
  WithDenormals(const WithDenormals&) = delete;
  WithDenormals& operator=(const WithDenormals&) = delete;

 private:
  static constexpr uint32_t kFlush = 1 << 15 | 1 << 6;  // as base/team.cc sets them
  uint32_t before_;
};

template <typename P, typename Body>
absl::StatusOr<Primitive> Make(absl::string_view what, Body&& describe) {
  Primitive made;
  const WithDenormals denormals;
  HONE_RETURN_IF_ERROR(Guard(what, [&] {
    const typename P::primitive_desc desc = describe();
    made = Primitive(
        std::make_shared<Primitive::Rep>(Primitive::Rep{P(desc), desc, desc.impl_info_str()}));
  }));
  return made;
}

dnnl::convolution_forward::primitive_desc DescribeConvolution(const Convolution& c,
                                                              ActivationKind post_op) {
  const auto describe = [&](const auto&... bias) {
    return Describe<dnnl::convolution_forward>(
        Attributes(post_op), prop_kind::forward_training, algorithm::convolution_direct, Raw(c.src),
        Raw(c.weights), bias..., Raw(c.dst), Pair(c.stride), Holes(c.dilation),
        Pair(c.padding_before), Pair(c.padding_after));
  };
  return c.bias.empty() ? describe() : describe(Raw(c.bias));
}

dnnl::inner_product_forward::primitive_desc DescribeInnerProduct(const InnerProduct& p,
                                                                 ActivationKind post_op) {
  const auto describe = [&](const auto&... bias) {
    return Describe<dnnl::inner_product_forward>(Attributes(post_op), prop_kind::forward_training,
                                                 Raw(p.src), Raw(p.weights), bias..., Raw(p.dst));
  };
  return p.bias.empty() ? describe() : describe(Raw(p.bias));
}

// What the product before a gradient of data read: of its weights' type, while the gradient may be
// f32.
MemoryDesc ForwardSource(const MemoryDesc& gradient, const MemoryDesc& weights) {
  const DType dtype = weights.type().dtype;
  return gradient.type().dtype == dtype ? gradient
                                        : MemoryDesc::Any({gradient.type().shape, dtype});
}

dnnl::pooling_forward::primitive_desc DescribePool(const Pool& p, bool training) {
  const prop_kind prop = training ? prop_kind::forward_training : prop_kind::forward_inference;
  const algorithm kind =
      p.kind == Pooling::kMax ? algorithm::pooling_max : algorithm::pooling_avg_exclude_padding;
#if DNNL_VERSION_MAJOR < 3
  return Describe<dnnl::pooling_forward>(Attributes(), prop, kind, Raw(p.src), Raw(p.dst),
                                         Pair(p.stride), Pair(p.kernel), Pair(p.padding_before),
                                         Pair(p.padding_after));
#else
  return Describe<dnnl::pooling_forward>(Attributes(), prop, kind, Raw(p.src), Raw(p.dst),
                                         Pair(p.stride), Pair(p.kernel), Dims{0, 0},
                                         Pair(p.padding_before), Pair(p.padding_after));
#endif
}

}  // namespace

bool IsPostOp(ActivationKind kind) { return kind == ActivationKind::kRelu; }

absl::StatusOr<Primitive> MakeConvolution(const Convolution& c, ActivationKind post_op) {
  return Make<dnnl::convolution_forward>("convolution",
                                         [&] { return DescribeConvolution(c, post_op); });
}

absl::StatusOr<Primitive> MakeConvolutionGradientOfData(const Convolution& c) {
  return Make<dnnl::convolution_backward_data>("convolution, gradient of data", [&] {
    Convolution forward = c;
    forward.src = ForwardSource(c.src, c.weights);
    return DescribeGradient<dnnl::convolution_backward_data>(
        DescribeConvolution(forward, ActivationKind::kNone), algorithm::convolution_direct,
        Raw(c.src), Raw(c.weights), Raw(c.dst), Pair(c.stride), Holes(c.dilation),
        Pair(c.padding_before), Pair(c.padding_after));
  });
}

absl::StatusOr<Primitive> MakeConvolutionGradientOfWeights(const Convolution& c) {
  return Make<dnnl::convolution_backward_weights>("convolution, gradient of weights", [&] {
    Convolution forward =
        c;  // whose weights are of the data's type, while their gradient may be f32
    forward.weights = MemoryDesc::Any({c.weights.type().shape, c.src.type().dtype});
    const auto describe = [&](const auto&... bias) {
      return DescribeGradient<dnnl::convolution_backward_weights>(
          DescribeConvolution(forward, ActivationKind::kNone), algorithm::convolution_direct,
          Raw(c.src), Raw(c.weights), bias..., Raw(c.dst), Pair(c.stride), Holes(c.dilation),
          Pair(c.padding_before), Pair(c.padding_after));
    };
    return c.bias.empty() ? describe() : describe(Raw(c.bias));
  });
}

absl::StatusOr<Primitive> MakeInnerProduct(const InnerProduct& p, ActivationKind post_op) {
  return Make<dnnl::inner_product_forward>("inner product",
                                           [&] { return DescribeInnerProduct(p, post_op); });
}

absl::StatusOr<Primitive> MakeInnerProductGradientOfData(const InnerProduct& p) {
  return Make<dnnl::inner_product_backward_data>("inner product, gradient of data", [&] {
    InnerProduct forward = p;
    forward.src = ForwardSource(p.src, p.weights);
    return DescribeGradient<dnnl::inner_product_backward_data>(
        DescribeInnerProduct(forward, ActivationKind::kNone), Raw(p.src), Raw(p.weights),
        Raw(p.dst));
  });
}

absl::StatusOr<Primitive> MakeInnerProductGradientOfWeights(const InnerProduct& p) {
  return Make<dnnl::inner_product_backward_weights>("inner product, gradient of weights", [&] {
    InnerProduct forward = p;
    forward.weights = MemoryDesc::Any({p.weights.type().shape, p.src.type().dtype});
    const auto describe = [&](const auto&... bias) {
      return DescribeGradient<dnnl::inner_product_backward_weights>(
          DescribeInnerProduct(forward, ActivationKind::kNone), Raw(p.src), Raw(p.weights), bias...,
          Raw(p.dst));
    };
    return p.bias.empty() ? describe() : describe(Raw(p.bias));
  });
}

absl::StatusOr<Primitive> MakeMatMul(const MemoryDesc& src, const MemoryDesc& weights,
                                     const MemoryDesc& dst) {
  return Make<dnnl::matmul>("matrix product", [&] {
    return Describe<dnnl::matmul>(Attributes(), Raw(src), Raw(weights), Raw(dst));
  });
}

absl::StatusOr<Primitive> MakePool(const Pool& p, bool training) {
  return Make<dnnl::pooling_forward>("pooling", [&] { return DescribePool(p, training); });
}

absl::StatusOr<Primitive> MakePoolGradient(const Pool& p) {
  return Make<dnnl::pooling_backward>("pooling, gradient", [&] {
    const algorithm kind =
        p.kind == Pooling::kMax ? algorithm::pooling_max : algorithm::pooling_avg_exclude_padding;
#if DNNL_VERSION_MAJOR < 3
    return DescribeGradient<dnnl::pooling_backward>(DescribePool(p, true), kind, Raw(p.src),
                                                    Raw(p.dst), Pair(p.stride), Pair(p.kernel),
                                                    Pair(p.padding_before), Pair(p.padding_after));
#else
    return DescribeGradient<dnnl::pooling_backward>(
        DescribePool(p, true), kind, Raw(p.src), Raw(p.dst), Pair(p.stride), Pair(p.kernel),
        Dims{0, 0}, Pair(p.padding_before), Pair(p.padding_after));
#endif
  });
}

absl::StatusOr<Primitive> MakeReorder(const MemoryDesc& from, const MemoryDesc& to) {
  return Make<dnnl::reorder>("reorder", [&] {
    return dnnl::reorder::primitive_desc(Cpu(), Raw(from), Cpu(), Raw(to), Attributes());
  });
}

}  // namespace hone::engine::onednn
