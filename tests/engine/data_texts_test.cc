#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "engine/base/complaints.h"
#include "engine/data/text_rows.h"
#include "engine/data/texts.h"
#include "tests/engine/data_testing.h"
#include "tests/engine/tar_testing.h"
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
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class TextsData : public DataTest {
 protected:
  TextsData() {
    options_.text.emplace();
    options_.test_fraction = 0;
  }

  absl::StatusOr<TextRows> Read(const std::string& path) {
    options_.path = path;
    DataReport report;
    const auto keep = [](TextRow&, ExampleTexts&) {};
    return ReadTextRows(path, options_, keep, report);
  }
  absl::StatusOr<TextRows> ReadFile(const std::string& name, const std::string& bytes) {
    return Read(Write(name, bytes));
  }
  absl::StatusOr<LoadedData> LoadFile(const std::string& name, const std::string& bytes) {
    options_.path = Write(name, bytes);
    return Load(options_);
  }
  // "pos: good film" of each row.
  static std::vector<std::string> Shown(const absl::StatusOr<TextRows>& rows) {
    std::vector<std::string> shown;
    if (!rows.ok()) {
      return {std::string(rows.status().message())};
    }
    for (const TextRow& row : rows->rows) {
      shown.push_back(absl::StrCat(rows->label(row), ": ", rows->text(row)));
    }
    return shown;
  }
  // The texts of a part, as their tokens say.
  static std::vector<std::string> TextsIn(const LoadedData& data,
                                          const std::vector<int32_t>& rows) {
    std::vector<std::string> texts;
    for (const int32_t row : rows) {
      texts.push_back(
          data.preprocessing.text->tokenizer->Decode(TextsOf(data.dataset).tokens(row)));
    }
    return texts;
  }

  LoadOptions options_;
};

// --- Where texts stand.

TEST_F(TextsData, OfATableAreFoundByTheNamesOfItsColumns) {
  EXPECT_THAT(Shown(ReadFile("t.csv", "label,text\nbad,\"dull, long\"\ngood,fine\n")),
              ElementsAre("bad: dull, long", "good: fine"));
}

TEST_F(TextsData, OfSeveralColumnsAreJoinedByASpace) {
  options_.text->columns = {"column_2", "column_3"};
  options_.target = "column_1";
  EXPECT_THAT(
      Shown(ReadFile("t.csv", "\"3\",\"Fears\",\"Unions say\"\n\"4\",\"Race\",\"To space\"\n")),
      ElementsAre("3: Fears Unions say", "4: Race To space"));
}

TEST_F(TextsData, BetweenTabsHaveQuotationMarksOfTheirOwn) {
  EXPECT_THAT(Shown(ReadFile("t.tsv", "sentence\tlabel\n\"so-called\" art , \"\t0\nfine\t1\n")),
              ElementsAre("0: \"so-called\" art , \"", "1: fine"));
}

TEST_F(TextsData, OfJsonLinesAreFoundByTheirKeys) {
  options_.text->columns = {"review"};
  options_.target = "stars";
  EXPECT_THAT(Shown(ReadFile("t.jsonl",
                             "{\"review\": \"caf\\u00e9\", \"stars\": 4}\n"
                             "{\"stars\": true, \"review\": \"b\", \"x\": [1]}\n")),
              ElementsAre("4: café", "true: b"));
}

// --- Pairs of them.

TEST_F(TextsData, OfATableMayBePairs) {
  options_.text->columns = {"question"};
  options_.text->second_columns = {"title", "body"};
  const auto rows = ReadFile("t.csv", "question,label,title,body\nwhy?,1,so,it is\n");
  ASSERT_THAT(rows, IsOk());
  EXPECT_EQ(rows->text(rows->rows[0]), "why?");
  EXPECT_EQ(rows->second(rows->rows[0]), "so it is");
}

TEST_F(TextsData, OfJsonLinesMayBePairs) {
  options_.text->columns = {"a"};
  options_.text->second_columns = {"b"};
  const auto rows = ReadFile("t.jsonl", R"({"a": "x", "b": "y", "label": 1})");
  ASSERT_THAT(rows, IsOk());
  EXPECT_EQ(rows->second(rows->rows[0]), "y");
  EXPECT_THAT(ReadFile("u.jsonl", R"({"a": "x", "label": 1})"),
              StatusIs(kInvalid, HasSubstr("must have a string under \"b\"")));
}

TEST_F(TextsData, WithoutColumnsAreNoPairs) {
  options_.text->second_columns = {"b"};
  Write("pos/1.txt", "good");
  Write("neg/1.txt", "bad");
  EXPECT_THAT(Read(folder_), StatusIs(kInvalid, HasSubstr("data.text.second_columns")));
}

