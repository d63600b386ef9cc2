#include "engine/kernels/softmax.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/softmax.cc"
// foreach_target.h includes this file again, so it comes before the -inl files.
// clang-format off
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "engine/kernels/softmax-inl.h"
#include "engine/kernels/vector-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hone::engine::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using F = hn::ScalableTag<float>;
using V = hn::Vec<F>;

void SoftmaxT(const float* logits, int64_t n, float* probabilities, int64_t begin, int64_t end) {
  for (int64_t r = begin; r < end; ++r) {
    const float* x = logits + r * n;
    float* p = probabilities + r * n;
    const float sum = RowExp(x, n, RowMax(x, n), p);
    const V scale = hn::Set(F(), 1 / sum);
    Map(n, p, p, [&](V v) { return hn::Mul(v, scale); });
  }
}

void SoftmaxGradientT(const float* y, const float* dy, int64_t n, float* dx, int64_t begin,
                      int64_t end) {
  const F f;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(f));
  for (int64_t r = begin; r < end; ++r) {
    const float* p = y + r * n;
    const float* d = dy + r * n;
    V product = hn::Zero(f);
    for (int64_t i = 0; i < n; i += lanes) {
      product = hn::MulAdd(LoadSome(p + i, n - i, lanes), LoadSome(d + i, n - i, lanes), product);
    }
    const V total = hn::SumOfLanes(f, product);
    Map2(n, d, p, dx + r * n, [&](V g, V q) { return hn::Mul(q, hn::Sub(g, total)); });
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace hone::engine::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::engine::kernels {
HWY_EXPORT(SoftmaxT);
HWY_EXPORT(SoftmaxGradientT);

void Softmax(const float* logits, int64_t n, float* probabilities, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(SoftmaxT)(logits, n, probabilities, begin, end);
}

void SoftmaxGradient(const float* y, const float* dy, int64_t n, float* dx, int64_t begin,
                     int64_t end) {
  HWY_DYNAMIC_DISPATCH(SoftmaxGradientT)(y, dy, n, dx, begin, end);
}

}  // namespace hone::engine::kernels
#endif  // HWY_ONCE
