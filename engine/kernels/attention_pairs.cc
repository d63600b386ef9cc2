#include "engine/kernels/attention_pairs.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "engine/kernels/pair_product.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/attention_pairs.cc"
// foreach_target.h includes this file again, so it comes before the -inl files.
// clang-format off
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "engine/kernels/attention-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hone::engine::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Processors that multiply pairs have vectors of kPairLanes floats: for others nothing is compiled.
#if HWY_TARGET <= HWY_AVX3

// Rows of a head, transposed, in panels of Side() rows side by side: words of kPairLanes lanes that
// are zero behind the last row.
void PackPanels(const uint16_t* from, int64_t from_row, int64_t rows, int64_t dim, uint32_t* to) {
  const int64_t side = Side();
  for (int64_t first = 0; first < rows; first += side, to += dim / 2 * side) {
    const int64_t count = std::min(side, rows - first);
    TransposePairs(from + first * from_row, from_row, count, dim, to, side);
    for (int64_t p = 0; count < side && p < dim / 2; ++p) {
      std::fill(to + p * side + count, to + (p + 1) * side, 0U);
    }
  }
}

// Keys or values of a part in pairs of rows, zeros up to pitch() / 2 of them.
void PackRows(const Walk& w, const uint16_t* from, uint32_t* to) {
  PairRows(from, w.kv_row(), w.keys(), w.a.dim, to, w.padded());
  std::fill(to + (w.keys() + 1) / 2 * w.padded(), to + w.pitch() / 2 * w.padded(), 0U);
}

// Rows of a head side by side, and behind them none up to a whole tile: what is there, is
// multiplied for nothing.
void CopyRows(const uint16_t* from, int64_t from_row, int64_t rows, int64_t dim, uint16_t* to) {
  for (int64_t r = 0; r < rows; ++r) {
    std::copy_n(from + r * from_row, dim, to + r * dim);
  }
}

// A block's rows of a head, in words of pairs of rows that stand below each other, one row of words
// for each number of the head: to [padded, words].
void TransposeRows(const Walk& w, const uint16_t* from, int64_t count, int64_t words,
                   uint32_t* spare, uint32_t* to) {
  PairRows(from, w.a.dim, count, w.a.dim, spare, w.padded());
  std::fill(spare + (count + 1) / 2 * w.padded(), spare + words * w.padded(), 0U);
  TransposePairs(reinterpret_cast<const uint16_t*>(spare), 2 * w.padded(), words, 2 * w.padded(),
                 to, words);
}

// rows[i][j] = row i of `from` [count, dim] · the panels' column j, for the keys of `range`.
void Scores(const Walk& w, const PairMultiplier& multiplier, const uint16_t* from,
            const uint32_t* panels, int64_t count, const Range& range, float* rows) {
  const int64_t side = Side(), pairs = w.a.dim / 2;
  for (int64_t first = range.begin; first < range.end; first += side) {
    multiplier.Multiply({.rows = count,
                         .pairs = pairs,
                         .columns = std::min(side, range.end - first),
                         .a_row = pairs,
                         .b_row = side,
                         .c_row = w.pitch()},
                        from, panels + first * pairs, rows + first);
  }
}

// Rows of the gradient of keys or values, from columns of f32 [padded, pitch].
void StoreColumns(const Walk& w, const float* columns, uint32_t* spare, void* gradient) {
  for (int64_t d = 0; d < w.a.dim; d += 2) {
    const float* row = columns + d * w.pitch();
    PairFloats(row, row + w.pitch(), w.pitch(), spare + d / 2 * w.pitch());
  }
  auto* rows = static_cast<uint16_t*>(gradient) + w.KvRowOf(0);
  TransposePairs(reinterpret_cast<const uint16_t*>(spare), 2 * w.pitch(), w.a.dim / 2, 2 * w.keys(),
                 reinterpret_cast<uint32_t*>(rows), w.kv_row() / 2);
}

