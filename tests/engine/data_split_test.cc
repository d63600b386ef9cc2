#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "engine/data/batches.h"
#include "engine/data/dataset.h"
#include "engine/data/prepare.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::data {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<int32_t> Range(int32_t count) {
  std::vector<int32_t> rows(static_cast<size_t>(count));
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

// 100 examples of class 0, 10 of class 1, in turn as far as they go.
std::vector<int32_t> Labels() {
  std::vector<int32_t> labels(110, 0);
  for (size_t i = 0; i < 10; ++i) {
    labels[i * 11] = 1;
  }
  return labels;
}

TEST(Split, DividesEveryClassInTheSameProportion) {
  const std::vector<int32_t> labels = Labels();
  LoadOptions options;
  options.test_fraction = 0.2;
  options.validation_fraction = 0.25;
  const auto splits = Split({110, 110, labels, 2, nullptr}, options);
  ASSERT_THAT(splits, IsOk());
  DataReport report;
  CountSplits(*splits, labels, 2, report);
  EXPECT_THAT(report.test.class_counts, ElementsAre(20, 2));
  EXPECT_THAT(report.validation.class_counts, ElementsAre(20, 2));
  EXPECT_THAT(report.train.class_counts, ElementsAre(60, 6));
}

TEST(Split, PutsEveryExampleInExactlyOnePart) {
  const std::vector<int32_t> labels = Labels();
  LoadOptions options;
  options.validation_fraction = 0.1;
  const auto splits = Split({110, 110, labels, 2, nullptr}, options);
  ASSERT_THAT(splits, IsOk());
  std::vector<int32_t> all;
  for (const auto* rows : {&splits->train, &splits->validation, &splits->test}) {
    EXPECT_TRUE(std::is_sorted(rows->begin(), rows->end()));
    all.insert(all.end(), rows->begin(), rows->end());
  }
  std::sort(all.begin(), all.end());
  EXPECT_EQ(all, Range(110));
}

TEST(Split, DependsOnTheSeedAndOnNothingElse) {
  const std::vector<int32_t> labels = Labels();
  LoadOptions options;
  options.seed = 7;
  const auto first = Split({110, 110, labels, 2, nullptr}, options);
  const auto again = Split({110, 110, labels, 2, nullptr}, options);
  options.seed = 8;
  const auto other = Split({110, 110, labels, 2, nullptr}, options);
  ASSERT_THAT(first, IsOk());
  EXPECT_EQ(first->test, again->test);
  EXPECT_NE(first->test, other->test);
}

TEST(Split, KeepsATestPartThatIsThere) {
  LoadOptions options;
  const auto splits = Split({10, 8, {}, 0, nullptr}, options);
  ASSERT_THAT(splits, IsOk());
  EXPECT_THAT(splits->test, ElementsAre(8, 9));
  EXPECT_EQ(splits->train.size(), 8u);
}

TEST(Split, LimitsTheTrainingPartAndLeavesTheTest) {
  const std::vector<int32_t> labels = Labels();
  LoadOptions options;
  options.limit = 22;
  options.validation_count = 11;
  const auto splits = Split({110, 90, labels, 2, nullptr}, options);
  ASSERT_THAT(splits, IsOk());
  EXPECT_EQ(splits->train.size(), 11u);
  EXPECT_EQ(splits->validation.size(), 11u);
  EXPECT_EQ(splits->test.size(), 20u);
}

TEST(Fold, EachExampleIsTestedOnInExactlyOne) {
  const std::vector<int32_t> labels = Labels();
  LoadOptions options;
  options.fold_count = 3;
  std::vector<int32_t> tested;
  for (options.fold_index = 1; options.fold_index <= 3; ++options.fold_index) {
    const auto splits = Split({110, 110, labels, 2, nullptr}, options);
    ASSERT_THAT(splits, IsOk());
    EXPECT_EQ(splits->train.size() + splits->test.size(), 110u);
    tested.insert(tested.end(), splits->test.begin(), splits->test.end());
  }
  std::sort(tested.begin(), tested.end());
  EXPECT_EQ(tested, Range(110));
}

