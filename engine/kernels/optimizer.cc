#include "engine/kernels/optimizer.h"

#include <cmath>
#include <cstddef>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/optimizer.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hone::engine::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
// Counts are multiples of 16 floats, so there never is a rest.
using F = hn::CappedTag<float, 16>;
using V = hn::Vec<F>;

HWY_INLINE int64_t Step() { return static_cast<int64_t>(hn::Lanes(F())); }

template <bool kClip>
void SumGradientsLoop(std::span<const float* const> shards, int64_t first, int64_t count,
                      float scale, float clip, float* out) {
  const F f;
  const V factor = hn::Set(f, scale), low = hn::Set(f, -clip), high = hn::Set(f, clip);
  for (int64_t i = 0; i < count; i += Step()) {
    V sum = hn::Load(f, shards[0] + first + i);
    for (size_t s = 1; s < shards.size(); ++s) {
      sum = hn::Add(sum, hn::Load(f, shards[s] + first + i));
    }
    sum = hn::Mul(sum, factor);
    if constexpr (kClip) {
      sum = hn::IfThenElse(hn::Gt(sum, high), high, hn::IfThenElse(hn::Lt(sum, low), low, sum));
    }
    hn::Store(sum, f, out + i);
  }
}

void SumGradients(std::span<const float* const> shards, int64_t first, int64_t count, float scale,
                  float clip, float* out) {
  if (clip > 0) {
    SumGradientsLoop<true>(shards, first, count, scale, clip, out);
  } else {
    SumGradientsLoop<false>(shards, first, count, scale, clip, out);
  }
}

void ScaleGradient(const float* x, int64_t count, float scale, float clip, float* out) {
  const F f;
  const V factor = hn::Set(f, scale), low = hn::Set(f, -clip), high = hn::Set(f, clip);
  int64_t i = 0;
  for (; i + Step() <= count; i += Step()) {
    V y = hn::Mul(hn::LoadU(f, x + i), factor);
    if (clip > 0) {
      y = hn::IfThenElse(hn::Gt(y, high), high, hn::IfThenElse(hn::Lt(y, low), low, y));
    }
    hn::StoreU(y, f, out + i);
  }
  for (; i < count; ++i) {
    const float y = x[i] * scale;
    out[i] = clip > 0 ? (y > clip ? clip : y < -clip ? -clip : y) : y;
  }
}

// In f32, which is exact enough over a block and wrong only where squares overflow or vanish. Where
// all |x| are below 1, `any` is 0 only if all x are.
float QuickSumOfSquares(const float* x, int64_t count, float* any) {
  const F f;
  V sum0 = hn::Zero(f), sum1 = sum0, bits = sum0;
  // Two sums in flight; 16 floats hold an even number of vectors, or one whole vector.
  const int64_t step = Step();
  int64_t i = 0;
  for (; i + 2 * step <= count; i += 2 * step) {
    const V a = hn::LoadU(f, x + i), b = hn::LoadU(f, x + i + step);
    sum0 = hn::MulAdd(a, a, sum0);
    sum1 = hn::MulAdd(b, b, sum1);
    bits = hn::Or(bits, hn::Abs(hn::Or(a, b)));
  }
  for (; i < count; i += step) {
    const V a = hn::LoadU(f, x + i);
    sum0 = hn::MulAdd(a, a, sum0);
    bits = hn::Or(bits, hn::Abs(a));
  }
  *any = hn::GetLane(hn::MaxOfLanes(f, bits));
  return hn::GetLane(hn::SumOfLanes(f, hn::Add(sum0, sum1)));
}

void Accumulate(const float* x, float* sum, int64_t count) {
  const F f;
  for (int64_t i = 0; i < count; i += Step()) {
    hn::Store(hn::Add(hn::Load(f, sum + i), hn::Load(f, x + i)), f, sum + i);
  }
}

void UpdateSgd(const SgdUpdate& update, const Moved& moved, const float* gradient, float* value,
               float* velocity) {
  const F f;
  const V rate = hn::Set(f, update.learning_rate), momentum = hn::Set(f, update.momentum);
  const V l2 = hn::Set(f, update.l2);
  for (int64_t row = 0; row < moved.count; ++row, gradient += moved.width) {
    const int64_t at = moved.rows == nullptr ? 0 : moved.rows[row] * moved.width;
    for (int64_t i = 0; i < moved.width; i += Step()) {
      const V w = hn::Load(f, value + at + i);
      const V g = hn::MulAdd(l2, w, hn::Load(f, gradient + i));
      V direction = g;
      if (velocity != nullptr) {
        const V u = hn::MulAdd(momentum, hn::Load(f, velocity + at + i), g);
        hn::Store(u, f, velocity + at + i);
        direction = update.nesterov ? hn::MulAdd(momentum, u, g) : u;
      }
      hn::Store(hn::NegMulAdd(rate, direction, w), f, value + at + i);
    }
  }
}

