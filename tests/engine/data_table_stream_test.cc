// Tables in pieces: what comes of them does not depend on the pieces, nor on where they lie.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "engine/data/load.h"
#include "engine/data/table_cells.h"
#include "tests/engine/data_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::data {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class TableCellsTest : public DataTest {
 protected:
  // Each cell says where it is.
  void ExpectAllWhereTheyWereWritten(size_t columns, int64_t rows, const StreamOptions& stream) {
    TableCells cells(columns, stream);
    std::vector<double> row(columns);
    const auto cell = [&](size_t c, int64_t r) {
      return static_cast<double>(r) * static_cast<double>(columns) + static_cast<double>(c);
    };
    for (int64_t r = 0; r < rows; ++r) {
      for (size_t c = 0; c < columns; ++c) {
        row[c] = cell(c, r);
      }
      ASSERT_THAT(cells.Add(row), IsOk());
    }
    ASSERT_THAT(cells.Finish(), IsOk());
    ASSERT_EQ(cells.rows(), rows);
    int64_t wrong = 0;
    for (int64_t r = 0; r < rows; ++r) {
      for (size_t c = 0; c < columns; ++c) {
        wrong += cells.at(c, r) == cell(c, r) ? 0 : 1;
      }
    }
    EXPECT_EQ(wrong, 0) << columns << " columns, " << rows << " rows";
  }
};

TEST_F(TableCellsTest, AreWhereTheyWereWrittenInBlocksThatAreFullAndNot) {
  for (const int64_t rows : {1, 4095, 4096, 4097, 3 * 4096, 10'000}) {
    ExpectAllWhereTheyWereWritten(3, rows, {});
  }
}

TEST_F(TableCellsTest, AreWhereTheyWereWrittenInAFile) {
  ExpectAllWhereTheyWereWritten(3, 10'000, {.folder = folder_, .memory_bytes = 0});
}

TEST_F(TableCellsTest, OfManyColumnsAreInBlocksOfFewRows) {
  ExpectAllWhereTheyWereWritten(100'000, 23, {});
}

TEST_F(TableCellsTest, WithoutRowsAreNone) { ExpectAllWhereTheyWereWritten(2, 0, {}); }

class StreamedTables : public DataTest {
 protected:
  StreamedTables() {
    options_.validation_fraction = 0.2;
    options_.test_fraction = 0.2;
    options_.deduplicate = true;
  }
  // Numbers, words, cells that are missing, a column without any, copies and contradictions.
  static std::string Table(int rows) {
    std::string table = "\xef\xbb\xbfsize;colour;note;empty;kind;price\r\n";
    for (int i = 0; i < rows; ++i) {
      const int n = i % 70;
      absl::StrAppend(&table, n % 9 == 0 ? "" : absl::StrCat(n * 0.37), ";",
                      n % 11 == 0 ? "?" : absl::StrCat("caf\xc3\xa9 ", n % 5), ";\"a;\nb ", n % 3,
                      "\";;", n % 2 == 0 ? "yes" : "no", ";", i % 13 == 0 ? "" : absl::StrCat(n),
                      "\r\n");
    }
    return table;
  }
  // The same in pieces of a byte and of some, in memory and in files.
  void ExpectTheSameInPieces() {
    const auto whole = Load(options_);
    ASSERT_THAT(whole, IsOk());
    std::filesystem::create_directories(Path("spools"));
    for (const std::string& folder : {std::string(), Path("spools")}) {
      for (const int64_t piece_bytes : {1, 17, 1000}) {
        LoadOptions options = options_;
        options.stream = {.folder = folder, .memory_bytes = 100, .piece_bytes = piece_bytes};
        const auto streamed = Load(options);
        ASSERT_THAT(streamed, IsOk());
        EXPECT_EQ(streamed->fingerprint, whole->fingerprint) << folder << " " << piece_bytes;
        EXPECT_EQ(streamed->report.ToJson(), whole->report.ToJson()) << folder << piece_bytes;
        EXPECT_EQ(streamed->preprocessing, whole->preprocessing) << folder << piece_bytes;
        const int64_t in_memory = streamed->dataset.bytes();
        EXPECT_EQ(in_memory < whole->dataset.bytes(), !folder.empty()) << in_memory;
        const auto summary = Inspect(options);  // what `hone plan` goes by
        ASSERT_THAT(summary, IsOk());
        EXPECT_EQ(summary->bytes, in_memory) << folder << piece_bytes;
      }
    }
    EXPECT_TRUE(std::filesystem::is_empty(Path("spools")));
  }

  LoadOptions options_;
};

TEST_F(StreamedTables, OfClassesAreTheSame) {
  options_.path = Write("t.csv", Table(300));
  options_.target = "kind";
  ExpectTheSameInPieces();
}

TEST_F(StreamedTables, OfNumbersThatArePackedAreTheSame) {
  options_.path = Write("t.csv.gz", Gzip(Table(300)));
  options_.task = Task::kRegression;
  ExpectTheSameInPieces();
}

TEST_F(StreamedTables, InPartsAreTheSame) {
  Write("set/train.csv", Table(200));
  Write("set/test.csv", Table(90));
  options_.path = Path("set");
  options_.task = Task::kRegression;
  options_.ignore = {"note"};
  ExpectTheSameInPieces();
}

TEST_F(StreamedTables, ThatAModelReadsAreTheSame) {
  options_.path = Write("t.csv", Table(300));
  options_.target = "kind";
  options_.as = std::make_shared<const Preprocessing>(Load(options_).value().preprocessing);
  options_.path = Write("other.csv", Table(55));
  ExpectTheSameInPieces();
}

TEST_F(StreamedTables, ThatAreNoUtf8SayWhichByteAndNoOtherEncoding) {
  options_.path = Write("t.csv", "a,y\n1,x\n2,\xe9\n");
  for (const int64_t piece_bytes : {1, 3, 1000}) {
    options_.stream.piece_bytes = piece_bytes;
    EXPECT_THAT(Load(options_), StatusIs(kInvalid, AllOf(HasSubstr("t.csv"), HasSubstr("line 3"),
                                                         HasSubstr("0xe9 at offset 10"),
                                                         Not(HasSubstr("LATIN1")))));
  }
}

TEST_F(StreamedTables, OfWhichOnePartHasOtherColumnsAreRefused) {
  Write("set/train.csv", "a,y\n1,x\n2,z\n");
  Write("set/test.csv", "b,y\n1,x\n2,z\n");
  options_.path = Path("set");
  EXPECT_THAT(Load(options_),
              StatusIs(kInvalid, AllOf(HasSubstr("test.csv"), HasSubstr("are not those of"),
                                       HasSubstr("train.csv"))));
}

}  // namespace
}  // namespace hone::engine::data