TEST_F(TextsData, OfAPairAreOneRowOfTokensWithAnEndBehindEach) {
  options_.text->second_columns = {"other"};
  const auto data = LoadFile("t.csv", "text,other,label\na b,c,0\nb,c a,1\n");
  ASSERT_THAT(data, IsOk());
  const TextPreprocessing& how = *data->preprocessing.text;
  EXPECT_TRUE(how.pairs);
  const auto id = [&](const std::string& word) { return how.EncodeCleaned(word)[0]; };
  EXPECT_THAT(TextsOf(data->dataset).tokens(0), ElementsAre(1, id("a"), id("b"), 2, id("c"), 2));
  EXPECT_EQ(TextsOf(data->dataset).separator(), 2);
  EXPECT_THAT(how.EncodePair("b", "new"), ElementsAre(1, id("b"), 2, 0, 2));
  EXPECT_EQ(TextPreprocessing::FromJson(how.ToJson()).value(), how);
}

TEST_F(TextsData, OfAPairThatIsTooLongTheLongerOneIsCut) {
  options_.text->second_columns = {"other"};
  options_.text->max_tokens = 7;
  const auto data =
      LoadFile("t.csv", "text,other,label\na b c d e,x y,0\na,v w x y z,1\na b c,x y z,1\n");
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(TextsIn(*data, {0, 1, 2}), ElementsAre("a b x y", "a v w x", "a b x y"));
  EXPECT_EQ(data->report.train.tokens->cut, 3);
  EXPECT_EQ(data->report.train.tokens->longest, 10);
  EXPECT_THAT(data->preprocessing.text->Encode("a b c d e a b c"), SizeIs(7));
  options_.text->max_tokens = 4;
  EXPECT_THAT(Load(options_), StatusIs(kInvalid, HasSubstr("at least 5 for pairs")));
}

TEST_F(TextsData, OfPairsAreTheSameWhereBothAre) {
  options_.text->second_columns = {"other"};
  options_.deduplicate = true;
  const auto data = LoadFile("t.csv", "text,other,label\na,b,0\na,c,1\na,b,0\nb,a,1\n");
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->splits.train, ElementsAre(0, 1, 3));
}

TEST_F(TextsData, OfAPairMustBothHaveWords) {
  options_.text->second_columns = {"other"};
  EXPECT_THAT(LoadFile("t.csv", "text,other,label\na,b,0\na,\" \",1\n"),
              StatusIs(kInvalid, AllOf(HasSubstr("line 3"), HasSubstr("the text is empty"))));
}

TEST_F(TextsData, AreReadAsPairsByAModelOfPairsAlone) {
  options_.text->second_columns = {"other"};
  const std::string table = "text,other,label\na,b,0\nb,a,1\n";
  const auto pairs = LoadFile("t.csv", table);
  ASSERT_THAT(pairs, IsOk());
  options_.as = std::make_shared<const Preprocessing>(pairs->preprocessing);
  EXPECT_THAT(Load(options_), IsOk());
  options_.text->second_columns.clear();
  EXPECT_THAT(Load(options_), StatusIs(kInvalid, HasSubstr("the model reads pairs of texts")));
  options_.as = nullptr;
  const auto single = Load(options_);
  options_.as = std::make_shared<const Preprocessing>(single->preprocessing);
  options_.text->second_columns = {"other"};
  EXPECT_THAT(Load(options_), StatusIs(kInvalid, HasSubstr("the model reads single texts")));
}

TEST_F(TextsData, OfFoldersByClassAreOneAFile) {
  Write("txt_sentoken/pos/cv0.txt", "good\nfilm\n");
  Write("txt_sentoken/neg/cv1.txt", "bad");
  Write("poldata.README.2.0", "not a review");
  const auto rows = Read(folder_);
  EXPECT_THAT(Shown(rows), UnorderedElementsAre("pos: good\nfilm\n", "neg: bad"));
}

TEST_F(TextsData, OfAnArchiveInPartsByClassKeepTheirParts) {
  const auto rows =
      Read(Tar(Path("archive.tar.gz"), {{"aclImdb/imdbEr.txt", "0.1"},
                                        {"aclImdb/train/urls_pos.txt", "http://x"},
                                        {"aclImdb/test/pos/0_9.txt", "tested"},
                                        {"aclImdb/train/pos/0_9.txt", "good"},
                                        {"aclImdb/train/neg/0_1.txt", "bad"},
                                        {"aclImdb/train/unsup/0_0.txt", "whatever"}}));
  EXPECT_THAT(Shown(rows), ElementsAre("pos: good", "neg: bad", "pos: tested"));
  EXPECT_EQ(rows->rows[2].part, Part::kTest);
}

