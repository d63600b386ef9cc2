#include "engine/kernels/attention.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "engine/kernels/dropout.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/attention.cc"
// foreach_target.h includes this file again, so it comes before the -inl files.
// clang-format off
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "engine/kernels/product-inl.h"
#include "engine/kernels/softmax-inl.h"
#include "engine/kernels/vector-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hone::engine::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using F = hn::ScalableTag<float>;

HWY_INLINE int64_t Lanes() { return static_cast<int64_t>(hn::Lanes(F())); }
HWY_INLINE int64_t RoundUp(int64_t n, int64_t grain) { return (n + grain - 1) / grain * grain; }
// Keys that a panel has side by side.
HWY_INLINE int64_t Side() { return 4 * Lanes(); }

// How many queries are done at a time: their weights are to stay in the cache, and those of a
// causal attention are to see about the same keys.
constexpr int64_t kWeights = 12288, kFewest = 6, kMost = 48, kMostCausal = 24;
HWY_INLINE int64_t QueryBlock(const Attention& a, int64_t keys) {
  return std::clamp(kWeights / std::max<int64_t>(keys, 1) / kFewest * kFewest, kFewest,
                    a.causal ? kMostCausal : kMost);
}

int64_t AttentionScratchT(const Attention& a, int64_t keys) {
  const int64_t pitch = RoundUp(keys, Side()), padded = RoundUp(a.dim, Lanes());
  // The backward pass: panels of keys and values, keys and two gradients; two matrices of weights
  // and three of queries.
  return pitch * (2 * a.dim + 3 * padded) + 2 * std::max(kWeights, kFewest * pitch) +
         3 * kMost * padded;
}

// Rows of a head, `dim` numbers each, with zeros behind them up to whole vectors.
HWY_INLINE void CopyRows(const float* from, int64_t from_row, int64_t rows, int64_t dim,
                         float* to) {
  const int64_t padded = RoundUp(dim, Lanes());
  for (int64_t r = 0; r < rows; ++r) {
    std::fill_n(std::copy_n(from + r * from_row, dim, to + r * padded), padded - dim, 0.0f);
  }
}

