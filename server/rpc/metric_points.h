#pragma once

#include <cstddef>
#include <cstdint>
#include <map>

#include "hone/v1/training_service.pb.h"

namespace hone::server::rpc {

// The points of a job's curves while its log is read, by step. However long the log is and however
// many curves it has, no more is held than the two limits say: beyond them the points are thinned.
class MetricPoints {
 public:
  static constexpr size_t kMostPoints = 80'000;
  // Of all points together; one takes about a hundred bytes.
  static constexpr size_t kMostValues = 400'000;

  // Adds to the point of the same step where there is one.
  void Add(const v1::Metrics& point);
  // What an older attempt did beyond its last checkpoint is done again.
  void ForgetAfter(int64_t step);
  // Leaves at most `most` points: the steps are cut into stretches, and of each stretch stay the
  // points with some curve's least or greatest value there, as many as fit.
  void Thin(size_t most);

  size_t curves() const;
  size_t values() const { return values_; }
  // Those thinned out, too.
  int64_t total() const { return static_cast<int64_t>(points_.size()) + dropped_; }
  size_t size() const { return points_.size(); }
  size_t bytes() const;  // as they are sent
  void MoveTo(v1::MetricHistory& history);

 private:
  std::map<int64_t, v1::Metrics> points_;
  size_t values_ = 0;
  int64_t dropped_ = 0;  // to keep within the limits
};

}  // namespace hone::server::rpc
