#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"
#include "engine/data/sentence_pairs.h"
#include "tests/engine/data_testing.h"
#include "tests/support/status_matchers.h"

// What is left out of pairs of sentences because others are like them, and what of the rest the
// training changes.
namespace hone::engine::data {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

class PairChanges : public DataTest {
 protected:
  PairChanges() {
    options_.task = Task::kTranslation;
    options_.test_fraction = 0;
    options_.path = folder_;
  }
  absl::StatusOr<LoadedData> LoadFile(const std::string& lines) {
    options_.path = Write("p.txt", lines);
    return LoadSentencePairs(options_);
  }
  // The targets of these rows, as their tokens say.
  static std::vector<std::string> TargetsIn(const LoadedData& data,
                                            const std::vector<int32_t>& rows) {
    std::vector<std::string> texts;
    for (const int32_t row : rows) {
      const std::span<const int32_t> target = SentencePairsOf(data.dataset).target(row);
      texts.push_back(
          data.preprocessing.target_text->tokenizer->Decode(target.subspan(1, target.size() - 2)));
    }
    return texts;
  }

  LoadOptions options_;
};

// The second pair has a capital and a word more than the first; the third has the first one's
// source, and says something else.
constexpr char kTold[] =
    "he told an old story about nothing at all\tune vieille histoire sur rien du tout\n"
    "He told an old story about nothing at all\tune vieille histoire sur rien du tout ici\n"
    "he told an old story about nothing at all\til parlait longtemps de choses et autres\n";

TEST_F(PairChanges, ThatAreNearCopiesAsWholePairsLeaveAndAreNamed) {
  options_.pairs.near_copies = 0.8;
  const auto data = LoadFile(kTold);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(TargetsIn(*data, data->splits.train),
              ElementsAre("une vieille histoire sur rien du tout",
                          "il parlait longtemps de choses et autres"));
  ASSERT_THAT(data->report.dropped, SizeIs(1));
  EXPECT_EQ(data->report.dropped[0].reason, "near copy of another pair");
  EXPECT_THAT(data->report.dropped[0].first[0].ToString(),
              AllOf(HasSubstr("line 2"), HasSubstr("line 1")));
}

TEST_F(PairChanges, OfNearCopiesTheLongestStaysWhereThatIsWanted) {
  options_.pairs.near_copies = 0.8;
  options_.pairs.keep = TextOptions::Keep::kLongest;
  const auto data = LoadFile(kTold);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(TargetsIn(*data, data->splits.train),
              ElementsAre("une vieille histoire sur rien du tout ici",
                          "il parlait longtemps de choses et autres"));
}

TEST_F(PairChanges, OfATestPartThatAreNearCopiesOfTrainingPairsLeave) {
  Write("train.txt", "he told an old story about nothing\tune vieille histoire sur rien\n");
  Write("test.txt",
        "he told an old story about nothing\tune vieille histoire sur rien ici\na\tb\n");
  options_.pairs.near_copies = 0.8;
  options_.pairs.keep = TextOptions::Keep::kLongest;
  const auto data = LoadSentencePairs(options_);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->splits.train, SizeIs(1));
  EXPECT_THAT(data->splits.test, SizeIs(1));
}

TEST_F(PairChanges, ThatAreNearCopiesStayWhereNobodyAsks) {
  EXPECT_THAT(LoadFile(kTold)->splits.train, SizeIs(3));
}

TEST_F(PairChanges, ThatAreExactCopiesAreCountedOfEachPartAndAcrossThem) {
  Write("train.txt", "a\tx\na\tx\nb\ty\n");
  Write("test.txt", "b\ty\nc\tz\n");
  const auto data = LoadSentencePairs(options_);
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->report.duplicates, 1);
  EXPECT_EQ(data->report.duplicates_across_parts, 1);
  EXPECT_EQ(data->report.dropped_examples(), 0);
}

TEST_F(PairChanges, OfTheSourcesAreToldOfTheFirstEpoch) {
  options_.pairs.augmentation.unknown = 0.9f;
  std::string lines;
  for (int i = 0; i < 50; ++i) {
    absl::StrAppend(&lines, "s", i, " a\tt", i, "\n");
  }
  const auto data = LoadFile(lines);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->report.notes,
              Contains(AllOf(HasSubstr("augmentation of the training part, in its first epoch"),
                             HasSubstr(" tokens, 0 are left out"))));
  // The data themselves are as they were.
  EXPECT_EQ(data->report.train.tokens->unknown, 0);
}

TEST_F(PairChanges, OfAModelThatReadsThemAreNone) {
  const LoadedData training = LoadFile("a b\tx\n").value();
  options_.as = std::make_shared<const Preprocessing>(training.preprocessing);
  options_.pairs.augmentation.swap = 0.5f;
  EXPECT_THAT(LoadFile("a b\tx\n")->report.notes, Not(Contains(HasSubstr("augmentation"))));
}

TEST_F(PairChanges, OfOneSentenceAloneLeaveItToTheTraining) {
  options_.validation_fraction = 0.1;
  options_.test_fraction = 0.1;
  const auto data = LoadFile("a\tx\na\ty\n");
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->splits.train, SizeIs(2));
  options_.validation_fraction = 0.5;
  EXPECT_THAT(LoadFile("a\tx\na\ty\n"), StatusIs(absl::StatusCode::kInvalidArgument,
                                                 HasSubstr("nothing is left to train on")));
}

}  // namespace
}  // namespace hone::engine::data
