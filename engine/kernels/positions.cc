#include "engine/kernels/positions.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/positions.cc"
// foreach_target.h includes this file again, so it comes before the -inl files.
// clang-format off
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "engine/kernels/vector-inl.h"
#include "hwy/contrib/math/math-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hone::engine::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using F = hn::ScalableTag<float>;
using V = hn::Vec<F>;

// A vector of the angles of a place, from number i on.
HWY_INLINE V Angles(int32_t place, int64_t i, float log_base, int64_t dim) {
  const F f;
  const float step = -2 * log_base / static_cast<float>(dim);
  const V exponent =
      hn::Mul(hn::Add(hn::Iota(f, 0), hn::Set(f, static_cast<float>(i))), hn::Set(f, step));
  return hn::Mul(hn::Exp(f, exponent), hn::Set(f, static_cast<float>(place)));
}

HWY_INLINE void Put(float x, float* to) { *to = x; }
HWY_INLINE void Put(float x, uint16_t* to) { *to = ToBf16(x); }

template <typename T>
void SinusoidRows(const int32_t* places, int64_t width, float base, T* y, int64_t begin,
                  int64_t end) {
  const F f;
  const auto lanes = static_cast<int64_t>(hn::Lanes(f));
  const float log_base = std::log(base);
  HWY_ALIGN float sine[HWY_MAX_BYTES / sizeof(float)], cosine[HWY_MAX_BYTES / sizeof(float)];
  for (int64_t row = begin; row < end; ++row) {
    T* to = y + row * width;
    for (int64_t i = 0; 2 * i < width; i += lanes) {
      const V angles = Angles(places[row], i, log_base, width);
      hn::Store(hn::Sin(f, angles), f, sine);
      hn::Store(hn::Cos(f, angles), f, cosine);
      for (int64_t k = 2 * i; k < width && k < 2 * (i + lanes); ++k) {
        Put((k % 2 == 0 ? sine : cosine)[k / 2 - i], to + k);
      }
    }
  }
}

void SinusoidsT(DType dtype, const int32_t* places, int64_t width, float base, void* y,
                int64_t begin, int64_t end) {
  Dispatch(dtype, [&](auto type) {
    SinusoidRows(places, width, base, static_cast<decltype(type)*>(y), begin, end);
  });
}

template <typename T>
void RotateRows(const Rotation& r, const int32_t* places, const T* x, T* y, int64_t begin,
                int64_t end) {
  const F f;
  const auto lanes = static_cast<int64_t>(hn::Lanes(f));
  const int64_t half = r.dim / 2;
  const float log_base = std::log(r.base);
  for (int64_t row = begin; row < end; ++row) {
    for (int64_t i = 0; i < half; i += lanes) {
      const int32_t place = r.back ? -places[row] : places[row];
      const int64_t left = half - i;
      const V angles = r.frequencies == nullptr ? Angles(place, i, log_base, r.dim)
                                                : hn::Mul(LoadSome(r.frequencies + i, left, lanes),
                                                          hn::Set(f, static_cast<float>(place)));
      const V sine = hn::Sin(f, angles), cosine = hn::Cos(f, angles);
      for (int64_t head = 0; head < r.heads; ++head) {
        const int64_t at = (row * r.heads + head) * r.dim + i;
        const V a = LoadSome(x + at, left, lanes), b = LoadSome(x + at + half, left, lanes);
        StoreSome(hn::NegMulAdd(b, sine, hn::Mul(a, cosine)), y + at, left, lanes);
        StoreSome(hn::MulAdd(a, sine, hn::Mul(b, cosine)), y + at + half, left, lanes);
      }
    }
  }
}

void RotateT(DType dtype, const Rotation& r, const int32_t* places, const void* x, void* y,
             int64_t begin, int64_t end) {
  Dispatch(dtype, [&](auto type) {
    using T = decltype(type);
    RotateRows(r, places, static_cast<const T*>(x), static_cast<T*>(y), begin, end);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace hone::engine::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::engine::kernels {
HWY_EXPORT(SinusoidsT);
HWY_EXPORT(RotateT);

void Sinusoids(DType dtype, const int32_t* places, int64_t width, float base, void* y,
               int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(SinusoidsT)(dtype, places, width, base, y, begin, end);
}
void Rotate(DType dtype, const Rotation& rotation, const int32_t* places, const void* x, void* y,
            int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(RotateT)(dtype, rotation, places, x, y, begin, end);
}

}  // namespace hone::engine::kernels
#endif  // HWY_ONCE
