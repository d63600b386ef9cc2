#pragma once

#include <cstdint>
#include <span>

#include "engine/kernels/pair_product.h"
#include "engine/tensor/tensor.h"

// The steps of a recurrent layer over sequences that lie in rows of tokens (tensor/token_rows.h).
// What a token gives to the gates is computed before, for all tokens at once; what is left is, step
// by step, a product with the recurrent weight and the gates' functions. With h the state that the
// step before has left, 0 before a sequence's first step where none is given, x a token's row of
// `gates` and U the recurrent weight [units, gates · units], whose columns are the gates one after
// another:
//
//   kTanh   h' = tanh(x + h U)
//   kLstm   (i, f, g, o) = x + h U
//           c' = σ(f) c + σ(i) tanh(g);  h' = σ(o) tanh(c')
//           (Hochreiter and Schmidhuber, 1997; Gers et al., 2000; the order is PyTorch's)
//   kGru    (r, z, q) = h U + b, and of x the parts x_r, x_z, x_n
//           n = tanh(x_n + σ(x_r + r) q);  h' = (1 − σ(x_z + z)) n + σ(x_z + z) h
//           (Cho et al., 2014, with the reset after the product: what PyTorch computes, and Keras
//           with reset_after)
//   kGruResetFirst
//           r, z = σ(x_r + h U_r), σ(x_z + h U_z)
//           n = tanh(x_n + (r h) U_n);  h' = (1 − z) n + z h
//           (Cho et al., 2014, as it stands there, and Keras without reset_after)
//
// Sequences do not depend on each other: each thread takes some of them through all their steps and
// waits for nobody. Within its part they are sorted, longest first, so that those that still go on
// are always the first rows of a small matrix.
namespace hone::engine::kernels {

enum class Cell { kTanh, kLstm, kGru, kGruResetFirst };

// Blocks of `units` columns that the gates have, and that the backward pass wants kept of a token.
int GatesOf(Cell cell);
int KeptOf(Cell cell);

struct Recurrence {
  Cell cell = Cell::kLstm;
  int64_t units = 0;
  bool reverse = false;  // from each sequence's last token to its first
  // Of the arrays that are void*: f32 or bf16. States and gradients go from step to step in f32 and
  // are rounded when they are left; so are sums and the gates' functions.
  DType dtype = DType::kF32;
  // Of bf16: the steps' products are dot products of pairs, of rounded states by a rounded weight.
  // Who calls has asked ops/implementation.h.
  PairProducts pairs = PairProducts::kNone;
};

// The recurrent weight [units, gates · units] in the order in which the steps read it, forward and
// backward; of so many floats. The layout is the processor's: it is named by its vectors' lanes,
// and by pairs.
int64_t PackedForwardFloats(const Recurrence& r);
void PackForward(const Recurrence& r, const float* weight, float* packed);
int64_t PackedBackwardFloats(const Recurrence& r);
void PackBackward(const Recurrence& r, const float* weight, float* packed);
int64_t RecurrenceLanes();

// The sequences numbered 0 … offsets.size() − 2, the longest first; equal ones as they were.
void SortByLength(std::span<const int32_t> offsets, std::span<int32_t> order);

// Every `parts`-th of the sorted sequences from the `part`-th on.
struct SequencePart {
  std::span<const int32_t> offsets;
  std::span<const int32_t> order;
  int part = 0;
  int parts = 1;

  int64_t count() const { return (static_cast<int64_t>(order.size()) - part + parts - 1) / parts; }
};

// Floats of scratch memory that either pass wants for a part of so many sequences.
int64_t RecurrenceScratch(const Recurrence& r, int64_t sequences);

// All arrays are row major, a row for each token. Those that may be null are computed nowhere then.
struct RecurrenceArrays {
  const void* gates;    // [rows, gates · units]
  const float* packed;  // by PackForward
  const float* bias;    // [gates · units] of kGru: b; else null
  void* y;              // [rows, units]: the states
  // [rows, kept · units], may be null; of kLstm it may be gates' memory, if that is f32. Of kGru r,
  // z, n and q, of kGruResetFirst r, z, n and r h.
  float* kept;
  float* cell;  // [rows, units]: c of kLstm; may be null
  // [sequences, units]: h, and of kLstm c, before each sequence's first step; null: 0.
  const float* start = nullptr;
  const float* start_cell = nullptr;
};
void RunRecurrence(const Recurrence& r, const SequencePart& part, const RecurrenceArrays& arrays,
                   float* scratch);

struct RecurrenceGradientArrays {
  const void* dy;       // [rows, units]
  const void* y;        // what the forward pass has left
  const float* kept;    // null of kTanh
  const float* cell;    // of kLstm, else null
  const float* dcell;   // [rows, units] of kLstm: what comes back to c by itself; may be null
  const float* packed;  // by PackBackward
  void* dgates;         // [rows, gates · units]; of kLstm it may be kept's memory, if it is f32
  void* dproduct;       // [rows, gates · units] of kGru: of h U + b; else null
  void* before;         // [rows, units]: the state before each token; may be null
  // As the forward pass had them; nothing comes back to them.
  const float* start = nullptr;
  const float* start_cell = nullptr;
};
void RunRecurrenceGradient(const Recurrence& r, const SequencePart& part,
                           const RecurrenceGradientArrays& arrays, float* scratch);

}  // namespace hone::engine::kernels
