#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_cat.h"
#include "engine/base/complaints.h"
#include "engine/data/pair_files.h"
#include "engine/data/pair_rows.h"
#include "engine/data/sentence_pairs.h"
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
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class SentencePairsData : public DataTest {
 protected:
  SentencePairsData() {
    options_.task = Task::kTranslation;
    options_.test_fraction = 0;
  }

  absl::StatusOr<PairRows> Read(const std::string& path) {
    return ReadPairRows(path, options_.pairs, options_.stream,
                        [](PairRow&, std::string&, std::string&) {});
  }
  absl::StatusOr<PairRows> ReadFile(const std::string& name, const std::string& bytes) {
    return Read(Write(name, bytes));
  }
  absl::StatusOr<LoadedData> LoadPath(const std::string& path) {
    options_.path = path;
    return LoadSentencePairs(options_);
  }
  absl::StatusOr<LoadedData> LoadFile(const std::string& name, const std::string& bytes) {
    return LoadPath(Write(name, bytes));
  }
  // "Go. = Va !" of each row.
  static std::vector<std::string> Shown(const absl::StatusOr<PairRows>& rows) {
    if (!rows.ok()) {
      return {std::string(rows.status().message())};
    }
    std::vector<std::string> shown;
    for (const PairRow& row : rows->rows) {
      shown.push_back(absl::StrCat(rows->source(row), " = ", rows->target(row)));
    }
    return shown;
  }
  // The sources of these rows, as their tokens say.
  static std::vector<std::string> SourcesIn(const LoadedData& data,
                                            const std::vector<int32_t>& rows) {
    std::vector<std::string> texts;
    for (const int32_t row : rows) {
      texts.push_back(
          data.preprocessing.text->tokenizer->Decode(SentencePairsOf(data.dataset).source(row)));
    }
    return texts;
  }
  // 60 source sentences, the n-th with n % 3 + 1 translations: 120 pairs.
  static std::string Many() {
    std::string lines;
    for (int i = 0; i < 60; ++i) {
      for (int k = 0; k <= i % 3; ++k) {
        absl::StrAppend(&lines, "s", i, "\tt", i, " ", k, "\n");
      }
    }
    return lines;
  }

  LoadOptions options_;
};

// --- Where pairs stand.

TEST_F(SentencePairsData, BetweenTabsAreTheFirstTwoColumns) {
  const auto rows = ReadFile("fra.txt", "Go.\tVa !\tCC-BY 2.0\r\n\"Run\tCours !\n");
  EXPECT_THAT(Shown(rows), ElementsAre("Go. = Va !", "\"Run = Cours !"));
  EXPECT_EQ(rows->Where(rows->rows[1]), Path("fra.txt") + " line 2");
}

TEST_F(SentencePairsData, BetweenTabsAreThoseOfTheColumnsAskedFor) {
  options_.pairs.source = "column_4";
  options_.pairs.target = "column_2";
  EXPECT_THAT(Shown(ReadFile("p.tsv", "1\tGo.\t2\tVa !\n3\tRun!\t4\tCours !\n")),
              ElementsAre("Va ! = Go.", "Cours ! = Run!"));
}

TEST_F(SentencePairsData, BetweenTabsMayHaveAHead) {
  options_.pairs.source = "fra";
  options_.pairs.target = "eng";
  EXPECT_THAT(Shown(ReadFile("p.tsv", "id\teng\tfra\n1\tGo.\tVa !\n")), ElementsAre("Va ! = Go."));
}

TEST_F(SentencePairsData, OfATableAreFoundByTheNamesOfItsColumns) {
  EXPECT_THAT(Shown(ReadFile("p.csv", "n,target,source\n1,\"Va, vite !\",Go.\n2,Cours !,Run!\n")),
              ElementsAre("Go. = Va, vite !", "Run! = Cours !"));
}

TEST_F(SentencePairsData, OfJsonLinesAreFoundByTheirKeys) {
  options_.pairs.source = "en";
  options_.pairs.target = "fr";
  EXPECT_THAT(Shown(ReadFile("p.jsonl",
                             "{\"en\": \"Go.\", \"fr\": \"Va !\", \"n\": 1}\n"
                             "{\"translation\": {\"fr\": \"\\u00c7a\", \"en\": \"Wow\"}}\n")),
              ElementsAre("Go. = Va !", "Wow = Ça"));
}

