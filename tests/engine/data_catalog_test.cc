#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>
#include <chrono>
#include <cstring>
#include <set>
#include <thread>

#include "absl/strings/match.h"
#include "engine/base/files.h"
#include "engine/data/catalog.h"
#include "engine/data/download.h"
#include "engine/data/generated_digits.h"
#include "tests/engine/data_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::data {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST(Catalog, NamesAreUniqueAndSumsWellFormed) {
  std::set<std::string> names;
  for (const CatalogEntry& entry : Catalog()) {
    EXPECT_TRUE(names.insert(entry.name).second) << entry.name;
    const bool local = entry.files.empty() || entry.files[0].url[0] == 0;
    EXPECT_EQ(local && !entry.generated, absl::StrContains(entry.description, "local mirror only"))
        << entry.name;
    for (const CatalogFile& file : entry.files) {
      EXPECT_EQ(std::strlen(file.sha256), 64u) << file.name;
      EXPECT_TRUE(file.url[0] == 0 || std::strncmp(file.url, "https://", 8) == 0) << file.url;
      EXPECT_THAT(file.url, AllOf(Not(HasSubstr("/master/")), Not(HasSubstr("/HEAD/"))));
      EXPECT_GT(file.bytes, 0);
    }
  }
  EXPECT_TRUE(names.contains("california-housing"));
}

TEST(Catalog, ListsItsNamesForAnUnknownOne) {
  EXPECT_THAT(Find("minst"), StatusIs(absl::StatusCode::kNotFound,
                                      AllOf(HasSubstr("'minst'"), HasSubstr("fashion-mnist"))));
}

TEST(Catalog, SumsAreThoseOfTheMirror) {
  const std::string root = RealData("mnist");
  HONE_NEEDS_REAL_DATA(root);
  for (const CatalogEntry& entry : Catalog()) {
    for (const CatalogFile& file : entry.files) {
      const std::string path = RealData(file.mirror);
      if (!path.empty()) {
        EXPECT_EQ(Sha256OfFile(path).value(), file.sha256) << path;
        EXPECT_EQ(static_cast<int64_t>(std::filesystem::file_size(path)), file.bytes) << path;
      }
    }
  }
}

// A data set of one file, made up here; libcurl reads file:// like a server.
class MaterialiseTest : public DataTest {
 protected:
  MaterialiseTest() {
    origin_ = "file://" + Write("origin", kBytes);
    files_[0].url = origin_.c_str();
    sources_.mirror_dir = Path("mirror");
    sources_.cache_dir = Path("cache");
    sources_.protocols = "file";
  }

  static constexpr char kBytes[] = "1,a\n2,b\n";
  std::string origin_;
  const std::string sha256_ = Sha256(kBytes);
  CatalogFile files_[1] = {{"set.csv", "tabular/set.csv", "", sha256_.c_str(), sizeof(kBytes) - 1}};
  CatalogEntry entry_ = {
      "set", "", "", files_, "tabular/set.csv", "set.csv", "", Task::kClassification, {}, false};
  Sources sources_;
};

TEST_F(MaterialiseTest, PrefersTheMirrorToTheCache) {
  Write("mirror/tabular/set.csv", kBytes);
  Write("cache/set/set.csv", kBytes);
  const auto found = Materialise(entry_, sources_);
  ASSERT_THAT(found, IsOk());
  EXPECT_EQ(found->path, Path("mirror/tabular/set.csv"));
  EXPECT_THAT(found->source, HasSubstr("local mirror"));
  EXPECT_THAT(found->notes, IsEmpty());
}

TEST_F(MaterialiseTest, SaysThatAFileOfTheMirrorIsNotTheKnownOne) {
  Write("mirror/tabular/set.csv", "1,a\n2,c\n");
  const auto found = Materialise(entry_, sources_);
  ASSERT_THAT(found, IsOk());
  EXPECT_THAT(found->notes, ElementsAre(AllOf(HasSubstr("set.csv"), HasSubstr(sha256_))));
}