// What is left to multiply a row of scores by: with ALiBi they are scaled before its distances are
// taken away.
float ScaleWithDistances(const Walk& w, int64_t i, int64_t head, const Range& seen, float* row) {
  if (!w.a.alibi) {
    return w.a.scale;
  }
  for (int64_t j = seen.begin; j < seen.end; ++j) {
    row[j] *= w.a.scale;
  }
  w.AddDistances(i, head, seen, row);
  return 1;
}

void AttendInPairsT(const Attention& a, const AttentionPart& part, const AttentionArrays& arrays,
                    uint16_t* y, float* log_sums, float* scratch) {
  const Walk w{a, part, arrays};
  const PairMultiplier multiplier(arrays.pairs);
  const int64_t group = a.heads / a.kv_heads, pitch = w.pitch(), padded = w.padded();
  const int64_t block = w.QueryBlock();
  auto* panels = reinterpret_cast<uint32_t*>(scratch);
  uint32_t* values = panels + pitch * a.dim / 2;
  auto* weights = reinterpret_cast<float*>(values + pitch / 2 * padded);
  auto* rounded = reinterpret_cast<uint16_t*>(weights + block * pitch);
  auto* queries = rounded + block * pitch;
  auto* sums = reinterpret_cast<float*>(queries + block * padded);
  std::array<float, kMostByTiles> shares;  // 1 / the sum of a query's weights
  PackPanels(w.KvRows<uint16_t>(arrays.k), w.kv_row(), w.keys(), a.dim, panels);
  PackRows(w, w.KvRows<uint16_t>(arrays.v), values);
  for (int64_t head = part.kv_head * group; head < (part.kv_head + 1) * group; ++head) {
    for (int64_t first = 0; first < w.queries(); first += block) {
      const int64_t count = std::min(block, w.queries() - first);
      const Range range = w.SeenByBlock(first, count);
      CopyRows(static_cast<const uint16_t*>(arrays.q) + w.RowOf(first, head), w.q_row(), count,
               a.dim, queries);
      Scores(w, multiplier, queries, panels, count, range, weights);
      for (int64_t i = 0; i < count; ++i) {
        float* row = weights + i * pitch;
        const Range seen = w.Seen(first + i);
        const float scale = ScaleWithDistances(w, first + i, head, seen, row);
        float top = 0;
        const float sum = ExpOfSeen(seen, range, scale, row, top);
        shares[i] = sum == 0 ? 0 : 1 / sum;
        log_sums[(part.query_begin + first + i) * a.heads + head] =
            sum == 0 ? 0 : top + std::log(sum);
        w.Drop(first + i, head, range, row);
        RoundFloats(row + range.begin, range.end - range.begin, rounded + i * pitch + range.begin);
      }
      multiplier.Multiply({.rows = count,
                           .pairs = (range.end - range.begin) / 2,
                           .columns = padded,
                           .a_row = pitch / 2,
                           .b_row = padded,
                           .c_row = padded},
                          rounded + range.begin, values + range.begin / 2 * padded, sums);
      for (int64_t i = 0; i < count; ++i) {
        StoreRow(sums + i * padded, a.dim, shares[i], y + w.RowOf(first + i, head));
      }
    }
  }
}

