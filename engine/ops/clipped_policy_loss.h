#pragma once

#include "engine/ops/loss.h"

namespace hone::engine {

struct ClippedPolicyOptions {
  float clip = 0.2f;      // ε, above 0
  float entropy = 0.01f;  // how much the entropy counts, at least 0
};

// Sums over the batch, scalars that are not differentiated.
struct ClippedPolicyResult {
  Loss loss;
  Value entropy;     // of the policy, in nats
  Value divergence;  // r − 1 − ln r, which estimates KL(old ‖ new): Schulman, "Approximating KL
                     // divergence", 2020
  Value clipped;  // examples with r outside of 1 ± ε
};

// The clipped objective of proximal policy optimisation (Schulman et al., "Proximal Policy
// Optimization Algorithms", 2017, equation 7) with an entropy bonus, as a loss. Of `logits`
// f32[batch, actions], the action that was taken s32[batch], its log probability when it was taken
// f32[batch], and its advantage A f32[batch]: with r the probability of the action by the logits
// over that of then, the sum over the batch of −min(r A, clip(r, 1 − ε, 1 + ε) A) − entropy · H.
// The weight is the batch. Only the logits are differentiated. An action outside of [0, actions)
// ends the run: INTERNAL.
ClippedPolicyResult ClippedPolicyLoss(Graph& graph, Value logits, Value taken, Value log_taken,
                                      Value advantages, const ClippedPolicyOptions& options);

}  // namespace hone::engine