TEST_F(MaterialiseTest, ANoteAboutTheMirrorStandsInTheDataReport) {
  Write("mirror/tabular/iris.csv", "1,2,a\n2,3,b\n2,4,a\n3,5,b\n2,6,a\n3,7,b\n");
  LoadOptions options;
  options.dataset = "iris";
  options.sources = sources_;
  const auto data = Load(options);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->report.notes, Contains(HasSubstr("iris.csv is not the iris")));
}

TEST_F(MaterialiseTest, TakesTheCacheWhereTheMirrorHasItNot) {
  Write("cache/set/set.csv", kBytes);
  sources_.offline = true;
  const auto found = Materialise(entry_, sources_);
  ASSERT_THAT(found, IsOk());
  EXPECT_EQ(found->path, Path("cache/set/set.csv"));
}

TEST_F(MaterialiseTest, ADamagedFileOfTheCacheIsBroughtAgain) {
  Write("cache/set/set.csv", "1,a\n2,");
  const auto found = Materialise(entry_, sources_);
  ASSERT_THAT(found, IsOk());
  EXPECT_EQ(ReadFile(Path("cache/set/set.csv")).value_or("none"), kBytes);
}

TEST_F(MaterialiseTest, ADamagedFileOfTheCacheIsNotUsedOffline) {
  Write("cache/set/set.csv", "1,a\n2,");
  sources_.offline = true;
  EXPECT_THAT(Materialise(entry_, sources_),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("set.csv is damaged")));
}

TEST_F(MaterialiseTest, AFileIsReadOnceForItsSum) {
  Write("cache/set/set.csv", kBytes);
  sources_.offline = true;
  ASSERT_THAT(Materialise(entry_, sources_), IsOk());
  // Damage that leaves size and time as they were is not seen: the file was not read again.
  const auto time = std::filesystem::last_write_time(Path("cache/set/set.csv"));
  Write("cache/set/set.csv", "1,a\n2,c\n");
  std::filesystem::last_write_time(Path("cache/set/set.csv"), time);
  EXPECT_THAT(Materialise(entry_, sources_), IsOk());
  std::filesystem::last_write_time(Path("cache/set/set.csv"), time + std::chrono::seconds(1));
  EXPECT_THAT(Materialise(entry_, sources_),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("damaged")));
}

TEST_F(MaterialiseTest, SeveralAtOnceShareOneDownload) {
  for (int round = 0; round < 20; ++round) {
    std::filesystem::remove_all(Path("cache"));
    std::vector<absl::Status> statuses(4);
    std::vector<std::thread> threads;
    for (absl::Status& status : statuses) {
      threads.emplace_back([&] { status = Materialise(entry_, sources_).status(); });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
    for (const absl::Status& status : statuses) {
      EXPECT_THAT(status, IsOk());
    }
  }
}

TEST_F(MaterialiseTest, AFailedDownloadIsToldFromDataThatIsNotThere) {
  std::filesystem::remove(Path("origin"));
  EXPECT_THAT(Materialise(entry_, sources_),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("file://")));
  files_[0].url = "";
  EXPECT_THAT(Materialise(entry_, sources_),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("cannot be downloaded")));
}

TEST_F(MaterialiseTest, SaysWhatWasTriedWhenNothingIsThere) {
  Sources sources;
  sources.mirror_dir = Path("mirror");
  sources.cache_dir = Path("cache");
  sources.offline = true;
  EXPECT_THAT(Materialise(**Find("iris"), sources),
              StatusIs(absl::StatusCode::kNotFound,
                       AllOf(HasSubstr("iris"), HasSubstr("local mirror does not have"),
                             HasSubstr("downloads are turned off"))));
}