TEST_F(SentencePairsData, OfParallelFilesStandInTheSameLine) {
  options_.pairs.source = "en";
  options_.pairs.target = "fr";
  Write("train.en", "Go.\nRun!\n");
  Write("train.fr.gz", Gzip("Va !\nCours !\n"));
  Write("train.de", "Geh.\nLauf!\n");
  Write("val.en", "Wow!");
  Write("val.fr", "Ça alors !\n");
  Write("test_2016.en", "Help!\n");
  Write("test_2016.fr", "À l'aide !\n");
  Write("README.md", "no part of it");
  const auto rows = Read(folder_);
  EXPECT_THAT(Shown(rows), ElementsAre("Go. = Va !", "Run! = Cours !", "Wow! = Ça alors !",
                                       "Help! = À l'aide !"));
  EXPECT_EQ(rows->rows[2].part, Part::kValidation);
  EXPECT_EQ(rows->rows[3].part, Part::kTest);
  EXPECT_EQ(rows->Where(rows->rows[1]), "train.en line 2");
  EXPECT_EQ(rows->files_left_out, 2);
}

TEST_F(SentencePairsData, OfParallelFilesThatAreNoPartsAreAllRead) {
  options_.pairs.source = "en";
  options_.pairs.target = "fr";
  EXPECT_THAT(Shown(Read(Tar(Path("archive.tar"), {{"c/news.fr", "Va !\n"},
                                                   {"c/news.en", "Go.\n"},
                                                   {"c/talks.en", "Run!\n"},
                                                   {"c/talks.fr", "Cours !\n"},
                                                   {"c/alone.fr", "Seul.\n"}}))),
              ElementsAre("Go. = Va !", "Run! = Cours !"));
}

TEST_F(SentencePairsData, OfParallelFilesAreKnownByTheEndsOfTheirNames) {
  const auto ends =
      ParallelEnds(Tar(Path("archive.tar"), {{"c/train.fr", "Va !\n"}, {"c/train.en", "Go.\n"}}));
  ASSERT_THAT(ends, IsOk());
  EXPECT_THAT(*ends, ElementsAre("en", "fr"));
  Write("other/a.txt", "x");
  Write("other/b.md", "x");
  EXPECT_THAT(ParallelEnds(Path("other")).value(), IsEmpty());
}

TEST_F(SentencePairsData, OfAFolderOfPartsKeepThem) {
  Write("train.tsv", "Go.\tVa !\nRun!\tCours !\n");
  Write("dev.jsonl", "{\"source\": \"Go.\", \"target\": \"Va !\"}\n");
  Write("test.txt", "Wow!\tÇa alors !\n");
  const auto data = LoadPath(folder_);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(SourcesIn(*data, data->splits.train), ElementsAre("Go.", "Run!"));
  EXPECT_THAT(SourcesIn(*data, data->splits.validation), ElementsAre("Go."));
  EXPECT_THAT(SourcesIn(*data, data->splits.test), ElementsAre("<unk>!"));
  EXPECT_THAT(data->report.notes,
              Contains("source sentences of the other parts that the training part has, too: 1"));
}

TEST_F(SentencePairsData, ThatCannotBeReadSayWhere) {
  EXPECT_THAT(
      ReadFile("a.txt", "Go.\tVa !\nRun!\nWow!\n"),
      StatusIs(kInvalid, AllOf(HasSubstr("a.txt"), HasSubstr("line 2: must be a sentence, a tab"),
                               HasSubstr("line 3"))));
  EXPECT_THAT(ReadFile("b.txt", "Go.\n"), StatusIs(kInvalid, HasSubstr("line 1")));
  EXPECT_THAT(ReadFile("c.txt", "Go.\tVa\xe9\n"),
              StatusIs(kInvalid, AllOf(HasSubstr("line 1 is not UTF-8"), HasSubstr("LATIN1"))));
  EXPECT_THAT(ReadFile("d.jsonl", "{\"source\": \"Go.\"}\n[1]\n{\n"),
              StatusIs(kInvalid, AllOf(HasSubstr("line 1: must have a string under \"target\""),
                                       HasSubstr("line 2: must be a JSON object"),
                                       HasSubstr("line 3: is no JSON"))));
  EXPECT_THAT(ReadFile("g.jsonl", std::string(1 << 20, '[')),
              StatusIs(kInvalid, AllOf(HasSubstr("line 1"), HasSubstr("within each other"))));
  EXPECT_THAT(ReadFile("e.txt", "Go.\t" + std::string((size_t{1} << 20) + 1, 'x') + "\n"),
              StatusIs(kInvalid, HasSubstr("line 1: a sentence has 1048577 bytes")));
  EXPECT_THAT(ReadFile("f.csv", "one,two,three\n1,b,c\n2,d,e\n"),
              StatusIs(kInvalid, AllOf(HasSubstr("'source' (data.pairs.source)"),
                                       HasSubstr("one, two, three"))));
  EXPECT_THAT(Read(Path("nowhere")), StatusIs(absl::StatusCode::kNotFound, HasSubstr("nowhere")));
}

