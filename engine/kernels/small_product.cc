#include "engine/kernels/small_product.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/small_product.cc"
// foreach_target.h includes this file again, so it comes before the -inl files.
// clang-format off
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "engine/kernels/math-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hone::engine::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// AVX-512 and what is above it: better targets have smaller numbers.
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3

constexpr int64_t kLanes = 16;
using F = hn::FixedTag<float, kLanes>;
using V = hn::Vec<F>;
using M = hn::Mask<F>;

struct Operands {
  const SmallProduct& p;
  const float* a;
  const float* b;
  const float* bias;
  float* c;
};

// kRows rows and kVectors vectors of columns, of which the last may be filled in part: all sums in
// registers over the whole inner extent.
template <int kRows, int kVectors>
void Tile(const Operands& o, int64_t row, int64_t column) {
  const F f;
  const SmallProduct& p = o.p;
  const int64_t rest = p.columns - column - (kVectors - 1) * kLanes;
  const M last = hn::FirstN(f, static_cast<size_t>(std::min(rest, kLanes)));
  const auto load = [&](const float* from, int i) HWY_ATTR {
    return i + 1 < kVectors ? hn::LoadU(f, from + i * kLanes)
                            : hn::MaskedLoad(last, f, from + i * kLanes);
  };
  V sum[kRows][kVectors];
  for (int i = 0; i < kVectors; ++i) {
    const V first = o.bias == nullptr ? hn::Zero(f) : load(o.bias + column, i);
    for (int r = 0; r < kRows; ++r) {
      sum[r][i] = first;
    }
  }
  const float* a = o.a + row * p.a_row;
  const float* b = o.b + column;
  for (int64_t k = 0; k < p.inner; ++k) {
    V v[kVectors];
    for (int i = 0; i < kVectors; ++i) {
      v[i] = load(b, i);
    }
    for (int r = 0; r < kRows; ++r) {
      const V factor = hn::Set(f, a[r * p.a_row]);
      for (int i = 0; i < kVectors; ++i) {
        sum[r][i] = hn::MulAdd(factor, v[i], sum[r][i]);
      }
    }
    a += p.a_inner;
    b += p.b_row;
  }
  // Written out, so that the sums have no place in memory.
  float* c = o.c + row * p.c_row + column * p.c_column;
  alignas(64) float apart[kRows][kVectors * kLanes];
  float* to = p.c_column == 1 ? c : apart[0];
  const int64_t to_row = p.c_column == 1 ? p.c_row : kVectors * kLanes;
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; ++i) {
      const V y = p.relu ? ReluOf(f, sum[r][i]) : sum[r][i];
      if (i + 1 < kVectors) {
        hn::StoreU(y, f, to + r * to_row + i * kLanes);
      } else {
        hn::BlendedStore(y, last, f, to + r * to_row + i * kLanes);
      }
    }
  }
  if (p.c_column != 1) {
    const int64_t count = std::min(p.columns - column, kVectors * kLanes);
    for (int r = 0; r < kRows; ++r) {
      for (int64_t n = 0; n < count; ++n) {
        c[r * p.c_row + n * p.c_column] = apart[r][n];
      }
    }
  }
}

template <int kVectors>
void TileRows(const Operands& o, int64_t column, int64_t begin, int64_t end) {
  int64_t row = begin;
  for (; row + 8 <= end; row += 8) {
    Tile<8, kVectors>(o, row, column);
  }
  if (row + 4 <= end) {
    Tile<4, kVectors>(o, row, column);
    row += 4;
  }
  if (row + 2 <= end) {
    Tile<2, kVectors>(o, row, column);
    row += 2;
  }
  if (row < end) {
    Tile<1, kVectors>(o, row, column);
  }
}

// Threes of vectors, and twos where a single one would be left: 24 sums are enough in flight, and
// their operands stay in registers, too. A row alone takes eight as long as it can: it waits for
// nothing but the weights, which come fastest in long pieces.
void MultiplyTiles(const Operands& o, int64_t begin, int64_t end) {
  int64_t vectors = (o.p.columns + kLanes - 1) / kLanes;
  int64_t column = 0;
  for (; end - begin == 1 && vectors >= 8; vectors -= 8, column += 8 * kLanes) {
    Tile<1, 8>(o, begin, column);
  }
  while (vectors > 0) {
    const int64_t now = vectors == 4 ? 2 : std::min<int64_t>(vectors, 3);
    switch (now) {
      case 1:
        TileRows<1>(o, column, begin, end);
        break;
      case 2:
        TileRows<2>(o, column, begin, end);
        break;
      default:
        TileRows<3>(o, column, begin, end);
    }
    vectors -= now;
    column += now * kLanes;
  }
}

