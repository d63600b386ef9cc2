#include "engine/kernels/attention.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <type_traits>

#include "engine/kernels/attention_pairs.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/attention.cc"
// foreach_target.h includes this file again, so it comes before the -inl files.
// clang-format off
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "engine/kernels/attention-inl.h"
#include "engine/kernels/product-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hone::engine::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

int64_t AttentionScratchT(const Attention& a, int64_t keys) {
  const int64_t pitch = RoundUp(keys, Side()), padded = RoundUp(a.dim, Lanes());
  // The backward pass: panels of keys and values, keys and two gradients, and a row of weights; two
  // matrices of weights, and in pairs as much again in words; four matrices of queries.
  return pitch * (2 * a.dim + 3 * padded + 1) + 4 * std::max(kWeights, kTileBlock * pitch) +
         4 * kMostByTiles * padded;
}

HWY_INLINE float AsFloat(float x) { return x; }
HWY_INLINE float AsFloat(uint16_t x) { return FromBf16(x); }

// Rows of a head, `dim` numbers each, with zeros behind them up to whole vectors.
template <typename T>
HWY_INLINE void CopyRows(const T* from, int64_t from_row, int64_t rows, int64_t dim, float* to) {
  const F f;
  const int64_t padded = RoundUp(dim, Lanes());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t d = 0; d < dim; d += Lanes()) {
      hn::StoreU(LoadSome(from + r * from_row + d, dim - d, Lanes()), f, to + r * padded + d);
    }
  }
}

// to[j · to_row + i] = factor · from[i · from_row + j], i and j below 4.
template <typename T>
HWY_INLINE void Transpose4(const T* from, int64_t from_row, float factor, float* to,
                           int64_t to_row) {
#if HWY_TARGET == HWY_SCALAR
  for (int64_t i = 0; i < 16; ++i) {
    to[i / 4 * to_row + i % 4] = factor * AsFloat(from[i % 4 * from_row + i / 4]);
  }
#else
  const hn::FixedTag<float, 4> four;
  const auto f = hn::Set(four, factor);
  const auto row = [&](int64_t i) { return hn::Mul(f, LoadVector(four, from + i * from_row)); };
  const auto a = row(0), b = row(1), c = row(2), d = row(3);
  const auto ab = hn::InterleaveLower(four, a, b), cd = hn::InterleaveLower(four, c, d);
  hn::StoreU(hn::ConcatLowerLower(four, cd, ab), four, to);
  hn::StoreU(hn::ConcatUpperUpper(four, cd, ab), four, to + to_row);
  const auto ab_up = hn::InterleaveUpper(four, a, b), cd_up = hn::InterleaveUpper(four, c, d);
  hn::StoreU(hn::ConcatLowerLower(four, cd_up, ab_up), four, to + 2 * to_row);
  hn::StoreU(hn::ConcatUpperUpper(four, cd_up, ab_up), four, to + 3 * to_row);
#endif
}

// The same transposed, in panels of Side() rows side by side, times `factor`.
template <typename T>
HWY_INLINE void PackPanels(const T* from, int64_t from_row, int64_t rows, int64_t dim, float factor,
                           float* to) {
  const int64_t side = Side(), by_four = dim / 4 * 4;
  for (int64_t first = 0; first < rows; first += side, to += dim * side) {
    const int64_t count = std::min(side, rows - first), quads = count / 4 * 4;
    const T* panel = from + first * from_row;
    for (int64_t r = 0; r < quads; r += 4) {
      for (int64_t d = 0; d < by_four; d += 4) {
        Transpose4(panel + r * from_row + d, from_row, factor, to + d * side + r, side);
      }
    }
    for (int64_t d = 0; d < dim; ++d) {
      float* row = to + d * side;
      for (int64_t r = d < by_four ? quads : 0; r < count; ++r) {
        row[r] = factor * AsFloat(panel[r * from_row + d]);
      }
      std::fill(row + count, row + side, 0.0f);
    }
  }
}

// rows[i][j] = row of `from` · panel's column j, for the keys of `range`.
HWY_INLINE void Products(const Walk& w, const float* from, int64_t from_row, const float* panels,
                         int64_t count, const Range& range, float* rows) {
  for (int64_t first = range.begin; first < range.end; first += Side()) {
    Multiply({from, from_row}, {panels + first * w.a.dim, Side()}, count, w.a.dim,
             std::min(Side(), range.end - first), rows + first, w.pitch(), false);
  }
}

