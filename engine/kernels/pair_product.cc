// Written with the compiler's intrinsics: Highway 1.0 has no dot product of bfloat16 pairs.

#include "engine/kernels/pair_product.h"

#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "engine/kernels/tile_product.h"

#define HONE_BF16_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))

namespace hone::engine::kernels {
namespace {

HONE_BF16_TARGET inline __m512i Repeated(const uint32_t* word) {
  int bits;
  std::memcpy(&bits, word, sizeof(bits));  // it may be two numbers of 16 bits
  return _mm512_set1_epi32(bits);
}

// Sums of some rows and vectors of columns, in registers.
template <int kRows, int kColumns>
HONE_BF16_TARGET void Block(const PairProduct& product, const uint32_t* a, const uint32_t* b,
                            float* c) {
  __m512 sum[kRows][kColumns];
  for (int r = 0; r < kRows; ++r) {
    for (int n = 0; n < kColumns; ++n) {
      sum[r][n] = product.add ? _mm512_loadu_ps(c + r * product.c_row + n * kPairLanes)
                              : _mm512_setzero_ps();
    }
  }
  for (int64_t p = 0; p < product.pairs; ++p) {
    __m512i column[kColumns];
    for (int n = 0; n < kColumns; ++n) {
      column[n] = _mm512_loadu_si512(b + n * kPairLanes);
    }
    for (int r = 0; r < kRows; ++r) {
      const __m512i row = Repeated(a + r * product.a_row);
      for (int n = 0; n < kColumns; ++n) {
        sum[r][n] = _mm512_dpbf16_ps(sum[r][n], reinterpret_cast<__m512bh>(row),
                                     reinterpret_cast<__m512bh>(column[n]));
      }
    }
    ++a;
    b += product.b_row;
  }
  for (int r = 0; r < kRows; ++r) {
    for (int n = 0; n < kColumns; ++n) {
      _mm512_storeu_ps(c + r * product.c_row + n * kPairLanes, sum[r][n]);
    }
  }
}

using BlockFunction = void (*)(const PairProduct&, const uint32_t*, const uint32_t*, float*);

// By rows − 1, as many as fit into the registers beside a row of columns and a repeated word.
template <int kColumns>
constexpr BlockFunction kBlocks[] = {Block<1, kColumns>, Block<2, kColumns>, Block<3, kColumns>,
                                     Block<4, kColumns>, Block<5, kColumns>, Block<6, kColumns>,
                                     Block<7, kColumns>, Block<8, kColumns>};
constexpr int64_t kMostRows[] = {8, 8, 8, 6};  // by columns − 1
constexpr const BlockFunction* kBlocksOf[] = {kBlocks<1>, kBlocks<2>, kBlocks<3>, kBlocks<4>};

void MultiplyByVectors(const PairProduct& product, const uint32_t* a, const uint32_t* b, float* c) {
  for (int64_t n = 0; n < product.columns; n += 4 * kPairLanes) {
    const int64_t vectors = std::min<int64_t>(4, (product.columns - n) / kPairLanes);
    const BlockFunction* blocks = kBlocksOf[vectors - 1];
    // As equal as can be.
    const int64_t most = kMostRows[vectors - 1], count = (product.rows + most - 1) / most;
    for (int64_t i = 0, r = 0; i < count; ++i) {
      const int64_t height = product.rows / count + (i < product.rows % count ? 1 : 0);
      blocks[height - 1](product, a + r * product.a_row, b + n, c + r * product.c_row + n);
      r += height;
    }
  }
}

// [a b; c d] of words, 4 x 4, times nothing: to[j · to_row + i] = from[i · from_row + j].
inline void Transpose4(const uint16_t* from, int64_t from_row, uint32_t* to, int64_t to_row) {
  const auto row = [&](int64_t i) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i * from_row));
  };
  const auto store = [&](int64_t j, __m128i v) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + j * to_row), v);
  };
  const __m128i a = row(0), b = row(1), c = row(2), d = row(3);
  const __m128i ab = _mm_unpacklo_epi32(a, b), cd = _mm_unpacklo_epi32(c, d);
  const __m128i ab_up = _mm_unpackhi_epi32(a, b), cd_up = _mm_unpackhi_epi32(c, d);
  store(0, _mm_unpacklo_epi64(ab, cd));
  store(1, _mm_unpackhi_epi64(ab, cd));
  store(2, _mm_unpacklo_epi64(ab_up, cd_up));
  store(3, _mm_unpackhi_epi64(ab_up, cd_up));
}

