#include <archive.h>
#include <archive_entry.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "engine/base/rng.h"
#include "engine/data/catalog.h"
#include "engine/data/generated_ratings.h"
#include "engine/data/ratings.h"
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
using ::testing::IsEmpty;
using ::testing::SizeIs;

using Split = RatingOptions::Split;

constexpr char kFew[] =
    "user,item,stars,when,title\n"
    "ann,9,5,1,Nine\n"
    "ann,10,4,2,Ten\n"
    "bob,9,2,3,Nine\n"
    "bob,10,3,4,\n"
    "cid,11,1,5,Eleven\n"
    "cid,9,4,6,Nine\n";

class RatingsData : public DataTest {
 protected:
  RatingsData() {
    options_.task = Task::kRecommendation;
    options_.test_fraction = 0;
  }
  absl::StatusOr<LoadedData> LoadText(const std::string& text) {
    options_.path = Write("ratings.csv", text);
    return LoadRatings(options_);
  }
  static const Ratings& Of(const absl::StatusOr<LoadedData>& data) {
    return static_cast<const Ratings&>(*data->dataset.own());
  }
  // "ann 9" of each row of a part.
  static std::vector<std::string> Pairs(const LoadedData& data, const std::vector<int32_t>& rows) {
    const auto& ratings = static_cast<const Ratings&>(*data.dataset.own());
    const auto id = [](const std::vector<std::string>& ids, int32_t number) {
      return number < 0 ? std::string("?") : ids[static_cast<size_t>(number)];
    };
    std::vector<std::string> pairs;
    for (const int32_t row : rows) {
      pairs.push_back(absl::StrCat(id(ratings.index().users, ratings.user(row)), " ",
                                   id(ratings.index().items, ratings.item(row))));
    }
    return pairs;
  }
  // A zip archive of these files.
  std::string Zip(const std::vector<std::pair<std::string, std::string>>& files) const {
    const std::string path = Path("archive.zip");
    archive* out = archive_write_new();
    archive_write_set_format_zip(out);
    EXPECT_EQ(archive_write_open_filename(out, path.c_str()), ARCHIVE_OK);
    for (const auto& [name, bytes] : files) {
      archive_entry* entry = archive_entry_new();
      archive_entry_set_pathname(entry, name.c_str());
      archive_entry_set_size(entry, static_cast<la_int64_t>(bytes.size()));
      archive_entry_set_filetype(entry, AE_IFREG);
      archive_write_header(out, entry);
      archive_write_data(out, bytes.data(), bytes.size());
      archive_entry_free(entry);
    }
    archive_write_close(out);
    archive_write_free(out);
    return path;
  }

  LoadOptions options_;
};

TEST_F(RatingsData, AreNumberedInTheOrderOfTheirIds) {
  const auto data = LoadText(kFew);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(Of(data).index().users, ElementsAre("ann", "bob", "cid"));
  EXPECT_THAT(Of(data).index().items, ElementsAre("9", "10", "11"));  // by size, not by letters
  EXPECT_THAT(Pairs(*data, data->splits.train),
              ElementsAre("ann 9", "ann 10", "bob 9", "bob 10", "cid 11", "cid 9"));
  EXPECT_EQ(Of(data).value(4), 1);
}

TEST_F(RatingsData, TakesTheColumnsThatTheOptionsName) {
  options_.ratings = {.user = "title", .item = "item", .rating = "when"};
  const auto data = LoadText(kFew);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(Of(data).index().users, ElementsAre("Eleven", "Nine", "Ten"));
  EXPECT_EQ(Of(data).value(1), 2);
  EXPECT_THAT(data->report.dropped, SizeIs(1));  // bob's film has no title
}

TEST_F(RatingsData, KeepsTheNamesOfItems) {
  options_.ratings.name = "title";
  const auto data = LoadText(kFew);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(Of(data).index().item_names, ElementsAre("Nine", "Ten", "Eleven"));
}

TEST_F(RatingsData, OfTwoColumnsCountOneEach) {
  options_.ratings.values_count = false;
  const auto data = LoadText("user,item\nann,x1\nbob,x1\nann,x2\n");
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(Of(data).value(0), 1);
}

