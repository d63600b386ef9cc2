// Written with the compiler's intrinsics, as pair_product.cc is.

#include "engine/kernels/tile_blocks.h"

// GCC 12's own intrinsics begin with an undefined vector, and it warns of that.
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

#include <algorithm>

#define HONE_BF16_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))

namespace hone::engine::kernels {
namespace {

constexpr int64_t kOutputs = 64, kInputs = 32;  // of a block
constexpr int64_t kPairs = kInputs / 2;
constexpr int64_t kLanes = 16;

// The first `count` of 16 numbers, zeros behind them; none where count is 0 or less.
HONE_BF16_TARGET inline __m512 Some(const float* from, int64_t count) {
  const auto some = static_cast<__mmask16>((1U << std::clamp<int64_t>(count, 0, kLanes)) - 1);
  return some == 0 ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(some, from);
}

HONE_BF16_TARGET inline __m512i Rounded(__m512 v) {
  return _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(v)));
}

// Words of two vectors' numbers, `low` in the lower halves.
HONE_BF16_TARGET inline __m512i Paired(__m512 low, __m512 high) {
  return _mm512_or_si512(Rounded(low), _mm512_slli_epi32(Rounded(high), 16));
}

// A block of weights that stand as [inputs, outputs], `row` apart; `inputs` and `outputs` of them
// are there.
HONE_BF16_TARGET void PackBlock(const float* from, int64_t row, int64_t inputs, int64_t outputs,
                                uint32_t* to) {
  for (int64_t p = 0; p < kPairs; ++p, from += 2 * row) {
    const int64_t first = 2 * p < inputs ? outputs : 0, second = 2 * p + 1 < inputs ? outputs : 0;
    for (int64_t n = 0; n < kOutputs; n += kLanes) {
      _mm512_storeu_si512(to + p * kOutputs + n,
                          Paired(Some(from + n, first - n), Some(from + row + n, second - n)));
    }
  }
}

// 16 x 16 words, a vector a row, become columns: row r of `to`, kOutputs words apart, has word r of
// each vector.
HONE_BF16_TARGET inline void StoreTransposed(const __m512i (&rows)[16], uint32_t* to) {
  __m512i twos[16], fours[16];
  for (int i = 0; i < 16; i += 2) {
    twos[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    twos[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    for (int j = 0; j < 2; ++j) {
      fours[i + 2 * j] = _mm512_unpacklo_epi64(twos[i + j], twos[i + j + 2]);
      fours[i + 2 * j + 1] = _mm512_unpackhi_epi64(twos[i + j], twos[i + j + 2]);
    }
  }
  // fours[4 g + q] has column q of each quarter of the four rows of group g.
  for (int q = 0; q < 4; ++q) {
    const __m512i a = fours[q], b = fours[4 + q], c = fours[8 + q], d = fours[12 + q];
    const __m512i ab_even = _mm512_shuffle_i32x4(a, b, 0x88),
                  ab_odd = _mm512_shuffle_i32x4(a, b, 0xdd);
    const __m512i cd_even = _mm512_shuffle_i32x4(c, d, 0x88),
                  cd_odd = _mm512_shuffle_i32x4(c, d, 0xdd);
    uint32_t* row = to + q * kOutputs;
    _mm512_storeu_si512(row, _mm512_shuffle_i32x4(ab_even, cd_even, 0x88));
    _mm512_storeu_si512(row + 4 * kOutputs, _mm512_shuffle_i32x4(ab_odd, cd_odd, 0x88));
    _mm512_storeu_si512(row + 8 * kOutputs, _mm512_shuffle_i32x4(ab_even, cd_even, 0xdd));
    _mm512_storeu_si512(row + 12 * kOutputs, _mm512_shuffle_i32x4(ab_odd, cd_odd, 0xdd));
  }
}

// A block of weights that stand as [outputs, inputs].
HONE_BF16_TARGET void PackTransposedBlock(const float* from, int64_t row, int64_t inputs,
                                          int64_t outputs, uint32_t* to) {
  for (int64_t n = 0; n < kOutputs; n += kLanes) {
    __m512i rows[kLanes];
    for (int64_t i = 0; i < kLanes; ++i) {
      const int64_t count = n + i < outputs ? inputs : 0;
      const float* numbers = from + (n + i) * row;
      rows[i] = reinterpret_cast<__m512i>(
          _mm512_cvtne2ps_pbh(Some(numbers + kLanes, count - kLanes), Some(numbers, count)));
    }
    StoreTransposed(rows, to + n);
  }
}

}  // namespace

void PackTileBlocks(const float* weight, int64_t inputs, int64_t outputs, bool transposed,
                    uint32_t* to) {
  const int64_t blocks = (inputs + kInputs - 1) / kInputs;
  constexpr int64_t kBlock = kPairs * kOutputs;
  if (transposed) {
    for (int64_t o = 0; o < outputs; o += kOutputs) {
      for (int64_t i = 0; i < inputs; i += kInputs, to += kBlock) {
        PackTransposedBlock(weight + o * inputs + i, inputs, std::min(inputs - i, kInputs),
                            std::min(outputs - o, kOutputs), to);
      }
    }
    return;
  }
  for (int64_t i = 0; i < inputs; i += kInputs, to += kBlock) {
    for (int64_t o = 0; o < outputs; o += kOutputs) {
      PackBlock(weight + i * outputs + o, outputs, std::min(inputs - i, kInputs),
                std::min(outputs - o, kOutputs), to + o / kOutputs * blocks * kBlock);
    }
  }
}

}  // namespace hone::engine::kernels
