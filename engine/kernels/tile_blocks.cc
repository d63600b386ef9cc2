// Written with the compiler's intrinsics, as pair_product.cc is.

#include "engine/kernels/tile_blocks.h"

// GCC 12's own intrinsics begin with an undefined vector, and it warns of that.
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

#include <algorithm>

#define HONE_BF16_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))

namespace hone::engine::kernels {
namespace {

constexpr int64_t kOutputs = TileBlocks::kOutputs, kInputs = TileBlocks::kInputs;
constexpr int64_t kPairs = kInputs / 2;
constexpr int64_t kLanes = 16;

// The first `count` of so many lanes; none where it is 0 or less.
template <typename Mask>
Mask First(int64_t count, int64_t lanes) {
  return static_cast<Mask>((uint64_t{1} << std::clamp<int64_t>(count, 0, lanes)) - 1);
}

// The first `count` of 16 numbers as bf16, each in a word, zeros behind them.
HONE_BF16_TARGET inline __m512i Words(const float* from, int64_t count) {
  const __m512 numbers = _mm512_maskz_loadu_ps(First<__mmask16>(count, kLanes), from);
  return _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(numbers)));
}
HONE_BF16_TARGET inline __m512i Words(const uint16_t* from, int64_t count) {
  return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(First<__mmask16>(count, kLanes), from));
}

// The first `count` of 32 numbers as pairs.
HONE_BF16_TARGET inline __m512i Pairs(const float* from, int64_t count) {
  const __m512 low = _mm512_maskz_loadu_ps(First<__mmask16>(count, kLanes), from);
  const __m512 high =
      _mm512_maskz_loadu_ps(First<__mmask16>(count - kLanes, kLanes), from + kLanes);
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
}
HONE_BF16_TARGET inline __m512i Pairs(const uint16_t* from, int64_t count) {
  return _mm512_maskz_loadu_epi16(First<__mmask32>(count, kInputs), from);
}

// A block of weights that stand as [inputs, outputs], `row` apart; `inputs` and `outputs` of them
// are there.
template <typename T>
HONE_BF16_TARGET void PackBlock(const T* from, int64_t row, int64_t inputs, int64_t outputs,
                                uint32_t* to) {
  for (int64_t p = 0; p < kPairs; ++p, from += 2 * row) {
    const int64_t first = 2 * p < inputs ? outputs : 0, second = 2 * p + 1 < inputs ? outputs : 0;
    for (int64_t n = 0; n < kOutputs; n += kLanes) {
      const __m512i low = Words(from + n, first - n), high = Words(from + row + n, second - n);
      _mm512_storeu_si512(to + p * kOutputs + n, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
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
template <typename T>
HONE_BF16_TARGET void PackTransposedBlock(const T* from, int64_t row, int64_t inputs,
                                          int64_t outputs, uint32_t* to) {
  for (int64_t n = 0; n < kOutputs; n += kLanes) {
    __m512i rows[kLanes];
    for (int64_t i = 0; i < kLanes; ++i) {
      rows[i] = Pairs(from + (n + i) * row, n + i < outputs ? inputs : 0);
    }
    StoreTransposed(rows, to + n);
  }
}

template <typename T>
void PackAll(const TileBlocks& b, const T* weight, uint32_t* to, int64_t begin, int64_t end) {
  const int64_t columns = (b.inputs + kInputs - 1) / kInputs;
  const auto pack = [&](int64_t r, int64_t c) {
    const int64_t o = r * kOutputs, outputs = std::min(b.outputs - o, kOutputs);
    const int64_t i = c * kInputs, inputs = std::min(b.inputs - i, kInputs);
    uint32_t* block = to + (r * columns + c) * kPairs * kOutputs;
    if (b.transposed) {
      PackTransposedBlock(weight + o * b.inputs + i, b.inputs, inputs, outputs, block);
    } else {
      PackBlock(weight + i * b.outputs + o, b.outputs, inputs, outputs, block);
    }
  };
  // Along the rows of the weight, as memory is read fastest.
  const int64_t outer = b.transposed ? end - begin : columns;
  const int64_t inner = b.transposed ? columns : end - begin;
  for (int64_t a = 0; a < outer; ++a) {
    for (int64_t n = 0; n < inner; ++n) {
      b.transposed ? pack(begin + a, n) : pack(begin + n, a);
    }
  }
}

}  // namespace

void Pack(const TileBlocks& blocks, const void* weight, uint32_t* to, int64_t begin, int64_t end) {
  if (blocks.from == DType::kBf16) {
    PackAll(blocks, static_cast<const uint16_t*>(weight), to, begin, end);
  } else {
    PackAll(blocks, static_cast<const float*>(weight), to, begin, end);
  }
}

}  // namespace hone::engine::kernels