void UpdateAdam(const AdamUpdate& update, const Moved& moved, const float* gradient, float* value,
                float* m, float* v) {
  const F f;
  const V rate = hn::Set(f, update.rate), epsilon = hn::Set(f, update.epsilon);
  const V rest1 = hn::Set(f, update.one_minus_beta1), rest2 = hn::Set(f, update.one_minus_beta2);
  const V l2 = hn::Set(f, update.l2), keep = hn::Set(f, update.keep);
  for (int64_t row = 0; row < moved.count; ++row, gradient += moved.width) {
    const int64_t at = moved.rows == nullptr ? 0 : moved.rows[row] * moved.width;
    for (int64_t i = 0; i < moved.width; i += Step()) {
      const V w = hn::Load(f, value + at + i);
      const V g = hn::MulAdd(l2, w, hn::Load(f, gradient + i));
      const V m_old = hn::Load(f, m + at + i), v_old = hn::Load(f, v + at + i);
      const V m_new = hn::MulAdd(rest1, hn::Sub(g, m_old), m_old);
      const V v_new = hn::MulAdd(rest2, hn::Sub(hn::Mul(g, g), v_old), v_old);
      hn::Store(m_new, f, m + at + i);
      hn::Store(v_new, f, v + at + i);
      const V change = hn::Div(hn::Mul(rate, m_new), hn::Add(hn::Sqrt(v_new), epsilon));
      hn::Store(hn::Sub(hn::Mul(keep, w), change), f, value + at + i);
    }
  }
}

void UpdateRmsProp(const RmsPropUpdate& update, const Moved& moved, const float* gradient,
                   float* value, float* square, float* velocity, float* mean) {
  const F f;
  const V rate = hn::Set(f, update.learning_rate), epsilon = hn::Set(f, update.epsilon);
  const V rest = hn::Set(f, update.one_minus_decay), momentum = hn::Set(f, update.momentum);
  const V l2 = hn::Set(f, update.l2);
  for (int64_t row = 0; row < moved.count; ++row, gradient += moved.width) {
    const int64_t at = moved.rows == nullptr ? 0 : moved.rows[row] * moved.width;
    for (int64_t i = 0; i < moved.width; i += Step()) {
      const V w = hn::Load(f, value + at + i);
      const V g = hn::MulAdd(l2, w, hn::Load(f, gradient + i));
      const V s_old = hn::Load(f, square + at + i);
      const V s = hn::MulAdd(rest, hn::Sub(hn::Mul(g, g), s_old), s_old);
      hn::Store(s, f, square + at + i);
      V variance = s;
      if (mean != nullptr) {
        const V a_old = hn::Load(f, mean + at + i);
        const V a = hn::MulAdd(rest, hn::Sub(g, a_old), a_old);
        hn::Store(a, f, mean + at + i);
        variance = hn::Max(hn::NegMulAdd(a, a, s), hn::Zero(f));
      }
      V direction = hn::Div(g, hn::Add(hn::Sqrt(variance), epsilon));
      if (velocity != nullptr) {
        direction = hn::MulAdd(momentum, hn::Load(f, velocity + at + i), direction);
        hn::Store(direction, f, velocity + at + i);
      }
      hn::Store(hn::NegMulAdd(rate, direction, w), f, value + at + i);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace hone::engine::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::engine::kernels {

HWY_EXPORT(SumGradients);
HWY_EXPORT(ScaleGradient);
HWY_EXPORT(QuickSumOfSquares);
HWY_EXPORT(Accumulate);
HWY_EXPORT(UpdateSgd);
HWY_EXPORT(UpdateAdam);
HWY_EXPORT(UpdateRmsProp);

void SumGradients(std::span<const float* const> shards, int64_t first, int64_t count, float scale,
                  float clip, float* out) {
  HWY_DYNAMIC_DISPATCH(SumGradients)(shards, first, count, scale, clip, out);
}

void ScaleGradient(const float* x, int64_t count, float scale, float clip, float* out) {
  HWY_DYNAMIC_DISPATCH(ScaleGradient)(x, count, scale, clip, out);
}

double SumOfSquares(const float* x, int64_t count) {
  float any = 0;
  const float quick = HWY_DYNAMIC_DISPATCH(QuickSumOfSquares)(x, count, &any);
  // Not finite, or an overflow; or so small that squares have lost digits, or vanished.
  if (!(quick < 1e38f) || (quick < 1e-24f && any != 0)) {
    double sums[4] = {};
    for (int64_t i = 0; i < count; ++i) {
      sums[i % 4] += static_cast<double>(x[i]) * x[i];
    }
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
  }
  return quick;
}

void Accumulate(const float* x, float* sum, int64_t count) {
  HWY_DYNAMIC_DISPATCH(Accumulate)(x, sum, count);
}

void Update(const SgdUpdate& update, const Moved& moved, const float* gradient, float* value,
            float* velocity) {
  HWY_DYNAMIC_DISPATCH(UpdateSgd)(update, moved, gradient, value, velocity);
}

void Update(const AdamUpdate& update, const Moved& moved, const float* gradient, float* value,
            float* m, float* v) {
  HWY_DYNAMIC_DISPATCH(UpdateAdam)(update, moved, gradient, value, m, v);
}

void Update(const RmsPropUpdate& update, const Moved& moved, const float* gradient, float* value,
            float* square, float* velocity, float* mean) {
  HWY_DYNAMIC_DISPATCH(UpdateRmsProp)(update, moved, gradient, value, square, velocity, mean);
}

}  // namespace hone::engine::kernels
#endif  // HWY_ONCE
