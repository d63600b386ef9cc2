#include "engine/kernels/tile_product.h"

#include <immintrin.h>

#include <algorithm>

#define HONE_TILE_TARGET __attribute__((target("amx-tile,amx-bf16")))

namespace hone::engine::kernels {
namespace {

// The shape of eight tiles of 16 rows of 64 bytes, as `ldtilecfg` wants it.
struct alignas(64) TileShapes {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileShapes) == 64);

// Bytes from a row to the next.
constexpr int64_t Stride(int64_t words) { return words * static_cast<int64_t>(sizeof(uint32_t)); }

// The first kTiles tiles begin as what is at these places, or as zeros.
template <int kTiles>
HONE_TILE_TARGET inline void BeginSums(bool add, const float* const (&at)[4], int64_t stride) {
  if (!add) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    return;
  }
  _tile_loadd(0, at[0], stride);
  if constexpr (kTiles > 1) {
    _tile_loadd(1, at[1], stride);
  }
  if constexpr (kTiles > 2) {
    _tile_loadd(2, at[2], stride);
  }
  if constexpr (kTiles > 3) {
    _tile_loadd(3, at[3], stride);
  }
}

template <int kTiles>
HONE_TILE_TARGET inline void EndSums(float* const (&at)[4], int64_t stride) {
  _tile_stored(0, at[0], stride);
  if constexpr (kTiles > 1) {
    _tile_stored(1, at[1], stride);
  }
  if constexpr (kTiles > 2) {
    _tile_stored(2, at[2], stride);
  }
  if constexpr (kTiles > 3) {
    _tile_stored(3, at[3], stride);
  }
}

// Two tiles of rows by one or two of columns.
template <int kColumns>
HONE_TILE_TARGET void TwoRows(const PairProduct& product, const uint32_t* a, const uint32_t* b,
                              float* c) {
  const int64_t a_stride = Stride(product.a_row), b_stride = Stride(product.b_row);
  const int64_t c_stride = Stride(product.c_row);
  const uint32_t* a_below = a + kTileRows * product.a_row;
  float* c_below = c + kTileRows * product.c_row;
  float* const sums[4] = {c, c_below, c + kPairLanes, c_below + kPairLanes};
  BeginSums<2 * kColumns>(product.add, sums, c_stride);
  for (int64_t p = 0; p < product.pairs; p += kTilePairs) {
    const uint32_t* row = b + p * product.b_row;
    _tile_loadd(4, a + p, a_stride);
    _tile_loadd(6, row, b_stride);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(5, a_below + p, a_stride);
    _tile_dpbf16ps(1, 5, 6);
    if constexpr (kColumns == 2) {
      _tile_loadd(7, row + kPairLanes, b_stride);
      _tile_dpbf16ps(2, 4, 7);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  EndSums<2 * kColumns>(sums, c_stride);
}

// One tile of rows by up to four of columns.
template <int kColumns>
HONE_TILE_TARGET void OneRow(const PairProduct& product, const uint32_t* a, const uint32_t* b,
                             float* c) {
  const int64_t a_stride = Stride(product.a_row), b_stride = Stride(product.b_row);
  const int64_t c_stride = Stride(product.c_row);
  float* const sums[4] = {c, c + kPairLanes, c + 2 * kPairLanes, c + 3 * kPairLanes};
  BeginSums<kColumns>(product.add, sums, c_stride);
  for (int64_t p = 0; p < product.pairs; p += kTilePairs) {
    const uint32_t* row = b + p * product.b_row;
    _tile_loadd(4, a + p, a_stride);
    _tile_loadd(5, row, b_stride);
    _tile_dpbf16ps(0, 4, 5);
    if constexpr (kColumns > 1) {
      _tile_loadd(6, row + kPairLanes, b_stride);
      _tile_dpbf16ps(1, 4, 6);
    }
    if constexpr (kColumns > 2) {
      _tile_loadd(7, row + 2 * kPairLanes, b_stride);
      _tile_dpbf16ps(2, 4, 7);
    }
    if constexpr (kColumns > 3) {
      _tile_loadd(5, row + 3 * kPairLanes, b_stride);
      _tile_dpbf16ps(3, 4, 5);
    }
  }
  EndSums<kColumns>(sums, c_stride);
}

using OneRowFunction = void (*)(const PairProduct&, const uint32_t*, const uint32_t*, float*);
constexpr OneRowFunction kOneRow[] = {OneRow<1>, OneRow<2>, OneRow<3>, OneRow<4>};

}  // namespace

// The compiler's own intrinsics say that they read a part of the shapes' memory only, hence the
// assembly.
HONE_TILE_TARGET void BeginTiles(std::byte (&before)[64]) {
  static constexpr TileShapes kShapes;
  asm volatile("sttilecfg %0" : "=m"(before));
  asm volatile("ldtilecfg %0" ::"m"(kShapes));
}

// Palette 0 stands for tiles that are not in use.
HONE_TILE_TARGET void EndTiles(const std::byte (&before)[64]) {
  if (before[0] == std::byte{0}) {
    _tile_release();
  } else {
    asm volatile("ldtilecfg %0" ::"m"(before));
  }
}

void MultiplyByTiles(const PairProduct& product, const uint32_t* a, const uint32_t* b, float* c) {
  int64_t r = 0;
  for (; r + kTileRows < product.rows; r += 2 * kTileRows) {
    for (int64_t n = 0; n < product.columns; n += 2 * kPairLanes) {
      (product.columns - n > kPairLanes ? TwoRows<2> : TwoRows<1>)(product, a + r * product.a_row,
                                                                   b + n,
                                                                   c + r * product.c_row + n);
    }
  }
  for (int64_t n = 0; r < product.rows && n < product.columns; n += 4 * kPairLanes) {
    const int64_t tiles = std::min<int64_t>(4, (product.columns - n) / kPairLanes);
    kOneRow[tiles - 1](product, a + r * product.a_row, b + n, c + r * product.c_row + n);
  }
}

}  // namespace hone::engine::kernels