TEST_F(SentencePairsData, OfAnEmptyFileSayThatItIs) {
  for (const char* name : {"p.txt", "p.jsonl", "p.csv"}) {
    EXPECT_THAT(ReadFile(name, ""),
                StatusIs(kInvalid, AllOf(HasSubstr(name), HasSubstr("is empty"))));
  }
  options_.pairs.source = "en";
  options_.pairs.target = "fr";
  Write("both/train.en", "");
  Write("both/train.fr", "");
  EXPECT_THAT(Read(Path("both")),
              StatusIs(kInvalid, AllOf(HasSubstr("train.en: is empty"), HasSubstr("train.fr"))));
}

TEST_F(SentencePairsData, ThatAreNoUtf8SayWhichByte) {
  EXPECT_THAT(ReadFile("p.txt", "Go.\tVa !\nRun\tCours\xe9\n"),
              StatusIs(kInvalid, AllOf(HasSubstr("p.txt"), HasSubstr("line 2"),
                                       HasSubstr("0xe9 at offset 18"), HasSubstr("LATIN1"))));
  options_.pairs.source = "en";
  options_.pairs.target = "fr";
  Write("train.en", "Go.\n");
  Write("train.fr", "Va\xff\n");
  EXPECT_THAT(Read(folder_),
              StatusIs(kInvalid, AllOf(HasSubstr("train.fr"), HasSubstr("0xff at offset 2"))));
}

TEST_F(SentencePairsData, OfTwelveMegabytesInALineSayHowMuchItMayHave) {
  const std::string line(12 << 20, 'x');
  EXPECT_THAT(
      ReadFile("p.txt", "Go.\tVa !\n" + line + "\ty\n"),
      StatusIs(kInvalid, AllOf(HasSubstr("line 2"), HasSubstr("12582912"), HasSubstr("1048576"))));
  EXPECT_THAT(ReadFile("p.txt", "Go.\tVa !\n" + line + "\n"),
              StatusIs(kInvalid, HasSubstr("line 2: must be a sentence, a tab")));
}

TEST_F(SentencePairsData, OfFilesThatDoNotBelongTogetherSayWhich) {
  Write("open/train.en", "Go.\n");
  Write("open/train.fr", "Va !\n");
  EXPECT_THAT(Read(Path("open")),
              StatusIs(kInvalid, AllOf(HasSubstr("data.pairs.source"), HasSubstr("en, fr"))));
  options_.pairs.source = "en";
  options_.pairs.target = "fr";
  Write("uneven/train.en", "Go.\nRun!\n");
  Write("uneven/train.fr", "Va !\n");
  EXPECT_THAT(Read(Path("uneven")), StatusIs(kInvalid, AllOf(HasSubstr("train.en: has 2 lines"),
                                                             HasSubstr("train.fr has 1"))));
  Write("alone/train.en", "Go.\n");
  Write("alone/train.fr", "Va !\n");
  Write("alone/test.fr", "Va !\n");
  EXPECT_THAT(Read(Path("alone")), StatusIs(kInvalid, AllOf(HasSubstr("test.fr stands alone"),
                                                            HasSubstr("test.en is missing"))));
  Write("twice/train.en", "Go.\n");
  Write("twice/train.fr", "Va !\n");
  Write("twice/training.en", "Go.\n");
  Write("twice/training.fr", "Va !\n");
  EXPECT_THAT(Read(Path("twice")), StatusIs(kInvalid, HasSubstr("the same part")));
  Write("torso/test.en", "Go.\n");
  Write("torso/test.fr", "Va !\n");
  EXPECT_THAT(Read(Path("torso")), StatusIs(kInvalid, HasSubstr("no training part")));
  Write("other/train.en", "Go.\n");
  Write("other/train.de", "Geh.\n");
  EXPECT_THAT(Read(Path("other")), StatusIs(kInvalid, HasSubstr("train.en stands alone")));
  Write("none/readme.md", "x");
  EXPECT_THAT(Read(Path("none")), StatusIs(kInvalid, HasSubstr("holds no sentence pairs")));
}

