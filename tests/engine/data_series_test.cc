#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/data/series.h"
#include "engine/data/series_rows.h"
#include "engine/data/series_times.h"
#include "tests/engine/data_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::data {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// A table "month,sales,price" with so many points: sales rise by 1, 2, 1, 2, …
std::string TableOf(int points) {
  std::string text = "month,sales,price\n";
  int sales = 10;
  for (int i = 0; i < points; ++i) {
    absl::StrAppend(&text, 2000 + i / 12, i % 12 < 9 ? "-0" : "-", i % 12 + 1, ",", sales, ",",
                    100 - i, "\n");
    sales += 1 + i % 2;
  }
  return text;
}

class SeriesData : public DataTest {
 protected:
  SeriesData() {
    options_.task = Task::kForecasting;
    options_.test_fraction = 0;
    options_.series.target = "sales";
    options_.series.time = "month";
    options_.series.window = 3;
    options_.series.horizon = 2;
  }
  absl::StatusOr<LoadedData> LoadText(const std::string& text) {
    options_.path = Write("series.csv", text);
    return LoadSeries(options_);
  }
  // The points that the examples of a part forecast.
  std::set<int64_t> TargetsOf(const LoadedData& data, const std::vector<int32_t>& rows) const {
    std::set<int64_t> points;
    for (const int32_t row : rows) {
      for (int64_t ahead = 0; ahead < options_.series.horizon; ++ahead) {
        points.insert(SeriesOf(data.dataset).first(row) + ahead);
      }
    }
    return points;
  }
  static SeriesFormat FormatOf(const LoadedData& data) {
    return SeriesFormat::FromJson(data.preprocessing.own).value();
  }

  LoadOptions options_;
};

TEST_F(SeriesData, AWindowHoldsThePointsBeforeItsTargets) {
  options_.series.scaling = SeriesOptions::Scaling::kUnscaled;
  const auto data = LoadText(TableOf(6));  // 10 11 13 14 16 17
  ASSERT_THAT(data, IsOk());
  const Series& series = SeriesOf(data->dataset);
  ASSERT_EQ(series.size(), 2);
  EXPECT_THAT(series.window(1), ElementsAre(11, 13, 14));
  EXPECT_EQ(series.target(1, 0), 16);
  EXPECT_EQ(series.target(1, 1), 17);
}

TEST_F(SeriesData, APointHasTheTargetFirstThenTheOtherColumns) {
  options_.series.scaling = SeriesOptions::Scaling::kUnscaled;
  options_.series.columns = {"price"};
  const auto data = LoadText(TableOf(6));
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(SeriesOf(data->dataset).window(0), ElementsAre(10, 100, 11, 99, 13, 98));
  EXPECT_EQ(data->preprocessing.features(), (TensorType{Shape{3, 2}, DType::kF32}));
}

TEST_F(SeriesData, TheLastColumnIsTheTargetWhereNobodySaysIt) {
  options_.series.target = "";
  const auto data = LoadText(TableOf(6));
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(FormatOf(*data).columns, ElementsAre("price"));
}

TEST_F(SeriesData, ByAStepWindowsBeginSoManyPointsApart) {
  options_.series.step = 3;
  const auto data = LoadText(TableOf(12));
  ASSERT_THAT(data, IsOk());
  const Series& series = SeriesOf(data->dataset);
  ASSERT_EQ(series.size(), 3);
  EXPECT_EQ(series.first(0), 3);
  EXPECT_EQ(series.first(1), 6);
}

// The rule of no leak, for cuts and steps of many kinds.
TEST_F(SeriesData, TargetsOfThePartsAreDisjointAndInTheOrderOfTime) {
  for (const int points : {40, 57, 100}) {
    for (const int64_t horizon : {1, 2, 5}) {
      for (const int64_t step : {1, 2, 7}) {
        options_.series.horizon = horizon;
        options_.series.step = step;
        options_.validation_fraction = 0.21;
        options_.test_fraction = 0.17;
        const auto data = LoadText(TableOf(points));
        ASSERT_THAT(data, IsOk());
        const auto train = TargetsOf(*data, data->splits.train);
        const auto validation = TargetsOf(*data, data->splits.validation);
        const auto test = TargetsOf(*data, data->splits.test);
        EXPECT_LT(*train.rbegin(), *validation.begin());
        EXPECT_LT(*validation.rbegin(), *test.begin());
        EXPECT_LT(*test.rbegin(), points);
      }
    }
  }
}

TEST_F(SeriesData, AWindowMayBeginInThePartBefore) {
  options_.test_fraction = 0.2;
  const auto data = LoadText(TableOf(20));
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(SeriesOf(data->dataset).first(data->splits.test[0]), 16);
  EXPECT_THAT(data->splits.test, SizeIs(3));
}

