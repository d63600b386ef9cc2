#include "engine/kernels/cross_entropy.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/cross_entropy.cc"
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

// Σ w x, a null array counting as ones. In pieces whose sums are added in double: a long row in
// f32 alone would lose the digits of its last classes.
double WeightedSum(const float* x, const float* w, int64_t n) {
  constexpr int64_t kPiece = 1024;
  const F f;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(f));
  double total = 0;
  for (int64_t piece = 0; piece < n; piece += kPiece) {
    const int64_t end = n - piece < kPiece ? n : piece + kPiece;
    V sum = hn::Zero(f);
    for (int64_t i = piece; i < end; i += lanes) {
      const V a = LoadSome((x == nullptr ? w : x) + i, end - i, lanes);
      sum = x == nullptr || w == nullptr ? hn::Add(sum, a)
                                         : hn::MulAdd(a, LoadSome(w + i, end - i, lanes), sum);
    }
    total += hn::GetLane(hn::SumOfLanes(f, sum));
  }
  return total;
}

// Of equal logits the first is the answer.
bool IsAnswer(const float* x, int32_t label, float top) {
  bool earlier = false;
  for (int32_t i = 0; i < label; ++i) {
    earlier |= x[i] == top;
  }
  return x[label] >= top && !earlier;
}

std::optional<LossSums> CrossEntropyT(const float* logits, const int32_t* labels, int64_t classes,
                                      float smoothing, const float* class_weights, float* gradient,
                                      int64_t begin, int64_t end, float z) {
  LossSums sums;
  const float spread = smoothing / static_cast<float>(classes);
  // Σ w: the same for all rows.
  const double total_weight = smoothing > 0 && class_weights != nullptr
                                  ? WeightedSum(nullptr, class_weights, classes)
                                  : static_cast<double>(classes);
  float small[64];
  for (int64_t r = begin; r < end; ++r) {
    const float* x = logits + r * classes;
    float* g = gradient == nullptr ? nullptr : gradient + r * classes;
    const int32_t label = labels[r];
    if (label < 0) {
      for (int64_t c = 0; g != nullptr && c < classes; ++c) {
        g[c] = 0;
      }
      continue;
    }
    if (label >= classes) {
      return std::nullopt;
    }
    const float top = RowMax(x, classes);
    const float at_label = x[label];
    // Before the gradient may take the logits' place.
    sums.correct += IsAnswer(x, label, top) ? 1 : 0;
    const double weighted_logits = smoothing > 0 ? WeightedSum(x, class_weights, classes) : 0;
    float sum = 0;
    if (g != nullptr) {
      sum = RowExp(x, classes, top, g);
    } else {
      for (int64_t c = 0; c < classes; c += 64) {
        sum += RowExp(x + c, classes - c < 64 ? classes - c : 64, top, small);
      }
    }
    const float log_sum = top + std::log(sum);
    const float weight = class_weights == nullptr ? 1 : class_weights[label];
    double loss = (1 - smoothing) * weight * (log_sum - at_label);
    if (smoothing > 0) {
      loss += spread * (total_weight * log_sum - weighted_logits);
    }
    loss += static_cast<double>(z * weight) * log_sum * log_sum;
    sums.loss += loss;
    sums.weight += weight;
    if (g != nullptr) {
      const double spread_mass = smoothing > 0 ? spread * total_weight : 0;
      const auto mass =
          (1 - smoothing) * weight + static_cast<float>(spread_mass) + 2 * z * weight * log_sum;
      const V scale = hn::Set(F(), mass / sum), share = hn::Set(F(), spread);
      if (smoothing == 0) {
        Map(classes, g, g, [&](V v) { return hn::Mul(v, scale); });
      } else if (class_weights == nullptr) {
        Map(classes, g, g, [&](V v) { return hn::MulSub(v, scale, share); });
      } else {
        Map2(classes, g, class_weights, g,
             [&](V v, V w) { return hn::MulSub(v, scale, hn::Mul(w, share)); });
      }
      g[label] -= (1 - smoothing) * weight;
    }
  }
  return sums;
}

}  // namespace HWY_NAMESPACE
}  // namespace hone::engine::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::engine::kernels {
HWY_EXPORT(CrossEntropyT);

std::optional<LossSums> SoftmaxCrossEntropy(const float* logits, const int32_t* labels,
                                            int64_t classes, float smoothing,
                                            std::span<const float> class_weights, float* gradient,
                                            int64_t begin, int64_t end, float z) {
  return HWY_DYNAMIC_DISPATCH(CrossEntropyT)(logits, labels, classes, smoothing,
                                             class_weights.empty() ? nullptr : class_weights.data(),
                                             gradient, begin, end, z);
}

}  // namespace hone::engine::kernels
#endif  // HWY_ONCE
