#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/data/csv.h"
#include "engine/data/load.h"
#include "tests/engine/data_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::data {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class Csv : public DataTest {
 protected:
  absl::StatusOr<LoadedData> LoadText(const std::string& text, Task task = Task::kClassification) {
    Write("table.csv", text);
    LoadOptions options = Options("table.csv");
    options.task = task;
    options.test_fraction = 0;
    return Load(options);
  }
  static std::vector<float> Example(const LoadedData& data, int64_t row) {
    const auto* values = reinterpret_cast<const float*>(data.dataset.example(row));
    return {values, values + data.dataset.features().shape.elements()};
  }
};

TEST_F(Csv, FindsHeaderNumbersCategoriesAndMissingCells) {
  Write("table.csv", "size,colour,kind\n1,red,a\n3,,b\n,blue,a\n");
  LoadOptions options = Options("table.csv");
  options.test_fraction = 0;
  options.standardize = false;
  const auto data = Load(options);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->dataset.feature_names(), ElementsAre("size", "colour=blue", "colour=red"));
  EXPECT_THAT(data->dataset.class_names(), ElementsAre("a", "b"));
  EXPECT_THAT(Example(*data, 0), ElementsAre(1, 0, 1));
  EXPECT_THAT(Example(*data, 1), ElementsAre(3, 0, 0));
  EXPECT_THAT(Example(*data, 2), ElementsAre(2, 1, 0));  // the median of 1 and 3
  EXPECT_EQ(data->report.missing_cells, 2);
}

TEST_F(Csv, WithoutHeaderNumbersTheColumns) {
  const auto data = LoadText("1,2,x\n3,4,y\n");
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->dataset.size(), 2);
  EXPECT_THAT(data->dataset.feature_names(), ElementsAre("column_1", "column_2"));
}

TEST_F(Csv, ReadsSemicolonsCrLfByteOrderMarkAndQuotes) {
  const auto data = LoadText("\xef\xbb\xbf\"a \"\"b\"\"\";y\r\n1;\"x;\r\nz\"\r\n2;w\r\n\r\n");
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->dataset.feature_names(), ElementsAre("a \"b\""));
  EXPECT_THAT(data->dataset.class_names(), ElementsAre("w", "x;\r\nz"));
}

TEST_F(Csv, ReadsGzip) {
  Write("table.csv.gz", Gzip("a,y\n1,x\n2,z\n"));
  LoadOptions options = Options("table.csv.gz");
  options.test_fraction = 0;
  EXPECT_THAT(Load(options), IsOk());
}

TEST_F(Csv, NamesTheLinesOfBrokenRowsInOneError) {
  std::string text = "a,b,y\n1,2,x\n";
  for (int i = 0; i < 25; ++i) {
    text += "1,2\n";
  }
  EXPECT_THAT(
      LoadText(text + "3,4,z\n"),
      StatusIs(kInvalid, AllOf(HasSubstr("25 errors"),
                               HasSubstr("broken row: line 3 has 2 cells, the header has 3"),
                               HasSubstr("line 22 has 2 cells"), Not(HasSubstr("line 23")))));
}

TEST_F(Csv, NamesTheCellThatIsNoNumberAmongNumbers) {
  std::string text = "a,y\n";
  for (int i = 0; i < 30; ++i) {
    text += i == 15 ? "1o,x\n" : "10,x\n";
  }
  EXPECT_THAT(LoadText(text),
              StatusIs(kInvalid, HasSubstr("line 17, column 'a': '1o' is not a number")));
}

TEST_F(Csv, NamesTheLineOfAQuoteThatIsNeverClosed) {
  EXPECT_THAT(LoadText("a,y\n1,x\n2,\"z\n3,x\n"),
              StatusIs(kInvalid, AllOf(HasSubstr("table.csv"), HasSubstr("line 3: the quote"))));
}

TEST_F(Csv, RefusesEmptyFilesAndHeadersAlone) {
  EXPECT_THAT(LoadText(""), StatusIs(kInvalid, HasSubstr("empty")));
  EXPECT_THAT(LoadText("\n\n"), StatusIs(kInvalid, HasSubstr("empty")));
  EXPECT_THAT(LoadText("a,y\n"), StatusIs(kInvalid, HasSubstr("empty")));
}

TEST_F(Csv, RefusesBinaryData) {
  EXPECT_THAT(LoadText(std::string("a,y\n1\0,2\n", 9)),
              StatusIs(kInvalid, HasSubstr("is not text")));
}

TEST_F(Csv, RefusesOneColumn) {
  EXPECT_THAT(LoadText("abc\n1\n"), StatusIs(kInvalid, HasSubstr("at least two columns")));
}

