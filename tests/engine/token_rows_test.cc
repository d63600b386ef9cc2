#include "engine/tensor/token_rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

namespace hone::engine {
namespace {

TEST(PlannedRows, HoldAllTokensAndWasteAtMostSevenRowsOrFourPercent) {
  for (int64_t tokens = 0; tokens < 10000; ++tokens) {
    const int64_t rows = PlannedRows(tokens);
    ASSERT_GE(rows, tokens);
    ASSERT_LE(rows - tokens, std::max<int64_t>(8, tokens / 25)) << tokens;
  }
}

TEST(PlannedRows, OfAPlannedCountAreThatCount) {
  for (int64_t tokens = 1; tokens < 10000; ++tokens) {
    ASSERT_EQ(PlannedRows(PlannedRows(tokens)), PlannedRows(tokens)) << tokens;
  }
}

TEST(PlannedRows, GrowWithTheTokens) {
  for (int64_t tokens = 1; tokens < 10000; ++tokens) {
    ASSERT_LE(PlannedRows(tokens - 1), PlannedRows(tokens)) << tokens;
  }
}

TEST(AreOffsets, TakesSequencesOfNoTokensAndRowsBehindTheLast) {
  EXPECT_TRUE(AreOffsets(std::array{0, 0, 3, 3}, 8));
  EXPECT_TRUE(AreOffsets(std::array{0}, 0));
}

TEST(AreOffsets, RefusesThoseThatBeginLateFallOrLeaveTheRows) {
  EXPECT_FALSE(AreOffsets(std::array{1, 3}, 8));
  EXPECT_FALSE(AreOffsets(std::array{0, 3, 2}, 8));
  EXPECT_FALSE(AreOffsets(std::array{0, 9}, 8));
  EXPECT_FALSE(AreOffsets({}, 8));
}

}  // namespace
}  // namespace hone::engine
