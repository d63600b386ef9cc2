#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/params/parameter_store.h"

namespace hone::engine::train {

// The mean of the weights over the updates, newer ones counting more (Polyak and Juditsky, 1992, as
// exponential mean): the buffer `average/NAME` of each parameter that a job trains, which no
// layer's name can begin with. It is in checkpoints; a model is published with it in the weights'
// place.
class WeightAverage {
 public:
  // The parameter is such a mean.
  static bool Holds(absl::string_view parameter);
  // Before the store's Allocate. Errors of ParameterStore::Declare.
  static absl::Status Declare(std::span<const ParameterId> trained, ParameterStore& store);

  // Of all that the store has a mean of; it outlives this.
  explicit WeightAverage(ParameterStore& store);

  // The means are what the weights are.
  void Begin();
  // After the update with this number, from 1: mean += (1 − d) · (weight − mean), where d is the
  // decay, but at most (1 + n) / (10 + n) after the n-th update, so that early means do not hang on
  // what the weights began with. The bits do not depend on the threads.
  void Follow(double decay, int64_t update, int threads);
  // Weights and means change places.
  void Exchange();

 private:
  ParameterStore& store_;
  std::vector<std::pair<ParameterId, ParameterId>> pairs_;  // weight, mean
};

}  // namespace hone::engine::train