TEST(Fold, HasEveryClassInTheSameProportion) {
  const std::vector<int32_t> labels = Labels();
  LoadOptions options;
  options.fold_count = 5;
  for (options.fold_index = 1; options.fold_index <= 5; ++options.fold_index) {
    const auto splits = Split({110, 110, labels, 2, nullptr}, options);
    ASSERT_THAT(splits, IsOk());
    DataReport report;
    CountSplits(*splits, labels, 2, report);
    EXPECT_THAT(report.test.class_counts, ElementsAre(20, 2));
  }
}

TEST(Fold, LeavesOutATestPartThatIsThere) {
  LoadOptions options;
  options.fold_count = 2;
  options.fold_index = 1;
  const auto splits = Split({10, 8, {}, 0, nullptr}, options);
  ASSERT_THAT(splits, IsOk());
  EXPECT_EQ(splits->test.size(), 4u);
  EXPECT_EQ(splits->train.size(), 4u);
  EXPECT_LT(splits->train.back(), 8);
  EXPECT_LT(splits->test.back(), 8);
}

TEST(Fold, RefusesMoreThanThereAreExamples) {
  LoadOptions options;
  options.fold_count = 9;
  options.fold_index = 1;
  EXPECT_THAT(Split({8, 8, {}, 0, nullptr}, options),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("data.fold.count: must be at most the number of training "
                                 "examples, 8, got 9")));
}

