// Pairs of texts that are read apart, and triples, each of which has a hard negative.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/data/text_pairs.h"
#include "engine/data/texts.h"
#include "tests/engine/data_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::data {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class TextTriples : public DataTest {
 protected:
  TextTriples() {
    options_.text.emplace();
    options_.task = Task::kTextPairs;
    options_.test_fraction = 0;
  }

  absl::StatusOr<LoadedData> LoadFile(const std::string& name, const std::string& bytes) {
    options_.path = Write(name, bytes);
    return LoadTexts(options_);
  }
  // "first|second|negative" of each example, as the tokens say.
  static std::vector<std::string> Shown(const absl::StatusOr<LoadedData>& data) {
    if (!data.ok()) {
      return {std::string(data.status().message())};
    }
    const TextPairs& pairs = TextPairsOf(data->dataset);
    const text::Tokenizer& tokenizer = *data->preprocessing.text->tokenizer;
    std::vector<std::string> shown;
    for (int32_t row = 0; row < pairs.size(); ++row) {
      std::vector<std::string> texts = {tokenizer.Decode(pairs.first(row)),
                                        tokenizer.Decode(pairs.second(row))};
      if (pairs.triples()) {
        texts.push_back(tokenizer.Decode(pairs.negative(row)));
      }
      shown.push_back(absl::StrJoin(texts, "|"));
    }
    return shown;
  }
  void NameColumns() {
    options_.text->columns = {"q"};
    options_.text->second_columns = {"yes"};
    options_.text->negative_columns = {"no"};
  }

  LoadOptions options_;
};

// --- Columns that nobody names.

TEST_F(TextTriples, OfATableAreFoundByTheNamesOfSentenceTransformers) {
  const auto data = LoadFile("t.csv", "negative,anchor,x,positive\nb c,a,0,b\nd,e,0,f g\n");
  EXPECT_THAT(Shown(data), ElementsAre("a|b|b c", "e|f g|d"));
  EXPECT_TRUE(data->triples);
  EXPECT_THAT(data->report.notes, Contains(HasSubstr("the examples are triples")));
}

TEST_F(TextTriples, BetweenTabsAreTheSame) {
  EXPECT_THAT(Shown(LoadFile("t.tsv", "anchor\tpositive\tnegative\na\tb\tc\nd\te\tf\n")),
              ElementsAre("a|b|c", "d|e|f"));
}

TEST_F(TextTriples, OfJsonLinesAreFoundByTheSameKeys) {
  EXPECT_THAT(
      Shown(LoadFile("t.jsonl", R"({"anchor": "a", "positive": "b", "negative": "c"})"
                                "\n"
                                R"({"negative": "f", "positive": "e", "anchor": "d", "x": [1]})")),
      ElementsAre("a|b|c", "d|e|f"));
}

TEST_F(TextTriples, ArePairsWhereNoColumnHasNegatives) {
  const auto data = LoadFile("t.csv", "anchor,positive\na,b\nc,d\n");
  EXPECT_THAT(Shown(data), ElementsAre("a|b", "c|d"));
  EXPECT_FALSE(data->triples);
}

TEST_F(TextTriples, ArePairsWhereTheNegativesOfJsonLinesAreNull) {
  EXPECT_THAT(Shown(LoadFile("t.jsonl", R"({"anchor": "a", "positive": "b", "negative": null})")),
              ElementsAre("a|b"));
}

TEST_F(TextTriples, OfATableWithoutAnAnchorAreRefusedWithTheColumnsThatThereAre) {
  EXPECT_THAT(LoadFile("t.csv", "text,positive,negative\na,b,c\nd,e,f\n"),
              StatusIs(kInvalid, AllOf(HasSubstr("no column 'anchor' (data.text.columns)"),
                                       HasSubstr("text, positive, negative"))));
}

TEST_F(TextTriples, OfJsonLinesWithoutAPositiveAreRefusedByTheirLine) {
  EXPECT_THAT(
      LoadFile("t.jsonl", "{\"anchor\": \"a\", \"positive\": \"b\"}\n{\"anchor\": \"c\"}\n"),
      StatusIs(kInvalid, AllOf(HasSubstr("line 2"), HasSubstr("\"positive\""),
                               HasSubstr("data.text.second_columns"))));
}

// --- Columns that the job names.

