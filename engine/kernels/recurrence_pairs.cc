#include "engine/kernels/recurrence_pairs.h"

#include <algorithm>

#include "engine/tensor/tensor.h"

namespace hone::engine::kernels {
namespace {

int64_t RoundUp(int64_t n, int64_t grain) { return (n + grain - 1) / grain * grain; }

uint32_t Word(float first, float second) {
  return ToBf16(first) | static_cast<uint32_t>(ToBf16(second)) << 16;
}

}  // namespace

int64_t PairedForwardFloats(const Recurrence& r) {
  return RoundUp(r.units, kPairLanes) * r.units / 2 * GatesOf(r.cell);
}

void PackPairedForward(const Recurrence& r, const float* weight, float* packed) {
  const int64_t gates = GatesOf(r.cell), columns = gates * r.units;
  auto* words = reinterpret_cast<uint32_t*>(packed);
  for (int64_t block = 0; block < r.units; block += kPairLanes) {
    for (int64_t k = 0; k < r.units; k += 2) {
      for (int64_t g = 0; g < gates; ++g) {
        const float* from = weight + k * columns + g * r.units + block;
        for (int64_t i = 0; i < kPairLanes; ++i) {
          *words++ = block + i < r.units ? Word(from[i], from[columns + i]) : 0;
        }
      }
    }
  }
}

int64_t PairedBackwardFloats(const Recurrence& r) {
  return RoundUp(r.units, kPairPanel) * r.units * GatesOf(r.cell) / 2;
}

void PackPairedBackward(const Recurrence& r, const float* weight, float* packed) {
  const int64_t columns = GatesOf(r.cell) * r.units;
  auto* words = reinterpret_cast<uint32_t*>(packed);
  for (int64_t first = 0; first < r.units; first += kPairPanel) {
    for (int64_t k = 0; k < columns; k += 2) {
      for (int64_t unit = first; unit < first + kPairPanel; ++unit) {
        const float* from = weight + unit * columns + k;
        *words++ = unit < r.units ? Word(from[0], from[1]) : 0;
      }
    }
  }
}

int64_t RoundedSequences(const Recurrence& r, int64_t sequences) {
  return r.pairs == PairProducts::kTiles ? RoundUp(sequences, kTileRows) : sequences;
}

void RoundStates(const float* states, int64_t units, int64_t sequences, const RoundedStates& to) {
  for (int64_t i = 0; i < sequences; ++i) {
    RoundFloats(states + i * to.pitch, units, to.data + i * to.pitch);
  }
}

void MultiplyStates(const Recurrence& r, const PairMultiplier& multiplier,
                    const RoundedStates& states, int64_t sequences, int64_t unit, int gate,
                    int count, const float* packed, float* products) {
  const int64_t row = GatesOf(r.cell) * kPairLanes, at = gate * kPairLanes;
  multiplier.Multiply({.rows = sequences,
                       .pairs = r.units / 2,
                       .columns = count * kPairLanes,
                       .a_row = states.pitch / 2,
                       .b_row = row,
                       .c_row = row},
                      states.data, packed + unit / kPairLanes * row * r.units / 2 + at,
                      products + at);
}

void MultiplyGateGradients(const Recurrence& r, const PairMultiplier& multiplier,
                           const uint16_t* dproduct, int64_t sequences, int64_t begin, int64_t end,
                           const float* packed, float* to, int64_t to_row) {
  const int64_t pairs = GatesOf(r.cell) * r.units / 2;
  for (int64_t unit = 0; unit < r.units; unit += kPairPanel) {
    multiplier.Multiply({.rows = sequences,
                         .pairs = (end - begin) / 2,
                         .columns = kPairPanel,
                         .a_row = (end - begin) / 2,
                         .b_row = kPairPanel,
                         .c_row = to_row,
                         .add = true},
                        dproduct, packed + unit * pairs + begin / 2 * kPairPanel, to + unit);
  }
}

}  // namespace hone::engine::kernels