// Of a query's row: p = exp(score − the logarithm of their sum), which dropout makes of d = p · its
// choice; dp becomes the gradient of the product of query and key by softmax's, scale · p (choice ·
// dp − Σ d dp), and p becomes d. `spare` is a row.
void SoftmaxGradient(const Walk& w, int64_t i, int64_t head, float log_sum, const Range& range,
                     float* p, float* dp, float* spare) {
  const F f;
  const int64_t lanes = Lanes();
  const Range seen = w.Seen(i);
  const auto factor = hn::Set(f, ScaleWithDistances(w, i, head, seen, p));
  const auto shift = hn::Set(f, log_sum);
  ForSeen(seen, range, p, [&](int64_t j, auto mask) {
    const auto score = hn::MulSub(hn::LoadU(f, p + j), factor, shift);
    hn::StoreU(hn::IfThenElseZero(mask, ExpOf(f, score)), f, p + j);
  });
  const bool drops = w.a.dropout > 0;
  float* kept = drops ? spare : p;
  if (drops) {
    std::copy(p + range.begin, p + range.end, kept + range.begin);
    w.Drop(i, head, range, kept);
  }
  auto product = hn::Zero(f);
  for (int64_t j = range.begin; j < range.end; j += lanes) {
    product = hn::MulAdd(hn::LoadU(f, kept + j), hn::LoadU(f, dp + j), product);
  }
  const auto total = hn::SumOfLanes(f, product), scale = hn::Set(f, w.a.scale);
  for (int64_t j = range.begin; j < range.end; j += lanes) {
    const auto d = hn::LoadU(f, kept + j);
    const auto less = hn::Mul(hn::LoadU(f, p + j), total);
    hn::StoreU(hn::Mul(hn::MulSub(d, hn::LoadU(f, dp + j), less), scale), f, dp + j);
    hn::StoreU(d, f, p + j);
  }
}

