#include "server/metrics/registry.h"

#include <array>
#include <limits>
#include <utility>

namespace hone::server::metrics {
namespace {

// Seconds; the last bucket, without a bound, is added when it is read.
using Bounds = std::array<double, 10>;
constexpr Bounds kCallBounds = {0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60};
constexpr Bounds kStepBounds = {0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 10};
constexpr Bounds kJobBounds = {1, 10, 60, 300, 900, 3600, 14'400, 43'200, 86'400, 604'800};

const Bounds& BoundsOf(const MetricSpec& spec) {
  switch (spec.span) {
    case Span::kCalls:
      return kCallBounds;
    case Span::kSteps:
      return kStepBounds;
    case Span::kJobs:
      return kJobBounds;
  }
  return kCallBounds;
}

::prometheus::MetricType TypeOf(MetricType type) {
  switch (type) {
    case MetricType::kGauge:
      return ::prometheus::MetricType::Gauge;
    case MetricType::kCounter:
      return ::prometheus::MetricType::Counter;
    case MetricType::kHistogram:
      return ::prometheus::MetricType::Histogram;
  }
  return ::prometheus::MetricType::Untyped;
}

}  // namespace

Registry::Registry() {
  for (const MetricSpec& spec : kCatalog) {
    if (spec.type != MetricType::kGauge && spec.labels[0].empty()) {
      Find(spec.metric, {});
    }
  }
}

Registry::Series* Registry::Find(Metric metric, const Labels& labels) {
  auto& all = series_[static_cast<size_t>(metric)];
  const auto found = all.find(labels);
  if (found != all.end()) {
    return &found->second;
  }
  if (all.size() >= kMaxSeries) {
    return nullptr;
  }
  Series& series = all[labels];
  if (SpecOf(metric).type == MetricType::kHistogram) {
    series.buckets.resize(Bounds().size());
  }
  return &series;
}

void Registry::Set(Metric metric, const Labels& labels, double value) {
  const std::lock_guard lock(mutex_);
  if (Series* const series = Find(metric, labels)) {
    series->value = value;
  }
}

void Registry::Add(Metric metric, const Labels& labels, double amount) {
  const std::lock_guard lock(mutex_);
  if (Series* const series = Find(metric, labels)) {
    series->value += amount;
  }
}

void Registry::Observe(Metric metric, const Labels& labels, double value, uint64_t times) {
  const std::lock_guard lock(mutex_);
  Series* const series = Find(metric, labels);
  if (series == nullptr) {
    return;
  }
  const Bounds& bounds = BoundsOf(SpecOf(metric));
  for (size_t i = 0; i < bounds.size(); ++i) {
    series->buckets[i] += value <= bounds[i] ? times : 0;
  }
  series->value += value * static_cast<double>(times);
  series->count += times;
}

void Registry::RemoveJob(Metric metric, absl::string_view job) {
  const std::lock_guard lock(mutex_);
  std::erase_if(series_[static_cast<size_t>(metric)],
                [&](const auto& entry) { return !entry.first.empty() && entry.first[0] == job; });
}

void Registry::RemoveJob(absl::string_view job) {
  for (const MetricSpec& spec : kCatalog) {
    if (spec.OfOneJob()) {
      RemoveJob(spec.metric, job);
    }
  }
}

void Registry::OnCollect(std::function<void(Registry&)> refresh) {
  refreshers_.push_back(std::move(refresh));
}

std::vector<::prometheus::MetricFamily> Registry::Collect() {
  for (const auto& refresh : refreshers_) {
    refresh(*this);
  }
  const std::lock_guard lock(mutex_);
  std::vector<::prometheus::MetricFamily> families;
  for (const MetricSpec& spec : kCatalog) {
    ::prometheus::MetricFamily family;
    family.name = std::string(spec.name);
    family.help = std::string(spec.help);
    family.type = TypeOf(spec.type);
    for (const auto& [labels, series] : series_[static_cast<size_t>(spec.metric)]) {
      ::prometheus::ClientMetric value;
      for (size_t i = 0; i < labels.size() && i < spec.labels.size(); ++i) {
        value.label.push_back({std::string(spec.labels[i]), labels[i]});
      }
      value.gauge.value = series.value;
      value.counter.value = series.value;
      value.histogram.sample_sum = series.value;
      value.histogram.sample_count = series.count;
      for (size_t i = 0; i < series.buckets.size(); ++i) {
        value.histogram.bucket.push_back({series.buckets[i], BoundsOf(spec)[i]});
      }
      if (!series.buckets.empty()) {
        value.histogram.bucket.push_back({series.count, std::numeric_limits<double>::infinity()});
      }
      family.metric.push_back(std::move(value));
    }
    if (!family.metric.empty()) {
      families.push_back(std::move(family));
    }
  }
  return families;
}

}  // namespace hone::server::metrics
