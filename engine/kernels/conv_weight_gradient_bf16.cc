// Written with the compiler's intrinsics: Highway 1.0 has no dot product of bfloat16 pairs.

#include <immintrin.h>

#include "engine/kernels/conv_weight_gradient.h"
#include "engine/tensor/tensor.h"

#define HONE_BF16_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))

namespace hone::engine::kernels {
namespace {

constexpr int64_t kBlock = 16;

// Vectors of 16 from two pictures, element by element side by side; the second may be missing.
HONE_BF16_TARGET void Pair(const uint16_t* a, const uint16_t* b, int64_t vectors, uint32_t* out) {
  for (int64_t i = 0; i < vectors; ++i) {
    const __m512i low =
        _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(a + i * kBlock)));
    __m512i high = _mm512_setzero_si512();
    if (b != nullptr) {
      high = _mm512_cvtepu16_epi32(
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b + i * kBlock)));
    }
    _mm512_storeu_si512(out + i * kBlock, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
  }
}

// As in the f32 kernel, with a pair of pictures in each 32 bits.
template <int kIn, int kOut>
HONE_BF16_TARGET void AddTap(const BlockedConv& c, const uint32_t* x, const uint32_t* dy,
                             int64_t kh, int64_t kw, float* dw, int64_t dw_block, bool first) {
  const int64_t shift_h = kh * c.dilation - c.padding_top;
  const int64_t shift_w = kw * c.dilation - c.padding_left;
  const OutputRange rows = OutputsInside(c.out_height, c.in_height, c.stride, shift_h);
  const OutputRange columns = OutputsInside(c.out_width, c.in_width, c.stride, shift_w);
  const int64_t plane = c.out_height * c.out_width * kBlock;
  __m512 sum[kIn][kOut];
  for (int i = 0; i < kIn; ++i) {
    for (int o = 0; o < kOut; ++o) {
      sum[i][o] = _mm512_setzero_ps();
    }
  }
  for (int64_t h = rows.begin; h < rows.end; ++h) {
    const uint32_t* from =
        x + ((h * c.stride + shift_h) * c.in_width + columns.begin * c.stride + shift_w) * kBlock;
    const uint32_t* d = dy + (h * c.out_width + columns.begin) * kBlock;
    for (int64_t w = columns.begin; w < columns.end; ++w) {
      __m512i v[kOut];
      for (int o = 0; o < kOut; ++o) {
        v[o] = _mm512_loadu_si512(d + o * plane);
      }
      for (int i = 0; i < kIn; ++i) {
        const __m512i in = _mm512_set1_epi32(static_cast<int>(from[i]));
        for (int o = 0; o < kOut; ++o) {
          sum[i][o] = _mm512_dpbf16_ps(sum[i][o], reinterpret_cast<__m512bh>(in),
                                       reinterpret_cast<__m512bh>(v[o]));
        }
      }
      from += c.stride * kBlock;
      d += kBlock;
    }
  }
  for (int i = 0; i < kIn; ++i) {
    for (int o = 0; o < kOut; ++o) {
      float* to = dw + o * dw_block + i * kBlock;
      _mm512_storeu_ps(to, first ? sum[i][o] : _mm512_add_ps(_mm512_loadu_ps(to), sum[i][o]));
    }
  }
}

template <int kIn, int kOut>
void WeightGradient(const BlockedConv& c, const uint16_t* x, const uint16_t* dy, float* dw,
                    uint32_t* scratch, int64_t begin, int64_t end) {
  const int64_t in_blocks = c.in_channels / kBlock, out_blocks = c.out_channels / kBlock;
  const int64_t taps = c.kernel_height * c.kernel_width, groups = kBlock / kIn;
  const int64_t x_vectors = in_blocks * c.in_height * c.in_width;
  const int64_t dy_vectors = out_blocks * c.out_height * c.out_width;
  const int64_t dw_tap = kBlock * kBlock;  // [16 in, 16 out]
  uint32_t* x_pairs = scratch;
  uint32_t* dy_pairs = scratch + x_vectors * kBlock;
  for (int64_t n = 0; n < c.batch; n += 2) {
    const bool two = n + 1 < c.batch;
    const uint16_t* a = x + n * x_vectors * kBlock;
    const uint16_t* b = dy + n * dy_vectors * kBlock;
    Pair(a, two ? a + x_vectors * kBlock : nullptr, x_vectors, x_pairs);
    Pair(b, two ? b + dy_vectors * kBlock : nullptr, dy_vectors, dy_pairs);
    for (int64_t out = 0; out < out_blocks; out += kOut) {
      for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t tap = unit % taps, group = unit / taps % groups;
        const int64_t block = unit / taps / groups;
        AddTap<kIn, kOut>(
            c, x_pairs + block * c.in_height * c.in_width * kBlock + group * kIn,
            dy_pairs + out * c.out_height * c.out_width * kBlock, tap / c.kernel_width,
            tap % c.kernel_width,
            dw + ((out * in_blocks + block) * taps + tap) * dw_tap + group * kIn * kBlock,
            in_blocks * taps * dw_tap, n == 0);
      }
    }
  }
}

}  // namespace

int64_t BlockedConvScratchBytes(const BlockedConv& c) {
  return (c.in_channels * c.in_height * c.in_width + c.out_channels * c.out_height * c.out_width) *
         static_cast<int64_t>(sizeof(uint32_t));
}

void BlockedConvWeightGradientBf16(const BlockedConv& c, const uint16_t* x, const uint16_t* dy,
                                   float* dw, void* scratch, int64_t begin, int64_t end) {
  auto* pairs = static_cast<uint32_t*>(scratch);
  switch (BlockedConvInGroup(c)) {
    case 4:
      return WeightGradient<4, 4>(c, x, dy, dw, pairs, begin, end);
    case 8:
      return WeightGradient<8, 2>(c, x, dy, dw, pairs, begin, end);
    default:
      return WeightGradient<16, 1>(c, x, dy, dw, pairs, begin, end);
  }
}

HONE_BF16_TARGET void BlockedConvBiasGradientBf16(const BlockedConv& c, const uint16_t* dy,
                                                  float* db, int64_t begin, int64_t end) {
  const int64_t blocks = c.out_channels / kBlock, positions = c.out_height * c.out_width;
  for (int64_t block = begin; block < end; ++block) {
    __m512 sum[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(),
                     _mm512_setzero_ps()};
    for (int64_t n = 0; n < c.batch; ++n) {
      const uint16_t* d = dy + (n * blocks + block) * positions * kBlock;
      for (int64_t p = 0; p < positions; ++p) {
        const __m512i wide = _mm512_slli_epi32(
            _mm512_cvtepu16_epi32(
                _mm256_loadu_si256(reinterpret_cast<const __m256i*>(d + p * kBlock))),
            16);
        sum[p % 4] = _mm512_add_ps(sum[p % 4], _mm512_castsi512_ps(wide));
      }
    }
    _mm512_storeu_ps(db + block * kBlock,
                     _mm512_add_ps(_mm512_add_ps(sum[0], sum[1]), _mm512_add_ps(sum[2], sum[3])));
  }
}

}  // namespace hone::engine::kernels
