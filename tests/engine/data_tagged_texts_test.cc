#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"
#include "engine/data/tagged_rows.h"
#include "engine/data/tagged_texts.h"
#include "engine/data/word_pieces.h"
#include "tests/engine/data_testing.h"
#include "tests/support/status_matchers.h"

// Sentences with a tag for each word, from files to tokens.
namespace hone::engine::data {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class TaggedTextsTest : public DataTest {
 protected:
  LoadOptions Of(const std::string& name) const {
    LoadOptions options = Options(name);
    options.task = Task::kTokenTagging;
    options.text.emplace();
    options.test_fraction = 0;
    return options;
  }
};

TEST_F(TaggedTextsTest, ColumnsBetweenWordAndTagAreNotRead) {
  Write("a.conll",
        "-DOCSTART- -X- O\n\nEU NNP B-ORG\nrejects VBZ O\n\n\nPeter\tNNP\tB-PER\r\nsmiles VBZ O");
  const auto rows = ReadTaggedRows(Path("a.conll"), Of("a.conll"));
  ASSERT_THAT(rows, IsOk());
  ASSERT_THAT(rows->rows, SizeIs(2));
  EXPECT_THAT(rows->rows[0].words, ElementsAre("EU", "rejects"));
  EXPECT_THAT(rows->rows[0].tags, ElementsAre("B-ORG", "O"));
  EXPECT_THAT(rows->rows[1].words, ElementsAre("Peter", "smiles"));
  EXPECT_EQ(rows->rows[1].line, 7);
}

TEST_F(TaggedTextsTest, ADocumentBeginsASentence) {
  Write("a.conll", "EU B-ORG\n-DOCSTART- -X- O\nPeter B-PER\n");
  const auto rows = ReadTaggedRows(Path("a.conll"), Of("a.conll"));
  ASSERT_THAT(rows, IsOk());
  EXPECT_THAT(rows->rows, SizeIs(2));
}

TEST_F(TaggedTextsTest, NamesTheByteOfALineThatIsNoJson) {
  Write("a.jsonl", "{\"tokens\": [\"a\"], \"tags\": [\"O\"]}\n{\"tokens\": x}\n[1]\n");
  EXPECT_THAT(ReadTaggedRows(Path("a.jsonl"), Of("a.jsonl")),
              StatusIs(kInvalid, AllOf(HasSubstr("line 2: is no JSON from its byte 12 on"),
                                       HasSubstr("line 3: must be a JSON object"))));
}

TEST_F(TaggedTextsTest, SomeNamesSayThatWordsHaveTags) {
  EXPECT_TRUE(IsTaggedFileName("set/train.conll.gz"));
  EXPECT_TRUE(IsTaggedFileName("a.BIO"));
  EXPECT_FALSE(IsTaggedFileName("a.txt"));
}

TEST_F(TaggedTextsTest, JsonLinesHaveLists) {
  Write("a.jsonl",
        "{\"tokens\": [\"a\", \"b\"], \"tags\": [\"O\", \"B-X\"]}\n"
        "{\"tokens\": [\"c\"], \"tags\": [3]}\n");
  const auto rows = ReadTaggedRows(Path("a.jsonl"), Of("a.jsonl"));
  ASSERT_THAT(rows, IsOk());
  EXPECT_THAT(rows->rows[0].tags, ElementsAre("O", "B-X"));
  EXPECT_THAT(rows->rows[1].tags, ElementsAre("3"));
}

TEST_F(TaggedTextsTest, JsonLinesMayHaveOtherKeys) {
  Write("a.jsonl", "{\"words\": [\"a\"], \"ner\": [\"O\"]}\n");
  LoadOptions options = Of("a.jsonl");
  options.text->columns = {"words"};
  options.target = "ner";
  EXPECT_THAT(ReadTaggedRows(Path("a.jsonl"), options), IsOk());
}

TEST_F(TaggedTextsTest, NamesEveryWrongLine) {
  Write("a.conll", "EU B-ORG\nalone\n\nPeter B-PER\nwithout\n");
  EXPECT_THAT(ReadTaggedRows(Path("a.conll"), Of("a.conll")),
              StatusIs(kInvalid, AllOf(HasSubstr("line 2"), HasSubstr("line 5"),
                                       HasSubstr("a word and its tag"))));
  Write("a.jsonl", "{\"tokens\": [\"a\", \"b\"], \"tags\": [\"O\"]}\n{\"tokens\": [\"a\"]}\nno\n");
  EXPECT_THAT(ReadTaggedRows(Path("a.jsonl"), Of("a.jsonl")),
              StatusIs(kInvalid, AllOf(HasSubstr("line 1: has 2 words and 1 tags"),
                                       HasSubstr("line 2: must have a list of strings under "
                                                 "\"tags\""),
                                       HasSubstr("line 3"))));
}

TEST_F(TaggedTextsTest, PartsAreKept) {
  Write("set/train.conll", "a B-X\nb O\n\nb O\na B-X\n");
  Write("set/valid.conll", "a B-X\nc O\n");
  Write("set/test.conll", "c O\n");
  Write("set/README.md", "nothing");
  const auto loaded = LoadTaggedTexts(Of("set"));
  ASSERT_THAT(loaded, IsOk());
  EXPECT_THAT(loaded->splits.train, ElementsAre(0, 1));
  EXPECT_THAT(loaded->splits.validation, ElementsAre(2));
  EXPECT_THAT(loaded->splits.test, ElementsAre(3));
  EXPECT_THAT(loaded->preprocessing.class_names, ElementsAre("O", "B-X"));
}

TEST_F(TaggedTextsTest, TheFirstTokenOfAWordHasItsTag) {
  // A word of two tokens: a sign is one by itself.
  Write("a.conll", "o'clock O\nU.S B-LOC\nhere O\n");
  const auto loaded = LoadTaggedTexts(Of("a.conll"));
  ASSERT_THAT(loaded, IsOk());
  const TaggedTexts& texts = TaggedTextsOf(loaded->dataset);
  EXPECT_THAT(texts.tokens(0), SizeIs(5));  // o'clock U . S here
  EXPECT_THAT(texts.words(0), ElementsAre(TaggedTexts::Word{.first = 0, .tag = 0},
                                          TaggedTexts::Word{.first = 1, .tag = 1},
                                          TaggedTexts::Word{.first = 4, .tag = 0}));
}

TEST_F(TaggedTextsTest, WordsThatAreCutOffHaveNoToken) {
  Write("a.conll", "a O\nb B-X\nc O\n");
  LoadOptions options = Of("a.conll");
  options.text->max_tokens = 2;
  const auto loaded = LoadTaggedTexts(options);
  ASSERT_THAT(loaded, IsOk());
  const TaggedTexts& texts = TaggedTextsOf(loaded->dataset);
  EXPECT_THAT(texts.tokens(0), SizeIs(2));
  EXPECT_EQ(texts.words(0)[1].first, 1);
  EXPECT_EQ(texts.words(0)[2].first, -1);
}

TEST_F(TaggedTextsTest, TagsOfACheckpointsHeadKeepItsOrder) {
  Write("a.conll", "a B-X\nb O\n");
  LoadOptions options = Of("a.conll");
  options.head_classes = {"B-X", "I-X", "O"};
  EXPECT_THAT(LoadTaggedTexts(options)->preprocessing.class_names, ElementsAre("B-X", "I-X", "O"));
  options.head_classes = {"B-Y", "O"};
  EXPECT_THAT(LoadTaggedTexts(options)->preprocessing.class_names, ElementsAre("O", "B-X"));
}

TEST_F(TaggedTextsTest, TagsOfACheckpointsHeadHaveItsNumbers) {
  Write("a.conll", "a B-X\nb O\nc I-X\n");
  LoadOptions options = Of("a.conll");
  options.head_classes = {"I-X", "B-Y", "O", "B-X"};
  const auto loaded = LoadTaggedTexts(options);
  ASSERT_THAT(loaded, IsOk());
  EXPECT_THAT(
      TaggedTextsOf(loaded->dataset).words(0),
      ElementsAre(TaggedTexts::Word{.first = 0, .tag = 3}, TaggedTexts::Word{.first = 1, .tag = 2},
                  TaggedTexts::Word{.first = 2, .tag = 0}));
}

TEST_F(TaggedTextsTest, TagsThatACheckpointsHeadHasNotAreNumberedByThemselves) {
  Write("a.conll", "a B-X\nb O\nc I-X\n");
  LoadOptions options = Of("a.conll");
  options.head_classes = {"I-X", "O"};
  const auto loaded = LoadTaggedTexts(options);
  ASSERT_THAT(loaded, IsOk());
  EXPECT_THAT(loaded->preprocessing.class_names, ElementsAre("O", "B-X", "I-X"));
  EXPECT_THAT(
      TaggedTextsOf(loaded->dataset).words(0),
      ElementsAre(TaggedTexts::Word{.first = 0, .tag = 1}, TaggedTexts::Word{.first = 1, .tag = 0},
                  TaggedTexts::Word{.first = 2, .tag = 2}));
}

TEST_F(TaggedTextsTest, RefusesTagsThatAModelDoesNotKnow) {
  Write("a.conll", "a B-X\nb O\n");
  LoadOptions options = Of("a.conll");
  options.as = std::make_shared<const Preprocessing>(LoadTaggedTexts(options)->preprocessing);
  EXPECT_THAT(LoadTaggedTexts(options), IsOk());
  Write("b.conll", "a B-Z\n");
  options.path = Path("b.conll");
  EXPECT_THAT(LoadTaggedTexts(options),
              StatusIs(kInvalid, AllOf(HasSubstr("'B-Z'"), HasSubstr("O, B-X"))));
}

TEST_F(TaggedTextsTest, MoreThanAThousandTagsAreRefusedWithTheirNumber) {
  std::string sentence;
  for (int i = 0; i < 1001; ++i) {
    absl::StrAppend(&sentence, "a B-", std::string(100, 'x'), i, "\n");
  }
  Write("a.conll", sentence);
  const auto loaded = LoadTaggedTexts(Of("a.conll"));
  EXPECT_THAT(loaded, StatusIs(kInvalid, AllOf(HasSubstr("a.conll: the words have 1001"),
                                               HasSubstr("at most 1000"))));
  EXPECT_LT(loaded.status().message().size(), 1000u);
}

TEST_F(TaggedTextsTest, OneTagAloneIsNothingToLearn) {
  Write("a.conll", "a O\nb O\n");
  EXPECT_THAT(LoadTaggedTexts(Of("a.conll")), StatusIs(kInvalid, HasSubstr("at least two tags")));
}

}  // namespace
}  // namespace hone::engine::data