// kRows rows by kColumns columns, each a sum along the inner extent, 16 at a time.
template <int kRows, int kColumns>
void DotTile(const Operands& o, int64_t row, int64_t column) {
  const F f;
  const SmallProduct& p = o.p;
  V sum[kRows][kColumns];
  for (int r = 0; r < kRows; ++r) {
    for (int n = 0; n < kColumns; ++n) {
      sum[r][n] = hn::Zero(f);
    }
  }
  const float* a = o.a + row * p.a_row;
  const float* b = o.b + column * p.inner;
  const auto add = [&](int64_t k, M lanes) HWY_ATTR {
    V v[kColumns];
    for (int n = 0; n < kColumns; ++n) {
      v[n] = hn::MaskedLoad(lanes, f, b + n * p.inner + k);
    }
    for (int r = 0; r < kRows; ++r) {
      const V u = hn::MaskedLoad(lanes, f, a + r * p.a_row + k);
      for (int n = 0; n < kColumns; ++n) {
        sum[r][n] = hn::MulAdd(u, v[n], sum[r][n]);
      }
    }
  };
  const M all = hn::FirstN(f, kLanes);
  int64_t k = 0;
  for (; k + kLanes <= p.inner; k += kLanes) {
    add(k, all);
  }
  if (k < p.inner) {
    add(k, hn::FirstN(f, static_cast<size_t>(p.inner - k)));
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int n = 0; n < kColumns; ++n) {
      float y = hn::GetLane(hn::SumOfLanes(f, sum[r][n]));
      y += o.bias == nullptr ? 0 : o.bias[column + n];
      o.c[(row + r) * p.c_row + (column + n) * p.c_column] = p.relu && y <= 0 ? 0 : y;
    }
  }
}

template <int kColumns>
void DotRows(const Operands& o, int64_t column, int64_t begin, int64_t end) {
  int64_t row = begin;
  for (; row + 4 <= end; row += 4) {
    DotTile<4, kColumns>(o, row, column);
  }
  for (; row < end; ++row) {
    DotTile<1, kColumns>(o, row, column);
  }
}

void MultiplyDots(const Operands& o, int64_t begin, int64_t end) {
  int64_t column = 0;
  for (; column + 4 <= o.p.columns; column += 4) {
    DotRows<4>(o, column, begin, end);
  }
  if (column + 2 <= o.p.columns) {
    DotRows<2>(o, column, begin, end);
    column += 2;
  }
  if (column < o.p.columns) {
    DotRows<1>(o, column, begin, end);
  }
}

void MultiplyT(const SmallProduct& product, const float* a, const float* b, const float* bias,
               float* c, int64_t begin, int64_t end) {
  SmallProduct p = product;
  p.b_row = p.b_row == 0 ? p.columns : p.b_row;
  const Operands operands = {p, a, b, bias, c};
  if (product.dots) {
    MultiplyDots(operands, begin, end);
  } else {
    MultiplyTiles(operands, begin, end);
  }
}

// Of kVectors vectors of columns, of which the last may be filled in part.
template <int kVectors>
void SumVectors(const float* x, int64_t rows, int64_t columns, M last, float* y) {
  const F f;
  V sum[kVectors];
  for (int i = 0; i < kVectors; ++i) {
    sum[i] = hn::Zero(f);
  }
  for (int64_t r = 0; r < rows; ++r) {
    for (int i = 0; i < kVectors; ++i) {
      const V v =
          i + 1 < kVectors ? hn::LoadU(f, x + i * kLanes) : hn::MaskedLoad(last, f, x + i * kLanes);
      sum[i] = hn::Add(sum[i], v);
    }
    x += columns;
  }
  for (int i = 0; i < kVectors; ++i) {
    if (i + 1 < kVectors) {
      hn::StoreU(sum[i], f, y + i * kLanes);
    } else {
      hn::BlendedStore(sum[i], last, f, y + i * kLanes);
    }
  }
}

