#pragma once

#include <optional>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "engine/graph/graph.h"
#include "engine/kernels/cached_attention.h"

namespace hone::engine {

struct CachedAttentionOptions {
  int64_t heads = 1;
  int64_t kv_heads = 0;  // heads of keys and values, a divisor of `heads`; 0: as many
  int64_t window = 0;    // above 0: a query sees so many keys at most, that of its place among them
  float scale = 0;       // of query · key; 0: 1 / sqrt(numbers of a head)
  bool alibi = false;
};

// What the kernels want of them, for queries of that shape; INVALID_ARGUMENT where they do not fit.
absl::StatusOr<kernels::CachedAttention> CachedAttentionOf(const CachedAttentionOptions& options,
                                                           const Shape& queries);

// The definition: adds to y what the query in row `row` of q sees of the places up to `last`, whose
// keys and values lie in the cache's row row_of(place).
void AttendByDefinition(const kernels::CachedAttention& attention, const DoubleTensor& q,
                        const DoubleTensor& keys, const DoubleTensor& values, int64_t row,
                        int64_t last, absl::FunctionRef<int64_t(int64_t place)> row_of,
                        DoubleTensor& y);

// Causal attention (ops/attention.h) of the newest token of each of several sequences: q is [rows,
// heads · dim], keys and values [rows, places, kv_heads · dim] hold what the sequence of each row
// has had at its places, and `places` s32 [rows] says which place is the newest token's own, the
// last one that it sees. What lies behind it is not read. The result is as q. Where
// several sequences go on from one, as beams do, `ancestors` s32 [rows, places] says in which row
// lies what a row's sequence had at each place before that; else all of it is in its own row. A run
// fails where a place or a row is none of the cache's. Nothing is learned of a text while it is
// written: not differentiated.
Value CachedAttention(Graph& graph, Value q, Value keys, Value values, Value places,
                      const CachedAttentionOptions& options,
                      std::optional<Value> ancestors = std::nullopt);

}  // namespace hone::engine
