#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>
#include <cstring>
#include <set>

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
using ::testing::HasSubstr;

TEST(Catalog, NamesAreUniqueAndSumsWellFormed) {
  std::set<std::string> names;
  for (const CatalogEntry& entry : Catalog()) {
    EXPECT_TRUE(names.insert(entry.name).second) << entry.name;
    for (const CatalogFile& file : entry.files) {
      EXPECT_EQ(std::strlen(file.sha256), 64u) << file.name;
      EXPECT_TRUE(file.url[0] == 0 || std::strncmp(file.url, "https://", 8) == 0) << file.url;
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

class MaterialiseTest : public DataTest {};

TEST_F(MaterialiseTest, PrefersTheMirrorToTheCache) {
  Write("mirror/tabular/iris.csv", "1,a\n");
  Write("cache/iris/iris.csv", "2,b\n");
  Sources sources;
  sources.mirror_dir = Path("mirror");
  sources.cache_dir = Path("cache");
  sources.offline = true;
  const auto found = Materialise(**Find("iris"), sources);
  ASSERT_THAT(found, IsOk());
  EXPECT_EQ(found->path, Path("mirror/tabular/iris.csv"));
  EXPECT_THAT(found->source, HasSubstr("local mirror"));
}

TEST_F(MaterialiseTest, TakesTheCacheWhereTheMirrorHasItNot) {
  Write("cache/iris/iris.csv", "2,b\n");
  Sources sources;
  sources.mirror_dir = Path("mirror");
  sources.cache_dir = Path("cache");
  sources.offline = true;
  const auto found = Materialise(**Find("iris"), sources);
  ASSERT_THAT(found, IsOk());
  EXPECT_EQ(found->path, Path("cache/iris/iris.csv"));
}

TEST_F(MaterialiseTest, SaysWhatWasTriedWhenNothingIsThere) {
  Sources sources;
  sources.mirror_dir = Path("mirror");
  sources.cache_dir = Path("cache");
  sources.offline = true;
  EXPECT_THAT(Materialise(**Find("iris"), sources),
              StatusIs(absl::StatusCode::kUnavailable,
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