template <typename T>
void AttendIn(const Attention& a, const AttentionPart& part, const AttentionArrays& arrays, T* y,
              float* log_sums, float* scratch) {
  const Walk w{a, part, arrays};
  const int64_t group = a.heads / a.kv_heads, block = w.QueryBlock();
  float* panels = scratch;
  float* values = panels + w.pitch() * a.dim;
  float* weights = values + w.pitch() * w.padded();
  float* sums = weights + block * w.pitch();
  float* queries = sums + block * w.padded();
  std::array<float, kMost> shares;  // 1 / the sum of a query's weights
  PackPanels(w.KvRows<T>(arrays.k), w.kv_row(), w.keys(), a.dim, a.scale, panels);
  CopyRows(w.KvRows<T>(arrays.v), w.kv_row(), w.keys(), a.dim, values);
  std::fill(values + w.keys() * w.padded(), values + w.pitch() * w.padded(), 0.0f);
  for (int64_t head = part.kv_head * group; head < (part.kv_head + 1) * group; ++head) {
    for (int64_t first = 0; first < w.queries(); first += block) {
      const int64_t count = std::min(block, w.queries() - first);
      const Range range = w.SeenByBlock(first, count);
      const T* q = static_cast<const T*>(arrays.q) + w.RowOf(first, head);
      if constexpr (std::is_same_v<T, float>) {
        Products(w, q, w.q_row(), panels, count, range, weights);
      } else {
        CopyRows(q, w.q_row(), count, a.dim, queries);
        Products(w, queries, w.padded(), panels, count, range, weights);
      }
      for (int64_t i = 0; i < count; ++i) {
        float* row = weights + i * w.pitch();
        const Range seen = w.Seen(first + i);
        w.AddDistances(first + i, head, seen, row);
        float top = 0;
        const float sum = ExpOfSeen(seen, range, 1, row, top);
        shares[i] = sum == 0 ? 0 : 1 / sum;
        log_sums[(part.query_begin + first + i) * a.heads + head] =
            sum == 0 ? 0 : top + std::log(sum);
        w.Drop(first + i, head, range, row);
      }
      Multiply({weights + range.begin, w.pitch()}, {values + range.begin * w.padded(), w.padded()},
               count, range.end - range.begin, w.padded(), sums, w.padded(), false);
      for (int64_t i = 0; i < count; ++i) {
        StoreRow(sums + i * w.padded(), a.dim, shares[i], y + w.RowOf(first + i, head));
      }
    }
  }
}