TEST_F(TextsData, WithoutAClassAreCountedAsLeftOut) {
  Write("train/pos/0.txt", "good");
  Write("train/neg/0.txt", "bad");
  Write("train/unsup/0.txt", "whatever");
  options_.path = folder_;
  const auto data = Load(options_);
  ASSERT_THAT(data, IsOk());
  ASSERT_THAT(data->report.dropped, SizeIs(1));
  EXPECT_EQ(data->report.dropped[0].reason, "of no class");
}

TEST_F(TextsData, OfFilesByClassAreOneALine) {
  Write("Irish.txt", "Adam\nAhearn\r\n");
  Write("Czech.txt", "Abl\n");
  Write("LICENSE", "MIT");
  EXPECT_THAT(Shown(Read(folder_)), ElementsAre("Czech: Abl", "Irish: Adam", "Irish: Ahearn"));
}

TEST_F(TextsData, OfAFolderOfPartsKeepThem) {
  Write("train.tsv", "text\tlabel\na\t0\nb\t1\n");
  Write("dev.jsonl", "{\"text\": \"c\", \"label\": 1}\n");
  Write("test.tsv.gz", Gzip("text\tlabel\nd\t0\n"));
  options_.path = folder_;
  const auto data = Load(options_);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(TextsIn(*data, data->splits.train), ElementsAre("a", "b"));
  EXPECT_THAT(data->splits.validation, SizeIs(1));
  EXPECT_THAT(data->splits.test, SizeIs(1));
}

TEST_F(TextsData, OfADataSetWithAValidationPartLeaveItsTrainingPartWhole) {
  Write("train.tsv", "text\tlabel\na\t0\nb\t1\nc\t0\nd\t1\n");
  Write("dev.tsv", "text\tlabel\ne\t1\n");
  options_.path = folder_;
  options_.validation_fraction = 0.5;
  const auto data = Load(options_);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->splits.train, SizeIs(4));
  EXPECT_THAT(data->splits.validation, SizeIs(1));
}

TEST_F(TextsData, InLatin1AreReadSoWhenThatIsSaid) {
  options_.text->encoding = TextOptions::Encoding::kLatin1;
  EXPECT_THAT(Shown(ReadFile("t.csv", "text,label\ncaf\xe9,good\nx,bad\n")),
              ElementsAre("good: café", "bad: x"));
}

// --- What is wrong with them.

TEST_F(TextsData, ThatAreNoUtf8AreAnErrorWithLineAndOffset) {
  EXPECT_THAT(ReadFile("t.csv", "text,label\nfine,1\ncaf\xe9,0\n"),
              StatusIs(kInvalid, AllOf(HasSubstr("t.csv"), HasSubstr("line 3"),
                                       HasSubstr("0xe9 at offset 21"), HasSubstr("LATIN1"))));
}

TEST_F(TextsData, WithoutTheColumnThatIsNamedAreAnErrorThatListsThem) {
  options_.text->columns = {"body"};
  EXPECT_THAT(ReadFile("t.csv", "text,label\na,1\nb,0\n"),
              StatusIs(kInvalid, AllOf(HasSubstr("'body'"), HasSubstr("text, label"))));
}

TEST_F(TextsData, OfColumnsWithoutAKnownNameAreAskedFor) {
  EXPECT_THAT(ReadFile("t.csv", "review,label\na,1\nb,0\n"),
              StatusIs(kInvalid, AllOf(HasSubstr("data.text.columns"), HasSubstr("review"))));
}

TEST_F(TextsData, WithoutALabelAreNamedByTheirLines) {
  const auto rows = ReadFile("t.csv", "text,label\na,1\nb,\nc,0\nd,?\n");
  EXPECT_THAT(rows, StatusIs(kInvalid, AllOf(HasSubstr("2 errors"), HasSubstr("line 3"),
                                             HasSubstr("line 5"), HasSubstr("no label"))));
  EXPECT_THAT(ComplaintsIn(rows.status()), SizeIs(2));
}

TEST_F(TextsData, ThatAreEmptyAreAnErrorWithTheLineAndTheWayOut) {
  EXPECT_THAT(LoadFile("t.tsv", "text\tlabel\na\t1\n \t0\nc\t0\n"),
              StatusIs(kInvalid, AllOf(HasSubstr("line 3"), HasSubstr("empty"),
                                       HasSubstr("data.text.min_characters"))));
}

TEST_F(TextsData, OfTenMegabytesInALineAreAnError) {
  EXPECT_THAT(
      ReadFile("t.tsv", "text\tlabel\na\t1\n" + std::string(10 << 20, 'x') + "\t0\n"),
      StatusIs(kInvalid, AllOf(HasSubstr("line 3"), HasSubstr("10485760"), HasSubstr("1048576"))));
}

