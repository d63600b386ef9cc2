#include "engine/train/layer_statistics.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace hone::engine::train {

LayerMonitor::LayerMonitor(Programs& programs) : programs_(programs), verdicts_(0) {
  for (size_t u = 0; u < programs.updates().size(); ++u) {
    const std::vector<TrainedParameter>& trained = programs.updates()[u].trained;
    std::map<int, size_t> by_layer;
    for (size_t r = 0; r < trained.size(); ++r) {
      const models::LayerSummary& summary =
          programs.layers()[static_cast<size_t>(trained[r].layer)];
      const auto [entry, fresh] = by_layer.try_emplace(trained[r].layer, layers_.size());
      if (fresh) {
        layers_.push_back({.name = summary.name, .update = u, .ranges = {}, .alive = {}});
      }
      Layer& layer = layers_[entry->second];
      layer.ranges.push_back(static_cast<int>(r));
      const ParameterSpec& spec = programs.store().spec(trained[r].id);
      if (summary.shows_dead_units &&
          absl::EndsWith(spec.name, summary.biases > 0 ? ".bias" : ".weight")) {
        layer.units = trained[r].id;
        // Dense weights are [in, units], those of a convolution [units, …].
        const bool last = spec.shape.rank() == 2;
        layer.alive.resize(static_cast<size_t>(last ? spec.shape.back() : spec.shape[0]));
        const size_t of_unit = static_cast<size_t>(spec.shape.elements()) / layer.alive.size();
        layer.next_unit = last ? 1 : of_unit;
        layer.next_value = last ? layer.alive.size() : 1;
        layer.unit_values = of_unit;
      }
    }
    last_.push_back(layers_.size() - 1);
  }
  verdicts_ = LayerVerdicts(layers_.size());
}

void LayerMonitor::ObserveUpdate(size_t update, int shards) {
  for (Layer& layer : layers_) {
    const bool observed =
        layer.update == update && layer.units >= 0 && !programs_.store().gives_rows(layer.units);
    for (int shard = 0; observed && shard < shards; ++shard) {
      const std::span<const float> gradient = programs_.store().gradients(layer.units, shard);
      for (size_t i = 0; i < layer.alive.size(); ++i) {
        for (size_t v = 0; layer.alive[i] == 0 && v < layer.unit_values; ++v) {
          layer.alive[i] = gradient[i * layer.next_unit + v * layer.next_value] != 0 ? 1 : 0;
        }
      }
    }
  }
}

LayerStatistics LayerMonitor::Collect(int64_t step, absl::FunctionRef<double(size_t)> weight) {
  LayerStatistics statistics{.step = step, .layers = {}};
  for (Layer& layer : layers_) {
    const optim::Optimizer& optimizer = *programs_.updates()[layer.update].optimizer;
    const double scale = weight(layer.update) > 0 ? 1 / weight(layer.update) : 0;
    double gradient = 0, weights = 0;
    for (const int range : layer.ranges) {
      gradient += optimizer.SquaredGradientNorm(range, scale);
      weights += optimizer.SquaredWeightNorm(range);
    }
    LayerStatistics::Layer row{.name = layer.name,
                               .gradient_norm = std::sqrt(gradient),
                               .weight_norm = std::sqrt(weights),
                               .verdict = ""};
    row.rests =
        std::ranges::all_of(layer.ranges, [&](int range) { return optimizer.Rests(range); });
    if (!layer.alive.empty()) {
      const auto dead = std::ranges::count(layer.alive, 0);
      row.dead_share = static_cast<double>(dead) / static_cast<double>(layer.alive.size());
      std::ranges::fill(layer.alive, 0);
    }
    statistics.layers.push_back(std::move(row));
  }
  std::vector<size_t> yardsticks;
  for (const Layer& layer : layers_) {
    yardsticks.push_back(last_[layer.update]);
  }
  fresh_ = verdicts_.Judge(statistics, yardsticks);
  return statistics;
}

std::vector<size_t> LayerMonitor::fresh(size_t update) const {
  std::vector<size_t> of_update;
  std::ranges::copy_if(fresh_, std::back_inserter(of_update),
                       [&](size_t i) { return layers_[i].update == update; });
  return of_update;
}

std::string DescribeFresh(const LayerStatistics& statistics, const std::vector<size_t>& fresh,
                          size_t last_layer, absl::string_view verdict) {
  constexpr size_t kNamed = 5;
  std::vector<std::string> named;
  size_t count = 0;
  for (const size_t i : fresh) {
    const LayerStatistics::Layer& layer = statistics.layers[i];
    if (layer.verdict != verdict || ++count > kNamed) {
      continue;
    }
    named.push_back(verdict == "dead" ? absl::StrFormat("%s (%.0f %% of its units)", layer.name,
                                                        100 * layer.dead_share)
                                      : absl::StrFormat("%s (%.2g to %.2g)", layer.name,
                                                        layer.gradient_norm, layer.weight_norm));
  }
  if (count == 0) {
    return "";
  }
  const std::string more = count > kNamed ? absl::StrFormat(" and %d more", count - kNamed) : "";
  const std::string layers = absl::StrJoin(named, ", ") + more;
  if (verdict == "dead") {
    return absl::StrFormat(
        "step %d: units without any gradient in %s; a smaller learning rate or LEAKY_RELU may help",
        statistics.step, layers);
  }
  const LayerStatistics::Layer& last = statistics.layers[last_layer];
  return absl::StrFormat(
      "step %d: %s gradients, norm of the gradient to norm of the weights: %s; last layer %s (%.2g "
      "to %.2g). %s may help",
      statistics.step, verdict, layers, last.name, last.gradient_norm, last.weight_norm,
      verdict == "vanishing" ? "RELU with KAIMING_NORMAL, normalisation or residual connections"
                             : "clip_norm, a smaller learning rate or normalisation");
}

}  // namespace hone::engine::train