TEST_F(RatingsData, AColumnThatIsMissingIsNamed) {
  options_.ratings.rating = "score";
  EXPECT_THAT(LoadText(kFew),
              StatusIs(kInvalid, AllOf(HasSubstr("ratings.csv"), HasSubstr("'score'"),
                                       HasSubstr("data.ratings.rating"), HasSubstr("user, item"))));
}

TEST_F(RatingsData, AColumnCannotBeTwoThings) {
  options_.ratings.user = "item";
  EXPECT_THAT(LoadText(kFew), StatusIs(kInvalid, HasSubstr("'item' is taken twice")));
}

TEST_F(RatingsData, ANegativeIdAmongNumbersIsAnErrorWithItsLine) {
  options_.ratings.ids = RatingOptions::Ids::kNumbers;
  EXPECT_THAT(LoadText("u,i,r\n1,2,3\n-4,2,5\n3,x,1\n"),
              StatusIs(kInvalid, AllOf(HasSubstr("line 3, column 'u': '-4' is no id"),
                                       HasSubstr("line 4, column 'i': 'x'"))));
}

TEST_F(RatingsData, ANegativeIdWhereAllAreNumbersIsAnErrorWithItsLineAndColumn) {
  EXPECT_THAT(LoadText("u,i,r\n1,2,3\n-4,2,5\n3,-1,1\n"),
              StatusIs(kInvalid, AllOf(HasSubstr("line 3, column 'u': the id '-4' is negative"),
                                       HasSubstr("line 4, column 'i': the id '-1' is negative"),
                                       HasSubstr("`data.ratings.ids: TEXT` takes it"))));
}

TEST_F(RatingsData, ANegativeNumberAmongWordsIsAnId) {
  EXPECT_THAT(LoadText("u,i,r\nann,2,3\n-4,2,5\n-4,1,1\n"), IsOk());
}

TEST_F(RatingsData, ANegativeIdIsTakenAsText) {
  options_.ratings.ids = RatingOptions::Ids::kText;
  const auto data = LoadText("u,i,r\n1,2,3\n-4,2,5\n3,1,1\n");
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(Of(data).index().users, ElementsAre("1", "3", "-4"));
}

TEST_F(RatingsData, IdsThatAreNumbersHaveOneSpelling) {
  options_.ratings.ids = RatingOptions::Ids::kNumbers;
  const auto data = LoadText("u,i,r\n07,1,3\n7,2,4\n8,1,5\n");
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(Of(data).index().users, ElementsAre("7", "8"));
}

TEST_F(RatingsData, OfOneUserAloneTeachNothing) {
  EXPECT_THAT(LoadText("u,i,r\nann,a,1\nann,b,2\n"),
              StatusIs(kInvalid, HasSubstr("of one user, 'ann'")));
  EXPECT_THAT(LoadText("u,i,r\nann,a,1\nbob,a,2\n"),
              StatusIs(kInvalid, HasSubstr("of one item, 'a'")));
}

TEST_F(RatingsData, ThatAreAllEqualTeachNothingWhereValuesCount) {
  constexpr char kEqual[] = "u,i,r\nann,a,4\nann,b,4\nbob,a,4\n";
  EXPECT_THAT(LoadText(kEqual),
              StatusIs(kInvalid, AllOf(HasSubstr("all 3 ratings are 4"), HasSubstr("IMPLICIT"))));
  options_.ratings.values_count = false;
  EXPECT_THAT(LoadText(kEqual), IsOk());
}

TEST_F(RatingsData, ARatingThatIsNoNumberIsAnErrorWithItsLine) {
  EXPECT_THAT(LoadText("u,i,r\nann,a,4\nann,b,good\nbob,a,1\n"),
              StatusIs(kInvalid, HasSubstr("line 3, column 'r': 'good' is not a number")));
}

TEST_F(RatingsData, RowsWithoutARatingAreLeftOutAndCounted) {
  const auto data = LoadText("u,i,r\nann,a,4\nann,b,\nbob,c,1\n,a,1\n");
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->dataset.size(), 2);
  EXPECT_EQ(data->report.dropped_examples(), 2);
}

