#include "server/rpc/call_budget.h"

#include <gtest/gtest.h>

namespace hone::server::rpc {
namespace {

constexpr int64_t kHalf = CallBudget::kMostBytes / 2;

TEST(CallBudget, LargeRequestsAreRefusedBeyondTheBoundAndTakenAgainWhenOthersHaveEnded) {
  CallBudget budget;
  std::optional<CallBudget::Share> first = budget.Take(kHalf);
  const std::optional<CallBudget::Share> second = budget.Take(kHalf);
  EXPECT_TRUE(first.has_value() && second.has_value());
  EXPECT_FALSE(budget.Take(1).has_value());
  first.reset();
  EXPECT_TRUE(budget.Take(kHalf).has_value());
}

TEST(CallBudget, ARequestThatIsAloneIsTakenHoweverLargeItIs) {
  CallBudget budget;
  EXPECT_TRUE(budget.Take(3 * kHalf).has_value());
  EXPECT_TRUE(budget.Take(3 * kHalf).has_value());
}

}  // namespace
}  // namespace hone::server::rpc
