#pragma once

#include <cstdint>

// Attention of one query of each of several sequences to the keys and values that a cache holds of
// them: text that is written token by token. What is computed is as in attention.h.
namespace hone::engine::kernels {

struct CachedAttention {
  int64_t heads = 1;     // of the queries
  int64_t kv_heads = 1;  // of keys and values; divides heads: each is read by heads / kv_heads
  int64_t dim = 0;       // numbers of a head
  float scale = 1;       // of query · key
  int64_t window = 0;    // above 0: a query sees no more than so many keys
  bool alibi = false;
};

// Row major arrays.
struct CachedAttentionArrays {
  const float* q;         // [rows, heads · dim]
  const float* k;         // [rows, places, kv_heads · dim]
  const float* v;         // the same
  const int32_t* places;  // [rows], the query's own: it sees the keys up to that one
  int64_t place_count;    // of the cache
  // [rows, places]: in which row of the cache lies what a row's sequence had at each place before
  // its own; null: all of it in its own row.
  const int32_t* ancestors = nullptr;
};

// Of the heads [begin, end) of all rows, counted row by row: y [rows, heads · dim]. Head i has
// place_count floats at scratch + i · place_count.
void AttendCached(const CachedAttention& a, const CachedAttentionArrays& arrays, float* y,
                  float* scratch, int64_t begin, int64_t end);

}  // namespace hone::engine::kernels
