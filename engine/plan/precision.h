#pragma once

#include "engine/plan/passes.h"

namespace hone::engine {

// Sets the element type of every value in memory (PlanGraph::Node::stored), by the rules of the ops
// (Precision in graph/op.h) alone: never by which of two equal inputs comes first, nor by what a
// lowering happens to find. The last pass: others change nodes.
void ChoosePrecision(DType compute, PlanGraph& plan);

}  // namespace hone::engine