TEST(Split, RefusesToLeaveNothingToTrainOn) {
  LoadOptions options;
  options.validation_count = 8;
  EXPECT_THAT(
      Split({10, 8, {}, 0, nullptr}, options),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nothing is left to train on")));
}

TEST(Split, RefusesAShareOfOneOrMore) {
  LoadOptions options;
  options.validation_fraction = 1;
  EXPECT_THAT(Split({10, 8, {}, 0, nullptr}, options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("validation_fraction is 1")));
}

TEST(Batches, GivesEveryRowOnceInAnEpochAndAShortLastBatch) {
  Batches batches(Range(10), {.batch_size = 4, .seed = 3});
  std::multiset<int32_t> seen;
  std::vector<size_t> sizes;
  Batch batch;
  do {
    batch = batches.Next();
    seen.insert(batch.rows.begin(), batch.rows.end());
    sizes.push_back(batch.rows.size());
  } while (!batch.ends_epoch());
  EXPECT_THAT(sizes, ElementsAre(4, 4, 2));
  EXPECT_EQ(batches.batches_per_epoch(), 3);
  const std::vector<int32_t> all = Range(10);
  EXPECT_EQ(seen, std::multiset<int32_t>(all.begin(), all.end()));
  EXPECT_EQ(batches.position(), (Position{1, 0}));
}

TEST(Batches, ShufflesAnotherWayInEveryEpochAndForEverySeed) {
  const auto order = [](uint64_t seed, int64_t epoch) {
    Batches batches(Range(100), {.batch_size = 100, .seed = seed});
    batches.Seek({epoch, 0});
    const Batch batch = batches.Next();
    return std::vector<int32_t>(batch.rows.begin(), batch.rows.end());
  };
  EXPECT_EQ(order(1, 5), order(1, 5));
  EXPECT_NE(order(1, 5), order(1, 6));
  EXPECT_NE(order(1, 5), order(2, 5));
  EXPECT_NE(order(1, 0), Range(100));
}

TEST(Batches, GoesOnFromAnyPositionAsIfNeverStopped) {
  Batches whole(Range(23), {.batch_size = 5, .seed = 9});
  for (int step = 0; step < 17; ++step) {
    const Position stopped = whole.position();
    Batches resumed(Range(23), {.batch_size = 5, .seed = 9});
    resumed.Seek(stopped);
    const Batch expected = whole.Next();
    const Batch got = resumed.Next();
    EXPECT_TRUE(
        std::equal(expected.rows.begin(), expected.rows.end(), got.rows.begin(), got.rows.end()))
        << "step " << step;
    EXPECT_EQ(got.end, expected.end);
  }
}

TEST(Batches, KeepsTheOrderWithoutShuffle) {
  Batches batches(Range(3), {.batch_size = 2, .shuffle = false});
  EXPECT_THAT(batches.Next().rows, ElementsAre(0, 1));
  EXPECT_THAT(batches.Next().rows, ElementsAre(2));
  EXPECT_THAT(batches.Next().rows, ElementsAre(0, 1));
}

DatasetParts TwoColumns() {
  DatasetParts parts;
  parts.size = 3;
  parts.features = {Shape{2}, DType::kF32};
  parts.feature_values = Buffer(3 * 2 * sizeof(float));
  std::iota(parts.feature_values.as<float>(), parts.feature_values.as<float>() + 6, 0.0f);
  parts.target_names = {"y"};
  parts.targets = {10, 20, 30};
  return parts;
}

TEST(Dataset, GathersRowsInTheOrderAskedFor) {
  const auto dataset = Dataset::Make(TwoColumns());
  ASSERT_THAT(dataset, IsOk());
  float features[4];
  float targets[2];
  const int32_t rows[] = {2, 0};
  dataset->Gather(rows, features, targets);
  EXPECT_THAT(features, ElementsAre(4, 5, 0, 1));
  EXPECT_THAT(targets, ElementsAre(30, 10));
}

TEST(Dataset, RefusesLabelsBeyondTheClasses) {
  DatasetParts parts = TwoColumns();
  parts.class_names = {"a", "b"};
  parts.labels = {0, 1, 2};
  EXPECT_THAT(Dataset::Make(std::move(parts)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("label 2 at example 2")));
}

TEST(Dataset, RefusesTargetsThatDoNotFitTheSize) {
  DatasetParts parts = TwoColumns();
  parts.targets.pop_back();
  EXPECT_THAT(Dataset::Make(std::move(parts)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("2 target values for 3")));
}

// Six examples of classes a, b, c, each of one pixel that tells its row.
Examples SixPictures(bool pixels) {
  Examples examples;
  examples.parts.size = 6;
  examples.parts.features = {Shape{1, 1, 1}, DType::kU8};
  examples.parts.labels = {0, 1, 2, 0, 1, 2};
  examples.parts.class_names = {"a", "b", "c"};
  if (pixels) {
    examples.parts.feature_values = Buffer(6);
    for (uint8_t row = 0; row < 6; ++row) {
      examples.parts.feature_values.as<uint8_t>()[row] = row;
    }
  }
  examples.train_size = 4;
  return examples;
}

TEST(KeepClasses, NumbersThoseAskedForAnewAndCountsTheOthersAsDropped) {
  for (const bool pixels : {true, false}) {
    Examples examples = SixPictures(pixels);
    DataReport report;
    ASSERT_THAT(KeepClasses({"c", "a"}, examples, report), IsOk());
    EXPECT_THAT(examples.parts.labels, ElementsAre(1, 0, 1, 0));
    EXPECT_THAT(examples.parts.class_names, ElementsAre("c", "a"));
    EXPECT_EQ(examples.train_size, 3);
    EXPECT_EQ(report.dropped_examples(), 2);
    if (pixels) {
      const uint8_t* values = examples.parts.feature_values.as<uint8_t>();
      EXPECT_THAT(std::vector<uint8_t>(values, values + 4), ElementsAre(0, 2, 3, 5));
    }
  }
}

TEST(KeepClasses, RefusesAClassThatThereIsNotOrThatIsNamedTwice) {
  DataReport report;
  Examples examples = SixPictures(true);
  EXPECT_THAT(KeepClasses({"a", "d"}, examples, report),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("there are a, b, c")));
  EXPECT_THAT(KeepClasses({"a", "a"}, examples, report),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("twice: a")));
}

}  // namespace
}  // namespace hone::engine::data