// to[j · to_row + i] = factor · from[i · from_row + j], i and j below 4.
HWY_INLINE void Transpose4(const float* from, int64_t from_row, float factor, float* to,
                           int64_t to_row) {
#if HWY_TARGET == HWY_SCALAR
  for (int64_t i = 0; i < 16; ++i) {
    to[i / 4 * to_row + i % 4] = factor * from[i % 4 * from_row + i / 4];
  }
#else
  const hn::FixedTag<float, 4> four;
  const auto f = hn::Set(four, factor);
  const auto row = [&](int64_t i) { return hn::Mul(f, hn::LoadU(four, from + i * from_row)); };
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
HWY_INLINE void PackPanels(const float* from, int64_t from_row, int64_t rows, int64_t dim,
                           float factor, float* to) {
  const int64_t side = Side(), by_four = dim / 4 * 4;
  for (int64_t first = 0; first < rows; first += side, to += dim * side) {
    const int64_t count = std::min(side, rows - first), quads = count / 4 * 4;
    const float* panel = from + first * from_row;
    for (int64_t r = 0; r < quads; r += 4) {
      for (int64_t d = 0; d < by_four; d += 4) {
        Transpose4(panel + r * from_row + d, from_row, factor, to + d * side + r, side);
      }
    }
    for (int64_t d = 0; d < dim; ++d) {
      float* row = to + d * side;
      for (int64_t r = d < by_four ? quads : 0; r < count; ++r) {
        row[r] = factor * panel[r * from_row + d];
      }
      std::fill(row + count, row + side, 0.0f);
    }
  }
}

struct Range {
  int64_t begin;
  int64_t end;
};

// What both passes know of a part.
struct Walk {
  const Attention& a;
  const AttentionPart& part;
  const AttentionArrays& arrays;

  int64_t queries() const { return part.query_end - part.query_begin; }
  int64_t keys() const { return part.key_end - part.key_begin; }
  int64_t pitch() const { return RoundUp(keys(), Side()); }   // of a row of weights
  int64_t padded() const { return RoundUp(a.dim, Lanes()); }  // of a head's row
  int64_t kv_row() const { return a.kv_heads * a.dim; }
  int64_t q_row() const { return a.heads * a.dim; }
  const float* KvRows(const float* of) const {
    return of + part.key_begin * kv_row() + part.kv_head * a.dim;
  }
  // Of query i of the part.
  int64_t RowOf(int64_t i, int64_t head) const {
    return (part.query_begin + i) * q_row() + head * a.dim;
  }
  // The keys that query i sees.
  Range Seen(int64_t i) const {
    const int64_t own = i + keys() - queries();
    const int64_t end = a.causal ? std::clamp<int64_t>(own + 1, 0, keys()) : keys();
    return {a.window > 0 ? std::clamp<int64_t>(own + 1 - a.window, 0, end) : 0, end};
  }
  // Those of `count` queries together: from the begin of a panel on, in whole vectors.
  Range SeenByBlock(int64_t first, int64_t count) const {
    const int64_t begin = Seen(first).begin, end = Seen(first + count - 1).end;
    return {begin / Side() * Side(), RoundUp(end, Lanes())};
  }
  // What ALiBi takes from the scores of query i, of the keys that it sees.
  void AddDistances(int64_t i, int64_t head, const Range& seen, float* row) const {
    if (a.alibi) {
      const float slope = AlibiSlope(head, a.heads);
      const auto own = static_cast<float>(i + keys() - queries());
      for (int64_t j = seen.begin; j < seen.end; ++j) {
        row[j] -= slope * std::abs(own - static_cast<float>(j));
      }
    }
  }
  // rows[i][j] = row of `from` · panel's column j, for the keys of `range`.
  void Products(const float* from, int64_t from_row, const float* panels, int64_t count,
                const Range& range, float* rows) const {
    for (int64_t first = range.begin; first < range.end; first += Side()) {
      Multiply({from, from_row}, {panels + first * a.dim, Side()}, count, a.dim,
               std::min(Side(), range.end - first), rows + first, pitch(), false);
    }
  }
  // A row of weights, or of their gradients: those behind the last key are zero.
  void Drop(int64_t i, int64_t head, const Range& block, float* row) const {
    if (a.dropout > 0) {
      const auto query = static_cast<uint64_t>((part.query_begin + i) * a.heads + head);
      Dropout(DType::kF32, a.dropout, arrays.key,
              query * static_cast<uint64_t>(RoundUp(arrays.key_rows, kDropoutBlock)), row, row,
              block.begin, block.end);
    }
  }
};

// The lanes of the vector at `from` that lie in `seen`.
HWY_INLINE hn::Mask<F> LanesSeen(const Range& seen, int64_t from) {
  const F f;
  const auto first = [&](int64_t n) {
    return hn::FirstN(f, static_cast<size_t>(std::clamp<int64_t>(n, 0, Lanes())));
  };
  return hn::AndNot(first(seen.begin - from), first(seen.end - from));
}

// body(from, mask) for the vectors of a row that have numbers in `seen`, in the order of `block`;
// zeros in the block's others.
template <typename Body>
HWY_INLINE void ForSeen(const Range& seen, const Range& block, float* row, Body&& body) {
  const F f;
  for (int64_t j = block.begin; j < block.end; j += Lanes()) {
    if (j + Lanes() <= seen.begin || j >= seen.end) {
      hn::StoreU(hn::Zero(f), f, row + j);
    } else {
      body(j, LanesSeen(seen, j));
    }
  }
}

// row = exp(row − its largest), zeros where the query does not see what the block does. Returns the
// sum and the largest; 0 where nothing is seen.
HWY_INLINE float ExpOfSeen(const Range& seen, const Range& block, float* row, float& largest) {
  const F f;
  largest = 0;
  if (seen.begin >= seen.end) {
    std::fill(row + block.begin, row + block.end, 0.0f);
    return 0;
  }
  const auto lowest = hn::Set(f, hwy::LowestValue<float>());
  auto top = lowest;
  ForSeen(seen, block, row, [&](int64_t j, auto mask) {
    top = hn::Max(top, hn::IfThenElse(mask, hn::LoadU(f, row + j), lowest));
  });
  largest = hn::GetLane(hn::MaxOfLanes(f, top));
  const auto shift = hn::Set(f, largest);
  auto sum = hn::Zero(f);
  ForSeen(seen, block, row, [&](int64_t j, auto mask) {
    const auto e = hn::IfThenElseZero(mask, ExpOf(f, hn::Sub(hn::LoadU(f, row + j), shift)));
    hn::StoreU(e, f, row + j);
    sum = hn::Add(sum, e);
  });
  return hn::GetLane(hn::SumOfLanes(f, sum));
}

void AttendT(const Attention& a, const AttentionPart& part, const AttentionArrays& arrays, float* y,
             float* log_sums, float* scratch) {
  const Walk w{a, part, arrays};
  const int64_t group = a.heads / a.kv_heads, block = QueryBlock(a, w.pitch());
  float* panels = scratch;
  float* values = panels + w.pitch() * a.dim;
  float* weights = values + w.pitch() * w.padded();
  float* sums = weights + block * w.pitch();
  std::array<float, kMost> shares;  // 1 / the sum of a query's weights
  PackPanels(w.KvRows(arrays.k), w.kv_row(), w.keys(), a.dim, a.scale, panels);
  CopyRows(w.KvRows(arrays.v), w.kv_row(), w.keys(), a.dim, values);
  std::fill(values + w.keys() * w.padded(), values + w.pitch() * w.padded(), 0.0f);
  for (int64_t head = part.kv_head * group; head < (part.kv_head + 1) * group; ++head) {
    for (int64_t first = 0; first < w.queries(); first += block) {
      const int64_t count = std::min(block, w.queries() - first);
      const Range range = w.SeenByBlock(first, count);
      w.Products(arrays.q + w.RowOf(first, head), w.q_row(), panels, count, range, weights);
      for (int64_t i = 0; i < count; ++i) {
        float* row = weights + i * w.pitch();
        const Range seen = w.Seen(first + i);
        w.AddDistances(first + i, head, seen, row);
        float top = 0;
        const float sum = ExpOfSeen(seen, range, row, top);
        shares[i] = sum == 0 ? 0 : 1 / sum;
        log_sums[(part.query_begin + first + i) * a.heads + head] =
            sum == 0 ? 0 : top + std::log(sum);
        w.Drop(first + i, head, range, row);
      }
      Multiply({weights + range.begin, w.pitch()}, {values + range.begin * w.padded(), w.padded()},
               count, range.end - range.begin, w.padded(), sums, w.padded(), false);
      for (int64_t i = 0; i < count; ++i) {
        const auto share = hn::Set(F(), shares[i]);
        Map(a.dim, sums + i * w.padded(), y + w.RowOf(first + i, head),
            [&](auto x) { return hn::Mul(x, share); });
      }
    }
  }
}

void AttendGradientT(const Attention& a, const AttentionPart& part, const AttentionArrays& arrays,
                     const AttentionGradientArrays& gradient, float* scratch) {
  const F f;
  const Walk w{a, part, arrays};
  const int64_t group = a.heads / a.kv_heads, block = QueryBlock(a, w.pitch());
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
  PackPanels(w.KvRows(arrays.k), w.kv_row(), w.keys(), a.dim, a.scale, key_panels);
  PackPanels(w.KvRows(arrays.v), w.kv_row(), w.keys(), a.dim, 1, value_panels);
  CopyRows(w.KvRows(arrays.k), w.kv_row(), w.keys(), a.dim, keys);
  std::fill(keys + w.keys() * w.padded(), keys + of_keys, 0.0f);
  std::fill_n(dk, 2 * of_keys, 0.0f);
  for (int64_t head = part.kv_head * group; head < (part.kv_head + 1) * group; ++head) {
    for (int64_t first = 0; first < w.queries(); first += block) {
      const int64_t count = std::min(block, w.queries() - first);
      const Range range = w.SeenByBlock(first, count);
      CopyRows(arrays.q + w.RowOf(first, head), w.q_row(), count, a.dim, queries);
      CopyRows(gradient.dy + w.RowOf(first, head), w.q_row(), count, a.dim, dy);
      w.Products(queries, w.padded(), key_panels, count, range, weights);
      w.Products(dy, w.padded(), value_panels, count, range, dweights);
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
        std::copy_n(dq + i * w.padded(), a.dim, gradient.dq + w.RowOf(first + i, head));
      }
    }
  }
  for (int64_t j = 0; j < w.keys(); ++j) {
    const int64_t row = (part.key_begin + j) * w.kv_row() + part.kv_head * a.dim;
    std::copy_n(dk + j * w.padded(), a.dim, gradient.dk + row);
    std::copy_n(dv + j * w.padded(), a.dim, gradient.dv + row);
  }
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
void Attend(const Attention& a, const AttentionPart& part, const AttentionArrays& arrays, float* y,
            float* log_sums, float* scratch) {
  HWY_DYNAMIC_DISPATCH(AttendT)(a, part, arrays, y, log_sums, scratch);
}
void AttendGradient(const Attention& a, const AttentionPart& part, const AttentionArrays& arrays,
                    const AttentionGradientArrays& gradient, float* scratch) {
  HWY_DYNAMIC_DISPATCH(AttendGradientT)(a, part, arrays, gradient, scratch);
}

}  // namespace hone::engine::kernels
#endif  // HWY_ONCE