TEST_F(TextsData, OfTenMegabytesInALineOfJsonAreAnError) {
  EXPECT_THAT(
      ReadFile("t.jsonl", "{\"text\": \"" + std::string(10 << 20, 'x') + "\", \"label\": 1}\n"),
      StatusIs(kInvalid, AllOf(HasSubstr("line 1"), HasSubstr("10485760"))));
}

TEST_F(TextsData, OfJsonWithoutALabelAreNamedByTheirLines) {
  EXPECT_THAT(
      ReadFile("t.jsonl",
               "{\"text\": \"a\", \"label\": 0}\n{\"text\": \"b\"}\n"
               "{\"text\": \"c\", \"label\": null}\n"),
      StatusIs(kInvalid, AllOf(HasSubstr("line 2: there is no label"), HasSubstr("line 3"))));
}

TEST_F(TextsData, OfFilesByClassWithAnEmptyLineAreAnErrorThatNamesIt) {
  Write("pos.txt", "good\n\nfine\n");
  Write("neg.txt", "bad\n");
  options_.path = folder_;
  EXPECT_THAT(Load(options_), StatusIs(kInvalid, AllOf(HasSubstr("pos.txt line 2"),
                                                       HasSubstr("the text is empty"))));
}

TEST_F(TextsData, OfOneWordAloneAreAnErrorThatNamesIt) {
  EXPECT_THAT(
      LoadFile("t.csv", "text,label\nword,0\nword word,1\n"),
      StatusIs(kInvalid, AllOf(HasSubstr("the same one, 'word'"), HasSubstr("nothing to learn"))));
}

TEST_F(TextsData, OfWordsThatAreAllTooRareSayHowOftenTheyCome) {
  options_.text->tokenizer = text::WordTokens{.min_count = 5};
  EXPECT_THAT(LoadFile("t.csv", "text,label\na b,0\nc a,1\n"),
              StatusIs(kInvalid, HasSubstr("min_count must be at most 2")));
}

TEST_F(TextsData, OfNoWordThatTheEarlierModelKnowsAreAnError) {
  const auto first = LoadFile("first.csv", "text,label\nred,0\ngreen,1\n");
  ASSERT_THAT(first, IsOk());
  options_.text->like = std::make_shared<const TextPreprocessing>(*first->preprocessing.text);
  EXPECT_THAT(LoadFile("next.csv", "text,label\nrouge,0\nvert,1\n"),
              StatusIs(kInvalid, AllOf(HasSubstr("data.text.tokenizer"), HasSubstr("5 tokens"),
                                       HasSubstr("none of the training texts' words"))));
}

TEST_F(TextsData, OfOneClassAreAnErrorThatNamesIt) {
  EXPECT_THAT(LoadFile("t.csv", "text,label\na,good\nb,good\n"),
              StatusIs(kInvalid, AllOf(HasSubstr("'good'"), HasSubstr("two classes"))));
}

TEST_F(TextsData, OfJsonThatIsBrokenAreNamedByLineAndByte) {
  EXPECT_THAT(
      ReadFile("t.jsonl", "{\"text\": \"a\", \"label\": 0}\n\n[1]\n{\"text\": \"b\"\n"),
      StatusIs(kInvalid, AllOf(HasSubstr("line 2: is no JSON"), HasSubstr("line 3: must be"),
                               HasSubstr("line 4: is no JSON from its byte 13"))));
}

TEST_F(TextsData, OfJsonThatNestsTooDeeplyAreNamed) {
  EXPECT_THAT(ReadFile("t.jsonl", "{\"text\": " + std::string(1 << 20, '[') + "\n"),
              StatusIs(kInvalid, AllOf(HasSubstr("line 1"), HasSubstr("within each other"))));
}

TEST_F(TextsData, OfJsonWithANumberThatIsTooLargeAreNamed) {
  EXPECT_THAT(ReadFile("t.jsonl", "{\"text\": \"a\", \"label\": 1e999}\n"),
              StatusIs(kInvalid, AllOf(HasSubstr("line 1"), HasSubstr("too large"))));
}

TEST_F(TextsData, ThatAreNoStringsOfJsonAreNamed) {
  EXPECT_THAT(ReadFile("t.jsonl", "{\"text\": [\"a\"], \"label\": 0}\n"),
              StatusIs(kInvalid, AllOf(HasSubstr("line 1"), HasSubstr("\"text\""))));
}

TEST_F(TextsData, OfTwoFilesThatAreTheSamePartAreAnError) {
  Write("dev.tsv", "text\tlabel\na\t0\n");
  Write("validation.tsv", "text\tlabel\na\t0\n");
  EXPECT_THAT(Read(folder_),
              StatusIs(kInvalid, AllOf(HasSubstr("dev.tsv"), HasSubstr("validation.tsv"))));
}

