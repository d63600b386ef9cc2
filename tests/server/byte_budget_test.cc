#include "server/rpc/byte_budget.h"

#include <gtest/gtest.h>

namespace hone::server::rpc {
namespace {

constexpr int64_t kMost = int64_t{1} << 20;
constexpr int64_t kHalf = kMost / 2;

TEST(ByteBudget, WhatIsLargeIsRefusedBeyondTheBoundAndGivenAgainWhenOthersHaveEnded) {
  ByteBudget budget(kMost);
  std::optional<ByteBudget::Share> first = budget.Take(kHalf);
  const std::optional<ByteBudget::Share> second = budget.Take(kHalf);
  EXPECT_TRUE(first.has_value() && second.has_value());
  EXPECT_FALSE(budget.Take(ByteBudget::kSmall + 1).has_value());
  first.reset();
  EXPECT_TRUE(budget.Take(kHalf).has_value());
}

TEST(ByteBudget, WhoIsAloneHasRoomHoweverMuchItIs) {
  ByteBudget budget(kMost);
  EXPECT_TRUE(budget.Take(3 * kHalf).has_value());
  EXPECT_TRUE(budget.Take(3 * kHalf).has_value());
}

TEST(ByteBudget, WhatIsSmallIsThereAlways) {
  ByteBudget budget(kMost);
  const ByteBudget::Share all = budget.Charge(2 * kMost);
  EXPECT_TRUE(budget.Take(ByteBudget::kSmall).has_value());
  EXPECT_EQ(budget.taken(), 2 * kMost);
}

TEST(ByteBudget, AShareThatTakesAnothersPlaceGivesItBack) {
  ByteBudget budget(kMost);
  std::optional<ByteBudget::Share> share = budget.Take(kHalf);
  share = budget.Take(kHalf);
  EXPECT_EQ(budget.taken(), kHalf);
  share.reset();
  EXPECT_EQ(budget.taken(), 0);
}

}  // namespace
}  // namespace hone::server::rpc