// --- What becomes of them.

TEST_F(SentencePairsData, BecomeTokensWithTheBeginAndTheEndOfTheTarget) {
  const auto data = LoadFile("p.txt", "a b\tx y y\nb\ty\n");
  ASSERT_THAT(data, IsOk());
  const SentencePairs& pairs = SentencePairsOf(data->dataset);
  const text::Tokenizer& sources = *data->preprocessing.text->tokenizer;
  const text::Tokenizer& targets = *data->preprocessing.target_text->tokenizer;
  EXPECT_EQ(sources.Decode(pairs.source(0)), "a b");
  const auto target = pairs.target(0);
  ASSERT_THAT(target, SizeIs(5));
  EXPECT_EQ(target[0], targets.special().begin);
  EXPECT_EQ(target[4], targets.special().end);
  EXPECT_EQ(targets.Decode(target.subspan(1, 3)), "x y y");
  const int32_t both[] = {0, 1};
  EXPECT_EQ(pairs.CountSourceTokens(both), 3);
  EXPECT_EQ(pairs.CountTargetTokens(both), 4 + 2);
}

TEST_F(SentencePairsData, HaveATokenizerForEachSideOfTheTrainingPartAlone) {
  options_.pairs.target_tokenizer = text::CharacterTokens();
  Write("train.txt", "a b\txyz\n");
  Write("test.txt", "a c\txw\n");
  const auto data = LoadPath(folder_);
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->preprocessing.text->tokenizer->size(), 3 + 2);
  EXPECT_EQ(data->preprocessing.target_text->tokenizer->size(), 3 + 3);
  EXPECT_EQ(data->report.test.tokens->unknown, 1);
  EXPECT_EQ(data->report.test.target_tokens->unknown, 1);
}

TEST_F(SentencePairsData, AreCleanedOnBothSides) {
  options_.pairs.cleaning = {.lower_case = true, .white_space = true};
  const auto data = LoadFile("p.txt", "Go  On\tVA\ngo on\tva\nstop\tarrête\n");
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->preprocessing.text->tokenizer->size(), 3 + 3);
  EXPECT_EQ(data->report.duplicates, 1);
  EXPECT_THAT(data->report.notes,
              AllOf(Contains("cleaning: lower_case changed 1 sources"),
                    Contains("cleaning: lower_case changed 1 targets"),
                    Contains("2 different source sentences have 3 translations")));
}

TEST_F(SentencePairsData, ThatAreCopiesLeaveWhereThatIsAsked) {
  options_.deduplicate = true;
  const auto data = LoadFile("p.txt", "a\tx\na\ty\na\tx\nb\tx\n");
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->splits.train, SizeIs(3));
  EXPECT_EQ(data->report.duplicates, 1);
  EXPECT_EQ(data->report.contradictions, 0);
}

TEST_F(SentencePairsData, WithASideWithoutWordsAreAnErrorOrLeave) {
  const std::string bytes = "a\tx\nb\t \n\ty\n";
  EXPECT_THAT(LoadFile("p.txt", bytes),
              StatusIs(kInvalid, AllOf(HasSubstr("line 2: the target is empty"),
                                       HasSubstr("line 3: the source is empty"),
                                       HasSubstr("data.pairs.drop_empty"))));
  options_.pairs.drop_empty = true;
  const auto data = LoadFile("p.txt", bytes);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->splits.train, SizeIs(1));
  ASSERT_THAT(data->report.dropped, SizeIs(1));
  EXPECT_EQ(data->report.dropped[0].count, 2);
}

