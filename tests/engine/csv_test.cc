#include "engine/base/csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/support/status_matchers.h"

namespace hone {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
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

// A table's head and records with their lines, or what is wrong with it.
struct Told {
  std::string text;

  void Head(const CsvHead& head) {
    absl::StrAppend(&text, "'", std::string(1, head.delimiter), "' ", head.quotes, head.has_header,
                    " ", absl::StrJoin(head.names, "/"), "\n");
  }
  void Record(const std::vector<std::string>& cells, int64_t line) {
    absl::StrAppend(&text, line, ": ", absl::StrJoin(cells, "/"), "\n");
  }
};

std::string ToldWhole(const std::string& text, const CsvOptions& options) {
  Told told;
  const absl::StatusOr<CsvTable> table = OpenCsv(text, options);
  absl::Status status = table.status();
  if (table.ok()) {
    told.Head(*table);
    status = ForEachRecord(*table, [&](const std::vector<std::string>& cells, int64_t line) {
      told.Record(cells, line);
    });
  }
  return status.ok() ? told.text : std::string(status.message());
}

std::string ToldInPieces(absl::string_view text, const CsvOptions& options, size_t piece_bytes,
                         int64_t most_record_bytes = 1 << 20) {
  Told told;
  const absl::Status status = StreamCsv(
      [&](std::string& out) -> absl::StatusOr<bool> {
        const absl::string_view piece = text.substr(0, piece_bytes);
        absl::StrAppend(&out, piece);
        text.remove_prefix(piece.size());
        return !piece.empty();
      },
      options, most_record_bytes,
      [&](const CsvHead& head) {
        told.Head(head);
        return absl::OkStatus();
      },
      [&](const std::vector<std::string>& cells, int64_t line) {
        told.Record(cells, line);
        return absl::OkStatus();
      });
  return status.ok() ? told.text : std::string(status.message());
}

TEST(Csv, InPiecesIsTheTableOfTheWholeText) {
  std::string long_table = "number,word\n";
  for (int i = 0; i < 300; ++i) {
    absl::StrAppend(&long_table, i, i % 7 == 0 ? ",\"two\nlines\"\n" : ",one\n\n");
  }
  const std::string texts[] = {
      "a,b\n1,2\n",
      "a,b\r\n\"1\"\"\r\n\",2\r\n\r\n3,4",
      "\xef\xbb\xbf"
      "a;b\n1;2\n",
      "a\tb\n\"so\" x\t1\nfine \"\t2\n",
      "a,b\n1,\"2\n3,4\n",
      "a,b\n1,2\n3\n4,5\n6,7,8\n",
      std::string("a,b\n1,2\0\n", 9),
      std::string("\xef\xbb\xbf"
                  "a,b\n1,2\0\n",
                  12),
      "red,near\nblue,far\nred,far\n",
      "4,near\n5,far",
      "",
      "\n\n",
      long_table,
  };
  for (const std::string& text : texts) {
    for (const bool quotes_between_tabs : {true, false}) {
      const CsvOptions options = {.quotes_between_tabs = quotes_between_tabs};
      const std::string whole = ToldWhole(text, options);
      for (const size_t piece_bytes : {1, 2, 3, 7, 100}) {
        EXPECT_EQ(ToldInPieces(text, options, piece_bytes), whole)
            << "in pieces of " << piece_bytes << " bytes: " << text;
      }
    }
  }
}

TEST(Csv, InPiecesHasAHeadAlsoWhereTheFirstRecordsAreMoreThanIsKept) {
  std::string text = "a,b\n";
  for (int i = 0; i < 50; ++i) {
    absl::StrAppend(&text, i, ",\"", std::string(60, 'x'), "\n\"\n");
  }
  EXPECT_EQ(ToldInPieces(text, {}, 10, /*most_record_bytes=*/200), ToldWhole(text, {}));
}

TEST(Csv, InPiecesARecordThatIsTooLongIsNamedByTheLineThatItBeginsOn) {
  const std::string text = "a,b\n1,2\n3,\"" + std::string(1000, 'x') + "\"\n";
  EXPECT_THAT(ToldInPieces(text, {}, 10, /*most_record_bytes=*/200),
              AllOf(HasSubstr("line 3"), HasSubstr("too many"), HasSubstr("quote")));
}

TEST(Csv, BehindAByteOrderMarkNamesBytesByTheirOffsetsInTheFile) {
  EXPECT_THAT(ToldWhole("\xef\xbb\xbf"
                        "a,b\ncaf\xe9,1\n",
                        {}),
              HasSubstr("offset 10"));
  EXPECT_THAT(ToldWhole(std::string("\xef\xbb\xbf"
                                    "a,b\n1,2\0\n",
                                    12),
                        {}),
              HasSubstr("byte 10 is zero"));
}

}  // namespace
}  // namespace hone