void SumRowsT(const float* x, int64_t rows, int64_t columns, float* y) {
  constexpr int kVectors = 8;
  const F f;
  int64_t column = 0;
  for (; column + kVectors * kLanes <= columns; column += kVectors * kLanes) {
    SumVectors<kVectors>(x + column, rows, columns, hn::FirstN(f, kLanes), y + column);
  }
  for (; column < columns; column += kLanes) {
    const auto rest = static_cast<size_t>(std::min(columns - column, kLanes));
    SumVectors<1>(x + column, rows, columns, hn::FirstN(f, rest), y + column);
  }
}

// Four rows of four numbers.
HWY_INLINE void TransposeBlock(const float* x, int64_t x_row, float* y, int64_t y_row) {
  const hn::FixedTag<float, 4> f;
  const hn::FixedTag<uint64_t, 2> pairs;
  const auto a = hn::LoadU(f, x), b = hn::LoadU(f, x + x_row);
  const auto c = hn::LoadU(f, x + 2 * x_row), d = hn::LoadU(f, x + 3 * x_row);
  const auto low_ab = hn::BitCast(pairs, hn::InterleaveLower(f, a, b));
  const auto low_cd = hn::BitCast(pairs, hn::InterleaveLower(f, c, d));
  const auto high_ab = hn::BitCast(pairs, hn::InterleaveUpper(f, a, b));
  const auto high_cd = hn::BitCast(pairs, hn::InterleaveUpper(f, c, d));
  hn::StoreU(hn::BitCast(f, hn::InterleaveLower(pairs, low_ab, low_cd)), f, y);
  hn::StoreU(hn::BitCast(f, hn::InterleaveUpper(pairs, low_ab, low_cd)), f, y + y_row);
  hn::StoreU(hn::BitCast(f, hn::InterleaveLower(pairs, high_ab, high_cd)), f, y + 2 * y_row);
  hn::StoreU(hn::BitCast(f, hn::InterleaveUpper(pairs, high_ab, high_cd)), f, y + 3 * y_row);
}

// In squares of 16, whose cache lines stay near while all of them is read and written.
void TransposeT(const float* x, int64_t rows, int64_t columns, float* y) {
  constexpr int64_t kSquare = 16;
  const int64_t whole_rows = rows / 4 * 4, whole_columns = columns / 4 * 4;
  for (int64_t row = 0; row < whole_rows; row += kSquare) {
    for (int64_t column = 0; column < whole_columns; column += kSquare) {
      for (int64_t n = column; n < std::min(column + kSquare, whole_columns); n += 4) {
        for (int64_t r = row; r < std::min(row + kSquare, whole_rows); r += 4) {
          TransposeBlock(x + r * columns + n, columns, y + n * rows + r, rows);
        }
      }
    }
  }
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t n = r < whole_rows ? whole_columns : 0; n < columns; ++n) {
      y[n * rows + r] = x[r * columns + n];
    }
  }
}

#else

void MultiplyT(const SmallProduct&, const float*, const float*, const float*, float*, int64_t,
               int64_t) {}
void SumRowsT(const float*, int64_t, int64_t, float*) {}
void TransposeT(const float*, int64_t, int64_t, float*) {}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace hone::engine::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::engine::kernels {
HWY_EXPORT(MultiplyT);
HWY_EXPORT(SumRowsT);
HWY_EXPORT(TransposeT);

bool WantsDots(int64_t inner, int64_t columns) { return columns <= 8 && inner >= 16; }

void Multiply(const SmallProduct& product, const float* a, const float* b, const float* bias,
              float* c, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(MultiplyT)(product, a, b, bias, c, begin, end);
}

void MultiplyColumns(const SmallProduct& product, const float* a, const float* b, const float* bias,
                     float* c, int64_t begin, int64_t end) {
  SmallProduct part = product;
  part.columns = end - begin;
  part.b_row = product.b_row == 0 ? product.columns : product.b_row;
  Multiply(part, a, b + begin * (product.dots ? product.inner : 1),
           bias == nullptr ? nullptr : bias + begin, c + begin * product.c_column, 0, product.rows);
}

void SumRows(const float* x, int64_t rows, int64_t columns, float* y) {
  HWY_DYNAMIC_DISPATCH(SumRowsT)(x, rows, columns, y);
}

void Transpose(const float* x, int64_t rows, int64_t columns, float* y) {
  HWY_DYNAMIC_DISPATCH(TransposeT)(x, rows, columns, y);
}

}  // namespace hone::engine::kernels
#endif  // HWY_ONCE
