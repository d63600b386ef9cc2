#pragma once

#include <cstdint>

#include "engine/ops/cross_entropy.h"

namespace hone::engine {

struct ChunkOptions {
  int64_t most_logits = int64_t{1} << 25;  // of more numbers than these, as many as here at a time
  int64_t chunk_logits = int64_t{1} << 23;
};

// CrossEntropy of logits [rows, classes] and labels s32 [rows], where there are many of both:
// tokens and a vocabulary. Logits that a Linear gives, and that are more than `most_logits`
// numbers, are made for some rows at a time, and once more for the gradient, so that neither they
// nor their gradient are ever there as a whole (ops/scan.h). The product behind `logits` is then
// computed by nobody, unless somebody else reads it. Where the rows cannot be divided into equal
// parts of at least 16, as counts of token rows can, it is CrossEntropy.
Loss TokenCrossEntropy(Graph& graph, Value logits, Value labels, const CrossEntropyOptions& options,
                       const ChunkOptions& chunks = {});

// RowCrossEntropy (row_cross_entropy.h) in the same way: of each row by itself, [rows].
Value TokenLosses(Graph& graph, Value logits, Value labels, const ChunkOptions& chunks = {});

}  // namespace hone::engine
