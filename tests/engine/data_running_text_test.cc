#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "engine/data/running_text.h"
#include "engine/data/running_text_files.h"
#include "tests/engine/data_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::data {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr int64_t kWindow = 8;

class RunningTextData : public DataTest {
 protected:
  RunningTextData() {
    options_.task = Task::kLanguageModeling;
    options_.text.emplace();
    options_.text->tokenizer = text::CharacterTokens();
    options_.validation_fraction = 0.1;
    options_.test_fraction = 0;
  }

  absl::StatusOr<LoadedData> LoadPath(const std::string& path, int64_t batch = 1) {
    options_.path = path;
    return LoadRunningText(options_, {.window = kWindow, .batch = batch});
  }
  absl::StatusOr<LoadedData> LoadText(const std::string& text, int64_t batch = 1) {
    return LoadPath(Write("text.txt", text), batch);
  }
  // 200 characters: 180 of a to i, then 20 of them again.
  static std::string Letters() {
    std::string text;
    for (int i = 0; i < 200; ++i) {
      text += static_cast<char>('a' + i * 7 % 9);
    }
    return text;
  }
  // What the rows foretell, one behind the other.
  static std::string Foretold(const LoadedData& data, const std::vector<int32_t>& rows) {
    std::vector<int32_t> tokens;
    for (const int32_t row : rows) {
      const auto behind = RunningTextOf(data.dataset).window(row, 0).subspan(1);
      tokens.insert(tokens.end(), behind.begin(), behind.end());
    }
    return data.preprocessing.text->tokenizer->Decode(tokens);
  }

  LoadOptions options_;
};

TEST_F(RunningTextData, ForetellsEachCharacterOfItsEndOnceToValidate) {
  const auto data = LoadText(Letters());
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(Foretold(*data, data->splits.validation), Letters().substr(181));
  const RunningText& text = RunningTextOf(data->dataset);
  EXPECT_THAT(data->splits.validation, SizeIs(3));
  EXPECT_EQ(text.length(data->splits.validation.back()), 19 - 2 * kWindow);
  EXPECT_EQ(text.CountTokens(data->splits.validation), 19);
  EXPECT_DOUBLE_EQ(text.CountBytes(data->splits.validation), 19);
}

TEST_F(RunningTextData, InStreamsForetellsEachCharacterOnceEachBehindTheOneBefore) {
  options_.path = Write("text.txt", Letters());
  const auto data =
      LoadRunningText(options_, {.window = kWindow, .batch = 7, .evaluation_streams = 3});
  ASSERT_THAT(data, IsOk());
  const RunningText& text = RunningTextOf(data->dataset);
  for (const auto& [part, rows, streams] :
       {std::tuple(0, data->splits.train, 7), std::tuple(1, data->splits.validation, 3)}) {
    EXPECT_EQ(text.CountTokens(rows),
              static_cast<int64_t>(text.part(static_cast<size_t>(part)).tokens.size()) - 1);
    std::map<int64_t, const int32_t*> ends;
    for (size_t i = 0; i < rows.size(); ++i) {
      const auto window = text.window(rows[i], /*epoch=*/3);
      const TextStreams::Window place = text.place(rows[i]);
      // Row i of a batch is stream i, and goes on where row i of the batch before ended.
      EXPECT_EQ(place.stream, static_cast<int64_t>(i) % streams);
      EXPECT_EQ(place.goes_on, ends.contains(place.stream));
      if (place.goes_on) {
        EXPECT_EQ(window.data(), ends[place.stream]);
      }
      ends[place.stream] = &window.back();
    }
  }
}

TEST_F(RunningTextData, RefusesMoreStreamsThanTheTextHasWindows) {
  options_.path = Write("text.txt", Letters());
  EXPECT_THAT(LoadRunningText(options_, {.window = 20, .batch = 9, .evaluation_streams = 1}),
              StatusIs(kInvalid, HasSubstr("training.batch_size")));
}