TEST_F(TextsData, InNoKnownLayoutAreAnErrorThatSaysWhatIsRead) {
  EXPECT_THAT(ReadFile("texts.txt", "a\nb\n"), StatusIs(kInvalid, HasSubstr(".jsonl")));
  EXPECT_THAT(Read(Path("nowhere")), StatusIs(absl::StatusCode::kNotFound, HasSubstr("nowhere")));
}

TEST_F(TextsData, WithMoreLabelsThanClassNamesAreAnError) {
  options_.class_names = {"bad", "good"};
  EXPECT_THAT(LoadFile("t.csv", "text,label\na,0\nb,1\nc,2\n"),
              StatusIs(kInvalid, AllOf(HasSubstr("0, 1, 2"), HasSubstr("bad, good"))));
}

// --- What they become.

constexpr char kReviews[] =
    "text,label\nGood film,1\ngood  film,1\nBad <b>film</b>,0\nan old story about nothing at "
    "all,0\n"
    "An old story about nothing at all .,0\n";

TEST_F(TextsData, AreCleanedByTheStepsThatAreWanted) {
  options_.text->cleaning = {.html = true, .lower_case = true, .white_space = true};
  const auto data = LoadFile("t.csv", kReviews);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(TextsIn(*data, data->splits.train),
              ElementsAre("good film", "good film", "bad film", "an old story about nothing at all",
                          "an old story about nothing at all ."));
  EXPECT_THAT(data->report.notes, Contains(HasSubstr("lower_case changed 3 texts")));
}

TEST_F(TextsData, ThatAreExactCopiesOnceTheyAreCleanLeaveOnRequest) {
  options_.text->cleaning = {.lower_case = true, .white_space = true};
  options_.deduplicate = true;
  const auto data = LoadFile("t.csv", kReviews);
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->report.duplicates, 1);
  EXPECT_THAT(data->splits.train, SizeIs(4));
}

TEST_F(TextsData, ThatAreNearCopiesLeaveOnRequestAndAreNamed) {
  options_.text->near_copies = 0.8;
  const auto data = LoadFile("t.csv", kReviews);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->splits.train, ElementsAre(0, 2, 3));
  EXPECT_EQ(data->report.dropped_examples(), 2);
  EXPECT_THAT(data->report.dropped[0].first[0].ToString(),
              AllOf(HasSubstr("line 3"), HasSubstr("line 2")));
}

TEST_F(TextsData, OfNearCopiesTheLongestStaysWhereThatIsWanted) {
  options_.text->near_copies = 0.8;
  options_.text->keep = TextOptions::Keep::kLongest;
  const auto data = LoadFile("t.csv", kReviews);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->splits.train, ElementsAre(1, 2, 4));
}

TEST_F(TextsData, OfATestPartThatAreNearCopiesOfTrainingTextsLeave) {
  Write("train.tsv", "text\tlabel\nan old story about nothing at all\t0\ngood\t1\n");
  Write("test.tsv", "text\tlabel\nAn old story about nothing at all .\t0\nfine\t1\n");
  options_.path = folder_;
  options_.text->near_copies = 0.8;
  options_.text->keep = TextOptions::Keep::kLongest;
  const auto data = Load(options_);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->splits.train, ElementsAre(0, 1));
  EXPECT_THAT(data->splits.test, ElementsAre(3));
}

TEST_F(TextsData, TooShortOrTooLongAreLeftOutAndCounted) {
  options_.text->min_characters = 1;
  options_.text->max_characters = 4;
  const auto data = LoadFile("t.tsv", "text\tlabel\n \t0\ncafé\t1\nlonger\t1\nbad\t0\n");
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(TextsIn(*data, data->splits.train), ElementsAre("café", "bad"));
  EXPECT_EQ(data->report.dropped_examples(), 2);
}

TEST_F(TextsData, HaveATokenizerOfTheTrainingPartAlone) {
  Write("train.tsv", "text\tlabel\ngood film\t1\nbad film\t0\n");
  Write("test.tsv", "text\tlabel\ngreat film\t1\n");
  options_.path = folder_;
  const auto data = Load(options_);
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->preprocessing.text->tokenizer->size(), 3 + 3);
  EXPECT_THAT(TextsIn(*data, data->splits.test), ElementsAre("<unk> film"));
  EXPECT_EQ(data->report.test.tokens->unknown, 1);
}

TEST_F(TextsData, LongerThanTheLimitAreCutAndCounted) {
  options_.text->max_tokens = 2;
  const auto data = LoadFile("t.csv", "text,label\na b c d,1\ne,0\n");
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(TextsIn(*data, data->splits.train), ElementsAre("a b", "e"));
  const TokenReport& tokens = *data->report.train.tokens;
  EXPECT_EQ(tokens.cut, 1);
  EXPECT_EQ(tokens.longest, 4);
  EXPECT_THAT(tokens.longest_where, HasSubstr("line 2"));
  EXPECT_THAT(tokens.lengths, ElementsAre(1, 1));
}

