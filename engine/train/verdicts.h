#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/train/observer.h"

namespace hone::engine::train {

// When a layer's gradients are said to vanish or explode, and when units are said to be dead.
//
//   r(l) = ‖gradient‖ / ‖weights‖ of layer l, weights and biases together. With `last` the last
//   layer of the same update, a layer looks
//     dead       where more than half of its units had no gradient since the last statistics, else
//     vanishing  where r(l) < 1e-4 · r(last),
//     exploding  where r(l) > 1e4 · r(last), or ‖gradient‖ > 1e3 · ‖weights‖.
//
// It is called so when it has looked so in every statistics over at least kVerdictSteps steps, and
// in at least two: a single bad batch is no verdict. It is called sound again when it looks sound
// once. An update's last layer never vanishes: the others are measured by it.
inline constexpr double kVanishingRatio = 1e-4;
inline constexpr double kExplodingRatio = 1e4;
inline constexpr double kExplodingGradient = 1e3;
inline constexpr double kDeadShare = 0.5;
inline constexpr int64_t kVerdictSteps = 100;

class LayerVerdicts {
 public:
  explicit LayerVerdicts(size_t layers) : histories_(layers) {}

  // Fills in the verdicts. `last` gives, for each layer, the one that it is measured by. Returns
  // the indices of layers whose verdict is new.
  std::vector<size_t> Judge(LayerStatistics& statistics, std::span<const size_t> last);

 private:
  struct History {
    std::string looks;       // "" or what it has looked like without interruption …
    int64_t since_step = 0;  // … since here
    int64_t times = 0;
    std::string verdict;
  };
  std::vector<History> histories_;
};

// Whether the network learned the training examples by heart, or learned too little.
//   overfitting   classification: held-out accuracy is more than 5 points below the training
//                 accuracy of the last epoch, and the held-out error is more than twice the
//                 training error; any task: the validation loss of the last epoch is more than 10 %
//                 above its lowest value, and above the training loss by half
//   underfitting  classification: training accuracy less than half way from chance to 1;
//                 regression: R² below 0.2
// Numbers that are not known are left out of the judgement.
struct FitNumbers {
  std::optional<double> training_accuracy;  // of the last epoch, as it was trained
  std::optional<double> held_out_accuracy;
  int64_t classes = 0;
  std::optional<double> r2;
  std::optional<double> training_loss;
  std::optional<double> validation_loss;       // of the last epoch
  std::optional<double> best_validation_loss;  // of any epoch
};
struct FitVerdict {
  std::string verdict;  // "", "overfitting" or "underfitting"
  std::string reason;
};
FitVerdict JudgeFit(const FitNumbers& numbers);

}  // namespace hone::engine::train
