#pragma once

#include "engine/ops/loss.h"

namespace hone::engine {

enum class RegressionKind {
  kMeanSquaredError,   // d²
  kMeanAbsoluteError,  // |d|
  kHuber,              // d² / 2 where |d| ≤ δ, else δ (|d| − δ / 2): Huber, 1964
};

// Of predictions and targets f32, both [batch, k] (or [batch]), d = prediction − target: the mean
// over k, summed over the batch. The weight is the batch. Targets are not differentiated.
Loss RegressionLoss(Graph& graph, Value predictions, Value targets, RegressionKind kind,
                    float delta = 1);

}  // namespace hone::engine