TEST_F(SeriesData, ScalingDoesNotKnowTheTest) {
  options_.test_fraction = 0.25;
  options_.validation_fraction = 0.2;
  const auto was = LoadText(TableOf(20));
  ASSERT_THAT(was, IsOk());
  std::string text = TableOf(12);
  for (int i = 12; i < 20; ++i) {
    absl::StrAppend(&text, "2001-", i % 12 < 9 ? "0" : "", i % 12 + 1, ",", 5000 * i, ",7\n");
  }
  const auto is = LoadText(text);
  ASSERT_THAT(is, IsOk());
  EXPECT_EQ(was->preprocessing.own, is->preprocessing.own);
  EXPECT_NE(was->fingerprint, is->fingerprint);
}

TEST_F(SeriesData, TheTrainingPartHasMeanZeroAndDeviationOne) {
  options_.series.window = 1;
  options_.series.horizon = 1;
  const auto data = LoadText("sales,month\n2,1\n4,2\n6,3\n8,4\n");
  ASSERT_THAT(data, IsOk());
  const SeriesFormat format = FormatOf(*data);
  EXPECT_THAT(format.mean, ElementsAre(5));
  EXPECT_NEAR(format.std[0], std::sqrt(5.0), 1e-12);
  EXPECT_THAT(SeriesOf(data->dataset).window(0), ElementsAre(FloatNear(-1.3416408f, 1e-6f)));
}

TEST_F(SeriesData, LogarithmsAreScaledAndBroughtBack) {
  options_.series.scaling = SeriesOptions::Scaling::kLogStandard;
  const auto data = LoadText(TableOf(20));
  ASSERT_THAT(data, IsOk());
  const SeriesFormat format = FormatOf(*data);
  EXPECT_NEAR(format.Unscale(format.Scale(0, 23.5)), 23.5, 1e-9);
  EXPECT_LT(format.mean[0], std::log(40.0));
}

TEST_F(SeriesData, TheNaiveErrorIsTheMeanStepOfTheTrainingPart) {
  const auto data = LoadText(TableOf(9));  // 8 steps: 1 2 1 2 1 2 1 2
  ASSERT_THAT(data, IsOk());
  EXPECT_DOUBLE_EQ(FormatOf(*data).naive_error, 1.5);
}

TEST_F(SeriesData, WithAPeriodTheNaiveErrorIsThatOfTheSeason) {
  options_.series.period = 4;
  const auto data = LoadText(TableOf(12));  // 4 points on it is always 6 more
  ASSERT_THAT(data, IsOk());
  EXPECT_DOUBLE_EQ(FormatOf(*data).naive_error, 6);
}

TEST_F(SeriesData, TargetsAreDistancesFromTheirBase) {
  options_.series.scaling = SeriesOptions::Scaling::kUnscaled;
  options_.series.period = 2;
  options_.series.horizon = 3;
  for (const auto& [base, expected] :
       {std::pair(SeriesOptions::Base::kZero, std::vector<float>{14, 16, 17}),
        std::pair(SeriesOptions::Base::kLast, std::vector<float>{1, 3, 4}),
        // Of 11 13, the last season: 11, 13, and 11 again.
        std::pair(SeriesOptions::Base::kSeasonal, std::vector<float>{3, 3, 6})}) {
    options_.series.base = base;
    const auto data = LoadText(TableOf(6));
    ASSERT_THAT(data, IsOk());
    const Series& series = SeriesOf(data->dataset);
    for (int64_t ahead = 0; ahead < 3; ++ahead) {
      EXPECT_EQ(series.target(0, ahead), expected[static_cast<size_t>(ahead)]);
    }
  }
}

TEST_F(SeriesData, AFormatComesBackAsItWasWritten) {
  options_.series.columns = {"price"};
  options_.series.base = SeriesOptions::Base::kLast;
  const auto data = LoadText(TableOf(20));
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(FormatOf(*data).ToJson(), data->preprocessing.own);
}

TEST_F(SeriesData, AsAModelReadsItHasTheModelsScaling) {
  const auto trained = LoadText(TableOf(20));
  ASSERT_THAT(trained, IsOk());
  LoadOptions options;
  options.as = std::make_shared<const Preprocessing>(trained->preprocessing);
  options.path = Write("later.csv", "sales\n700\n800\n900\n1000\n1100\n1200\n");
  options.test_fraction = 0;
  const auto later = LoadSeries(options);
  ASSERT_THAT(later, IsOk());
  EXPECT_EQ(later->preprocessing.own, trained->preprocessing.own);
}

TEST_F(SeriesData, WhatIsTooShortIsRefusedWithWhatItNeeds) {
  EXPECT_THAT(LoadText(TableOf(4)),
              StatusIs(kInvalid, HasSubstr("has 4 points; a window of 3 and a horizon of 2 need "
                                           "at least 5")));
  options_.test_fraction = 0.5;
  EXPECT_THAT(LoadText(TableOf(8)), StatusIs(kInvalid, HasSubstr("the training part has 4 points")));
  options_.test_fraction = 0.05;
  EXPECT_THAT(LoadText(TableOf(20)), StatusIs(kInvalid, HasSubstr("the test part has 1 points")));
  options_.test_fraction = 0;
  options_.series.period = 12;
  EXPECT_THAT(LoadText(TableOf(13)), StatusIs(kInvalid, HasSubstr("a season of 12")));
}