TEST_F(RunningTextData, OfUnequalBytesCountsThoseOfTheText) {
  options_.validation_fraction = 0;
  options_.test_fraction = 0.5;
  std::string text;
  for (int i = 0; i < 50; ++i) {
    text += "aé";
  }
  const auto data = LoadText(text);
  ASSERT_THAT(data, IsOk());
  EXPECT_NEAR(RunningTextOf(data->dataset).CountBytes(data->splits.test), 49 * 1.5, 1e-9);
}

TEST_F(RunningTextData, DrawsNoWindowThatReachesIntoTheValidation) {
  const auto data =
      LoadText(std::string(90, 'a') + "b" + std::string(89, 'a') + std::string(20, 'c'));
  ASSERT_THAT(data, IsOk());
  const RunningText& text = RunningTextOf(data->dataset);
  for (int64_t epoch = 0; epoch < 50; ++epoch) {
    for (const int32_t row : data->splits.train) {
      const auto window = text.window(row, epoch);
      ASSERT_THAT(window, SizeIs(kWindow + 1));
      ASSERT_THAT(std::vector<int32_t>(window.begin(), window.end()), Each(::testing::Gt(0)));
    }
  }
}

TEST_F(RunningTextData, HasTokensForItsTrainingPartAlone) {
  const auto data =
      LoadText(std::string(90, 'a') + "b" + std::string(89, 'a') + std::string(20, 'c'));
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->preprocessing.text->tokenizer->size(), 3 + 2);
  EXPECT_EQ(data->report.validation.tokens->unknown, 20);
}

TEST_F(RunningTextData, DrawsAllPlacesAndOtherOnesInEachEpoch) {
  const auto data = LoadText(Letters());
  ASSERT_THAT(data, IsOk());
  const RunningText& text = RunningTextOf(data->dataset);
  const int32_t* const first = text.part(0).tokens.data();
  std::set<int64_t> begins;
  for (int64_t epoch = 0; epoch < 200; ++epoch) {
    for (const int32_t row : data->splits.train) {
      begins.insert(text.window(row, epoch).data() - first);
    }
  }
  EXPECT_EQ(*begins.begin(), 0);
  EXPECT_EQ(*begins.rbegin(), 180 - kWindow - 1);
  EXPECT_THAT(begins, SizeIs(180 - kWindow));
}

TEST_F(RunningTextData, DrawsTheSameForTheSameSeedAlone) {
  const auto drawn = [&](uint64_t seed) {
    options_.seed = seed;
    const LoadedData data = LoadText(Letters()).value();
    return Foretold(data, data.splits.train);
  };
  EXPECT_EQ(drawn(1), drawn(1));
  EXPECT_NE(drawn(1), drawn(2));
}

TEST_F(RunningTextData, HasWholeBatchesOfWindowsInAnEpoch) {
  const auto data = LoadText(Letters(), 10);  // 23 windows one behind the other
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->splits.train, SizeIs(30));
}

TEST_F(RunningTextData, IsReadInOrderByAModel) {
  const LoadedData training = LoadText(Letters()).value();
  options_.as = std::make_shared<const Preprocessing>(training.preprocessing);
  options_.validation_fraction = 0;
  const auto data = LoadText("abcabcabcx");
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(Foretold(*data, data->splits.train), "bcabcabc<unk>");
  EXPECT_EQ(data->preprocessing, training.preprocessing);
}

TEST_F(RunningTextData, IsCleanedBeforeItIsDivided) {
  options_.text->cleaning.lower_case = true;
  const auto data = LoadText("ABABABABABABABABABAB");
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->preprocessing.text->tokenizer->size(), 3 + 2);
  EXPECT_THAT(data->report.notes, Contains("cleaning: lower_case changed the text"));
}

TEST_F(RunningTextData, OfWordsIsDividedToo) {
  options_.text->tokenizer = text::WordTokens();
  std::string text;
  for (int i = 0; i < 200; ++i) {
    absl::StrAppend(&text, "word", i % 7, " ");
  }
  const auto data = LoadText(text);
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->preprocessing.text->tokenizer->size(), 3 + 7);
  EXPECT_EQ(data->report.train.tokens->tokens, 180);
}

