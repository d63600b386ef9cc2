#pragma once

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <span>
#include <vector>

// How the programs of `make bench` time what they run, and what they say of it; timing.py is the
// same for PyTorch's side.
namespace hone::engine::bench {

inline double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The value that a share of the others lies below: 0.5 for the median. Of at least one.
inline double Quantile(std::vector<double> values, double share) {
  const auto at = static_cast<size_t>(share * static_cast<double>(values.size()));
  const auto place = values.begin() + static_cast<std::ptrdiff_t>(std::min(at, values.size() - 1));
  std::ranges::nth_element(values, place);
  return *place;
}

inline double Median(std::vector<double> values) { return Quantile(std::move(values), 0.5); }

struct Timing {
  double seconds = 0;  // of one step
  int64_t steps = 0;   // that were timed
  double spread = 0;   // between the quartiles of the times, as a share of their median
};

// Of times, each of `steps_each` steps. Where steps differ, `kinds` of them came in turn, from the
// first to the last and round again, and all were timed equally often: `seconds` is the mean over
// the kinds of each one's median, and for the spread each time is divided by its kind's median.
inline Timing TimingOf(std::span<const double> times, size_t kinds = 1, int64_t steps_each = 1) {
  std::vector<double> relative;
  double sum = 0;
  for (size_t kind = 0; kind < kinds; ++kind) {
    std::vector<double> own;
    for (size_t i = kind; i < times.size(); i += kinds) {
      own.push_back(times[i]);
    }
    const double median = Median(own);
    sum += median;
    for (const double time : own) {
      relative.push_back(time / median);
    }
  }
  const auto each = static_cast<double>(steps_each);
  return {.seconds = sum / static_cast<double>(kinds) / each,
          .steps = steps_each * static_cast<int64_t>(times.size()),
          .spread = Quantile(relative, 0.75) - Quantile(relative, 0.25)};
}

// Of this process until now.
inline double PeakRssMb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

}  // namespace hone::engine::bench
