// Loads, stores and loops shared by the kernels; compiled once for each instruction set (Highway's
// per-target include guard).

#if defined(HONE_KERNELS_VECTOR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_KERNELS_VECTOR_INL_H_
#undef HONE_KERNELS_VECTOR_INL_H_
#else
#define HONE_KERNELS_VECTOR_INL_H_
#endif

#include <cstdint>
#include <type_traits>

#include "engine/tensor/tensor.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hone::engine::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// body(an element of the type)
template <typename Body>
HWY_INLINE void Dispatch(DType dtype, Body&& body) {
  if (dtype == DType::kBf16) {
    body(uint16_t{});
  } else {
    body(float{});
  }
}

// loop(width), compiled for itself where rows have 16 floats: of so short ones it is the counting
// within each row that takes the time.
template <class Loop>
HWY_INLINE void ForWidth(int64_t width, const Loop& loop) {
  if (width == 16) {
    loop(std::integral_constant<int64_t, 16>());
  } else {
    loop(width);
  }
}

template <class D>
HWY_INLINE hn::Vec<D> LoadVector(D d, const float* from) {
  return hn::LoadU(d, from);
}
// bfloat16, kept as its bits.
template <class D>
HWY_INLINE hn::Vec<D> LoadVector(D d, const uint16_t* from) {
  const hn::Rebind<uint16_t, D> half;
  const hn::RebindToUnsigned<D> bits;
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(bits, hn::LoadU(half, from))));
}

template <class D>
HWY_INLINE void StoreVector(D d, hn::Vec<D> v, float* to) {
  hn::StoreU(v, d, to);
}
// Rounded to nearest even.
template <class D>
HWY_INLINE void StoreVector(D, hn::Vec<D> v, uint16_t* to) {
  const hn::RebindToSigned<D> ints;
  const hn::RebindToUnsigned<D> bits;
  const hn::Rebind<uint16_t, D> half;
  const auto raw = hn::BitCast(bits, v);
  const auto odd = hn::And(hn::ShiftRight<16>(raw), hn::Set(bits, 1));
  const auto rounded = hn::ShiftRight<16>(hn::Add(raw, hn::Add(odd, hn::Set(bits, 0x7fff))));
  hn::StoreU(hn::DemoteTo(half, hn::BitCast(ints, rounded)), half, to);
}

// The `count` numbers at `from`, at most a vector, zeros behind them.
template <typename T>
HWY_INLINE hn::Vec<hn::ScalableTag<float>> LoadSome(const T* from, int64_t count, int64_t lanes) {
  const hn::ScalableTag<float> d;
  if (count >= lanes) {
    return LoadVector(d, from);
  }
  HWY_ALIGN T rest[HWY_MAX_BYTES / sizeof(float)] = {};
  for (int64_t i = 0; i < count; ++i) {
    rest[i] = from[i];
  }
  return LoadVector(d, rest);
}

template <typename T>
HWY_INLINE void StoreSome(hn::Vec<hn::ScalableTag<float>> v, T* to, int64_t count, int64_t lanes) {
  const hn::ScalableTag<float> d;
  if (count >= lanes) {
    StoreVector(d, v, to);
    return;
  }
  HWY_ALIGN T rest[HWY_MAX_BYTES / sizeof(float)];
  StoreVector(d, v, rest);
  for (int64_t i = 0; i < count; ++i) {
    to[i] = rest[i];
  }
}

// y[i] = f(x[i]); the rest of less than a vector goes through a small buffer.
template <typename T, typename Function>
HWY_INLINE void Map(int64_t n, const T* x, T* y, Function&& function) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    StoreVector(d, function(LoadVector(d, x + i)), y + i);
  }
  if (i < n) {
    HWY_ALIGN T rest[HWY_MAX_BYTES / sizeof(float)] = {};
    for (int64_t j = i; j < n; ++j) {
      rest[j - i] = x[j];
    }
    StoreVector(d, function(LoadVector(d, rest)), rest);
    for (int64_t j = i; j < n; ++j) {
      y[j] = rest[j - i];
    }
  }
}

// y[i] = f(a[i], b[i])
template <typename T, typename Function>
HWY_INLINE void Map2(int64_t n, const T* a, const T* b, T* y, Function&& function) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    StoreVector(d, function(LoadVector(d, a + i), LoadVector(d, b + i)), y + i);
  }
  if (i < n) {
    HWY_ALIGN T rest_a[HWY_MAX_BYTES / sizeof(float)] = {};
    HWY_ALIGN T rest_b[HWY_MAX_BYTES / sizeof(float)] = {};
    for (int64_t j = i; j < n; ++j) {
      rest_a[j - i] = a[j];
      rest_b[j - i] = b[j];
    }
    StoreVector(d, function(LoadVector(d, rest_a), LoadVector(d, rest_b)), rest_a);
    for (int64_t j = i; j < n; ++j) {
      y[j] = rest_a[j - i];
    }
  }
}

}  // namespace hone::engine::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // HONE_KERNELS_VECTOR_INL_H_