TEST_F(RunningTextData, InAFolderIsItsFilesInTheOrderOfTheirNames) {
  Write("set/b.txt", "third\n");
  Write("set/a/2.txt", "second");
  Write("set/a/1.txt.gz", Gzip("first\n"));
  Write("set/README.md", "no part of it");
  const auto text = ReadRunningText(Path("set"), TextOptions::Encoding::kUtf8);
  ASSERT_THAT(text, IsOk());
  EXPECT_THAT(text->texts, ElementsAre("first\nsecond\nthird\n", "", ""));
  EXPECT_EQ(text->files, 3);
  EXPECT_EQ(text->files_left_out, 1);
}

TEST_F(RunningTextData, InPartsKeepsThem) {
  Write("set/train.txt", Letters());
  Write("set/valid.txt", "abcabc");
  Write("set/test.txt", "cba");
  Write("set/notes.txt", "no part of it");
  const auto data = LoadPath(Path("set"));
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(Foretold(*data, data->splits.validation), "bcabc");
  EXPECT_EQ(Foretold(*data, data->splits.test), "ba");
  EXPECT_EQ(data->report.train.tokens->tokens, 200);
}

TEST_F(RunningTextData, ThatCannotBeLearnedFromSaysWhy) {
  EXPECT_THAT(LoadText(""), StatusIs(kInvalid, HasSubstr("is empty")));
  EXPECT_THAT(LoadText("abcdefgh"),
              StatusIs(kInvalid, AllOf(HasSubstr("has 7 tokens"), HasSubstr("one window of 8"))));
  EXPECT_THAT(LoadText(std::string(100, 'a')), StatusIs(kInvalid, HasSubstr("nothing to learn")));
  EXPECT_THAT(LoadText("fine\ncaf\xe9 and more of it"),
              StatusIs(kInvalid, AllOf(HasSubstr("text.txt"), HasSubstr("line 2 is not UTF-8"))));
  EXPECT_THAT(LoadText("abcdefghij"),
              StatusIs(kInvalid, HasSubstr("the validation part is one token alone")));
  EXPECT_THAT(LoadPath(Path("nowhere")),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("nowhere")));
  Write("empty/readme.md", "x");
  EXPECT_THAT(LoadPath(Path("empty")), StatusIs(kInvalid, HasSubstr("no .txt file")));
  Write("torso/test.txt", "x");
  EXPECT_THAT(LoadPath(Path("torso")), StatusIs(kInvalid, HasSubstr("no train.txt")));
  Write("twice/train.txt", "x");
  Write("twice/training.txt", "x");
  EXPECT_THAT(LoadPath(Path("twice")), StatusIs(kInvalid, HasSubstr("the same part")));
}

TEST_F(RunningTextData, IsNoTextWithLabels) {
  options_.dataset = "tiny-shakespeare";
  options_.task = Task::kClassification;
  EXPECT_THAT(Load(options_), StatusIs(kInvalid, HasSubstr("language_modeling")));
  options_.dataset = "iris";
  EXPECT_THAT(LoadRunningText(options_, {}), StatusIs(kInvalid, HasSubstr("no running text")));
}

TEST_F(RunningTextData, OfShakespeareIsTheKnownOne) {
  const std::string path = RealData("tinyshakespeare/input.txt");
  HONE_NEEDS_REAL_DATA(path);
  options_.path = path;
  const auto data = LoadRunningText(options_, {.window = 64, .batch = 12});
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->preprocessing.text->tokenizer->size(), 3 + 65);
  EXPECT_EQ(data->report.train.tokens->tokens, 1'003'854);
  EXPECT_EQ(data->report.validation.tokens->tokens, 111'540);
  EXPECT_THAT(data->splits.validation, SizeIs(1743));
}

}  // namespace
}  // namespace hone::engine::data
