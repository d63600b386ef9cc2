#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

// x in a declared element type: kF32, or kBf16 where the program computes in bfloat16 (elsewhere
// f32). It says what a residual stream is that starts with it: `Cast(graph, x, DType::kF32)` keeps
// x + f(x) + g(…) in f32 though f and g are products, and kBf16 makes an f32 x follow them.
// Its gradient has the declared type, too. No step where x lies so already.
Value Cast(Graph& graph, Value x, DType dtype);

}  // namespace hone::engine
