#include <gtest/gtest.h>

#include "server/retention/clock.h"
#include "tests/server/now.h"

namespace hone::server::retention {
namespace {

// What is said in each minute up to `minutes`, with a clock that is set by `jump` before the minute
// `when`.
bool TrustsAt(int minutes, absl::Duration jump = absl::ZeroDuration(), int when = 0) {
  ClockTrust trust;
  bool trusts = false;
  for (int i = 0; i <= minutes; ++i) {
    const absl::Duration steady = absl::Minutes(i);
    trusts = trust.Trusts(kNow + steady + (i >= when ? jump : absl::ZeroDuration()), steady);
  }
  return trusts;
}

TEST(ClockTrust, AClockIsNotBelievedAtTheStart) {
  EXPECT_FALSE(TrustsAt(0));
  EXPECT_FALSE(TrustsAt(9));
}

TEST(ClockTrust, AClockThatRunsEvenlyIsBelieved) { EXPECT_TRUE(TrustsAt(10)); }

TEST(ClockTrust, AClockThatWasSetIsNotBelievedUntilItHasRunEvenly) {
  EXPECT_FALSE(TrustsAt(20, absl::Hours(24), 12));
  EXPECT_FALSE(TrustsAt(20, -absl::Hours(24), 12));
  EXPECT_TRUE(TrustsAt(22, absl::Hours(24), 12));
}

TEST(ClockTrust, ASmallCorrectionCostsNoTrust) { EXPECT_TRUE(TrustsAt(12, absl::Seconds(5), 12)); }

}  // namespace
}  // namespace hone::server::retention