TEST_F(SentencePairsData, WithBlankLinesBetweenAreAnErrorOrTheseLeave) {
  for (const auto& [name, bytes] : {std::pair("p.txt", "\na\tx\n \nb\ty\n\n"),
                                    std::pair("p.jsonl",
                                              "\n{\"source\": \"a\", \"target\": \"x\"}\n \n"
                                              "{\"source\": \"b\", \"target\": \"y\"}\n\n")}) {
    options_.pairs.drop_empty = false;
    EXPECT_THAT(LoadFile(name, bytes),
                StatusIs(kInvalid,
                         AllOf(HasSubstr("3 errors"), HasSubstr("line 1: is blank"),
                               HasSubstr("line 3: is blank"), HasSubstr("data.pairs.drop_empty"))));
    options_.pairs.drop_empty = true;
    const auto data = LoadFile(name, bytes);
    ASSERT_THAT(data, IsOk());
    EXPECT_THAT(SourcesIn(*data, data->splits.train), ElementsAre("a", "b"));
    EXPECT_EQ(data->report.dropped_examples(), 3);
  }
  EXPECT_THAT(LoadFile("p.txt", "\n \n"), StatusIs(kInvalid, HasSubstr("as all lines are")));
}

TEST_F(SentencePairsData, WithAHeadBelowABlankLineAreFoundByIt) {
  options_.pairs = {.source = "en", .target = "fr", .drop_empty = true};
  EXPECT_THAT(Shown(ReadFile("p.tsv", "\nfr\ten\nVa !\tGo.\n")), ElementsAre(" = ", "Go. = Va !"));
}

TEST_F(SentencePairsData, ThatAreTooLongLeaveBeforeAnythingIsLearned) {
  options_.pairs.max_source_tokens = 2;
  options_.pairs.max_target_tokens = 3;
  const auto data = LoadFile("p.txt", "a b\tx y z\na b c\tx\na\tx y z w\n");
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->splits.train, SizeIs(1));
  EXPECT_EQ(data->preprocessing.text->tokenizer->size(), 3 + 2);
  EXPECT_EQ(data->preprocessing.target_text->tokenizer->size(), 3 + 3);
  ASSERT_THAT(data->report.dropped, SizeIs(2));
  EXPECT_EQ(data->report.dropped[0].reason, "more than 2 tokens in the source");
  EXPECT_EQ(data->report.dropped[1].reason, "more than 3 tokens in the target");
  EXPECT_EQ(data->preprocessing.text->max_tokens, 0);
}

TEST_F(SentencePairsData, ThatAreTooLongAreCountedInCharactersWhereTheseAreTheTokens) {
  options_.pairs.source_tokenizer = text::CharacterTokens();
  options_.pairs.max_source_tokens = 3;
  const auto data = LoadFile("p.txt", "été\tx y z w\nhiver\tx\n");
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(SourcesIn(*data, data->splits.train), ElementsAre("été"));
}

TEST_F(SentencePairsData, BehindTheFirstShortOnesAreNotTakenWhereSoManyAreAsked) {
  options_.pairs.max_source_tokens = 2;
  options_.pairs.first = 2;
  const auto data = LoadFile("p.txt", "a\tx\na b c\tx\nb\ty\nc\tz\n");
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(SourcesIn(*data, data->splits.train), ElementsAre("a", "b"));
  EXPECT_THAT(data->report.notes, Contains("the first 2 of 3 pairs are taken (data.pairs.first)"));
}

TEST_F(SentencePairsData, OfOtherPartsAreAllTakenWhereTheFirstOnesAreAsked) {
  options_.pairs.first = 1;
  Write("train.txt", "a\tx\nb\ty\n");
  Write("test.txt", "a\tx\na b\tx y\n");
  const auto data = LoadPath(folder_);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->splits.train, SizeIs(1));
  EXPECT_THAT(data->splits.test, SizeIs(2));
}