TEST_F(TextsData, WithNumbersForLabelsHaveTheirClassesInOrderOfSize) {
  const auto data = LoadFile("t.csv", "text,label\na,10\nb,9\nc,10\n");
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->dataset.class_names(), ElementsAre("9", "10"));
  EXPECT_THAT(data->dataset.labels(), ElementsAre(1, 0, 1));
}

TEST_F(TextsData, OfACheckpointsHeadHaveTheNumbersOfItsClasses) {
  options_.head_classes = {"Sport", "Other", "Money"};
  const auto data = LoadFile("t.tsv", "text\tlabel\na\tmoney\nb\tSport\nc\tmoney\n");
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->dataset.class_names(), ElementsAre("Sport", "Other", "Money"));
  EXPECT_THAT(data->dataset.labels(), ElementsAre(2, 0, 2));
}

TEST_F(TextsData, OfAClassThatIsWrittenAsInACheckpointsHeadAreOfThatOne) {
  options_.head_classes = {"Money", "money", "other"};
  const auto data = LoadFile("t.tsv", "text\tlabel\na\tmoney\nb\tother\n");
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->dataset.labels(), ElementsAre(1, 2));
}

TEST_F(TextsData, OfClassesThatACheckpointsHeadHasNotAreNumberedByTheirLetters) {
  options_.head_classes = {"sport", "other"};
  const auto data = LoadFile("t.tsv", "text\tlabel\na\tsport\nb\tmoney\n");
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->dataset.class_names(), ElementsAre("money", "sport"));
  EXPECT_THAT(data->dataset.labels(), ElementsAre(1, 0));
}

TEST_F(TextsData, OfARegressionHaveTheirNumbersStandardized) {
  options_.task = Task::kRegression;
  const auto data = LoadFile("t.csv", "text,label\na,1\nb,3\n");
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->dataset.targets(), ElementsAre(-1, 1));
  EXPECT_EQ(data->preprocessing.target_mean[0], 2);
  EXPECT_THAT(LoadFile("t.csv", "text,label\na,1\nb,many\n"),
              StatusIs(kInvalid, AllOf(HasSubstr("line 3"), HasSubstr("'many'"))));
}

// Texts with any number of classes.
class TextsOfSeveralClasses : public TextsData {
 protected:
  TextsOfSeveralClasses() { options_.task = Task::kMultiLabel; }
};

TEST_F(TextsOfSeveralClasses, HaveEachOfTheirNamesOnce) {
  const auto data = LoadFile("t.tsv", "text\tlabel\na\tx, y,x,\nb\t\nc\ty\n");
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->dataset.target_names(), ElementsAre("x", "y"));
  EXPECT_THAT(data->dataset.targets(), ElementsAre(1, 1, 0, 0, 0, 1));
}

TEST_F(TextsOfSeveralClasses, OfACheckpointsHeadHaveItsOrderAndSpelling) {
  options_.head_classes = {"Sport", "Other", "Money"};
  const std::string table = "text\tlabel\na\tmoney,sport\nb\tsport\n";
  const auto data = LoadFile("t.tsv", table);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->dataset.target_names(), ElementsAre("Sport", "Other", "Money"));
  EXPECT_THAT(data->dataset.targets(), ElementsAre(1, 0, 1, 1, 0, 0));
  options_.head_classes = {"Sport", "Other"};
  EXPECT_THAT(LoadFile("t.tsv", table)->dataset.target_names(), ElementsAre("money", "sport"));
}

TEST_F(TextsOfSeveralClasses, HaveNoneWhereATablesCellIsMissing) {
  const auto data = LoadFile("t.tsv", "text\tlabel\na\tx\nb\tNA\nc\t?\n");
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->dataset.target_names(), ElementsAre("x"));
  const auto list = LoadFile("t.jsonl", "{\"text\": \"a b\", \"label\": [\"NA\", \"x\"]}\n");
  ASSERT_THAT(list, IsOk());
  EXPECT_THAT(list->dataset.target_names(), ElementsAre("NA", "x"));
}

TEST_F(TextsOfSeveralClasses, AreRefusedWhereTheyWouldTakeTooMuchMemory) {
  options_.max_bytes = 2 * 2 * 4;
  EXPECT_THAT(LoadFile("t.tsv", "text\tlabel\na\tx\nb\ty\n"), IsOk());
  EXPECT_THAT(LoadFile("t.tsv", "text\tlabel\na\tx,z\nb\ty\n"),
              StatusIs(kInvalid, HasSubstr("2 texts with 3 classes")));
}

