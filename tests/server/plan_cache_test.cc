#include "server/rpc/plan_cache.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace hone::server::rpc {
namespace {

v1::Plan PlanOf(size_t bytes) {
  v1::Plan plan;
  plan.add_layers()->set_name(std::string(bytes, 'x'));
  return plan;
}

TEST(PlanCache, HoldsNoMoreBytesThanItMayAndThePlansUsedLast) {
  PlanCache cache(10'000);
  for (int i = 0; i < 20; ++i) {
    cache.Put(absl::StrCat(i), PlanOf(1000));
    EXPECT_TRUE(cache.Find("0").has_value());
  }
  EXPECT_LE(cache.bytes(), 10'000u);
  EXPECT_FALSE(cache.Find("1").has_value());
  EXPECT_TRUE(cache.Find("19").has_value());
}

TEST(PlanCache, APlanThatIsTooLargeIsNotKeptAndDrivesNoneOut) {
  PlanCache cache(10'000);
  cache.Put("small", PlanOf(100));
  cache.Put("large", PlanOf(20'000));
  EXPECT_FALSE(cache.Find("large").has_value());
  EXPECT_TRUE(cache.Find("small").has_value());
}

TEST(PlanCache, AKeyIsShortHoweverLongTheSpecIs) {
  v1::JobSpec spec;
  for (int i = 0; i < 1000; ++i) {
    spec.mutable_model()->add_layers()->mutable_dense()->set_units(7);
  }
  EXPECT_LT(PlanCache::KeyOf(spec, 1, "").size(), 100u);
}

}  // namespace
}  // namespace hone::server::rpc