TEST_F(SentencePairsData, OfOneSourceSentenceAreInOnePart) {
  options_.validation_fraction = 0.2;
  options_.test_fraction = 0.25;
  const auto data = LoadFile("p.txt", Many());
  ASSERT_THAT(data, IsOk());
  std::map<std::string, std::set<int>> parts;
  int part = 0;
  for (const auto* rows : {&data->splits.train, &data->splits.validation, &data->splits.test}) {
    for (const int32_t row : *rows) {
      parts[std::string(SentencePairsOf(data->dataset).source(row).size(), ' ') +
            absl::StrCat(SentencePairsOf(data->dataset).sentence(row))]
          .insert(part);
    }
    ++part;
  }
  EXPECT_THAT(parts, SizeIs(60));
  EXPECT_TRUE(std::ranges::all_of(parts, [](const auto& of) { return of.second.size() == 1; }));
  const SentencePairs& pairs = SentencePairsOf(data->dataset);
  const std::vector<int32_t> first = pairs.FirstOfEach(data->splits.test, 0);
  ASSERT_THAT(first, SizeIs(15));
  EXPECT_THAT(pairs.FirstOfEach(data->splits.test, 3), ElementsAre(first[0], first[5], first[10]));
  EXPECT_THAT(pairs.FirstOfEach(data->splits.validation, 0), SizeIs(9));
  EXPECT_EQ(data->splits.train.size() + data->splits.validation.size() + data->splits.test.size(),
            120u);
}

TEST_F(SentencePairsData, AreDrawnAsTheSeedSays) {
  options_.test_fraction = 0.25;
  const auto drawn = [&](uint64_t seed) {
    options_.seed = seed;
    return LoadFile("p.txt", Many()).value().splits.test;
  };
  EXPECT_EQ(drawn(1), drawn(1));
  EXPECT_NE(drawn(1), drawn(2));
}

TEST_F(SentencePairsData, AreLimitedByPairsOfWholeSentences) {
  options_.limit = 50;
  options_.validation_fraction = 0.2;
  const auto data = LoadFile("p.txt", Many());
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->splits.train.size() + data->splits.validation.size(), 50u);
  EXPECT_EQ(data->dataset.size(), 50);
  EXPECT_THAT(data->splits.validation, Not(IsEmpty()));
}

TEST_F(SentencePairsData, ToJudgeHaveAllTranslationsOfTheirSentenceAsReferences) {
  options_.pairs.cleaning.lower_case = true;
  Write("train.txt", "Go\tVa\nGo\tAllez\n");
  Write("test.txt", "Run\tCours\nRun\tCOURS\nWow\tÇa alors\nRun\tCourez\n");
  const auto data = LoadPath(folder_);
  ASSERT_THAT(data, IsOk());
  const SentencePairs& pairs = SentencePairsOf(data->dataset);
  const std::vector<int32_t> first = pairs.FirstOfEach(data->splits.test, 0);
  ASSERT_THAT(first, SizeIs(2));
  EXPECT_THAT(pairs.references(first[0]), ElementsAre("cours", "courez"));
  EXPECT_THAT(pairs.references(first[1]), ElementsAre("ça alors"));
  EXPECT_THAT(pairs.FirstOfEach(data->splits.test, 1), ElementsAre(first[0]));
  EXPECT_THAT(pairs.references(data->splits.train[0]), IsEmpty());
}

TEST_F(SentencePairsData, AreReadByAModelAsItWasTrained) {
  options_.pairs.cleaning.lower_case = true;
  options_.pairs.target_tokenizer = text::CharacterTokens();
  const LoadedData training = LoadFile("p.txt", "Go on\tVa\nStop\tArrête\n").value();
  options_.as = std::make_shared<const Preprocessing>(training.preprocessing);
  options_.pairs = {};
  const auto data = LoadFile("q.txt", "GO away\tVA\n");
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->preprocessing, training.preprocessing);
  EXPECT_THAT(SourcesIn(*data, data->splits.train), ElementsAre("go <unk>"));
  EXPECT_THAT(SentencePairsOf(data->dataset).references(0), ElementsAre("va"));
}

TEST_F(SentencePairsData, AreNotReadByAModelOfTexts) {
  auto texts = std::make_shared<Preprocessing>();
  texts->input = Preprocessing::Input::kText;
  texts->text = LoadFile("p.txt", "a\tb\n").value().preprocessing.text;
  options_.as = texts;
  EXPECT_THAT(LoadFile("q.txt", "a\tb\n"),
              StatusIs(kInvalid, HasSubstr("the model does not translate")));
}

