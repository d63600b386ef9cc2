#pragma once

#include "engine/ops/loss.h"

namespace hone::engine {

enum class ActionValueError {
  kSquared,  // d²
  kHuber,    // d² / 2 where |d| ≤ δ, else δ (|d| − δ / 2): Huber, 1964
};

struct ActionValueLossResult {
  Loss loss;
  Value
      errors;  // f32[batch]: d of each example, for the priorities of a replay. Not differentiated
};

// The loss of deep Q-learning (Mnih et al. 2015): d is what the network says of the action that was
// taken less what it should have said. `values` f32[batch, actions], `taken` s32[batch],
// `wanted` f32[batch], and `weights` f32[batch] by which each example counts (1; or those of
// prioritised replay, Schaul et al. 2016). The sum over the batch of weight · error(d); the loss's
// weight is the batch. An action outside of [0, actions) ends the run: INTERNAL.
ActionValueLossResult ActionValueLoss(Graph& graph, Value values, Value taken, Value wanted,
                                      Value weights, ActionValueError error, float delta = 1);

}  // namespace hone::engine
