#pragma once

#include <chrono>

#include "engine/train/task.h"

namespace hone::engine::train {

using Clock = std::chrono::steady_clock;

inline double SecondsBetween(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

// Sums over the steps since the curves got their last point, and decides when they get the next:
// at most four times a second.
class IntervalMeter {
 public:
  static constexpr double kLeastSeconds = 0.25;

  void AddStep(double loss, double weight, double correct, int64_t examples, double seconds) {
    sums_.loss += loss;
    sums_.weight += weight;
    sums_.correct += correct;
    sums_.examples += examples;
    seconds_ += seconds;
    ++steps_;
  }
  bool due(Clock::time_point now) const {
    return steps_ > 0 && SecondsBetween(last_, now) >= kLeastSeconds;
  }
  void Restart(Clock::time_point now) { *this = IntervalMeter(now); }

  explicit IntervalMeter(Clock::time_point now) : last_(now) {}

  const Sums& sums() const { return sums_; }
  int64_t steps() const { return steps_; }
  double seconds() const { return seconds_; }
  double mean_loss() const { return sums_.weight > 0 ? sums_.loss / sums_.weight : 0; }
  double samples_per_second() const {
    return seconds_ > 0 ? static_cast<double>(sums_.examples) / seconds_ : 0;
  }

 private:
  Sums sums_;
  int64_t steps_ = 0;
  double seconds_ = 0;  // in steps alone
  Clock::time_point last_;
};

}  // namespace hone::engine::train
