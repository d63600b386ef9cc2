#include "server/rpc/late_refusals.h"

#include <gtest/gtest.h>

#include <vector>

namespace hone::server::rpc {
namespace {

TEST(LateRefusals, ThereAreOnlySoManyPlacesAndThoseGivenBackAreThereAgain) {
  LateRefusals refusals;
  std::vector<LateRefusals::Place> places;
  for (int i = 0; i < LateRefusals::kMost; ++i) {
    places.push_back(refusals.Take());
    ASSERT_NE(places.back(), nullptr);
  }
  EXPECT_EQ(refusals.Take(), nullptr);
  places.pop_back();
  EXPECT_NE(refusals.Take(), nullptr);
}

}  // namespace
}  // namespace hone::server::rpc
