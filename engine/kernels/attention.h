#pragma once

#include <cstdint>

#include "engine/kernels/pair_product.h"
#include "engine/tensor/tensor.h"

// Attention (Vaswani et al., 2017) of the queries of a sequence to its keys, head by head, forward
// and backward. Nothing of the size of queries × keys is kept: the backward pass computes the
// weights again from the sums of exponentials (as Dao et al., 2022, do), and dropout's choices from
// their counter.
namespace hone::engine::kernels {

struct Attention {
  int64_t heads = 1;     // of the queries
  int64_t kv_heads = 1;  // of keys and values; divides heads: each is read by heads / kv_heads
  int64_t dim = 0;       // numbers of a head
  float scale = 1;       // of query · key
  // Query i of n sees keys up to i + keys − n: of as many keys as queries those up to its own.
  bool causal = false;
  int64_t window = 0;  // of a causal one: above 0, no more than so many keys, up to that one
  float dropout = 0;   // share of the weights that are set to zero
  // A key that is n tokens away from the query's own place counts n · AlibiSlope less, in scores.
  bool alibi = false;
};

// Of a head, from 0 (Press et al., "Train Short, Test Long", 2022): 2^(−8 (head + 1) / n) where n =
// `heads` is a power of two; else of the power below, and for the heads that are left every other
// one, from the first, of twice that.
float AlibiSlope(int64_t head, int64_t heads);

// The queries and keys of one sequence, and one of its kv heads with the heads that read it.
struct AttentionPart {
  int64_t query_begin, query_end;
  int64_t key_begin, key_end;
  int64_t kv_head;
};

// Row major arrays: a row for each token, heads side by side. Those that are void*, of results and
// gradients too, are all f32 or all bf16, as `dtype` says. Scores, weights, their sums and all
// other sums are f32; bf16 is rounded to when a result is written.
struct AttentionArrays {
  const void* q;     // [rows, heads · dim]
  const void* k;     // [key rows, kv_heads · dim]
  const void* v;     // the same
  uint64_t key;      // of dropout's numbers
  int64_t key_rows;  // at most so many keys has a query: what those numbers are counted by
  DType dtype = DType::kF32;
  // Of bf16, whose products are dot products of pairs then: weights and their gradients are rounded
  // to bf16, too, before they are multiplied. By nobody: all is converted to f32 where it is read.
  // Who calls has asked ops/implementation.h.
  PairProducts pairs = PairProducts::kNone;
};

// Floats of scratch memory for parts of so many keys at most; for either pass.
int64_t AttentionScratch(const Attention& a, int64_t keys);

// y [rows, heads · dim] and log_sums [rows, heads]: the logarithm of the sum of exp(score), where a
// score is scale · query · key, and with alibi less. Zeros where a query has no key.
void Attend(const Attention& a, const AttentionPart& part, const AttentionArrays& arrays, void* y,
            float* log_sums, float* scratch);

struct AttentionGradientArrays {
  const void* dy;
  const float* log_sums;
  void* dq;
  void* dk;
  void* dv;
};
// The part's rows of dq (of its heads), dk and dv (of its kv head).
void AttendGradient(const Attention& a, const AttentionPart& part, const AttentionArrays& arrays,
                    const AttentionGradientArrays& gradient, float* scratch);

}  // namespace hone::engine::kernels
