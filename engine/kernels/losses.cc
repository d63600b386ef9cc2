#include "engine/kernels/losses.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/losses.cc"
// foreach_target.h includes this file again, so it comes before the -inl files.
// clang-format off
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "hwy/contrib/math/math-inl.h"
#include "engine/kernels/vector-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hone::engine::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using F = hn::ScalableTag<float>;
using V = hn::Vec<F>;

float RowMax(const float* x, int64_t n) {
  const F f;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(f));
  float best = x[0];
  int64_t i = 0;
  if (n >= lanes) {
    V m = hn::LoadU(f, x);
    for (i = lanes; i + lanes <= n; i += lanes) {
      m = hn::Max(m, hn::LoadU(f, x + i));
    }
    best = hn::GetLane(hn::MaxOfLanes(f, m));
  }
  for (; i < n; ++i) {
    best = x[i] > best ? x[i] : best;
  }
  return best;
}

bool Contains(const float* x, int64_t n, float value) {
  bool found = false;
  for (int64_t i = 0; i < n; ++i) {
    found |= x[i] == value;
  }
  return found;
}

// y = exp(x − shift); returns the sum.
float RowExp(const float* x, int64_t n, float shift, float* y) {
  const F f;
  const V s = hn::Set(f, shift);
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(f));
  V sum = hn::Zero(f);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const V shifted = hn::Sub(hn::LoadU(f, x + i), s);
    const V e = KeepNan(f, shifted, hn::Exp(f, shifted));
    hn::StoreU(e, f, y + i);
    sum = hn::Add(sum, e);
  }
  float total = hn::GetLane(hn::SumOfLanes(f, sum));
  if (i < n) {
    HWY_ALIGN float rest[HWY_MAX_BYTES / sizeof(float)] = {};
    for (int64_t j = i; j < n; ++j) {
      rest[j - i] = x[j];
    }
    const V shifted = hn::Sub(hn::LoadU(f, rest), s);
    hn::StoreU(KeepNan(f, shifted, hn::Exp(f, shifted)), f, rest);
    for (int64_t j = i; j < n; ++j) {
      y[j] = rest[j - i];
      total += rest[j - i];
    }
  }
  return total;
}

void SoftmaxT(const float* logits, int64_t rows, int64_t classes, float* probabilities) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* x = logits + r * classes;
    float* p = probabilities + r * classes;
    const float sum = RowExp(x, classes, RowMax(x, classes), p);
    const V scale = hn::Set(F(), 1 / sum);
    Map(classes, p, p, [&](V v) { return hn::Mul(v, scale); });
  }
}

std::optional<LossSums> CrossEntropyT(const float* logits, const int32_t* labels, int64_t rows,
                                      int64_t classes, float smoothing, const float* class_weights,
                                      float* gradient) {
  LossSums sums;
  const float spread = smoothing / static_cast<float>(classes);
  float small[64];
  for (int64_t r = 0; r < rows; ++r) {
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
    float total_weight = static_cast<float>(classes), weighted_logits = 0;
    if (smoothing > 0) {
      total_weight = 0;
      for (int64_t c = 0; c < classes; ++c) {
        const float w = class_weights == nullptr ? 1 : class_weights[c];
        total_weight += w;
        weighted_logits += w * x[c];
      }
    }
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
    sums.loss += loss;
    sums.weight += weight;
    sums.correct += at_label >= top && !Contains(x, label, top) ? 1 : 0;
    if (g != nullptr) {
      const float mass = (1 - smoothing) * weight + (smoothing > 0 ? spread * total_weight : 0);
      const V scale = hn::Set(F(), mass / sum);
      Map(classes, g, g, [&](V v) { return hn::Mul(v, scale); });
      for (int64_t c = 0; smoothing > 0 && c < classes; ++c) {
        g[c] -= spread * (class_weights == nullptr ? 1 : class_weights[c]);
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
HWY_EXPORT(SoftmaxT);
HWY_EXPORT(CrossEntropyT);

std::optional<LossSums> SoftmaxCrossEntropy(const float* logits, const int32_t* labels,
                                            int64_t rows, int64_t classes, float smoothing,
                                            std::span<const float> class_weights, float* gradient) {
  return HWY_DYNAMIC_DISPATCH(CrossEntropyT)(logits, labels, rows, classes, smoothing,
                                             class_weights.empty() ? nullptr : class_weights.data(),
                                             gradient);
}

void Softmax(const float* logits, int64_t rows, int64_t classes, float* probabilities) {
  HWY_DYNAMIC_DISPATCH(SoftmaxT)(logits, rows, classes, probabilities);
}

}  // namespace hone::engine::kernels
#endif  // HWY_ONCE
