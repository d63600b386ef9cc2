#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "prometheus/metric_family.h"
#include "server/metrics/catalog.h"

namespace hone::server::metrics {

// Values of the catalogue's metrics. Any thread. Label values are given in the catalogue's order. A
// metric keeps at most kMaxSeries label combinations; values for further ones are dropped.
class Registry {
 public:
  // Counters and histograms without labels begin at 0, so that their first increase can be seen.
  // Those with labels begin when their owner adds 0.
  Registry();

  using Labels = std::vector<std::string>;

  void Set(Metric metric, const Labels& labels, double value);
  void Add(Metric metric, const Labels& labels, double amount);
  // A histogram's value, seen so many times.
  void Observe(Metric metric, const Labels& labels, double value, uint64_t times = 1);

  // All values whose first label is this job, of metrics that speak of one job; with `metric`, of
  // that one only.
  void RemoveJob(absl::string_view job);
  void RemoveJob(Metric metric, absl::string_view job);

  // Called before each Collect, to set what is read from elsewhere. Only while nothing collects.
  void OnCollect(std::function<void(Registry&)> refresh);

  std::vector<::prometheus::MetricFamily> Collect();

  static constexpr size_t kMaxSeries = 4096;

 private:
  struct Series {
    double value = 0;  // a gauge, a counter, or a histogram's sum
    uint64_t count = 0;
    std::vector<uint64_t> buckets;
  };

  // Null when the metric is full. Called with mutex_ held.
  Series* Find(Metric metric, const Labels& labels);

  std::vector<std::function<void(Registry&)>> refreshers_;
  std::mutex mutex_;
  std::array<std::map<Labels, Series>, kMetricCount> series_;  // guarded by mutex_
};

}  // namespace hone::server::metrics