TEST_F(SentencePairsData, LeaveBothTokenizersWithTheModel) {
  const LoadedData data = LoadFile("p.txt", "a b\tx y\n").value();
  const auto again = Preprocessing::FromJson(data.preprocessing.ToJson());
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(*again, data.preprocessing);
  ASSERT_TRUE(again->target_text.has_value());
  nlohmann::json damaged = data.preprocessing.ToJson();
  damaged["target_text"]["tokenizer"]["kind"] = "runes";
  EXPECT_THAT(Preprocessing::FromJson(damaged), StatusIs(kInvalid, HasSubstr("runes")));
}

TEST_F(SentencePairsData, AreDescribedOnBothSides) {
  const LoadedData data = LoadFile("p.txt", "a b\tx\na c\ty z w\n").value();
  const nlohmann::json train = data.report.ToJson().at("train");
  EXPECT_EQ(train.at("tokens").at("tokens"), 4);
  EXPECT_EQ(train.at("target_tokens").at("tokens"), 4);
  EXPECT_EQ(train.at("target_tokens").at("longest"), 3);
  EXPECT_THAT(data.report.notes,
              AllOf(Contains("the vocabulary of the sources has 6 tokens, that of the targets 7"),
                    Contains(HasSubstr("sources, training part: 4 tokens, 2.0 a text")),
                    Contains(HasSubstr("targets, training part: 4 tokens, 2.0 a text"))));
}

TEST_F(SentencePairsData, ThatAreOthersHaveAnotherFingerprint) {
  const std::string one = LoadFile("p.txt", "a\tx\nb\ty\n").value().fingerprint;
  EXPECT_EQ(LoadFile("q.txt", "a\tx\nb\ty\n").value().fingerprint, one);
  EXPECT_NE(LoadFile("q.txt", "a\ty\nb\tx\n").value().fingerprint, one);
}

TEST_F(SentencePairsData, AreNoOtherDataOfTheCatalogue) {
  options_.dataset = "iris";
  EXPECT_THAT(LoadSentencePairs(options_), StatusIs(kInvalid, HasSubstr("no sentence pairs")));
  options_.dataset = "tatoeba-eng-fra";
  EXPECT_THAT(Load(options_), StatusIs(kInvalid, HasSubstr("the task for it is translation")));
  options_.text.emplace();
  EXPECT_THAT(Load(options_), StatusIs(kInvalid, HasSubstr("the task for it is translation")));
}

TEST_F(SentencePairsData, OfTatoebaAreTheKnownOnes) {
  const std::string path = RealData("eng-fra/fra.txt.gz");
  HONE_NEEDS_REAL_DATA(path);
  options_.dataset = "tatoeba-eng-fra";
  options_.sources = SourcesFromEnvironment();
  options_.sources.cache_dir.clear();
  options_.test_fraction = 0.1;
  options_.pairs.max_source_tokens = 10;
  options_.pairs.max_target_tokens = 12;
  options_.limit = 2000;
  const auto data = LoadSentencePairs(options_);
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->report.examples_read, 142'787);
  EXPECT_THAT(data->splits.train, SizeIs(2000));
  EXPECT_LE(data->report.train.tokens->longest, 10);
  EXPECT_LE(data->report.test.target_tokens->longest, 12);
}

// The setting of client/examples/translation-gru.yaml.
TEST_F(SentencePairsData, OfTatoebaTheFirstOnesHave800SentencesToTest) {
  const std::string path = RealData("eng-fra/fra.txt.gz");
  HONE_NEEDS_REAL_DATA(path);
  options_.dataset = "tatoeba-eng-fra";
  options_.sources = SourcesFromEnvironment();
  options_.sources.cache_dir.clear();
  options_.validation_fraction = 0.02;
  options_.test_fraction = 0.0318;
  options_.pairs.cleaning = {
      .normalization = text::Normalization::kNfc, .lower_case = true, .white_space = true};
  options_.pairs.max_source_tokens = 10;
  options_.pairs.max_target_tokens = 12;
  options_.pairs.first = 40000;
  const auto data = LoadSentencePairs(options_);
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->splits.train.size() + data->splits.validation.size() + data->splits.test.size(),
            40'000u);
  EXPECT_THAT(SentencePairsOf(data->dataset).FirstOfEach(data->splits.test, 0), SizeIs(800));
}

}  // namespace
}  // namespace hone::engine::data
