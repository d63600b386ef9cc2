#include "engine/kernels/attention.h"

#include <algorithm>
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
  // The backward pass: panels of keys and values, keys and two gradients; three matrices of weights
  // and three of queries.
  return pitch * (2 * a.dim + 3 * padded) + 3 * std::max(kWeights, kFewest * pitch) +
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

// The same transposed, in panels of Side() rows side by side, times `factor`.
HWY_INLINE void PackPanels(const float* from, int64_t from_row, int64_t rows, int64_t dim,
                           float factor, float* to) {
  for (int64_t first = 0; first < rows; first += Side()) {
    for (int64_t d = 0; d < dim; ++d) {
      for (int64_t r = first; r < first + Side(); ++r) {
        *to++ = r < rows ? factor * from[r * from_row + d] : 0.0f;
      }
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
  // A row of weights, or of their gradients.
  void Drop(int64_t i, int64_t head, const Range& block, float* row) const {
    if (a.dropout > 0) {
      const auto query = static_cast<uint64_t>((part.query_begin + i) * a.heads + head);
      Dropout(DType::kF32, a.dropout, arrays.key,
              query * static_cast<uint64_t>(RoundUp(arrays.key_rows, 4)), row, row, block.begin,
              std::min(block.end, keys()));
    }
  }
  // Zeros where the query does not see what the block does.
  static void ClearOthers(const Range& seen, const Range& block, float* row) {
    std::fill(row + block.begin, row + seen.begin, 0.0f);
    std::fill(row + seen.end, row + block.end, 0.0f);
  }
};

void AttendT(const Attention& a, const AttentionPart& part, const AttentionArrays& arrays, float* y,
             float* log_sums, float* scratch) {
  const Walk w{a, part, arrays};
  const int64_t group = a.heads / a.kv_heads, block = QueryBlock(a, w.pitch());
  float* panels = scratch;
  float* values = panels + w.pitch() * a.dim;
  float* weights = values + w.pitch() * w.padded();
  float* sums = weights + block * w.pitch();
  PackPanels(w.KvRows(arrays.k), w.kv_row(), w.keys(), a.dim, a.scale, panels);
  CopyRows(w.KvRows(arrays.v), w.kv_row(), w.keys(), a.dim, values);
  std::fill(values + w.keys() * w.padded(), values + w.pitch() * w.padded(), 0.0f);
  for (int64_t head = part.kv_head * group; head < (part.kv_head + 1) * group; ++head) {
    for (int64_t first = 0; first < w.queries(); first += block) {
      const int64_t count = std::min(block, w.queries() - first);
      const Range range = w.SeenByBlock(first, count);
      w.Products(arrays.q + w.RowOf(first, head), w.q_row(), panels, count, range, weights);
      for (int64_t i = 0; i < count; ++i) {
        const Range seen = w.Seen(first + i);
        float* row = weights + i * w.pitch();
        float* log_sum = log_sums + (part.query_begin + first + i) * a.heads + head;
        *log_sum = 0;
        w.AddDistances(first + i, head, seen, row);
        if (seen.begin < seen.end) {
          const int64_t n = seen.end - seen.begin;
          const float top = RowMax(row + seen.begin, n);
          const float sum = RowExp(row + seen.begin, n, top, row + seen.begin);
          *log_sum = top + std::log(sum);
          const auto share = hn::Set(F(), 1 / sum);
          Map(n, row + seen.begin, row + seen.begin, [&](auto x) { return hn::Mul(x, share); });
        }
        w.ClearOthers(seen, range, row);
        w.Drop(first + i, head, range, row);
      }
      Multiply({weights + range.begin, w.pitch()}, {values + range.begin * w.padded(), w.padded()},
               count, range.end - range.begin, w.padded(), sums, w.padded(), false);
      for (int64_t i = 0; i < count; ++i) {
        std::copy_n(sums + i * w.padded(), a.dim, y + w.RowOf(first + i, head));
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
  float* dropped = weights + block * w.pitch();
  float* dweights = dropped + block * w.pitch();
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
        const Range seen = w.Seen(first + i);
        const int64_t n = seen.end - seen.begin;
        float* p = weights + i * w.pitch();
        float* dp = dweights + i * w.pitch();
        const float* log_sum = gradient.log_sums + (part.query_begin + first + i) * a.heads + head;
        const auto shift = hn::Set(f, *log_sum);
        w.AddDistances(first + i, head, seen, p);
        Map(n, p + seen.begin, p + seen.begin, [&](auto x) { return ExpOf(f, hn::Sub(x, shift)); });
        w.ClearOthers(seen, range, p);
        std::copy(p + range.begin, p + range.end, dropped + i * w.pitch() + range.begin);
        w.Drop(first + i, head, range, dropped + i * w.pitch());
        w.Drop(first + i, head, range, dp);
        // Softmax's gradient: p (dp − Σ p dp).
        auto product = hn::Zero(f);
        for (int64_t j = range.begin; j < range.end; j += lanes) {
          product = hn::MulAdd(hn::LoadU(f, p + j), hn::LoadU(f, dp + j), product);
        }
        const auto total = hn::SumOfLanes(f, product);
        const auto scale = hn::Set(f, a.scale);
        for (int64_t j = range.begin; j < range.end; j += lanes) {
          const auto d = hn::Sub(hn::LoadU(f, dp + j), total);
          hn::StoreU(hn::Mul(hn::Mul(hn::LoadU(f, p + j), d), scale), f, dp + j);
        }
      }
      const int64_t seen = range.end - range.begin;
      const int64_t at = range.begin * w.padded();
      // Keys are rows of the transposed weights.
      Multiply({dropped + range.begin, 1, w.pitch()}, {dy, w.padded()}, seen, count, w.padded(),
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
