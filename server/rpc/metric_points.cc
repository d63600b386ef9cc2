#include "server/rpc/metric_points.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

namespace hone::server::rpc {

void MetricPoints::Add(const v1::Metrics& point) {
  v1::Metrics& held = points_[point.step()];
  values_ -= static_cast<size_t>(held.values_size());
  held.MergeFrom(point);
  values_ += static_cast<size_t>(held.values_size());
  while (size() > kMostPoints || values_ > kMostValues) {
    const size_t before = size();
    Thin(before / 2);
    dropped_ += static_cast<int64_t>(before - size());
  }
}

void MetricPoints::ForgetAfter(int64_t step) {
  const auto first = points_.upper_bound(step);
  for (auto it = first; it != points_.end(); ++it) {
    values_ -= static_cast<size_t>(it->second.values_size());
  }
  points_.erase(first, points_.end());
}

void MetricPoints::Thin(size_t most) {
  if (points_.size() <= most) {
    return;
  }
  const size_t in_stretch = std::max<size_t>(2 * curves(), 1);
  const size_t stretches = std::max<size_t>(most / in_stretch, 1);
  std::set<int64_t> kept;
  auto it = points_.begin();
  for (size_t s = 0, done = 0; s < stretches; ++s) {
    const size_t end = points_.size() * (s + 1) / stretches;
    // name → least and greatest: value and step
    std::map<std::string, std::pair<std::pair<double, int64_t>, std::pair<double, int64_t>>> ends;
    for (; done < end; ++done, ++it) {
      for (const auto& [name, value] : it->second.values()) {
        const std::pair<double, int64_t> here(value, it->first);
        const auto [found, first] = ends.try_emplace(name, here, here);
        if (!first) {
          found->second.first = std::min(found->second.first, here);
          found->second.second = std::max(found->second.second, here);
        }
      }
    }
    for (const auto& [name, extremes] : ends) {
      for (const int64_t step : {extremes.first.second, extremes.second.second}) {
        if (kept.size() < most) {
          kept.insert(step);
        }
      }
    }
  }
  std::erase_if(points_, [&](const auto& entry) {
    if (kept.contains(entry.first)) {
      return false;
    }
    values_ -= static_cast<size_t>(entry.second.values_size());
    return true;
  });
}

size_t MetricPoints::curves() const {
  std::set<std::string> names;
  for (const auto& [step, point] : points_) {
    for (const auto& [name, value] : point.values()) {
      names.insert(name);
    }
  }
  return names.size();
}

size_t MetricPoints::bytes() const {
  size_t bytes = 0;
  for (const auto& [step, point] : points_) {
    bytes += point.ByteSizeLong();
  }
  return bytes;
}

void MetricPoints::MoveTo(v1::MetricHistory& history) {
  for (auto& [step, point] : points_) {
    *history.add_points() = std::move(point);
  }
  points_.clear();
  values_ = 0;
}

}  // namespace hone::server::rpc