TEST_F(RatingsData, BelowTheLeastAreLeftOut) {
  options_.ratings.at_least = 3;
  const auto data = LoadText(kFew);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(Pairs(*data, data->splits.train), ElementsAre("ann 9", "ann 10", "bob 10", "cid 9"));
}

TEST_F(RatingsData, ByTimeTheLatestAreTheTest) {
  options_.ratings.time = "when";
  options_.ratings.split = Split::kByTime;
  options_.test_fraction = options_.validation_fraction = 0.34;
  const auto data = LoadText(kFew);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->splits.test, ElementsAre(4, 5));
  EXPECT_THAT(data->splits.validation, ElementsAre(3));
  EXPECT_THAT(data->splits.train, ElementsAre(0, 1, 2));
  options_.ratings.time = "";
  EXPECT_THAT(LoadText(kFew), StatusIs(kInvalid, HasSubstr("data.ratings.time")));
}

TEST_F(RatingsData, LeavingOneOutTakesTheLatestOfEachUser) {
  options_.ratings.time = "when";
  options_.ratings.split = Split::kLeaveOneOut;
  options_.test_fraction = 0.2;
  const auto data = LoadText(kFew);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->splits.test, ElementsAre(1, 3, 5));
  EXPECT_EQ(data->splits.train.size(), 3u);
}

TEST_F(RatingsData, LeavingOneOutWithoutTimesFollowsTheSeed) {
  options_.ratings.split = Split::kLeaveOneOut;
  options_.test_fraction = 0.2;
  std::set<std::vector<int32_t>> tests;
  for (options_.seed = 1; options_.seed < 20; ++options_.seed) {
    const auto data = LoadText(kFew);
    ASSERT_THAT(data, IsOk());
    EXPECT_EQ(LoadText(kFew)->splits.test, data->splits.test);
    tests.insert(data->splits.test);
  }
  EXPECT_GT(tests.size(), 3u);
}

TEST_F(RatingsData, AFractionThatIsNoneIsRefusedHoweverTheyAreDivided) {
  options_.ratings.time = "when";
  for (const Split split : {Split::kRandom, Split::kByTime, Split::kLeaveOneOut}) {
    options_.ratings.split = split;
    options_.test_fraction = 1.5;
    options_.validation_fraction = 0;
    EXPECT_THAT(LoadText(kFew), StatusIs(kInvalid, HasSubstr("test_fraction is 1.5")));
    options_.test_fraction = 0;
    options_.validation_fraction = -0.5;
    EXPECT_THAT(LoadText(kFew), StatusIs(kInvalid, HasSubstr("validation_fraction is -0.5")));
  }
}

TEST_F(RatingsData, FiveFoldsTestEachRatingOnce) {
  options_.dataset = "generated-ratings";
  options_.fold_count = 5;
  std::vector<int32_t> tested;
  for (options_.fold_index = 1; options_.fold_index <= 5; ++options_.fold_index) {
    const auto data = LoadRatings(options_);
    ASSERT_THAT(data, IsOk());
    tested.insert(tested.end(), data->splits.test.begin(), data->splits.test.end());
  }
  std::ranges::sort(tested);
  EXPECT_EQ(tested.size(), 100000u);
  EXPECT_TRUE(std::ranges::adjacent_find(tested) == tested.end());
}

TEST_F(RatingsData, AUserWithOneRatingKeepsItForTraining) {
  options_.ratings.split = Split::kLeaveOneOut;
  options_.test_fraction = 0.2;
  const auto data = LoadText("u,i,r\nann,a,1\nbob,a,2\nbob,b,3\n");
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->splits.test.size(), 1u);
  EXPECT_EQ(Pairs(*data, data->splits.train)[0], "ann a");
}

TEST_F(RatingsData, UsersOfTheTestPartAloneAreColdAndSaidToBe) {
  options_.ratings.time = "when";
  options_.ratings.split = Split::kByTime;
  options_.test_fraction = 0.34;
  const auto data = LoadText(kFew);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(Of(data).index().users, ElementsAre("ann", "bob"));
  EXPECT_THAT(Pairs(*data, data->splits.test), ElementsAre("? ?", "? 9"));
  EXPECT_THAT(data->report.notes, Contains(HasSubstr("2 of 2 test ratings are of users or items")));
}

