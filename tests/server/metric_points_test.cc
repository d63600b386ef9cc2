#include "server/rpc/metric_points.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace hone::server::rpc {
namespace {

v1::Metrics PointOf(int64_t step, int curves) {
  v1::Metrics point;
  point.set_step(step);
  for (int i = 0; i < curves; ++i) {
    (*point.mutable_values())[absl::StrCat("curve ", i)] = static_cast<double>(step);
  }
  return point;
}

TEST(MetricPoints, ManyCurvesAreHeldInNoMoreMemoryThanFew) {
  MetricPoints points;
  for (int64_t step = 1; step <= 3000; ++step) {
    points.Add(PointOf(step, 256));
    ASSERT_LE(points.values(), MetricPoints::kMostValues);
  }
  EXPECT_EQ(points.total(), 3000);
  v1::MetricHistory history;
  points.MoveTo(history);
  EXPECT_EQ(history.points(0).step(), 1);
  EXPECT_EQ(history.points(history.points_size() - 1).step(), 3000);
}

TEST(MetricPoints, WhatIsDoneAgainCountsOnce) {
  MetricPoints points;
  points.Add(PointOf(1, 2));
  points.Add(PointOf(2, 2));
  points.ForgetAfter(1);
  points.Add(PointOf(1, 2));
  EXPECT_EQ(points.values(), 2u);
  EXPECT_EQ(points.total(), 1);
}

}  // namespace
}  // namespace hone::server::rpc