TEST_F(TextsData, OfALabelOfTenMegabytesAreAnError) {
  EXPECT_THAT(ReadFile("t.tsv", "text\tlabel\na\t1\nb\t" + std::string(10 << 20, 'x') + "\n"),
              StatusIs(kInvalid, AllOf(HasSubstr("line 3: the label has 10485760 bytes"))));
}

TEST_F(TextsData, OfPairsThatAreReadApartAreTheSameWhateverTheirLabels) {
  options_.task = Task::kTextPairs;
  options_.text->second_columns = {"other"};
  options_.deduplicate = true;
  options_.path = Write("t.csv", "text,other,label\na,b,0\nc,d,1\na,b,1\n");
  const auto data = LoadTexts(options_);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->splits.train, ElementsAre(0, 1));
  EXPECT_EQ(data->report.contradictions, 0);
}

TEST_F(TextsData, HaveAPreprocessingThatComesBackFromAModelFile) {
  options_.text->cleaning.lower_case = true;
  options_.text->max_tokens = 3;
  const auto data = LoadFile("t.csv", kReviews);
  ASSERT_THAT(data, IsOk());
  const auto again = Preprocessing::FromJson(data->preprocessing.ToJson());
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(*again, data->preprocessing);
  EXPECT_EQ(again->text->Encode("GOOD film about nothing"),
            data->preprocessing.text->Encode("good film about"));
}

TEST_F(TextsData, OfAModelAreReadWithItsTokensAndClasses) {
  const auto trained = LoadFile("t.csv", "text,label\ngood film,good\nbad film,bad\n");
  ASSERT_THAT(trained, IsOk());
  options_.as = std::make_shared<const Preprocessing>(trained->preprocessing);
  const auto data = LoadFile("other.csv", "text,label\ngreat film,good\n");
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(TextsIn(*data, data->splits.train), ElementsAre("<unk> film"));
  EXPECT_THAT(data->dataset.labels(), ElementsAre(1));
  EXPECT_THAT(LoadFile("other.csv", "text,label\ngreat film,great\n"),
              StatusIs(kInvalid, AllOf(HasSubstr("'great'"), HasSubstr("bad, good"))));
}

TEST_F(TextsData, OfTheCatalogueWithoutDataTextAreExplained) {
  options_.text.reset();
  options_.dataset = "sst2";
  options_.sources.mirror_dir = folder_;
  EXPECT_THAT(Load(options_), StatusIs(kInvalid, HasSubstr("data.text")));
}

// --- Real ones.

TEST_F(TextsData, OfSst2AreReadWithItsOwnParts) {
  HONE_NEEDS_REAL_DATA(RealData("sst2"));
  options_.dataset = "sst2";
  options_.sources = SourcesFromEnvironment();
  options_.text->tokenizer = text::WordTokens{.split = text::WordSplit::kSpaces};
  const auto data = Load(options_);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->dataset.class_names(), ElementsAre("negative", "positive"));
  EXPECT_THAT(data->report.train.class_counts, ElementsAre(29780, 37569));
  EXPECT_THAT(data->report.validation.class_counts, ElementsAre(428, 444));
  EXPECT_THAT(data->report.test.class_counts, ElementsAre(912, 909));
}

TEST_F(TextsData, OfAgNewsAreTitlesAndStoriesOfFourSubjects) {
  HONE_NEEDS_REAL_DATA(RealData("ag-news/test.csv"));
  options_.dataset = "ag-news-test";
  options_.sources = SourcesFromEnvironment();
  const auto data = Load(options_);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->dataset.class_names(), ElementsAre("World", "Sports", "Business", "Sci/Tech"));
  EXPECT_THAT(data->report.train.class_counts, ElementsAre(1900, 1900, 1900, 1900));
}

TEST_F(TextsData, OfNamesAreReadByCharacters) {
  HONE_NEEDS_REAL_DATA(RealData("names"));
  options_.dataset = "names";
  options_.sources = SourcesFromEnvironment();
  options_.text->tokenizer = text::CharacterTokens();
  const auto data = Load(options_);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->dataset.class_names(), SizeIs(18));
  EXPECT_EQ(data->dataset.size(), 20050);
}

// Texts of which nothing else is learned.
class TextsAlone : public TextsData {
 protected:
  TextsAlone() { options_.task = Task::kLanguageModeling; }
  absl::StatusOr<LoadedData> LoadAlone(const std::string& name, const std::string& bytes) {
    options_.path = Write(name, bytes);
    return LoadTexts(options_);
  }
};