// 16 numbers of 16 bits, each in 32.
HONE_BF16_TARGET inline __m512i Widened(const uint16_t* from, __mmask16 some) {
  return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(some, from));
}

HONE_BF16_TARGET inline __m512i RoundedAndWidened(const float* from) {
  const __m256bh half = _mm512_cvtneps_pbh(_mm512_loadu_ps(from));
  return _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(half));
}

}  // namespace

PairMultiplier::PairMultiplier(PairProducts by) : tiles_(by == PairProducts::kTiles) {
  if (tiles_) {
    BeginTiles(before_);
  }
}

PairMultiplier::~PairMultiplier() {
  if (tiles_) {
    EndTiles(before_);
  }
}

void PairMultiplier::Multiply(const PairProduct& product, const void* a, const void* b,
                              float* c) const {
  const auto* rows = static_cast<const uint32_t*>(a);
  const auto* columns = static_cast<const uint32_t*>(b);
  if (tiles_) {
    return MultiplyByTiles(product, rows, columns, c);
  }
  MultiplyByVectors(product, rows, columns, c);
}

void TransposePairs(const uint16_t* from, int64_t from_row, int64_t rows, int64_t count,
                    uint32_t* to, int64_t to_row) {
  const int64_t pairs = count / 2, by_four = pairs / 4 * 4, quads = rows / 4 * 4;
  for (int64_t r = 0; r < quads; r += 4) {
    for (int64_t p = 0; p < by_four; p += 4) {
      Transpose4(from + r * from_row + 2 * p, from_row, to + p * to_row + r, to_row);
    }
  }
  for (int64_t p = 0; p < pairs; ++p) {
    for (int64_t r = p < by_four ? quads : 0; r < rows; ++r) {
      std::memcpy(to + p * to_row + r, from + r * from_row + 2 * p, sizeof(uint32_t));
    }
  }
}

HONE_BF16_TARGET void PairRows(const uint16_t* from, int64_t from_row, int64_t rows, int64_t count,
                               uint32_t* to, int64_t to_row) {
  for (int64_t r = 0; r < rows; r += 2, to += to_row) {
    const uint16_t* first = from + r * from_row;
    for (int64_t n = 0; n < to_row; n += kPairLanes) {
      const int64_t left = std::clamp<int64_t>(count - n, 0, kPairLanes);
      const auto some = static_cast<__mmask16>((1U << left) - 1);
      const __m512i low = Widened(first + n, some);
      const __m512i high =
          r + 1 < rows ? Widened(first + from_row + n, some) : _mm512_setzero_si512();
      _mm512_storeu_si512(to + n, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
    }
  }
}

HONE_BF16_TARGET void PairFloats(const float* first, const float* second, int64_t count,
                                 uint32_t* to) {
  for (int64_t n = 0; n < count; n += kPairLanes) {
    const __m512i low = RoundedAndWidened(first + n);
    const __m512i high = second == nullptr ? _mm512_setzero_si512() : RoundedAndWidened(second + n);
    _mm512_storeu_si512(to + n, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
  }
}

HONE_BF16_TARGET void RoundFloats(const float* from, int64_t count, uint16_t* to) {
  for (int64_t n = 0; n < count; n += kPairLanes) {
    const int64_t left = std::min<int64_t>(count - n, kPairLanes);
    const auto some = static_cast<__mmask16>((1U << left) - 1);
    const __m256bh half = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(some, from + n));
    _mm256_mask_storeu_epi16(to + n, some, reinterpret_cast<__m256i>(half));
  }
}

}  // namespace hone::engine::kernels
