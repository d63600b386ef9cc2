#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

enum class SegmentPoolKind {
  kMean,
  kMax,
  kFirst,  // the sequence's first token
  kLast,   // its last
};

// One row for each sequence from those of its tokens: x [rows, width] and offsets s32 [batch + 1]
// (tensor/token_rows.h) give [batch, width]. A sequence without tokens gives zeros. A run fails
// where the offsets are none. Of equal largest numbers the first has the gradient.
Value SegmentPool(Graph& graph, Value x, Value offsets, SegmentPoolKind kind);

}  // namespace hone::engine