TEST_F(TextTriples, OfNamedColumnsJoinThoseOfANegative) {
  NameColumns();
  options_.text->negative_columns = {"no", "body"};
  EXPECT_THAT(Shown(LoadFile("t.csv", "q,yes,no,body\na,b,c,d\ne,f,g,h\n")),
              ElementsAre("a|b|c d", "e|f|g h"));
}

TEST_F(TextTriples, OfNamedKeysAreReadFromJsonLines) {
  NameColumns();
  EXPECT_THAT(Shown(LoadFile("t.jsonl", R"({"q": "a", "yes": "b", "no": "c"})")),
              ElementsAre("a|b|c"));
}

TEST_F(TextTriples, ArePairsWhereTheJobNamesTheTwoColumnsOfPairs) {
  options_.text->columns = {"anchor"};
  options_.text->second_columns = {"positive"};
  EXPECT_THAT(Shown(LoadFile("t.csv", "anchor,positive,negative\na,b,c\nd,e,f\n")),
              ElementsAre("a|b", "d|e"));
}

TEST_F(TextTriples, WithoutTheNamedColumnOfNegativesAreRefused) {
  NameColumns();
  EXPECT_THAT(LoadFile("t.csv", "q,yes\na,b\nc,d\n"),
              StatusIs(kInvalid, HasSubstr("no column 'no' (data.text.negative_columns)")));
}

TEST_F(TextTriples, WithoutTheNamedColumnOfSecondTextsAreRefused) {
  options_.text->negative_columns = {"no"};
  EXPECT_THAT(LoadFile("t.csv", "q,yes,no\na,b,c\n"),
              StatusIs(kInvalid, HasSubstr("data.text.second_columns: must say")));
}

TEST_F(TextTriples, AreNoDataOfOtherTasks) {
  NameColumns();
  options_.task = Task::kClassification;
  EXPECT_THAT(LoadFile("t.csv", "q,yes,no,label\na,b,c,0\nd,e,f,1\n"),
              StatusIs(kInvalid, HasSubstr("data.text.negative_columns")));
}

// --- Pairs among triples.

TEST_F(TextTriples, WithAPairAmongThemAreRefusedByItsLine) {
  EXPECT_THAT(LoadFile("t.jsonl",
                       "{\"anchor\": \"a\", \"positive\": \"b\", \"negative\": \"c\"}\n"
                       "{\"anchor\": \"d\", \"positive\": \"e\"}\n"),
              StatusIs(kInvalid, AllOf(HasSubstr("line 2: has no \"negative\""),
                                       HasSubstr("all examples must be pairs, or all"))));
}

TEST_F(TextTriples, AmongPairsAreRefusedByTheirLines) {
  EXPECT_THAT(LoadFile("t.jsonl",
                       "{\"anchor\": \"a\", \"positive\": \"b\"}\n"
                       "{\"anchor\": \"d\", \"positive\": \"e\"}\n"
                       "{\"anchor\": \"d\", \"positive\": \"e\", \"negative\": \"c\"}\n"),
              StatusIs(kInvalid, HasSubstr("line 3: has a \"negative\"")));
}

TEST_F(TextTriples, OfNamedKeysWithAPairAmongThemAreRefusedByItsLine) {
  NameColumns();
  EXPECT_THAT(LoadFile("t.jsonl",
                       "{\"q\": \"a\", \"yes\": \"b\", \"no\": \"c\"}\n"
                       "{\"q\": \"d\", \"yes\": \"e\"}\n"),
              StatusIs(kInvalid, AllOf(HasSubstr("line 2"), HasSubstr("under \"no\""),
                                       HasSubstr("data.text.negative_columns"))));
}

TEST_F(TextTriples, InOnePartAndPairsInAnotherAreRefusedByTheFile) {
  Write("set/train.tsv", "anchor\tpositive\tnegative\na\tb\tc\nd\te\tf\n");
  Write("set/test.tsv", "anchor\tpositive\na\tb\nd\te\n");
  options_.path = Path("set");
  EXPECT_THAT(LoadTexts(options_),
              StatusIs(kInvalid, AllOf(HasSubstr("train.tsv"), HasSubstr("has a \"negative\""))));
}

TEST_F(TextTriples, WithAnEmptyNegativeAreRefusedByItsLine) {
  EXPECT_THAT(LoadFile("t.tsv", "anchor\tpositive\tnegative\na\tb\tc\nd\te\t\n"),
              StatusIs(kInvalid, AllOf(HasSubstr("line 3"), HasSubstr("the negative is empty"))));
}

