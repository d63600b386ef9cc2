#include "engine/kernels/conv_weight_gradient.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/conv_weight_gradient.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hone::engine::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// AVX-512 and what is above it: better targets have smaller numbers.
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3

constexpr int64_t kBlock = 16;
using F = hn::FixedTag<float, 16>;
using V = hn::Vec<F>;

// One tap (kh, kw) of one picture: kIn input channels of a block against kOut blocks of output
// channels, 16 sums of 16 lanes in registers over all positions, then added to dw.
template <int kIn, int kOut>
void AddTap(const BlockedConv& c, const float* x, const float* dy, int64_t kh, int64_t kw,
            float* dw, int64_t dw_block, bool first) {
  const F f;
  const int64_t shift_h = kh * c.dilation - c.padding_top;
  const int64_t shift_w = kw * c.dilation - c.padding_left;
  const OutputRange rows = OutputsInside(c.out_height, c.in_height, c.stride, shift_h);
  const OutputRange columns = OutputsInside(c.out_width, c.in_width, c.stride, shift_w);
  const int64_t plane = c.out_height * c.out_width * kBlock;
  V sum[kIn][kOut];
  for (int i = 0; i < kIn; ++i) {
    for (int o = 0; o < kOut; ++o) {
      sum[i][o] = hn::Zero(f);
    }
  }
  for (int64_t h = rows.begin; h < rows.end; ++h) {
    const float* from =
        x + ((h * c.stride + shift_h) * c.in_width + columns.begin * c.stride + shift_w) * kBlock;
    const float* d = dy + (h * c.out_width + columns.begin) * kBlock;
    for (int64_t w = columns.begin; w < columns.end; ++w) {
      V v[kOut];
      for (int o = 0; o < kOut; ++o) {
        v[o] = hn::LoadU(f, d + o * plane);
      }
      for (int i = 0; i < kIn; ++i) {
        const V in = hn::Set(f, from[i]);
        for (int o = 0; o < kOut; ++o) {
          sum[i][o] = hn::MulAdd(in, v[o], sum[i][o]);
        }
      }
      from += c.stride * kBlock;
      d += kBlock;
    }
  }
  for (int i = 0; i < kIn; ++i) {
    for (int o = 0; o < kOut; ++o) {
      float* to = dw + o * dw_block + i * kBlock;
      hn::StoreU(first ? sum[i][o] : hn::Add(hn::LoadU(f, to), sum[i][o]), f, to);
    }
  }
}

// All pictures for the units [begin, end): a unit is a group of kIn input channels and one tap.
template <int kIn, int kOut>
void WeightGradient(const BlockedConv& c, const float* x, const float* dy, float* dw, int64_t begin,
                    int64_t end) {
  const int64_t in_blocks = c.in_channels / kBlock, out_blocks = c.out_channels / kBlock;
  const int64_t taps = c.kernel_height * c.kernel_width, groups = kBlock / kIn;
  const int64_t x_plane = c.in_height * c.in_width * kBlock;
  const int64_t dy_plane = c.out_height * c.out_width * kBlock;
  const int64_t dw_tap = kBlock * kBlock;  // [16 in, 16 out]
  for (int64_t n = 0; n < c.batch; ++n) {
    for (int64_t out = 0; out < out_blocks; out += kOut) {
      for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t tap = unit % taps, group = unit / taps % groups;
        const int64_t block = unit / taps / groups;
        const float* from = x + (n * in_blocks + block) * x_plane + group * kIn;
        float* to = dw + ((out * in_blocks + block) * taps + tap) * dw_tap + group * kIn * kBlock;
        AddTap<kIn, kOut>(c, from, dy + (n * out_blocks + out) * dy_plane, tap / c.kernel_width,
                          tap % c.kernel_width, to, in_blocks * taps * dw_tap, n == 0);
      }
    }
  }
}

void BiasGradient(const BlockedConv& c, const float* dy, float* db, int64_t begin, int64_t end) {
  const F f;
  const int64_t blocks = c.out_channels / kBlock, positions = c.out_height * c.out_width;
  for (int64_t block = begin; block < end; ++block) {
    V sum[4] = {hn::Zero(f), hn::Zero(f), hn::Zero(f), hn::Zero(f)};
    for (int64_t n = 0; n < c.batch; ++n) {
      const float* d = dy + (n * blocks + block) * positions * kBlock;
      for (int64_t p = 0; p < positions; ++p) {
        sum[p % 4] = hn::Add(sum[p % 4], hn::LoadU(f, d + p * kBlock));
      }
    }
    hn::StoreU(hn::Add(hn::Add(sum[0], sum[1]), hn::Add(sum[2], sum[3])), f, db + block * kBlock);
  }
}

void GradientT(const BlockedConv& c, const float* x, const float* dy, float* dw, int64_t begin,
               int64_t end) {
  switch (BlockedConvInGroup(c)) {
    case 4:
      return WeightGradient<4, 4>(c, x, dy, dw, begin, end);
    case 8:
      return WeightGradient<8, 2>(c, x, dy, dw, begin, end);
    default:
      return WeightGradient<16, 1>(c, x, dy, dw, begin, end);
  }
}

#else

void GradientT(const BlockedConv&, const float*, const float*, float*, int64_t, int64_t) {}
void BiasGradient(const BlockedConv&, const float*, float*, int64_t, int64_t) {}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace hone::engine::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::engine::kernels {
HWY_EXPORT(GradientT);
HWY_EXPORT(BiasGradient);

int64_t BlockedConvUnits(const BlockedConv& c) {
  return c.in_channels / BlockedConvInGroup(c) * c.kernel_height * c.kernel_width;
}

void BlockedConvWeightGradient(const BlockedConv& conv, const float* x, const float* dy, float* dw,
                               int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(GradientT)(conv, x, dy, dw, begin, end);
}

void BlockedConvBiasGradient(const BlockedConv& conv, const float* dy, float* db, int64_t begin,
                             int64_t end) {
  HWY_DYNAMIC_DISPATCH(BiasGradient)(conv, dy, db, begin, end);
}

}  // namespace hone::engine::kernels
#endif  // HWY_ONCE