template <typename T>
void AttendGradientIn(const Attention& a, const AttentionPart& part, const AttentionArrays& arrays,
                      const AttentionGradientArrays& gradient, float* scratch) {
  const F f;
  const Walk w{a, part, arrays};
  const int64_t group = a.heads / a.kv_heads, block = w.QueryBlock();
  const int64_t of_keys = w.pitch() * w.padded(), lanes = Lanes();
  float* key_panels = scratch;
  float* value_panels = key_panels + w.pitch() * a.dim;
  float* keys = value_panels + w.pitch() * a.dim;
  float* dk = keys + of_keys;
  float* dv = dk + of_keys;
  float* weights = dv + of_keys;
  float* dweights = weights + block * w.pitch();
  float* queries = dweights + block * w.pitch();
  float* dy = queries + block * w.padded();
  float* dq = dy + block * w.padded();
  PackPanels(w.KvRows<T>(arrays.k), w.kv_row(), w.keys(), a.dim, a.scale, key_panels);
  PackPanels(w.KvRows<T>(arrays.v), w.kv_row(), w.keys(), a.dim, 1, value_panels);
  CopyRows(w.KvRows<T>(arrays.k), w.kv_row(), w.keys(), a.dim, keys);
  std::fill(keys + w.keys() * w.padded(), keys + of_keys, 0.0f);
  std::fill_n(dk, 2 * of_keys, 0.0f);
  for (int64_t head = part.kv_head * group; head < (part.kv_head + 1) * group; ++head) {
    for (int64_t first = 0; first < w.queries(); first += block) {
      const int64_t count = std::min(block, w.queries() - first);
      const Range range = w.SeenByBlock(first, count);
      const int64_t row = w.RowOf(first, head);
      CopyRows(static_cast<const T*>(arrays.q) + row, w.q_row(), count, a.dim, queries);
      CopyRows(static_cast<const T*>(gradient.dy) + row, w.q_row(), count, a.dim, dy);
      Products(w, queries, w.padded(), key_panels, count, range, weights);
      Products(w, dy, w.padded(), value_panels, count, range, dweights);
      for (int64_t i = 0; i < count; ++i) {
        float* p = weights + i * w.pitch();
        float* dp = dweights + i * w.pitch();
        const float* log_sum = gradient.log_sums + (part.query_begin + first + i) * a.heads + head;
        const auto shift = hn::Set(f, *log_sum);
        const Range seen = w.Seen(first + i);
        w.AddDistances(first + i, head, seen, p);
        w.Drop(first + i, head, range, dp);
        // Softmax's gradient: p (dp − Σ p dp).
        auto product = hn::Zero(f);
        ForSeen(seen, range, p, [&](int64_t j, auto mask) {
          const auto e = hn::IfThenElseZero(mask, ExpOf(f, hn::Sub(hn::LoadU(f, p + j), shift)));
          hn::StoreU(e, f, p + j);
          product = hn::MulAdd(e, hn::LoadU(f, dp + j), product);
        });
        const auto total = hn::SumOfLanes(f, product);
        const auto scale = hn::Set(f, a.scale);
        for (int64_t j = range.begin; j < range.end; j += lanes) {
          const auto d = hn::Sub(hn::LoadU(f, dp + j), total);
          hn::StoreU(hn::Mul(hn::Mul(hn::LoadU(f, p + j), d), scale), f, dp + j);
        }
        w.Drop(first + i, head, range, p);  // what the values were multiplied by
      }
      const int64_t seen = range.end - range.begin;
      const int64_t at = range.begin * w.padded();
      // Keys are rows of the transposed weights.
      Multiply({weights + range.begin, 1, w.pitch()}, {dy, w.padded()}, seen, count, w.padded(),
               dv + at, w.padded(), true);
      Multiply({dweights + range.begin, 1, w.pitch()}, {queries, w.padded()}, seen, count,
               w.padded(), dk + at, w.padded(), true);
      Multiply({dweights + range.begin, w.pitch()}, {keys + at, w.padded()}, count, seen,
               w.padded(), dq, w.padded(), false);
      for (int64_t i = 0; i < count; ++i) {
        StoreRow(dq + i * w.padded(), a.dim, 1,
                 static_cast<T*>(gradient.dq) + w.RowOf(first + i, head));
      }
    }
  }
  for (int64_t j = 0; j < w.keys(); ++j) {
    StoreRow(dk + j * w.padded(), a.dim, 1, static_cast<T*>(gradient.dk) + w.KvRowOf(j));
    StoreRow(dv + j * w.padded(), a.dim, 1, static_cast<T*>(gradient.dv) + w.KvRowOf(j));
  }
}

void AttendT(const Attention& a, const AttentionPart& part, const AttentionArrays& arrays, void* y,
             float* log_sums, float* scratch) {
  Dispatch(arrays.dtype, [&](auto type) {
    AttendIn(a, part, arrays, static_cast<decltype(type)*>(y), log_sums, scratch);
  });
}

void AttendGradientT(const Attention& a, const AttentionPart& part, const AttentionArrays& arrays,
                     const AttentionGradientArrays& gradient, float* scratch) {
  Dispatch(arrays.dtype, [&](auto type) {
    AttendGradientIn<decltype(type)>(a, part, arrays, gradient, scratch);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace hone::engine::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::engine::kernels {
HWY_EXPORT(AttentionScratchT);
HWY_EXPORT(AttendT);
HWY_EXPORT(AttendGradientT);

float AlibiSlope(int64_t head, int64_t heads) {
  const auto power = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(heads)));
  const int64_t number = head < power ? head + 1 : 2 * (head - power) + 1;
  const int64_t of = head < power ? power : 2 * power;
  return std::exp2(-8 * static_cast<float>(number) / static_cast<float>(of));
}

int64_t AttentionScratch(const Attention& a, int64_t keys) {
  return HWY_DYNAMIC_DISPATCH(AttentionScratchT)(a, keys);
}
void Attend(const Attention& a, const AttentionPart& part, const AttentionArrays& arrays, void* y,
            float* log_sums, float* scratch) {
  if (arrays.pairs != PairProducts::kNone) {
    return AttendInPairs(a, part, arrays, static_cast<uint16_t*>(y), log_sums, scratch);
  }
  HWY_DYNAMIC_DISPATCH(AttendT)(a, part, arrays, y, log_sums, scratch);
}
void AttendGradient(const Attention& a, const AttentionPart& part, const AttentionArrays& arrays,
                    const AttentionGradientArrays& gradient, float* scratch) {
  if (arrays.pairs != PairProducts::kNone) {
    return AttendGradientInPairs(a, part, arrays, gradient, scratch);
  }
  HWY_DYNAMIC_DISPATCH(AttendGradientT)(a, part, arrays, gradient, scratch);
}

}  // namespace hone::engine::kernels
#endif  // HWY_ONCE
