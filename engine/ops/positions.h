#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

// The place of each of `rows` tokens in its sequence, from 0: s32 [rows]; 0 behind the last
// sequence. A run fails where the offsets are none.
Value TokenPlaces(Graph& graph, Value offsets, int64_t rows);

// Sines and cosines of each place, [rows, width] (Vaswani et al., 2017): number 2i is sin(p ·
// base^(−2i / width)), the next one the cosine.
Value Sinusoids(Graph& graph, Value places, int64_t width, float base = 10000);

// x [rows, heads · dim], each head's numbers i and i + dim / 2 turned by the angle p · base^(−2i /
// dim) (Su et al., "RoFormer", 2021; the halves as in GPT-NeoX and Llama). dim is even.
Value Rotary(Graph& graph, Value x, Value places, int64_t heads, float base = 10000);

}  // namespace hone::engine
