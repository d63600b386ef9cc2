#include <gmock/gmock.h>
#include <sys/mman.h>

#include <cstring>

#include "engine/base/rng.h"
#include "engine/base/team.h"
#include "engine/optim/optimizer.h"
#include "engine/optim/portion.h"
#include "engine/optim/row_accumulator.h"
#include "tests/support/status_matchers.h"

// Tables among an optimizer's ranges: gradients that come as rows.
namespace hone::engine::optim {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::HasSubstr;

constexpr int64_t kDense = 48;  // floats before the table

// A slab of some floats and a table behind them, with an optimizer, and the gradient of each as
// slabs of its own: what rows are held against.
class Slab {
 public:
  // `as_rows`: the table's gradient comes as rows; else from a slab, as that of all else.
  Slab(const OptimizerOptions& options, int64_t rows, int64_t width, bool as_rows,
       float decay = 0.01f)
      : rows_(rows), width_(width), as_rows_(as_rows), values_((kDense + rows * width + 16) * 4) {
    for (int shard = 0; shard < 2; ++shard) {
      gradients_.emplace_back((as_rows ? kDense : kDense + rows * width + 16) * 4);
    }
    RandomStream random(1, "values");
    for (int64_t i = 0; i < kDense + rows * width; ++i) {
      values_.as<float>()[i] = random.NextNormal();
    }
    const ParameterRange table = {.begin = kDense,
                                  .end = kDense + rows * width,
                                  .weight_decay = decay,
                                  .row_width = as_rows ? width : 0};
    optimizer_ =
        *Optimizer::Create(options, {{.begin = 0, .end = kDense, .weight_decay = decay}, table});
  }

  // One step on `shards` shards, each with the sums of its own list of rows.
  void Step(const std::vector<std::vector<int32_t>>& shards, int64_t step, int workers = 2) {
    RandomStream random(static_cast<uint64_t>(step), "gradients");
    std::vector<std::vector<float>> sums;
    std::vector<RowGradient> parts;
    std::vector<const float*> slabs;
    for (size_t s = 0; s < shards.size(); ++s) {
      float* slab = gradients_[s].as<float>();
      std::memset(slab, 0, static_cast<size_t>(gradients_[s].bytes()));
      for (int64_t i = 0; i < kDense; ++i) {
        slab[i] = random.NextNormal();
      }
      std::vector<float>& of_shard = sums.emplace_back(shards[s].size() * Width());
      for (size_t i = 0; i < of_shard.size(); ++i) {
        of_shard[i] = random.NextNormal();
        if (!as_rows_) {
          slab[kDense + shards[s][i / Width()] * width_ + static_cast<int64_t>(i % Width())] =
              of_shard[i];
        }
      }
      slabs.push_back(slab);
      parts.push_back({.rows = shards[s].data(),
                       .capacity = static_cast<int64_t>(shards[s].size()),
                       .sums = of_shard.data()});
    }
    const TableGradient table = {.range = 1, .parts = parts};
    const std::span<const TableGradient> tables =
        as_rows_ ? std::span(&table, 1) : std::span<const TableGradient>();
    const Slabs all = {values_.as<float>(), slabs, tables};
    for (int k = 0; k < workers; ++k) {
      optimizer_->MergeRows(all, k, workers);
    }
    for (int k = 0; k < workers; ++k) {
      const auto [begin, end] = ShareOf(optimizer_->ReadFloats(false), k, workers, 16);
      optimizer_->Read(all, false, begin, end);
    }
    summary_ = optimizer_->Summary(1);
    const UpdateStep update = {.step = step, .learning_rate = 0.1, .scale = 0.5, .clip_value = 0.8};
    for (int k = 0; k < workers; ++k) {
      const auto [begin, end] = ShareOf(optimizer_->WriteFloats(), k, workers, 16);
      optimizer_->Write(all, update, begin, end);
    }
  }

  std::vector<float> Row(int64_t row) const {
    const float* begin = values_.as<float>() + kDense + row * width_;
    return {begin, begin + width_};
  }
  std::vector<float> Values() const {
    return {values_.as<float>(), values_.as<float>() + kDense + rows_ * width_};
  }
  Optimizer& optimizer() { return *optimizer_; }
  float* values() { return values_.as<float>(); }
  const GradientSummary& summary() const { return summary_; }

 private:
  size_t Width() const { return static_cast<size_t>(width_); }

