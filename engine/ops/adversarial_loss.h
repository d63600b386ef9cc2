#pragma once

#include "engine/ops/loss.h"

namespace hone::engine {

// What a generator and a discriminator play for. x is the discriminator's output for an example:
//                     real                   drawn             drawn, the generator's side
//   kNonSaturating    BCE(x, 1 − ε)          BCE(x, 0)         BCE(x, 1)
//   kLeastSquares     (x − 1 + ε)² / 2       x² / 2            (x − 1)² / 2
//   kHinge            max(0, 1 − x)          max(0, 1 + x)     −x
//   kWasserstein      −x                     x                 −x
// with BCE(x, t) = max(x, 0) − x t + log(1 + exp(−|x|)), the cross-entropy of the logit x, and
// one-sided label smoothing ε (Salimans et al. 2016). Goodfellow et al. 2014; Mao et al. 2017; Lim
// and Ye 2017; Arjovsky, Chintala, Bottou 2017.
enum class AdversarialKind { kNonSaturating, kLeastSquares, kHinge, kWasserstein };
enum class AdversarialSide { kReal, kDrawn, kFooling };

struct AdversarialOptions {
  AdversarialKind kind = AdversarialKind::kNonSaturating;
  float label_smoothing = 0;  // ε, of the first two
};

// Of outputs f32 [batch, 1] (or [batch]), summed over the batch, which is the weight. `correct`
// counts the examples that the discriminator puts on the right side of its border: 1/2 for
// kLeastSquares, else 0; on the generator's side, the drawings that it knows as such.
Loss AdversarialLoss(Graph& graph, Value outputs, AdversarialSide side,
                     const AdversarialOptions& options);

}  // namespace hone::engine