void AttendGradientInPairsT(const Attention& a, const AttentionPart& part,
                            const AttentionArrays& arrays, const AttentionGradientArrays& gradient,
                            float* scratch) {
  const Walk w{a, part, arrays};
  const PairMultiplier multiplier(arrays.pairs);
  const int64_t group = a.heads / a.kv_heads, pitch = w.pitch(), padded = w.padded();
  const int64_t block = w.QueryBlock(), of_keys = pitch * padded;
  auto* key_panels = reinterpret_cast<uint32_t*>(scratch);
  uint32_t* value_panels = key_panels + pitch * a.dim / 2;
  uint32_t* keys = value_panels + pitch * a.dim / 2;
  // Transposed: a row for each number of the head.
  auto* dk = reinterpret_cast<float*>(keys + of_keys / 2);
  float* dv = dk + of_keys;
  float* weights = dv + of_keys;
  float* dweights = weights + block * pitch;
  float* spare = dweights + block * pitch;
  // Weights and their gradients in pairs of queries, and the gradients as they lie.
  auto* pairs = reinterpret_cast<uint32_t*>(spare + pitch);
  uint32_t* dpairs = pairs + block / 2 * pitch;
  auto* rounded = reinterpret_cast<uint16_t*>(dpairs + block / 2 * pitch);
  uint16_t* queries = rounded + block * pitch;
  uint16_t* dy = queries + block * padded;
  auto* query_pairs = reinterpret_cast<uint32_t*>(dy + block * padded);
  uint32_t* query_columns = query_pairs + block / 2 * padded;
  uint32_t* dy_columns = query_columns + block / 2 * padded;
  auto* dq = reinterpret_cast<float*>(dy_columns + block / 2 * padded);
  PackPanels(w.KvRows<uint16_t>(arrays.k), w.kv_row(), w.keys(), a.dim, key_panels);
  PackPanels(w.KvRows<uint16_t>(arrays.v), w.kv_row(), w.keys(), a.dim, value_panels);
  PackRows(w, w.KvRows<uint16_t>(arrays.k), keys);
  std::fill_n(dk, 2 * of_keys, 0.0f);
  for (int64_t head = part.kv_head * group; head < (part.kv_head + 1) * group; ++head) {
    for (int64_t first = 0; first < w.queries(); first += block) {
      const int64_t count = std::min(block, w.queries() - first);
      const int64_t words = RoundUp(count, 2 * w.PairGrain()) / 2;  // a column's
      const Range range = w.SeenByBlock(first, count);
      const int64_t seen = range.end - range.begin;
      CopyRows(static_cast<const uint16_t*>(arrays.q) + w.RowOf(first, head), w.q_row(), count,
               a.dim, queries);
      CopyRows(static_cast<const uint16_t*>(gradient.dy) + w.RowOf(first, head), w.q_row(), count,
               a.dim, dy);
      TransposeRows(w, queries, count, words, query_pairs, query_columns);
      TransposeRows(w, dy, count, words, query_pairs, dy_columns);
      Scores(w, multiplier, queries, key_panels, count, range, weights);
      Scores(w, multiplier, dy, value_panels, count, range, dweights);
      for (int64_t i = 0; i < count; ++i) {
        const int64_t at = i * pitch + range.begin;
        SoftmaxGradient(w, first + i, head,
                        gradient.log_sums[(part.query_begin + first + i) * a.heads + head], range,
                        weights + i * pitch, dweights + i * pitch, spare);
        RoundFloats(dweights + at, seen, rounded + at);
        if (i % 2 == 1 || i + 1 == count) {
          const int64_t even = at - i % 2 * pitch, to = i / 2 * pitch + range.begin;
          PairFloats(weights + even, i % 2 == 1 ? weights + at : nullptr, seen, pairs + to);
          PairFloats(dweights + even, i % 2 == 1 ? dweights + at : nullptr, seen, dpairs + to);
        }
      }
      for (int64_t p = (count + 1) / 2; p < words; ++p) {
        std::fill_n(pairs + p * pitch + range.begin, seen, 0U);
        std::fill_n(dpairs + p * pitch + range.begin, seen, 0U);
      }
      const PairProduct to_keys = {.rows = a.dim,
                                   .pairs = words,
                                   .columns = seen,
                                   .a_row = words,
                                   .b_row = pitch,
                                   .c_row = pitch,
                                   .add = true};
      multiplier.Multiply(to_keys, dy_columns, pairs + range.begin, dv + range.begin);
      multiplier.Multiply(to_keys, query_columns, dpairs + range.begin, dk + range.begin);
      multiplier.Multiply({.rows = count,
                           .pairs = seen / 2,
                           .columns = padded,
                           .a_row = pitch / 2,
                           .b_row = padded,
                           .c_row = padded},
                          rounded + range.begin, keys + range.begin / 2 * padded, dq);
      for (int64_t i = 0; i < count; ++i) {
        StoreRow(dq + i * padded, a.dim, 1,
                 static_cast<uint16_t*>(gradient.dq) + w.RowOf(first + i, head));
      }
    }
  }
  StoreColumns(w, dk, key_panels, gradient.dk);
  StoreColumns(w, dv, key_panels, gradient.dv);
}

#else

void AttendInPairsT(const Attention&, const AttentionPart&, const AttentionArrays&, uint16_t*,
                    float*, float*) {
  HWY_ABORT("pairs of bf16 numbers need AVX-512");
}
void AttendGradientInPairsT(const Attention&, const AttentionPart&, const AttentionArrays&,
                            const AttentionGradientArrays&, float*) {
  HWY_ABORT("pairs of bf16 numbers need AVX-512");
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace hone::engine::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::engine::kernels {
HWY_EXPORT(AttendInPairsT);
HWY_EXPORT(AttendGradientInPairsT);

void AttendInPairs(const Attention& a, const AttentionPart& part, const AttentionArrays& arrays,
                   uint16_t* y, float* log_sums, float* scratch) {
  HWY_DYNAMIC_DISPATCH(AttendInPairsT)(a, part, arrays, y, log_sums, scratch);
}
void AttendGradientInPairs(const Attention& a, const AttentionPart& part,
                           const AttentionArrays& arrays, const AttentionGradientArrays& gradient,
                           float* scratch) {
  HWY_DYNAMIC_DISPATCH(AttendGradientInPairsT)(a, part, arrays, gradient, scratch);
}

}  // namespace hone::engine::kernels
#endif  // HWY_ONCE