  int64_t rows_, width_;
  bool as_rows_;
  Buffer values_;
  std::vector<Buffer> gradients_;
  std::optional<Optimizer> optimizer_;
  GradientSummary summary_;
};

TEST(ATable, IsUpdatedByItsRowsAsByASlabOfMostlyZeros) {
  const std::vector<OptimizerOptions> all = {Sgd{.learning_rate = 1}, Sgd{.momentum = 0.9}, Adam{},
                                             AdamW{}, RmsProp{.momentum = 0.5, .centered = true}};
  for (const OptimizerOptions& options : all) {
    for (const int64_t width : {1, 3, 12, 16, 64, 100}) {
      Slab rows(options, 90, width, true), slab(options, 90, width, false);
      for (int64_t step = 1; step <= 3; ++step) {
        const std::vector<std::vector<int32_t>> shards = {{0, 7, 40 + static_cast<int>(step)},
                                                          {7, 8, 88, 89}};
        rows.Step(shards, step);
        slab.Step(shards, step);
      }
      EXPECT_EQ(rows.Values(), slab.Values()) << NameOf(options) << " width " << width;
      EXPECT_NEAR(rows.summary().norm(), slab.summary().norm(), 1e-5 * slab.summary().norm());
    }
  }
}

TEST(ATable, WiderThanABlockIsUpdatedToo) {
  Slab rows(Adam{.lazy = true}, 3, 5000, true, 0), slab(Adam{}, 3, 5000, false, 0);
  rows.Step({{0, 1, 2}}, 1);
  slab.Step({{0, 1, 2}}, 1);
  EXPECT_EQ(rows.Values(), slab.Values());
}

TEST(ATable, UnderLazyAdamMovesTheRowsThatCameAlone) {
  Slab lazy(Adam{.lazy = true}, 50, 24, true), start(Adam{}, 50, 24, true);
  lazy.Step({{3, 4}, {4, 9}}, 1);
  lazy.Step({{5}}, 2);
  for (const int64_t row : {3, 4, 5, 9}) {
    EXPECT_NE(lazy.Row(row), start.Row(row)) << row;
  }
  for (const int64_t row : {0, 2, 6, 10, 49}) {
    EXPECT_EQ(lazy.Row(row), start.Row(row)) << row;
  }
}

TEST(ATable, UnderExactAdamMovesARowOnByItsMomentum) {
  Slab exact(Adam{}, 50, 24, true), lazy(Adam{.lazy = true}, 50, 24, true);
  for (Slab* slab : {&exact, &lazy}) {
    slab->Step({{3}}, 1);
  }
  EXPECT_EQ(exact.Row(3), lazy.Row(3));  // in the first step there is no difference
  const std::vector<float> before = exact.Row(3);
  for (Slab* slab : {&exact, &lazy}) {
    slab->Step({{5}}, 2);
  }
  EXPECT_NE(exact.Row(3), before);
  EXPECT_EQ(lazy.Row(3), before);
}

TEST(ATable, IsTheSameForAnyNumberOfWorkers) {
  Slab one(Adam{.lazy = true}, 64, 20, true), many(Adam{.lazy = true}, 64, 20, true);
  for (int64_t step = 1; step <= 2; ++step) {
    one.Step({{1, 2, 3, 60}, {2, 5}}, step, 1);
    many.Step({{1, 2, 3, 60}, {2, 5}}, step, 5);
  }
  EXPECT_EQ(one.Values(), many.Values());
  EXPECT_EQ(one.summary().squared_norm, many.summary().squared_norm);
}

// The memory of the other rows cannot even be read meanwhile: who touches it is killed.
TEST(ATable, UnderLazyAdamIsNotPassedOver) {
  constexpr int64_t kRows = 4000, kWidth = 64;
  Slab slab(Adam{.lazy = true}, kRows, kWidth, true);
  const auto lock = [&](int protection) {
    for (float* begin : {slab.values() + kDense, slab.optimizer().state(0).data() + kDense,
                         slab.optimizer().state(1).data() + kDense}) {
      constexpr uintptr_t kPage = 4096;
      const uintptr_t from = reinterpret_cast<uintptr_t>(begin + 100 * kWidth);
      const uintptr_t to = reinterpret_cast<uintptr_t>(begin + kRows * kWidth);
      const uintptr_t first = (from + kPage - 1) / kPage * kPage;
      ASSERT_EQ(::mprotect(reinterpret_cast<void*>(first), to / kPage * kPage - first, protection),
                0);
    }
  };
  lock(PROT_NONE);
  slab.Step({{0, 3, 99}, {3, 50}}, 1);
  lock(PROT_READ | PROT_WRITE);
  EXPECT_TRUE(slab.summary().finite);
}

// Factors and biases of the same users, from two shards: as one list, or as lists of their own.
std::vector<float> TwoTables(bool share, int workers) {
  constexpr int64_t kRows = 40, kWidth = 16;
  Buffer values((kRows * kWidth + RoundUp(kRows)) * 4);
  const ParameterRange factors = {.begin = 0, .end = kRows * kWidth, .row_width = kWidth};
  const ParameterRange biases = {
      .begin = kRows * kWidth, .end = kRows * kWidth + kRows, .row_width = 1};
  Optimizer optimizer = *Optimizer::Create(Adam{.lazy = true}, {factors, biases});
  const std::vector<int32_t> lists[] = {{1, 3, 30, -1}, {3, 4, 39}};
  const std::vector<int32_t> copies[] = {lists[0], lists[1]};
  std::vector<std::vector<float>> sums;
  std::vector<std::vector<RowGradient>> parts(2);
  RandomStream random(1, "gradients");
  for (size_t t = 0; t < 2; ++t) {
    for (size_t shard = 0; shard < 2; ++shard) {
      const std::vector<int32_t>& rows = (share || t == 0 ? lists : copies)[shard];
      std::vector<float>& of_shard = sums.emplace_back(rows.size() * (t == 0 ? kWidth : 1));
      std::ranges::generate(of_shard, [&] { return random.NextNormal(); });
      parts[t].push_back({.rows = rows.data(),
                          .capacity = static_cast<int64_t>(rows.size()),
                          .sums = of_shard.data()});
    }
  }
  const TableGradient tables[] = {{.range = 0, .parts = parts[0]}, {.range = 1, .parts = parts[1]}};
  const Slabs slabs = {values.as<float>(), {}, tables};
  const auto all = [&](int64_t floats, const auto& body) {
    for (int k = 0; k < workers; ++k) {
      const auto [begin, end] = ShareOf(floats, k, workers, kGrain);
      body(begin, end);
    }
  };
  for (int k = 0; k < workers; ++k) {
    optimizer.MergeRows(slabs, k, workers);
  }
  all(optimizer.ReadFloats(false),
      [&](int64_t begin, int64_t end) { optimizer.Read(slabs, false, begin, end); });
  const UpdateStep step = {.learning_rate = 0.1, .scale = optimizer.Summary(1).norm()};
  all(optimizer.WriteFloats(),
      [&](int64_t begin, int64_t end) { optimizer.Write(slabs, step, begin, end); });
  return {values.as<float>(), values.as<float>() + kRows * kWidth + kRows};
}

TEST(TwoTables, OfOneListOfRowsAreUpdatedAsByListsOfTheirOwn) {
  for (const int workers : {1, 2, 3}) {
    EXPECT_EQ(TwoTables(true, workers), TwoTables(false, workers)) << workers;
  }
  EXPECT_EQ(TwoTables(true, 1), TwoTables(true, 3));
}

TEST(ATable, WithARowThatIsNotANumberIsFoundOut) {
  Slab slab(Adam{}, 10, 16, true);
  const std::vector<int32_t> rows = {2};
  const std::vector<float> sums(16, std::numeric_limits<float>::quiet_NaN());
  const RowGradient part = {rows.data(), 1, sums.data()};
  const TableGradient table = {1, {&part, 1}};
  const Buffer zeros(kDense * 4);
  const float* gradient = zeros.as<float>();
  const Slabs all = {slab.values(), {&gradient, 1}, {&table, 1}};
  slab.optimizer().MergeRows(all, 0, 1);
  slab.optimizer().Read(all, false, 0, slab.optimizer().ReadFloats(false));
  EXPECT_FALSE(slab.optimizer().Summary(1).finite);
}

TEST(ATable, MustHoldWholeRowsAndStandBehindAllElse) {
  EXPECT_THAT(Optimizer::Create(Adam{}, {{.begin = 0, .end = 20, .row_width = 3}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("whole rows")));
  EXPECT_THAT(Optimizer::Create(
                  Adam{}, {{.begin = 0, .end = 18, .row_width = 3}, {.begin = 32, .end = 33}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("behind all other ranges")));
}

TEST(Portions, TogetherHaveEachRowOnceThatIsNotAMultipleOfTheGrain) {
  constexpr int64_t kRows = 7, kWidth = 5;
  for (const int workers : {1, 2, 3, 5}) {
    int64_t next = 0;
    for (int k = 0; k < workers; ++k) {
      const auto [begin, end] = ShareOf(kDense + RoundUp(kRows * kWidth), k, workers, kGrain);
      Portion portion(begin, end);
      portion.Next(kDense);
      const auto [first, last] = portion.NextRows(kRows, kWidth);
      EXPECT_EQ(first, next);
      next = last;
    }
    EXPECT_EQ(next, kRows);
  }
}

TEST(ARowAccumulator, AddsUpAndBeginsAgain) {
  RowAccumulator sum(100, 2);
  const std::vector<int32_t> rows = {3, 90, -1}, more = {3, 4};
  const std::vector<float> first = {1, 2, 3, 4, 9, 9}, second = {10, 20, 30, 40};
  sum.Add({rows.data(), 3, first.data()});
  sum.Add({more.data(), 2, second.data()});
  const RowGradient total = sum.Sum();
  EXPECT_THAT(std::vector<int32_t>(total.rows, total.rows + total.capacity),
              ::testing::ElementsAre(3, 4, 90));
  EXPECT_EQ(total.sums[3 * 2 + 1], 22);
  EXPECT_EQ(total.sums[90 * 2], 3);
  sum.Clear();
  sum.Add({more.data(), 2, second.data()});
  EXPECT_EQ(sum.Sum().capacity, 2);
  EXPECT_EQ(sum.Sum().sums[3 * 2], 10);
}

}  // namespace
}  // namespace hone::engine::optim