TEST_F(Csv, RefusesTwoColumnsOfOneName) {
  EXPECT_THAT(LoadText("a,a,y\n1,2,x\n3,4,z\n"),
              StatusIs(kInvalid, HasSubstr("two columns are called 'a'")));
}

TEST_F(Csv, RefusesOneClassOnly) {
  EXPECT_THAT(LoadText("a,y\n1,x\n2,x\n"), StatusIs(kInvalid, HasSubstr("at least two classes")));
}

TEST_F(Csv, RefusesATargetThatIsNoColumnAndListsThem) {
  Write("table.csv", "a,y\n1,x\n2,z\n");
  LoadOptions options = Options("table.csv");
  options.target = "price";
  EXPECT_THAT(Load(options),
              StatusIs(kInvalid, HasSubstr("no column 'price'; the columns are a, y")));
}

TEST_F(Csv, RefusesWordsForRegressionAndFractionsForClassification) {
  EXPECT_THAT(LoadText("a,y\n1,x\n2,z\n", Task::kRegression),
              StatusIs(kInvalid, HasSubstr("regression needs numbers")));
  EXPECT_THAT(LoadText("a,y\n1,0.5\n2,1\n"),
              StatusIs(kInvalid, AllOf(HasSubstr("line 2"), HasSubstr("not a class"))));
}

TEST_F(Csv, DropsRowsWithoutATargetAndReportsTheirLines) {
  const auto data = LoadText("a,y\n1,x\n2,\n3,z\n");
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->splits.train, ElementsAre(0, 2));
  ASSERT_EQ(data->report.dropped.size(), 1u);
  EXPECT_THAT(data->report.dropped[0].first,
              ElementsAre(::testing::Field(&Dropped::Place::where, "line 3")));
}

TEST_F(Csv, LeavesOutIgnoredColumns) {
  Write("table.csv", "id,a,y\nq,1,x\nw,2,z\n");
  LoadOptions options = Options("table.csv");
  options.ignore = {"id"};
  options.test_fraction = 0;
  const auto data = Load(options);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->dataset.feature_names(), ElementsAre("a"));
}

TEST_F(Csv, StandardizesByTheTrainingRowsAlone) {
  Write("set/train.csv", "a,y\n1,10\n3,30\n");
  Write("set/test.csv", "a,y\n5,50\n");
  LoadOptions options = Options("set");
  options.task = Task::kRegression;
  const auto data = Load(options);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(Example(*data, 0), ElementsAre(-1));
  EXPECT_THAT(Example(*data, 2), ElementsAre(3));
  EXPECT_THAT(data->dataset.targets(), ElementsAre(-1, 1, 3));
  EXPECT_EQ(data->preprocessing.target_mean[0], 20);
  EXPECT_EQ(data->preprocessing.target_std[0], 10);
}

TEST_F(Csv, CountsCopiesOfRowsAndDropsThemOnRequest) {
  Write("table.csv", "a,b,y\n1,,x\n1,,x\n2,3,z\n1,,z\n");
  LoadOptions options = Options("table.csv");
  options.test_fraction = 0;
  options.deduplicate = true;
  const auto data = Load(options);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->splits.train, ElementsAre(0, 2, 3));
  EXPECT_EQ(data->report.duplicates, 1);
  EXPECT_EQ(data->report.contradictions, 1);
}

TEST_F(Csv, PreprocessingTurnsARecordIntoTheTrainingFeatures) {
  const auto data = LoadText("size,colour,kind\n1,red,a\n3,,b\n,blue,a\n");
  ASSERT_THAT(data, IsOk());
  const Preprocessing& p = data->preprocessing;
  for (const auto& [cells, row] :
       std::vector<std::pair<std::map<std::string, std::string>, int64_t>>{
           {{{"size", "1"}, {"colour", "red"}}, 0},
           {{{"size", " 3 "}, {"colour", ""}}, 1},
           {{{"size", "?"}, {"colour", "blue"}}, 2}}) {
    const auto features = p.FromRecord(cells);
    ASSERT_THAT(features, IsOk());
    EXPECT_EQ(*features, Example(*data, row));
  }
  EXPECT_THAT(p.FromRecord({{"size", "1"}}), StatusIs(kInvalid, HasSubstr("'colour' is absent")));
  EXPECT_THAT(p.FromRecord({{"size", "x"}, {"colour", "red"}}),
              StatusIs(kInvalid, HasSubstr("'size': 'x' is not a number")));
  EXPECT_THAT(p.FromRecord({{"size", "1"}, {"colour", "green"}}),
              StatusIs(kInvalid, HasSubstr("has seen blue, red")));
  EXPECT_THAT(p.FromRecord({{"size", "1"}, {"colour", "red"}, {"weight", "1"}}),
              StatusIs(kInvalid, HasSubstr("no column 'weight'")));
}