TEST_F(TextsAlone, AreTheLinesOfAFile) {
  const auto data = LoadAlone("lines.txt", "one film\r\ntwo films\n");
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(TextsIn(*data, data->splits.train), ElementsAre("one film", "two films"));
  EXPECT_FALSE(data->dataset.has_classes());
  EXPECT_THAT(LoadAlone("empty.txt", "one\n\ntwo\n"), StatusIs(kInvalid, HasSubstr("line 2")));
}

TEST_F(TextsAlone, OfATableNeedNoLabels) {
  const auto data = LoadAlone("texts.tsv", "id\ttext\n1\tred green\n2\tblue\n");
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(TextsIn(*data, data->splits.train), ElementsAre("red green", "blue"));
  const auto json = LoadAlone("texts.jsonl", "{\"text\": \"red\"}\n{\"text\": \"blue\"}\n");
  ASSERT_THAT(json, IsOk());
  EXPECT_THAT(TextsIn(*json, json->splits.train), ElementsAre("red", "blue"));
}

TEST_F(TextsAlone, OfATableWithoutTheColumnThatShallDivideThemAreRefused) {
  options_.target = "subject";
  EXPECT_THAT(LoadAlone("texts.tsv", "id\ttext\n1\tred\n2\tblue\n"),
              StatusIs(kInvalid, HasSubstr("'subject'")));
}

TEST_F(TextsAlone, InPartsAreThoseOfTheDataSet) {
  Write("parts/train.txt", "red\ngreen\n");
  Write("parts/validation.txt", "blue\n");
  options_.path = Path("parts");
  const auto data = LoadTexts(options_);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(TextsIn(*data, data->splits.train), ElementsAre("red", "green"));
  EXPECT_THAT(data->splits.validation, SizeIs(1));
}

TEST_F(TextsAlone, WithLabelsAreDividedAsForClassification) {
  std::string table = "text\tlabel\n";
  for (int i = 0; i < 60; ++i) {
    absl::StrAppend(&table, "word", i, "\t", i % 3 == 0 ? "rare" : "frequent", "\n");
  }
  options_.test_fraction = 0.2;
  options_.validation_fraction = 0.1;
  const auto alone = LoadAlone("texts.tsv", table);
  ASSERT_THAT(alone, IsOk());
  options_.task = Task::kClassification;
  const auto classes = LoadFile("texts.tsv", table);
  ASSERT_THAT(classes, IsOk());
  EXPECT_EQ(alone->splits.test, classes->splits.test);
  EXPECT_EQ(alone->splits.validation, classes->splits.validation);
  EXPECT_FALSE(alone->dataset.has_classes());
}

TEST_F(TextsData, HaveTheTokensOfAModelThatIsGoneOnWith) {
  options_.text->cleaning.lower_case = true;
  options_.text->max_tokens = 2;
  const auto first = LoadFile("first.tsv", "text\tlabel\nRed green\ta\nblue\tb\n");
  ASSERT_THAT(first, IsOk());
  options_.text->cleaning = {};
  options_.text->max_tokens = 0;
  options_.text->like = std::make_shared<const TextPreprocessing>(*first->preprocessing.text);
  const std::string table = "text\tlabel\nBLUE red blue\ta\nblack\tb\n";
  const auto next = LoadFile("next.tsv", table);
  ASSERT_THAT(next, IsOk());
  EXPECT_THAT(TextsIn(*next, next->splits.train), ElementsAre("blue red", "<unk>"));
  EXPECT_TRUE(next->preprocessing.text == first->preprocessing.text);
  options_.text->max_tokens = 3;
  const auto longer = LoadFile("next.tsv", table);
  EXPECT_THAT(TextsIn(*longer, longer->splits.train), ElementsAre("blue red blue", "<unk>"));
  EXPECT_TRUE(longer->preprocessing.text->HasTokensOf(*first->preprocessing.text));
}

TEST_F(TextsData, OfPairsHaveNoneOfTheLengthsThatAModelOfSingleTextsMayHave) {
  options_.text->max_tokens = 2;
  const auto first = LoadFile("first.tsv", "text\tlabel\nred green\ta\nblue\tb\n");
  ASSERT_THAT(first, IsOk());
  options_.text->like = std::make_shared<const TextPreprocessing>(*first->preprocessing.text);
  options_.text->second_columns = {"other"};
  options_.text->max_tokens = 0;
  const std::string pairs = "text\tother\tlabel\nred green\tblue red green\ta\nblue\tred\tb\n";
  EXPECT_THAT(LoadFile("pairs.tsv", pairs),
              StatusIs(kInvalid, HasSubstr("must be at least 5 for pairs, got 2")));
  options_.text->max_tokens = 5;
  EXPECT_THAT(LoadFile("pairs.tsv", pairs), IsOk());
}

}  // namespace
}  // namespace hone::engine::data
