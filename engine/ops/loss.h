#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

// What every loss gives: sums over the batch, to be divided once after parts of it are added up.
struct Loss {
  Value sum;      // scalar; what is differentiated
  Value weight;   // scalar; the mean loss is sum / weight
  Value correct;  // scalar: examples predicted right; not valid for regression
};

}  // namespace hone::engine
