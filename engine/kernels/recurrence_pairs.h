#pragma once

#include "engine/kernels/pair_product.h"
#include "engine/kernels/recurrence.h"

// What the steps of recurrence.h multiply where Recurrence::pairs is set: states and gradients that
// are rounded to bf16, by weights packed in words (pair_product.h). Sums are f32.
namespace hone::engine::kernels {

// The recurrent weight in words, in so many floats' room. Forward: for each vector of units a
// panel, whose row p is words of the pair (2 p, 2 p + 1) of states for all gates. Backward: for
// each kPairPanel units a panel, whose row p is words of the pair of the weight's columns.
constexpr int64_t kPairPanel = 64;
int64_t PairedForwardFloats(const Recurrence& r);
void PackPairedForward(const Recurrence& r, const float* weight, float* packed);
int64_t PairedBackwardFloats(const Recurrence& r);
void PackPairedBackward(const Recurrence& r, const float* weight, float* packed);

// Sequences of which small matrices have room, whose rows tiles multiply as whole ones.
int64_t RoundedSequences(const Recurrence& r, int64_t sequences);

// A small matrix of some sequences' states [sequences, pitch], rounded; pitch is even. It has
// memory for RoundedSequences.
struct RoundedStates {
  uint16_t* data;
  int64_t pitch;
};
void RoundStates(const float* states, int64_t units, int64_t sequences, const RoundedStates& to);

// products [sequences, gates, kPairLanes]: h U of the units from `unit` on, a vector of them, for
// `count` gates from `gate` on; the others' places stay as they are. It has memory for
// RoundedSequences.
void MultiplyStates(const Recurrence& r, const PairMultiplier& multiplier,
                    const RoundedStates& states, int64_t sequences, int64_t unit, int gate,
                    int count, const float* packed, float* products);

// to [sequences, to_row] += dproduct Uᵀ over the weight's columns [begin, end), both even, for all
// units, rounded up to kPairPanel; dproduct is [sequences, end − begin]. Both have memory for
// RoundedSequences, and the rows of dproduct behind the last sequence are zeros.
void MultiplyGateGradients(const Recurrence& r, const PairMultiplier& multiplier,
                           const uint16_t* dproduct, int64_t sequences, int64_t begin, int64_t end,
                           const float* packed, float* to, int64_t to_row);

}  // namespace hone::engine::kernels
