#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

// The place of each of `rows` tokens in its sequence, from 0: s32 [rows]; 0 behind the last
// sequence. A run fails where the offsets are none.
Value TokenPlaces(Graph& graph, Value offsets, int64_t rows);

// Sines and cosines of each place, [rows, width] (Vaswani et al., 2017): number 2i is sin(p ·
// base^(−2i / width)), the next one the cosine.
Value Sinusoids(Graph& graph, Value places, int64_t width, float base = 10000);

// How rotary angles are stretched where a net is to read texts that are longer than those that it
// learned from. Angle i of place p is p · f(i), with f = base^(−2i / dim) before. kLinear: f /
// factor (Chen et al., "Extending Context Window of Large Language Models via Positional
// Interpolation", 2023). kLlama3, as transformers computes it for Llama 3.1: of a wave of 2π / f
// places f stays where the wave is shorter than original / high, is f / factor where it is longer
// than original / low, and between goes from one to the other: with s = (original · f / 2π − low) /
// (high − low) it is (1 − s) · f / factor + s · f.
struct RotaryScaling {
  enum class Kind { kNone, kLinear, kLlama3 };
  Kind kind = Kind::kNone;
  double factor = 1;  // at least 1
  // Of kLlama3.
  double low = 1, high = 4;  // low < high
  double original = 8192;    // places that the net learned

  friend bool operator==(const RotaryScaling&, const RotaryScaling&) = default;
};
double RotaryFrequency(int64_t i, int64_t dim, float base, const RotaryScaling& scaling);

// x [rows, heads · dim], each head's numbers i and i + dim / 2 turned by the angle p · base^(−2i /
// dim) (Su et al., "RoFormer", 2021; the halves as in GPT-NeoX and Llama). dim is even.
Value Rotary(Graph& graph, Value x, Value places, int64_t heads, float base = 10000,
             const RotaryScaling& scaling = {});

}  // namespace hone::engine
