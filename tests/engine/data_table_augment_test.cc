#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "engine/data/table_augment.h"

namespace hone::engine::data {
namespace {

using ::testing::ElementsAre;

using Row = std::vector<float>;

// A number whose missing cells count as 5, so as (5 − 3) ÷ 2 = 1; three categories; a number.
std::vector<ColumnPreprocessing> Columns() {
  return {{.name = "size", .mean = 3, .std = 2, .fill = 5, .categories = {}},
          {.name = "kind", .categories = {"a", "b", "c"}},
          {.name = "age", .categories = {}}};
}
const Row kRow = {-1, 0, 1, 0, 0.5};

Row Changed(const TableAugmentation& augmentation, const AugmentKey& key = {1, 2, 3}) {
  const TableAugmenter augmenter(augmentation, Columns());
  Row out(kRow.size(), -77);
  augmenter.Augment(key, kRow, out);
  return out;
}

TEST(TableAugment, WithoutAnyChangeCopies) {
  EXPECT_FALSE(TableAugmentation{}.any());
  EXPECT_EQ(Changed({}), kRow);
}

TEST(TableAugment, DependsOnSeedEpochAndRowAlone) {
  const TableAugmentation everything = {.noise = 0.5f, .cell_dropout = 0.1f};
  const Row first = Changed(everything, {1, 2, 3});
  EXPECT_EQ(Changed(everything, {1, 2, 3}), first);
  EXPECT_NE(Changed(everything, {2, 2, 3}), first);
  EXPECT_NE(Changed(everything, {1, 3, 3}), first);
  EXPECT_NE(Changed(everything, {1, 2, 4}), first);
}

TEST(TableAugment, AddsNoiseOfTheDeviationToNumbers) {
  double sum = 0, squares = 0;
  constexpr int kRows = 4000;
  for (int64_t row = 0; row < kRows; ++row) {
    const double change = Changed({.noise = 0.25f}, {.row = row})[4] - kRow[4];
    sum += change;
    squares += change * change;
  }
  EXPECT_NEAR(sum / kRows, 0, 0.02);
  EXPECT_NEAR(std::sqrt(squares / kRows), 0.25, 0.02);
}

TEST(TableAugment, LeavesCategoriesWithoutNoise) {
  const Row changed = Changed({.noise = 0.25f});
  EXPECT_THAT(Row(changed.begin() + 1, changed.begin() + 4), ElementsAre(0, 1, 0));
}

TEST(TableAugment, ADroppedCellIsAMissingOne) {
  const Row changed = Changed({.noise = 0.25f, .cell_dropout = 0.9999f});
  EXPECT_THAT(changed, ElementsAre(1, 0, 0, 0, 0));
}

TEST(TableAugment, DropsAShareOfTheCells) {
  int dropped = 0;
  for (int64_t row = 0; row < 1000; ++row) {
    dropped += Changed({.cell_dropout = 0.3f}, {.row = row})[2] == 0 ? 1 : 0;
  }
  EXPECT_GT(dropped, 250);
  EXPECT_LT(dropped, 350);
}

}  // namespace
}  // namespace hone::engine::data
