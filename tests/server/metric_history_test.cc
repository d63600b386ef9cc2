#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/rpc/calls.h"
#include "server/store/sqlite_store.h"
#include "tests/support/status_matchers.h"

namespace hone::server::rpc {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::HasSubstr;

constexpr int kPoints = 2500;

// A job with a log that is read in three pieces.
class MetricHistoryTest : public ::testing::Test {
 protected:
  MetricHistoryTest()
      : folder_(absl::StrCat(::testing::TempDir(), "/history-", ::getpid(), "-", counter_++)) {
    std::filesystem::create_directories(folder_);
    auto opened = store::OpenSqliteStore(folder_ + "/store.db");
    EXPECT_THAT(opened, IsOk());
    store_ = *std::move(opened);
    const auto written = store_->Commit([&] {
      store::NewJob job{.id = "job"};
      job.spec.mutable_classification();
      EXPECT_THAT(store_->Insert(job, absl::Now()), IsOk());
      EXPECT_THAT(store_->Claim(1, absl::Now()), IsOk());
      store::Report report;
      for (int step = 1; step <= kPoints; ++step) {
        v1::Metrics& metrics = *report.events.emplace_back().mutable_metrics();
        metrics.set_step(step);
        (*metrics.mutable_values())["loss"] = 1.0 / step;
      }
      EXPECT_THAT(store_->Append("job", 1, report, absl::Now()), IsOk());
    });
    EXPECT_THAT(written, IsOk());
  }
  ~MetricHistoryTest() override {
    store_.reset();
    std::filesystem::remove_all(folder_);
  }

  static inline int counter_ = 0;
  const std::string folder_;
  std::unique_ptr<store::JobStore> store_;
};

TEST_F(MetricHistoryTest, HasAllPointsWhereThereIsRoom) {
  const auto history =
      ReadMetricHistory({}, "job", kPoints, *store_, [] { return absl::OkStatus(); });
  ASSERT_THAT(history, IsOk());
  EXPECT_EQ(history->points_size(), kPoints);
}

TEST_F(MetricHistoryTest, IsReadNoFurtherWhenNobodyWaitsForItAnyMore) {
  int pieces = 0;
  const auto history = ReadMetricHistory({}, "job", kPoints, *store_, [&] {
    return ++pieces < 3 ? absl::OkStatus() : absl::DeadlineExceededError("too late");
  });
  EXPECT_THAT(history, StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("too late")));
  EXPECT_EQ(pieces, 3);
}

}  // namespace
}  // namespace hone::server::rpc