TEST_F(MaterialiseTest, ReplacesMnistByGeneratedDigitsAndSaysSo) {
  LoadOptions options;
  options.dataset = "mnist";
  const auto data = Load(options);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->report.source, HasSubstr("generated digits instead of mnist"));
  EXPECT_EQ(data->report.train.examples, 60000);
  EXPECT_EQ(data->report.test.examples, 10000);
  EXPECT_EQ(data->report.test.class_counts, std::vector<int64_t>(10, 1000));
  const auto summary = Inspect(options);
  ASSERT_THAT(summary, IsOk());
  EXPECT_EQ(summary->train, 60000);
  EXPECT_EQ(summary->features, data->dataset.features());
}

// libcurl reads file:// like a server that can resume.
class DownloadTest : public DataTest {
 protected:
  DownloadTest() {
    Write("origin", bytes_);
    options_.sha256 = Sha256(bytes_);
    options_.max_bytes = static_cast<int64_t>(bytes_.size());
    options_.protocols = "file";
  }
  std::string Url() const { return "file://" + Path("origin"); }
  absl::Status Get() const { return Download(Url(), Path("copy"), options_); }
  std::string Copy() const { return ReadFile(Path("copy")).value_or("none"); }

  std::string bytes_ = std::string(100000, 'x') + "end";
  DownloadOptions options_;
};

TEST_F(DownloadTest, BringsTheFileAndLeavesNoPart) {
  ASSERT_THAT(Get(), IsOk());
  EXPECT_EQ(Copy(), bytes_);
  EXPECT_FALSE(std::filesystem::exists(Path("copy.part")));
}

TEST_F(DownloadTest, GoesOnWhereAnEarlierOneStopped) {
  // The first half that is there is right in sum only if it is not fetched again or appended twice.
  Write("copy.part", bytes_.substr(0, 50000));
  ASSERT_THAT(Get(), IsOk());
  EXPECT_EQ(Copy(), bytes_);
}

TEST_F(DownloadTest, RefusesAnotherSumAndRemovesThePart) {
  options_.sha256 = std::string(64, '0');
  EXPECT_THAT(Get(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("SHA-256")));
  EXPECT_FALSE(std::filesystem::exists(Path("copy")));
  EXPECT_FALSE(std::filesystem::exists(Path("copy.part")));
}

TEST_F(DownloadTest, RefusesMoreBytesThanExpected) {
  options_.max_bytes = 1000;
  EXPECT_THAT(Get(),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("more than the expected 1000")));
}

TEST_F(DownloadTest, TakesNoOtherProtocolThanAllowed) {
  options_.protocols = "https";
  EXPECT_THAT(Get(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("file://")));
}

TEST(GeneratedDigits, AreTheSameForTheSameSeedAndForAnyCount) {
  const DatasetParts few = GenerateDigits({.count = 30, .seed = 4});
  const DatasetParts more = GenerateDigits({.count = 50, .seed = 4});
  const DatasetParts other = GenerateDigits({.count = 30, .seed = 5});
  const auto same = [&](const DatasetParts& parts) {
    return std::memcmp(few.feature_values.data(), parts.feature_values.data(), 30 * 784) == 0;
  };
  EXPECT_TRUE(same(more));
  EXPECT_FALSE(same(other));
}

TEST(GeneratedDigits, ShowInkThatDiffersFromPictureToPicture) {
  const DatasetParts parts = GenerateDigits({.count = 100, .seed = 1});
  for (int64_t i = 0; i < 100; ++i) {
    const uint8_t* pixels = parts.feature_values.as<uint8_t>() + i * 784;
    const auto bright = std::count_if(pixels, pixels + 784, [](uint8_t p) { return p > 100; });
    EXPECT_GT(bright, 15) << i;
    EXPECT_LT(bright, 300) << i;
    if (i >= 10) {
      EXPECT_NE(std::memcmp(pixels, pixels - 7840, 784), 0) << i;
    }
  }
}

}  // namespace
}  // namespace hone::engine::data
