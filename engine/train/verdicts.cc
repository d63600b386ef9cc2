#include "engine/train/verdicts.h"

#include <cmath>

#include "absl/strings/str_format.h"

namespace hone::engine::train {
namespace {

double GradientRatio(const LayerStatistics::Layer& layer) {
  return layer.weight_norm > 0 ? layer.gradient_norm / layer.weight_norm : 0;
}

std::string Looks(const LayerStatistics::Layer& layer, double last_ratio, bool is_last) {
  if (layer.rests) {
    return "";
  }
  // Dead units have no gradient, which is no sign of a vanishing one.
  if (layer.dead_share > kDeadShare) {
    return "dead";
  }
  const double ratio = GradientRatio(layer);
  if (!is_last && ratio < kVanishingRatio * last_ratio) {
    return "vanishing";
  }
  if ((!is_last && last_ratio > 0 && ratio > kExplodingRatio * last_ratio) ||
      layer.gradient_norm > kExplodingGradient * layer.weight_norm) {
    // Weights that are all zero have no size to compare with.
    return layer.weight_norm > 0 ? "exploding" : "";
  }
  return "";
}

}  // namespace

std::vector<size_t> LayerVerdicts::Judge(LayerStatistics& statistics,
                                         std::span<const size_t> last) {
  std::vector<size_t> fresh;
  for (size_t i = 0; i < statistics.layers.size(); ++i) {
    LayerStatistics::Layer& layer = statistics.layers[i];
    History& history = histories_[i];
    const std::string looks = Looks(layer, GradientRatio(statistics.layers[last[i]]), i == last[i]);
    if (looks != history.looks) {
      history.looks = looks;
      history.since_step = statistics.step;
      history.times = 0;
    }
    ++history.times;
    const bool sure = history.times >= 2 && statistics.step - history.since_step >= kVerdictSteps;
    if (looks.empty()) {
      history.verdict.clear();
    } else if (sure && history.verdict != looks) {
      history.verdict = looks;
      fresh.push_back(i);
    }
    layer.verdict = history.verdict;
  }
  return fresh;
}

FitVerdict JudgeFit(const FitNumbers& n) {
  if (n.training_accuracy && n.classes > 0) {
    const double chance = 1.0 / static_cast<double>(n.classes);
    const double half_way = (1 + chance) / 2;
    if (*n.training_accuracy < half_way) {
      return {"underfitting",
              absl::StrFormat("the training accuracy of %.2f %% is less than half way from chance "
                              "(%.2f %%) to 100 %%: a larger model, a longer run or another "
                              "learning rate may help",
                              100 * *n.training_accuracy, 100 * chance)};
    }
    const double held_out = n.held_out_accuracy.value_or(*n.training_accuracy);
    if (*n.training_accuracy - held_out > 0.05 && 1 - held_out > 2 * (1 - *n.training_accuracy)) {
      return {"overfitting",
              absl::StrFormat("%.2f %% right on training examples, %.2f %% on others: more data, "
                              "augmentation, dropout, weight decay or an earlier stop may help",
                              100 * *n.training_accuracy, 100 * held_out)};
    }
  }
  if (n.r2 && *n.r2 < 0.2) {
    return {
        "underfitting",
        absl::StrFormat("R² is %.3f: the mean alone would reach 0; a larger model, a longer run "
                        "or another learning rate may help",
                        *n.r2)};
  }
  if (n.validation_loss && n.best_validation_loss && n.training_loss &&
      *n.validation_loss > 1.1 * *n.best_validation_loss &&
      *n.validation_loss > 1.5 * *n.training_loss) {
    return {"overfitting",
            absl::StrFormat("the validation loss rose from %.4g at its lowest to %.4g, while the "
                            "training loss is %.4g: an earlier stop, more data, dropout or weight "
                            "decay may help",
                            *n.best_validation_loss, *n.validation_loss, *n.training_loss)};
  }
  return {};
}

}  // namespace hone::engine::train
