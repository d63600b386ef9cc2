#include "engine/kernels/random_normal.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/base/rng.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/random_normal.cc"
// foreach_target.h includes this file again, so it comes before the -inl files.
// clang-format off
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "engine/kernels/math-inl.h"
#include "engine/base/philox-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hone::engine::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR

using F = hn::ScalableTag<float>;
using U = hn::RebindToUnsigned<F>;

// 24 of the bits as a number in [0, 1), from the middle of its interval if `inside`: then never 0.
HWY_INLINE hn::Vec<F> Unit(hn::Vec<U> bits, float inside) {
  const F f;
  const hn::RebindToSigned<F> s;
  const auto number = hn::ConvertTo(f, hn::BitCast(s, hn::ShiftRight<8>(bits)));
  return hn::Mul(hn::Add(number, hn::Set(f, inside)), hn::Set(f, 0x1.0p-24f));
}

// The two numbers of a pair of words.
HWY_INLINE void Pair(hn::Vec<U> a, hn::Vec<U> b, hn::Vec<F> factor, hn::Vec<F>& x, hn::Vec<F>& y) {
  const F f;
  const auto log = hn::Log(f, Unit(a, 0.5f));
  const auto radius = hn::Mul(hn::Sqrt(hn::Mul(hn::Set(f, -2.0f), log)), factor);
  const auto angle = hn::Mul(hn::Set(f, 2 * std::numbers::pi_v<float>), Unit(b, 0.0f));
  x = hn::Mul(radius, hn::Cos(f, angle));
  y = hn::Mul(radius, hn::Sin(f, angle));
}

// Blocks [block, block + lanes), four numbers each, into y.
HWY_NOINLINE void Blocks(uint64_t block, uint64_t key, float factor, float* HWY_RESTRICT y) {
  const engine::HWY_NAMESPACE::PhiloxBlocks blocks(block, 0, key);
  const F f;
  hn::Vec<F> a, b, c, d;
  Pair(blocks.c0, blocks.c1, hn::Set(f, factor), a, b);
  Pair(blocks.c2, blocks.c3, hn::Set(f, factor), c, d);
  hn::StoreInterleaved4(a, b, c, d, f, y);
}

void NormalT(uint64_t key, float factor, uint64_t first, int64_t count, float* y) {
  const auto lanes = static_cast<uint64_t>(hn::Lanes(F()));
  const uint64_t step = 4 * lanes;
  HWY_ALIGN float part[4 * HWY_MAX_BYTES / sizeof(float)];
  for (uint64_t at = first, end = first + static_cast<uint64_t>(count); at < end;) {
    // Whole vectors of blocks that begin at a multiple of their number, so that the upper half of
    // the counter is the same for all of them.
    const uint64_t begin = at / step * step, stop = std::min(begin + step, end);
    if (at == begin && stop == begin + step) {
      Blocks(begin / 4, key, factor, y);
    } else {
      Blocks(begin / 4, key, factor, part);
      std::copy(part + (at - begin), part + (stop - begin), y);
    }
    y += stop - at;
    at = stop;
  }
}

#else

void NormalT(uint64_t key, float factor, uint64_t first, int64_t count, float* y) {
  for (int64_t i = 0; i < count; ++i) {
    y[i] = factor * static_cast<float>(NormalAt(key, first + static_cast<uint64_t>(i)));
  }
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace hone::engine::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::engine::kernels {
HWY_EXPORT(NormalT);

double NormalAt(uint64_t key, uint64_t index) {
  const uint64_t block = index / 4;
  const auto words =
      Philox({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), 0, 0},
             {static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32)});
  const size_t pair = index % 4 / 2 * 2;
  const double u = ((words[pair] >> 8) + 0.5) * 0x1.0p-24, v = (words[pair + 1] >> 8) * 0x1.0p-24;
  const double angle = 2 * std::numbers::pi * v;
  return std::sqrt(-2 * std::log(u)) * (index % 2 == 0 ? std::cos(angle) : std::sin(angle));
}

void RandomNormal(uint64_t key, float factor, uint64_t first, int64_t count, float* y) {
  HWY_DYNAMIC_DISPATCH(NormalT)(key, factor, first, count, y);
}

}  // namespace hone::engine::kernels
#endif  // HWY_ONCE
