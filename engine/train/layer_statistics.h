#pragma once

#include <vector>

#include "absl/functional/function_ref.h"
#include "engine/train/programs.h"
#include "engine/train/verdicts.h"

namespace hone::engine::train {

// Watches gradients and weights layer by layer. Refers to the programs, which outlive it.
class LayerMonitor {
 public:
  explicit LayerMonitor(Programs& programs);

  // After each run of an update: remembers which units had a gradient. Cheap; allocates nothing.
  void ObserveUpdate(size_t update, int shards);

  // After a step with layer norms; `weight` gives the total weight of an update's batch. Forgets
  // the units seen.
  LayerStatistics Collect(int64_t step, absl::FunctionRef<double(size_t update)> weight);
  // Indices into the last statistics' layers: those of an update whose verdict is new, and its last
  // one, which its others are measured by.
  std::vector<size_t> fresh(size_t update) const;
  size_t last(size_t update) const { return last_[update]; }

 private:
  struct Layer {
    std::string name;
    size_t update;
    std::vector<int> ranges;  // of its optimizer
    ParameterId units = -1;   // a bias or weights whose gradient shows dead units; -1: none
    size_t next_unit = 1;     // in floats
    size_t next_value = 1;    // of the same unit
    size_t unit_values = 1;
    std::vector<char> alive;  // by unit
  };

  Programs& programs_;
  std::vector<Layer> layers_;
  LayerVerdicts verdicts_;
  std::vector<size_t> last_;  // by update
  std::vector<size_t> fresh_;
};

// A sentence about the layers among `fresh` that have this verdict, measured by layer `last`, and
// what may help; "" if none has.
std::string DescribeFresh(const LayerStatistics& statistics, const std::vector<size_t>& fresh,
                          size_t last, absl::string_view verdict);

}  // namespace hone::engine::train
