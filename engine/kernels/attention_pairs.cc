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

// rows[i][j] = row i of `from` · the panels' column j, for the keys of `range`.
void Scores(const Walk& w, const uint16_t* from, const uint32_t* panels, int64_t count,
            const Range& range, float* rows) {
  const int64_t side = Side(), pairs = w.a.dim / 2;
  for (int64_t first = range.begin; first < range.end; first += side) {
    MultiplyPairs({.rows = count,
                   .pairs = pairs,
                   .columns = std::min(side, range.end - first),
                   .a_row = w.q_row() / 2,
                   .b_row = side,
                   .c_row = w.pitch()},
                  from, panels + first * pairs, rows + first);
  }
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
  const int64_t group = a.heads / a.kv_heads, pitch = w.pitch(), padded = w.padded();
  const int64_t block = QueryBlock(a, pitch);
  auto* panels = reinterpret_cast<uint32_t*>(scratch);
  uint32_t* values = panels + pitch * a.dim / 2;
  auto* weights = reinterpret_cast<float*>(values + pitch / 2 * padded);
  auto* rounded = reinterpret_cast<uint16_t*>(weights + block * pitch);
  float* sums = weights + block * pitch + block * pitch / 2;
  std::array<float, kMost> shares;  // 1 / the sum of a query's weights
  PackPanels(w.KvRows<uint16_t>(arrays.k), w.kv_row(), w.keys(), a.dim, panels);
  PackRows(w, w.KvRows<uint16_t>(arrays.v), values);
  for (int64_t head = part.kv_head * group; head < (part.kv_head + 1) * group; ++head) {
    for (int64_t first = 0; first < w.queries(); first += block) {
      const int64_t count = std::min(block, w.queries() - first);
      const Range range = w.SeenByBlock(first, count);
      Scores(w, static_cast<const uint16_t*>(arrays.q) + w.RowOf(first, head), panels, count, range,
             weights);
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
      MultiplyPairs({.rows = count,
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
  const int64_t group = a.heads / a.kv_heads, pitch = w.pitch(), padded = w.padded();
  const int64_t block = QueryBlock(a, pitch), of_keys = pitch * padded;
  auto* key_panels = reinterpret_cast<uint32_t*>(scratch);
  uint32_t* value_panels = key_panels + pitch * a.dim / 2;
  uint32_t* keys = value_panels + pitch * a.dim / 2;
  auto* dk = reinterpret_cast<float*>(keys + of_keys / 2);
  float* dv = dk + of_keys;
  float* weights = dv + of_keys;
  float* dweights = weights + block * pitch;
  float* spare = dweights + block * pitch;
  // Weights and their gradients in pairs of queries, and the gradients as they lie.
  auto* pairs = reinterpret_cast<uint32_t*>(spare + pitch);
  uint32_t* dpairs = pairs + block / 2 * pitch;
  auto* rounded = reinterpret_cast<uint16_t*>(dpairs + block / 2 * pitch);
  auto* queries = reinterpret_cast<uint32_t*>(rounded + block * pitch);
  uint32_t* dy = queries + block / 2 * padded;
  auto* dq = reinterpret_cast<float*>(dy + block / 2 * padded);
  PackPanels(w.KvRows<uint16_t>(arrays.k), w.kv_row(), w.keys(), a.dim, key_panels);
  PackPanels(w.KvRows<uint16_t>(arrays.v), w.kv_row(), w.keys(), a.dim, value_panels);
  PackRows(w, w.KvRows<uint16_t>(arrays.k), keys);
  std::fill_n(dk, 2 * of_keys, 0.0f);
  for (int64_t head = part.kv_head * group; head < (part.kv_head + 1) * group; ++head) {
    for (int64_t first = 0; first < w.queries(); first += block) {
      const int64_t count = std::min(block, w.queries() - first);
      const Range range = w.SeenByBlock(first, count);
      const int64_t seen = range.end - range.begin;
      const auto* q = static_cast<const uint16_t*>(arrays.q) + w.RowOf(first, head);
      const auto* from = static_cast<const uint16_t*>(gradient.dy) + w.RowOf(first, head);
      PairRows(q, w.q_row(), count, a.dim, queries, padded);
      PairRows(from, w.q_row(), count, a.dim, dy, padded);
      Scores(w, q, key_panels, count, range, weights);
      Scores(w, from, value_panels, count, range, dweights);
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
      // Keys are rows of the transposed weights.
      const PairProduct to_keys = {.rows = seen,
                                   .pairs = (count + 1) / 2,
                                   .columns = padded,
                                   .a_row = 1,
                                   .a_pair = pitch,
                                   .b_row = padded,
                                   .c_row = padded,
                                   .add = true};
      MultiplyPairs(to_keys, pairs + range.begin, dy, dv + range.begin * padded);
      MultiplyPairs(to_keys, dpairs + range.begin, queries, dk + range.begin * padded);
      MultiplyPairs({.rows = count,
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
  for (int64_t j = 0; j < w.keys(); ++j) {
    StoreRow(dk + j * padded, a.dim, 1, static_cast<uint16_t*>(gradient.dk) + w.KvRowOf(j));
    StoreRow(dv + j * padded, a.dim, 1, static_cast<uint16_t*>(gradient.dv) + w.KvRowOf(j));
  }
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
