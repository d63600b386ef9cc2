// What attention's two ways of multiplying share: which keys a query sees, and softmax over them;
// compiled once for each instruction set (Highway's per-target include guard).

#if defined(HONE_KERNELS_ATTENTION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_KERNELS_ATTENTION_INL_H_
#undef HONE_KERNELS_ATTENTION_INL_H_
#else
#define HONE_KERNELS_ATTENTION_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "engine/kernels/attention.h"
#include "engine/kernels/dropout.h"
#include "engine/kernels/softmax-inl.h"
#include "engine/kernels/vector-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hone::engine::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using F = hn::ScalableTag<float>;

HWY_INLINE int64_t Lanes() { return static_cast<int64_t>(hn::Lanes(F())); }
HWY_INLINE int64_t RoundUp(int64_t n, int64_t grain) { return (n + grain - 1) / grain * grain; }
// Keys that a panel has side by side.
HWY_INLINE int64_t Side() { return 4 * Lanes(); }

// How many queries are done at a time: their weights are to stay in the cache, and those of a
// causal attention are to see about the same keys. By tiles they come in pairs of whole ones.
constexpr int64_t kWeights = 12288, kFewest = 6, kMost = 48, kMostCausal = 24;
constexpr int64_t kTileBlock = 32, kMostByTiles = 64;

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
  // Where the part's rows of keys or values begin, of their head.
  template <typename T>
  const T* KvRows(const void* of) const {
    return static_cast<const T*>(of) + KvRowOf(0);
  }
  // Of key j of the part.
  int64_t KvRowOf(int64_t j) const {
    return (part.key_begin + j) * kv_row() + part.kv_head * a.dim;
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
  bool tiles() const { return arrays.pairs == PairProducts::kTiles; }
  // How many pairs go into a product together.
  int64_t PairGrain() const { return tiles() ? kTilePairs : 1; }
  // Queries of a block.
  int64_t QueryBlock() const {
    const int64_t fewest = tiles() ? kTileBlock : kFewest;
    const int64_t most =
        tiles() ? (a.causal ? kTileBlock : kMostByTiles) : (a.causal ? kMostCausal : kMost);
    return std::clamp(kWeights / std::max<int64_t>(pitch(), 1) / fewest * fewest, fewest, most);
  }
  // The keys of `count` queries together: from the begin of a panel on, in whole vectors, and in
  // whole tiles of pairs.
  Range SeenByBlock(int64_t first, int64_t count) const {
    const int64_t begin = Seen(first).begin, end = Seen(first + count - 1).end;
    return {begin / Side() * Side(), RoundUp(end, std::max(Lanes(), 2 * PairGrain()))};
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
  const auto all = hn::FirstN(f, hn::Lanes(f));
  for (int64_t j = block.begin; j < block.end; j += Lanes()) {
    if (j >= seen.begin && j + Lanes() <= seen.end) {
      body(j, all);
    } else if (j + Lanes() <= seen.begin || j >= seen.end) {
      hn::StoreU(hn::Zero(f), f, row + j);
    } else {
      body(j, LanesSeen(seen, j));
    }
  }
}

// row = exp(scale · row − the largest of that), zeros where the query does not see what the block
// does. Returns the sum and the largest; 0 where nothing is seen.
HWY_INLINE float ExpOfSeen(const Range& seen, const Range& block, float scale, float* row,
                           float& largest) {
  const F f;
  largest = 0;
  if (seen.begin >= seen.end) {
    std::fill(row + block.begin, row + block.end, 0.0f);
    return 0;
  }
  const auto lowest = hn::Set(f, hwy::LowestValue<float>()), factor = hn::Set(f, scale);
  auto top = lowest;
  ForSeen(seen, block, row, [&](int64_t j, auto mask) {
    top = hn::Max(top, hn::IfThenElse(mask, hn::Mul(hn::LoadU(f, row + j), factor), lowest));
  });
  largest = hn::GetLane(hn::MaxOfLanes(f, top));
  const auto shift = hn::Set(f, largest);
  auto sum = hn::Zero(f);
  ForSeen(seen, block, row, [&](int64_t j, auto mask) {
    const auto score = hn::MulSub(hn::LoadU(f, row + j), factor, shift);
    const auto e = hn::IfThenElseZero(mask, ExpOf(f, score));
    hn::StoreU(e, f, row + j);
    sum = hn::Add(sum, e);
  });
  return hn::GetLane(hn::SumOfLanes(f, sum));
}

// to = factor · from, in the arrays' type.
template <typename T>
HWY_INLINE void StoreRow(const float* from, int64_t count, float factor, T* to) {
  const F f;
  const auto by = hn::Set(f, factor);
  for (int64_t d = 0; d < count; d += Lanes()) {
    StoreSome(hn::Mul(hn::LoadU(f, from + d), by), to + d, count - d, Lanes());
  }
}

}  // namespace hone::engine::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // HONE_KERNELS_ATTENTION_INL_H_
