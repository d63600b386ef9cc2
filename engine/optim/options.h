#pragma once

#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

// clang-format off
// Optimizers and their fields. The update rules, with g the gradient (summed over shards, scaled,
// clipped), w the value, r the learning rate, λ the range's weight decay, t the update's number
// from 1:
//   all but AdamW      g ← g + λ w, where λ is not 0
//   SGD                u ← μ u + g;  w ← w − r u, or with Nesterov w ← w − r (g + μ u)
//                      Sutskever, Martens, Dahl, Hinton, ICML 2013, as torch.optim.SGD writes it
//                      (dampening 0)
//   Adam               m ← β₁ m + (1 − β₁) g;  v ← β₂ v + (1 − β₂) g²;
//                      w ← w − r √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + ε)
//                      Kingma and Ba, ICLR 2015, the form at the end of section 2, as
//                      keras.optimizers.Adam has it; torch adds its ε to √(v / (1 − β₂ᵗ)) instead
//   lazy Adam, AdamW   the same for the rows of a table that a batch read; the others, with their m
//                      and v, stay as they are, and t goes on. Not Adam: torch.optim.SparseAdam
//   AdamW              w ← (1 − r λ) w, then Adam. Loshchilov and Hutter, ICLR 2019
//   RMSprop            v ← ρ v + (1 − ρ) g²;  u ← μ u + g / (√v + ε);  w ← w − r u
//                      Tieleman and Hinton, Coursera lecture 6.5, as torch.optim.RMSprop writes it.
//                      Centered (Graves 2013): a ← ρ a + (1 − ρ) g, and √(v − a²) for √v
// clang-format on
namespace hone::engine::optim {

struct Sgd {
  double learning_rate = 0.01;
  double momentum = 0;
  bool nesterov = false;
  double weight_decay = 0;
};

struct Adam {
  double learning_rate = 0.001;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-7;
  double weight_decay = 0;  // L2
  bool lazy = false;        // of tables, only the rows that a batch read
};

struct AdamW {
  double learning_rate = 0.001;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-7;
  double weight_decay = 0.01;  // decoupled
  bool lazy = false;           // of tables, only the rows that a batch read
};

struct RmsProp {
  double learning_rate = 0.001;
  double decay = 0.9;  // ρ
  double epsilon = 1e-7;
  double momentum = 0;
  bool centered = false;
  double weight_decay = 0;
};

using OptimizerOptions = std::variant<Sgd, Adam, AdamW, RmsProp>;

absl::string_view NameOf(const OptimizerOptions& options);  // "sgd", "adam", "adamw", "rmsprop"
double LearningRateOf(const OptimizerOptions& options);
double WeightDecayOf(const OptimizerOptions& options);
// Of tables, only the rows that a batch read are moved.
bool IsLazy(const OptimizerOptions& options);

// INVALID_ARGUMENT naming the field: "optimizer.adam.beta1: must be at least 0 and below 1,
// got 1.5".
absl::Status Validate(const OptimizerOptions& options);

// Names of the state slabs, in order: {} or {"velocity"} for SGD, {"m", "v"}, {"square"[,
// "velocity"][, "mean"]} for RMSprop.
std::vector<std::string> StateNames(const OptimizerOptions& options);

}  // namespace hone::engine::optim