TEST_F(RatingsData, GuessesByTheMeanOfTheSideThatIsKnown) {
  const auto data = LoadText(kFew);
  ASSERT_THAT(data, IsOk());
  const RatingIndex& index = Of(data).index();
  const double mean = 19.0 / 6;
  EXPECT_NEAR(index.Guess(-1, -1), mean, 1e-6);
  // Item 9 has 5, 2 and 4; item 11 has 1.
  EXPECT_NEAR(index.Guess(-1, 0), mean + (11 - 3 * mean) / (3 + 5), 1e-6);
  EXPECT_NEAR(index.Guess(-1, 2), mean + (1 - mean) / (1 + 5), 1e-6);
  EXPECT_NEAR(index.Guess(0, -1), mean + (9 - 2 * mean) / (2 + 5), 1e-6);
}

TEST_F(RatingsData, CopiesAreDroppedWhereThatIsWanted) {
  options_.deduplicate = true;
  const auto data = LoadText("u,i,r\nann,a,1\nbob,b,2\nann,a,1\nann,a,3\n");
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->splits.train.size(), 3u);
  EXPECT_EQ(data->report.duplicates, 1);
  EXPECT_EQ(data->report.contradictions, 1);
}

TEST_F(RatingsData, AFingerprintTellsOtherRatings) {
  const std::string first = LoadText(kFew)->fingerprint;
  EXPECT_EQ(LoadText(kFew)->fingerprint, first);
  EXPECT_NE(LoadText(std::string(kFew) + "cid,10,3,7,Ten\n")->fingerprint, first);
}

TEST_F(RatingsData, AnIndexComesBackFromItsText) {
  options_.ratings.name = "title";
  const auto data = LoadText(kFew);
  ASSERT_THAT(data, IsOk());
  const RatingIndex& was = Of(data).index();
  const auto is = RatingIndex::FromJson(data->preprocessing.own);
  ASSERT_THAT(is, IsOk());
  EXPECT_EQ(is->ToJson(), was.ToJson());
  EXPECT_EQ(is->rated, was.rated);
  EXPECT_THAT(is->RatedBy(2), ElementsAre(0, 2));
  EXPECT_TRUE(is->HasRated(0, 1));
  EXPECT_FALSE(is->HasRated(0, 2));
  EXPECT_EQ(is->FindItem("11"), 2);
  EXPECT_EQ(is->FindItem("12"), -1);
}

TEST_F(RatingsData, AnIndexThatLiesIsRefused) {
  const auto data = LoadText(kFew);
  ASSERT_THAT(data, IsOk());
  const std::string text = data->preprocessing.own;
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string other = text;
    const size_t at = other.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return other.replace(at, from.size(), to);
  };
  for (const std::string& wrong :
       {with(R"("cid")", R"("ace")"), with(R"("rated":")", R"("rated":"////)"),
        with(R"("rated":")", R"("rated":"AAAA)"), with(R"("version":1)", R"("version":2)"),
        with(R"("item_counts":[)", R"("item_counts":[7,)"), std::string("[]")}) {
    EXPECT_THAT(RatingIndex::FromJson(wrong), StatusIs(kInvalid, HasSubstr("ratings"))) << wrong;
  }
}

TEST_F(RatingsData, AMovieLensArchiveIsReadWithItsTitles) {
  options_.path = Zip({{"ml-100k/README", "not read"},
                       {"ml-100k/u.item",
                        "1|Toy Story (1995)|01-Jan-1995||http\n"
                        "20|Caf\xe9|x\n"},
                       {"ml-100k/u.data",
                        "196\t20\t3\t881250949\n186\t1\t5\t891717742\n"
                        "196\t1\t4\t881250950\n"}});
  options_.ratings.split = Split::kByTime;
  options_.test_fraction = 0.34;
  const auto data = LoadRatings(options_);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(Of(data).index().item_names, ElementsAre("Toy Story (1995)", "Café"));
  EXPECT_THAT(Pairs(*data, data->splits.test), ElementsAre("? 1"));
}

