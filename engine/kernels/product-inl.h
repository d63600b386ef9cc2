// A small product in registers; compiled once for each instruction set (Highway's per-target
// include guard).

#if defined(HONE_KERNELS_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_KERNELS_PRODUCT_INL_H_
#undef HONE_KERNELS_PRODUCT_INL_H_
#else
#define HONE_KERNELS_PRODUCT_INL_H_
#endif

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hone::engine::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// How many rows of `columns` vectors fit into the registers as sums, beside a row of the panel and
// a number that is repeated.
constexpr int RowsInRegisters(int columns) {
  constexpr int kRegisters = HWY_TARGET <= HWY_AVX3 ? 32 : 16;
  const int rows = (kRegisters - columns - 1) / columns;
  return rows < 1 ? 1 : rows > 8 ? 8 : rows;
}

// sum[r][c] += Σ over k < depth of a[r][k · step] · panel[k][c]: rows of the panel are kColumns
// vectors, `panel_row` floats apart.
template <int kRows, int kColumns>
HWY_INLINE void AddProduct(const float* const (&a)[kRows], int64_t step, int64_t depth,
                           const float* panel, int64_t panel_row,
                           hn::Vec<hn::ScalableTag<float>> (&sum)[kRows][kColumns]) {
  const hn::ScalableTag<float> f;
  using V = hn::Vec<hn::ScalableTag<float>>;
  const auto lanes = static_cast<int64_t>(hn::Lanes(f));
  for (int64_t k = 0; k < depth; ++k) {
    V column[kColumns];
    for (int c = 0; c < kColumns; ++c) {
      column[c] = hn::LoadU(f, panel + c * lanes);
    }
    panel += panel_row;
    for (int r = 0; r < kRows; ++r) {
      const V repeated = hn::Set(f, a[r][k * step]);
      for (int c = 0; c < kColumns; ++c) {
        sum[r][c] = hn::MulAdd(repeated, column[c], sum[r][c]);
      }
    }
  }
}

// tile(count as a constant, first row)
template <int kMost, typename Tile>
HWY_INLINE void TileOf(int64_t count, int64_t first, Tile&& tile) {
  if (count == kMost) {
    tile(std::integral_constant<int, kMost>(), first);
  } else if constexpr (kMost > 1) {
    TileOf<kMost - 1>(count, first, tile);
  }
}

// tile(rows as a constant, first row) for `rows` rows in tiles as equal as can be, of at most kMost
// rows each.
template <int kMost, typename Tile>
HWY_INLINE void ForTiles(int64_t rows, Tile&& tile) {
  const int64_t tiles = (rows + kMost - 1) / kMost;
  for (int64_t i = 0, first = 0; i < tiles; ++i) {
    const int64_t count = rows / tiles + (i < rows % tiles ? 1 : 0);
    TileOf<kMost>(count, first, tile);
    first += count;
  }
}

// A matrix in memory: element (r, k) is data[r · row + k · step].
struct Matrix {
  const float* data;
  int64_t row;
  int64_t step = 1;
};

template <int kColumns>
HWY_INLINE void MultiplyColumns(const Matrix& a, const Matrix& b, int64_t rows, int64_t depth,
                                float* c, int64_t c_row, bool add) {
  const hn::ScalableTag<float> f;
  const auto lanes = static_cast<int64_t>(hn::Lanes(f));
  ForTiles<RowsInRegisters(kColumns)>(rows, [&](auto constant, int64_t first) {
    constexpr int kRows = decltype(constant)::value;
    hn::Vec<hn::ScalableTag<float>> sum[kRows][kColumns];
    const float* from[kRows];
    float* to = c + first * c_row;
    for (int r = 0; r < kRows; ++r) {
      from[r] = a.data + (first + r) * a.row;
      for (int j = 0; j < kColumns; ++j) {
        sum[r][j] = add ? hn::LoadU(f, to + r * c_row + j * lanes) : hn::Zero(f);
      }
    }
    AddProduct(from, a.step, depth, b.data, b.row, sum);
    for (int r = 0; r < kRows; ++r) {
      for (int j = 0; j < kColumns; ++j) {
        hn::StoreU(sum[r][j], f, to + r * c_row + j * lanes);
      }
    }
  });
}

// c = a · b, or c += a · b: a [rows, depth], b [depth, columns] with step 1, `columns` a multiple
// of a vector's lanes.
HWY_INLINE void Multiply(const Matrix& a, const Matrix& b, int64_t rows, int64_t depth,
                         int64_t columns, float* c, int64_t c_row, bool add) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(hn::ScalableTag<float>()));
  for (int64_t j = 0; j < columns; j += 4 * lanes) {
    TileOf<4>(std::min<int64_t>(4, (columns - j) / lanes), 0, [&](auto vectors, int64_t) {
      MultiplyColumns<decltype(vectors)::value>(a, {b.data + j, b.row}, rows, depth, c + j, c_row,
                                                add);
    });
  }
}

}  // namespace hone::engine::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // HONE_KERNELS_PRODUCT_INL_H_