TEST_F(TextTriples, WithAnEmptyNegativeLeaveWhereShortTextsDo) {
  options_.text->min_characters = 1;
  const auto data = LoadFile("t.tsv", "anchor\tpositive\tnegative\na\tb\tc\nd\te\t\n");
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->splits.train, ElementsAre(0));
  EXPECT_EQ(data->report.dropped_examples(), 1);
}

TEST_F(TextTriples, WithAnEmptyAnchorAreRefusedAsEmptyTexts) {
  EXPECT_THAT(LoadFile("t.tsv", "anchor\tpositive\tnegative\na\tb\tc\n\te\tf\n"),
              StatusIs(kInvalid, AllOf(HasSubstr("line 3"), HasSubstr("the text is empty"))));
}

TEST_F(TextTriples, WithANegativeOfOverAMegabyteAreRefusedByItsLine) {
  EXPECT_THAT(LoadFile("t.tsv", absl::StrCat("anchor\tpositive\tnegative\na\tb\t",
                                             std::string((1 << 20) + 1, 'x'), "\nd\te\tf\n")),
              StatusIs(kInvalid, HasSubstr("line 2: the text has 1048577 bytes")));
}

// --- What they become.

TEST_F(TextTriples, HaveNegativesThatAreCleanedAndCut) {
  options_.text->cleaning.lower_case = true;
  options_.text->max_tokens = 2;
  EXPECT_THAT(Shown(LoadFile("t.csv", "anchor,positive,negative\nA,B,C D E\nf,g,h\n")),
              ElementsAre("a|b|c d", "f|g|h"));
}

TEST_F(TextTriples, AreTheSameWhereTheirNegativesAre) {
  options_.deduplicate = true;
  const auto data = LoadFile("t.csv", "anchor,positive,negative\na,b,c\na,b,d\na,b,c\na,c,c\n");
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->splits.train, ElementsAre(0, 1, 3));
}

TEST_F(TextTriples, AreNoNearCopiesWhereTheirNegativesDiffer) {
  options_.text->near_copies = 0.8;
  const std::string pair = "who wrote the first of these books,it was somebody of this town,";
  const auto data = LoadFile(
      "t.csv", absl::StrCat("anchor,positive,negative\n", pair, "nobody knows who it was\n", pair,
                            "the last one has been lost for many years now as they say\n", pair,
                            "Nobody knows who it was\n"));
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->splits.train, SizeIs(2));
}

TEST_F(TextTriples, CountTheTokensOfAllThreeTexts) {
  const auto data = LoadFile("t.csv", "anchor,positive,negative\na,b b,c c c\nd,e,f f\n");
  ASSERT_THAT(data, IsOk());
  const int32_t rows[] = {0, 1};
  EXPECT_EQ(TextPairsOf(data->dataset).CountTokens(rows), 6 + 4);
}

TEST_F(TextTriples, HaveAnotherFingerprintThanPairsOfTheSameTexts) {
  const auto texts = std::make_shared<Texts>();
  for (int32_t token = 0; token < 6; ++token) {
    const int32_t tokens[] = {token};
    texts->Add(tokens);
  }
  const TextPairs pairs(texts), triples(texts, TextPairs::Kind::kTriples);
  EXPECT_EQ(pairs.size(), 3);
  EXPECT_EQ(triples.size(), 2);
  EXPECT_NE(pairs.content_hash(), triples.content_hash());
}

TEST_F(TextTriples, AreTheSameWhereverTheyLieAndHoweverTheyAreRead) {
  std::string table = "anchor,positive,negative\n";
  for (int i = 0; i < 60; ++i) {
    absl::StrAppend(&table, "ask ", i, ",say ", i, ",\"say\nnot ", i, "\"\n");
  }
  const auto whole = LoadFile("t.csv", table);
  ASSERT_THAT(whole, IsOk());
  options_.stream = {.folder = folder_, .memory_bytes = 100, .piece_bytes = 7};
  const auto streamed = LoadTexts(options_);
  ASSERT_THAT(streamed, IsOk());
  EXPECT_EQ(streamed->fingerprint, whole->fingerprint);
}

}  // namespace
}  // namespace hone::engine::data