TEST_F(RatingsData, TheLargerMovieLensHasOtherBorders) {
  options_.path = Zip({{"ml-1m/movies.dat", "1193::One Flew (1975)::Drama\n661::James::Musical\n"},
                       {"ml-1m/ratings.dat",
                        "1::1193::5::978300760\n1::661::3::978302109\n"
                        "2::661::4::978302110\n"}});
  const auto data = LoadRatings(options_);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(Of(data).index().items, ElementsAre("661", "1193"));
  EXPECT_THAT(Of(data).index().item_names, ElementsAre("James", "One Flew (1975)"));
}

TEST_F(RatingsData, AnotherArchiveIsRefusedWithTheFilesThatAreRead) {
  options_.path = Zip({{"u.data", "1\t2\t3\t4\n"}});
  EXPECT_THAT(LoadRatings(options_), StatusIs(kInvalid, HasSubstr("ml-100k/u.data")));
  options_.path = Write("broken.zip", "PK no archive");
  EXPECT_THAT(LoadRatings(options_), StatusIs(kInvalid, HasSubstr("broken.zip")));
}

TEST_F(RatingsData, OfADamagedArchiveAreReadOrRefused) {
  const std::string path = Zip({{"ml-100k/u.data",
                                 "196\t20\t3\t881250949\n186\t1\t5\t891717742\n"
                                 "196\t1\t4\t881250950\n"}});
  const std::string good = ReadFile(path).value();
  RandomStream random(17, "zip");
  for (int round = 0; round < 300; ++round) {
    std::string bad = good;
    bad[static_cast<size_t>(random.NextBelow(bad.size()))] = static_cast<char>(random.NextBits());
    if (round % 3 == 0) {
      bad.resize(static_cast<size_t>(random.NextBelow(bad.size())) + 1);
    }
    options_.path = Write("archive.zip", bad);
    const auto data = LoadRatings(options_);
    if (!data.ok()) {
      EXPECT_TRUE(absl::IsInvalidArgument(data.status())) << round << data.status();
    }
  }
}

TEST_F(RatingsData, OfTheCatalogueAreFoundByTheTask) {
  options_.dataset = "iris";
  EXPECT_THAT(LoadRatings(options_), StatusIs(kInvalid, AllOf(HasSubstr("iris holds no ratings"),
                                                              HasSubstr("generated-ratings"))));
  options_.dataset = "generated-ratings";
  options_.task = Task::kClassification;
  EXPECT_THAT(Load(options_), StatusIs(kInvalid, HasSubstr("recommendation")));
}

TEST_F(RatingsData, GeneratedOnesAreTheSameEveryTimeAndHoldAPairOnce) {
  options_.dataset = "generated-ratings";
  const auto data = LoadRatings(options_), again = LoadRatings(options_);
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->fingerprint, again->fingerprint);
  EXPECT_EQ(data->dataset.size(), 100000);
  EXPECT_EQ(data->report.duplicates + data->report.contradictions, 0);
  EXPECT_EQ(Of(data).index().item_names[0], "Quiet Harbour");
}

TEST(GeneratedRatings, HaveTheFloorThatTheyPromise) {
  const GeneratedRatingsOptions options = {.noise = 0.5};
  const RatingRows rows = GenerateRatings(options);
  double noise = 0, value = 0, sum = 0;
  for (size_t row = 0; row < rows.values.size(); ++row) {
    noise += rows.noise[row] * rows.noise[row];
    sum += rows.values[row];
  }
  const auto count = static_cast<double>(rows.size());
  for (const float rating : rows.values) {
    value += std::pow(rating - sum / count, 2);
  }
  EXPECT_NEAR(std::sqrt(noise / count), options.noise, 0.01);
  EXPECT_NEAR(std::sqrt(value / count), std::sqrt(2 * 0.25 + 0.64 + 0.25), 0.15);
}

TEST_F(RatingsData, OfGeneratedOnesTheLowerAreLeftOutToo) {
  options_.dataset = "generated-ratings";
  options_.ratings.at_least = 4;
  const auto data = LoadRatings(options_);
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->dataset.size() + data->report.dropped_examples(), 100000);
  EXPECT_GE(Of(data).value(17), 4);
}

}  // namespace
}  // namespace hone::engine::data