TEST_F(Csv, ARecordMayHaveTheLabelAndTheColumnsLeftOut) {
  LoadOptions options = Options("left_out.csv");
  Write("left_out.csv", "id,size,kind\n7,1,a\n8,3,b\n9,2,a\n");
  options.ignore = {"id"};
  options.test_fraction = 0;
  const auto data = Load(options);
  ASSERT_THAT(data, IsOk());
  const auto p = Preprocessing::FromJson(data->preprocessing.ToJson());
  ASSERT_THAT(p, IsOk());
  const auto features = p->FromRecord({{"id", "x"}, {"size", "3"}, {"kind", "no class"}});
  ASSERT_THAT(features, IsOk());
  EXPECT_EQ(*features, p->FromRecord({{"size", "3"}}).value());
  EXPECT_THAT(p->FromRecord({{"ID", "7"}, {"size", "3"}}),
              StatusIs(kInvalid, HasSubstr("no column 'ID'")));
}

TEST_F(Csv, PreprocessingSurvivesJson) {
  for (const Task task : {Task::kClassification, Task::kRegression}) {
    const auto data = LoadText("size,colour,kind\n0.1,red,1\n3,,2\n,blue,1\n", task);
    ASSERT_THAT(data, IsOk());
    const auto again =
        Preprocessing::FromJson(nlohmann::json::parse(data->preprocessing.ToJson().dump()));
    ASSERT_THAT(again, IsOk());
    EXPECT_EQ(*again, data->preprocessing);
  }
}

TEST(Preprocessing, RefusesJsonThatLacksOrLies) {
  EXPECT_THAT(Preprocessing::FromJson(nlohmann::json::parse(R"({"input": "image"})")),
              StatusIs(kInvalid, HasSubstr("image")));
  Preprocessing p;
  p.image = Shape{2, 0, 5};
  EXPECT_THAT(Preprocessing::FromJson(p.ToJson()), StatusIs(kInvalid, HasSubstr("`image`")));
  p.input = Preprocessing::Input::kTable;
  p.columns.push_back({.name = "a", .std = 0, .categories = {}});
  EXPECT_THAT(Preprocessing::FromJson(p.ToJson()), StatusIs(kInvalid, HasSubstr("'a'")));
}

absl::StatusOr<LoadedData> LoadNamed(const std::string& name, Task task) {
  LoadOptions options;
  options.dataset = name;
  options.sources.mirror_dir = std::getenv("HONE_DATA_DIR");
  options.task = task;
  return Load(options);
}

TEST(RealTables, HousingHasItsMissingCellsAndCategories) {
  const std::string path = RealData("tabular/california_housing.csv");
  HONE_NEEDS_REAL_DATA(path);
  const auto data = LoadNamed("california-housing", Task::kRegression);
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->dataset.size(), 20640);
  EXPECT_EQ(data->report.missing_cells, 207);
  EXPECT_EQ(data->dataset.features().shape, Shape{8 + 5});
  EXPECT_THAT(data->dataset.target_names(), ElementsAre("median_house_value"));
  EXPECT_EQ(data->report.test.examples, 4128);
  for (int64_t i = 0; i < data->dataset.size() * 13; ++i) {
    ASSERT_TRUE(std::isfinite(reinterpret_cast<const float*>(data->dataset.example(0))[i]));
  }
}

TEST(RealTables, IrisHasThreeClassesSplitEvenly) {
  const std::string path = RealData("tabular/iris.csv");
  HONE_NEEDS_REAL_DATA(path);
  const auto data = LoadNamed("iris", Task::kClassification);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->dataset.class_names(),
              ElementsAre("Iris-setosa", "Iris-versicolor", "Iris-virginica"));
  EXPECT_THAT(data->report.train.class_counts, ElementsAre(40, 40, 40));
  EXPECT_THAT(data->report.test.class_counts, ElementsAre(10, 10, 10));
}

TEST(RealTables, EveryOtherOneOfTheCatalogueLoads) {
  const std::string path = RealData("optdigits");
  HONE_NEEDS_REAL_DATA(path);
  const auto digits = LoadNamed("optdigits", Task::kClassification);
  ASSERT_THAT(digits, IsOk());
  EXPECT_EQ(digits->report.train.examples, 3823);
  EXPECT_EQ(digits->report.test.examples, 1797);
  EXPECT_EQ(digits->dataset.classes(), 10);
  const auto wine = LoadNamed("wine", Task::kClassification);
  ASSERT_THAT(wine, IsOk());
  EXPECT_EQ(wine->dataset.size(), 178);
  const auto red = LoadNamed("winequality-red", Task::kRegression);
  ASSERT_THAT(red, IsOk());
  EXPECT_EQ(red->dataset.size(), 1599);
  EXPECT_GT(red->report.duplicates, 200);
}

}  // namespace
}  // namespace hone::engine::data
