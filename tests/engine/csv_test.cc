#include "engine/base/csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace hone {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::vector<std::string>> Records(const CsvTable& table) {
  std::vector<std::vector<std::string>> records;
  const absl::Status status = ForEachRecord(
      table, [&](const std::vector<std::string>& cells, int64_t) { records.push_back(cells); });
  EXPECT_THAT(status, IsOk());
  return records;
}

TEST(Csv, TakesTheDelimiterThatYieldsTheMostCells) {
  for (const char* text : {"a,b\n1,2\n", "a;b\n1;2\n", "a\tb\n1\t2\n", "a|b\n1|2\n"}) {
    const absl::StatusOr<CsvTable> table = OpenCsv(text);
    ASSERT_THAT(table, IsOk());
    EXPECT_THAT(table->names, ElementsAre("a", "b")) << text;
    EXPECT_THAT(Records(*table), ElementsAre(ElementsAre("1", "2"))) << text;
  }
}

TEST(Csv, LeavesAByteOrderMarkOut) {
  const absl::StatusOr<CsvTable> table = OpenCsv(
      "\xef\xbb\xbf"
      "a;b\n1;2\n");
  ASSERT_THAT(table, IsOk());
  EXPECT_THAT(table->names, ElementsAre("a", "b"));
}

TEST(Csv, ALineWithANumberIsNoHeader) {
  const absl::StatusOr<CsvTable> table = OpenCsv("4,near\n5,far\n");
  ASSERT_THAT(table, IsOk());
  EXPECT_THAT(table->names, ElementsAre("column_1", "column_2"));
  EXPECT_EQ(Records(*table).size(), 2u);
}

TEST(Csv, ALineOfWordsThatComeAgainIsNoHeader) {
  const absl::StatusOr<CsvTable> table = OpenCsv("red,near\nblue,far\nred,far\n");
  ASSERT_THAT(table, IsOk());
  EXPECT_FALSE(table->has_header);
}

TEST(Csv, NamesTheLinesOfRecordsOfAnotherWidth) {
  const absl::StatusOr<CsvTable> table = OpenCsv("a,b\n1,2\n3\n4,5\n6,7,8\n");
  ASSERT_THAT(table, IsOk());
  EXPECT_THAT(ForEachRecord(*table, [](const std::vector<std::string>&, int64_t) {}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "2 errors: broken row: line 3 has 1 cells, the header has 2; broken row: "
                       "line 5 has 3 cells, the header has 2"));
}

TEST(Csv, NamesTheLineOfAQuoteThatIsNeverClosed) {
  EXPECT_THAT(OpenCsv("a,b\n1,\"2\n").status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("line 2")));
}

}  // namespace
}  // namespace hone