TEST_F(SeriesData, AGapOrATextIsNamedByItsLine) {
  EXPECT_THAT(
      LoadText("month,sales\n2000-01,1\n2000-02,\n2000-03,3\n2000-04,much\n"),
      StatusIs(kInvalid, AllOf(HasSubstr("line 3, column 'sales': the value is missing"),
                               HasSubstr("line 5, column 'sales': 'much' is not a number"))));
}

TEST_F(SeriesData, TimesThatDoNotRiseAreNamedByTheirLine) {
  EXPECT_THAT(LoadText("month,sales\n2000-01,1\n2000-03,2\n2000-02,3\n2000-02,4\n"),
              StatusIs(kInvalid, AllOf(HasSubstr("line 4, column 'month'"),
                                       HasSubstr("'2000-02' must come after '2000-03'"),
                                       HasSubstr("line 5"))));
  EXPECT_THAT(LoadText("month,sales\n2000-01,1\nFebruary,2\n"),
              StatusIs(kInvalid, HasSubstr("'February' is no time as '2000-01' is")));
}

TEST_F(SeriesData, ForLogarithmsValuesMustBeAboveZero) {
  options_.series.scaling = SeriesOptions::Scaling::kLogStandard;
  EXPECT_THAT(LoadText("month,sales\n1,5\n2,0\n3,2\n4,1\n5,6\n"),
              StatusIs(kInvalid, HasSubstr("line 3, column 'sales': must be above 0")));
}

TEST_F(SeriesData, AConstantColumnIsRefused) {
  options_.test_fraction = 0.3;
  EXPECT_THAT(LoadText("month,sales\n1,5\n2,5\n3,5\n4,5\n5,5\n6,5\n7,5\n8,9\n9,2\n10,4\n"),
              StatusIs(kInvalid, HasSubstr("column 'sales' is 5 at each point of the training")));
}

TEST_F(SeriesData, AColumnThatThereIsNotIsNamed) {
  options_.series.columns = {"rain"};
  EXPECT_THAT(LoadText(TableOf(20)),
              StatusIs(kInvalid, HasSubstr("there is no column 'rain' (data.series.columns); the "
                                           "columns are month, sales, price")));
  options_.series.columns = {"sales"};
  EXPECT_THAT(LoadText(TableOf(20)), StatusIs(kInvalid, HasSubstr("'sales' is taken twice")));
}

TEST_F(SeriesData, LengthsOfZeroAreRefused) {
  options_.series.horizon = 0;
  EXPECT_THAT(LoadText(TableOf(20)),
              StatusIs(kInvalid, HasSubstr("data.series.horizon: must be at least 1, got 0")));
}

TEST_F(SeriesData, OfTheCatalogueIsFoundByItsTask) {
  options_.dataset = "wine";
  EXPECT_THAT(LoadSeries(options_), StatusIs(kInvalid, HasSubstr("airline-passengers")));
}

TEST_F(SeriesData, TheAirlinesPassengersAreAMonthsSeries) {
  const std::string mirror = RealData("timeseries");
  HONE_NEEDS_REAL_DATA(mirror);
  options_.series = {.time = "Month", .window = 24, .horizon = 12, .period = 12};
  options_.dataset = "airline-passengers";
  options_.sources.mirror_dir = std::getenv("HONE_DATA_DIR");
  options_.test_fraction = 0.2;
  const auto data = LoadSeries(options_);
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->report.examples_read, 144);
  EXPECT_THAT(data->splits.test, SizeIs(18));  // of 29 months, 12 at a time
}

TEST(SeriesTimes, GoOnByMonths) {
  EXPECT_THAT(NextTimes({"1960-10", "1960-11"}, 3), ElementsAre("1960-12", "1961-01", "1961-02"));
}

TEST(SeriesTimes, GoOnByDaysOverTheEndOfAMonth) {
  EXPECT_THAT(NextTimes({"1984-02-27", "1984-02-28"}, 2), ElementsAre("1984-02-29", "1984-03-01"));
  EXPECT_THAT(NextTimes({"1990-12-24", "1990-12-31"}, 1), ElementsAre("1991-01-07"));
}

TEST(SeriesTimes, OfTheSameDayOfMonthsGoOnByMonths) {
  EXPECT_THAT(NextTimes({"2020-10-31", "2020-12-31"}, 2), ElementsAre("2021-02-28", "2021-04-30"));
}

TEST(SeriesTimes, GoOnByNumbers) {
  EXPECT_THAT(NextTimes({"1700000000", "1700003600"}, 1), ElementsAre("1700007200"));
  EXPECT_THAT(NextTimes({"0.5", "0.75"}, 2), ElementsAre("1", "1.25"));
}

TEST(SeriesTimes, AreNotGuessedWhereTheyAreNotUnderstood) {
  EXPECT_THAT(NextTimes({"Mon", "Tue"}, 2), IsEmpty());
  EXPECT_THAT(NextTimes({"2020-13", "2020-14"}, 2), IsEmpty());
  EXPECT_THAT(NextTimes({"2020-01"}, 2), IsEmpty());
}

}  // namespace
}  // namespace hone::engine::data
