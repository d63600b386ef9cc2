#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "engine/data/load.h"
#include "engine/image/image.h"
#include "tests/engine/data_testing.h"
#include "tests/engine/tar_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::data {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;

std::string Png(uint8_t value, int64_t channels = 1, int64_t size = 4) {
  return image::EncodePng(
             {channels, size, size,
              std::vector<uint8_t>(static_cast<size_t>(channels * size * size), value)})
      .value();
}

class Pictures : public DataTest {};

TEST_F(Pictures, TakeTheirClassFromTheirFolder) {
  Write("dog/b.png", Png(2));
  Write("cat/a.png", Png(1));
  Write("cat/c.png", Png(3));
  Write("LICENSE", "text");
  LoadOptions options = Options();
  options.test_fraction = 0;
  const auto data = Load(options);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->dataset.class_names(), ElementsAre("cat", "dog"));
  EXPECT_THAT(data->dataset.labels(), ElementsAre(0, 0, 1));
  EXPECT_EQ(data->dataset.example(1)[0], 3);
  EXPECT_EQ(data->dataset.features().shape, (Shape{1, 4, 4}));
  EXPECT_THAT(data->report.notes, ElementsAre(HasSubstr("1 files that are neither")));
}

TEST_F(Pictures, TrainAndTestFoldersMakeThePartsAndTheRestIsPassedOver) {
  Write("set/train/cat/1.png", Png(1));
  Write("set/train/dog/2.png", Png(2));
  Write("set/test/dog/3.png", Png(3));
  Write("set/oversize/dog/4.png", Png(4));
  const auto data = Load(Options());
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->splits.train, ElementsAre(0, 1));
  EXPECT_THAT(data->splits.test, ElementsAre(2));
  EXPECT_EQ(data->dataset.size(), 3);
}

TEST_F(Pictures, AreReadFromATarInWhichThePartsMix) {
  Tar(Path("set.tar.gz"), {{"./s/test/dog/3.png", Png(3)},
                           {"./s/train/cat/1.png", Png(1)},
                           {"./s/test/cat/4.png", Png(4)},
                           {"./s/train/dog/2.png", Png(2)}});
  const auto data = Load(Options("set.tar.gz"));
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->dataset.labels(), ElementsAre(0, 1, 1, 0));
  EXPECT_EQ(data->dataset.example(2)[0], 3);
}

TEST_F(Pictures, AreBroughtToOneSizeAndNumberOfChannels) {
  Write("a/1.png", Png(10, 1, 4));
  Write("b/2.png", Png(20, 3, 9));
  LoadOptions options = Options();
  options.height = 5;
  options.channels = 3;
  options.test_fraction = 0;
  const auto data = Load(options);
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->dataset.features().shape, (Shape{3, 5, 4}));
  EXPECT_EQ(data->dataset.example(1)[59], 20);
  const auto picture = data->preprocessing.FromPicture(Png(20, 3, 9), "x.png");
  ASSERT_THAT(picture, IsOk());
  EXPECT_EQ(std::memcmp(picture->data(), data->dataset.example(1), 60), 0);
}

TEST_F(Pictures, DropsDamagedOnesAndReportsTheirNames) {
  Write("train/a/0.png", "no picture");
  Write("train/a/1.png", Png(1));
  Write("train/b/2.png", Png(2).substr(0, 40));
  Write("train/b/3.png", Png(3));
  Write("test/b/4.png", Png(4));
  const auto data = Load(Options());
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->report.examples_read, 5);
  ASSERT_EQ(data->report.dropped.size(), 1u);
  EXPECT_EQ(data->report.dropped[0].count, 2);
  EXPECT_THAT(data->report.dropped[0].first,
              ElementsAre(Field(&Dropped::Place::where, HasSubstr("train/a/0.png")),
                          Field(&Dropped::Place::where, HasSubstr("train/b/2.png"))));
  EXPECT_THAT(data->splits.test, ElementsAre(2));
  EXPECT_EQ(data->dataset.example(2)[0], 4);
}

TEST_F(Pictures, RefusesAFolderOfWhichNoPictureCanBeRead) {
  Write("a/1.png", "no");
  Write("b/2.png", "no");
  EXPECT_THAT(Load(Options()), StatusIs(kInvalid, HasSubstr("not one of its 2 pictures")));
}

TEST_F(Pictures, RefusesOneClassOnly) {
  Write("a/1.png", Png(1));
  Write("a/2.png", Png(2));
  EXPECT_THAT(Load(Options()), StatusIs(kInvalid, HasSubstr("at least two classes")));
}

TEST_F(Pictures, RefusesATruncatedTar) {
  std::string noise(200000, '\0');
  uint32_t state = 1;
  for (char& c : noise) {
    c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  }
  Tar(Path("set.tgz"), {{"a/1.png", Png(1)}, {"b/2.png", noise}, {"b/3.png", Png(2)}});
  std::filesystem::resize_file(Path("set.tgz"), 100000);
  EXPECT_THAT(Load(Options("set.tgz")), StatusIs(kInvalid, HasSubstr("truncated archive")));
}

TEST_F(Pictures, RefusesAMemoryNeedBeyondTheLimit) {
  Write("a/1.png", Png(1));
  Write("b/2.png", Png(2));
  LoadOptions options = Options();
  options.max_bytes = 20;
  EXPECT_THAT(Load(options), StatusIs(kInvalid, HasSubstr("more than the limit of 20")));
}

TEST_F(Pictures, DoesNotFollowLinksOutOfTheFolder) {
  Write("set/a/1.png", Png(1));
  Write("set/b/2.png", Png(2));
  Write("secret.png", Png(9));
  std::filesystem::create_symlink(Path("secret.png"), Path("set/b/3.png"));
  const auto summary = Inspect(Options("set"));
  ASSERT_THAT(summary, IsOk());
  EXPECT_EQ(summary->train + summary->test, 2);
}

TEST_F(Pictures, AreInspectedWithoutDecoding) {
  Write("train/a/1.png", Png(1));
  Write("train/b/2.png", Png(2));
  Write("test/b/2.png", Png(2));
  const auto summary = Inspect(Options());
  const auto data = Load(Options());
  ASSERT_THAT(summary, IsOk());
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(summary->features, data->dataset.features());
  EXPECT_EQ(summary->bytes, data->dataset.bytes());
  EXPECT_EQ(summary->train, 2);
  EXPECT_EQ(summary->test, 1);
}

// A CIFAR-10 file: record i has label (first + i) % 10 and all pixels first + i.
std::string CifarBatch(int first, int count) {
  std::string bytes;
  for (int i = first; i < first + count; ++i) {
    bytes += static_cast<char>(i % 10);
    bytes += std::string(3072, static_cast<char>(i));
  }
  return bytes;
}

class Cifar : public DataTest {};

TEST_F(Cifar, ReadsATarInTheOrderOfTheBatchNames) {
  Tar(Path("c.tar.gz"), {{"c/test_batch.bin", CifarBatch(40, 5)},
                         {"c/data_batch_2.bin", CifarBatch(10, 10)},
                         {"c/data_batch_1.bin", CifarBatch(0, 10)},
                         {"c/batches.meta.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n"}});
  const auto data = Load(Options("c.tar.gz"));
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->dataset.features().shape, (Shape{3, 32, 32}));
  EXPECT_EQ(data->splits.train.size(), 20u);
  EXPECT_EQ(data->splits.test.size(), 5u);
  EXPECT_EQ(data->dataset.example(12)[3071], 12);
  EXPECT_EQ(data->dataset.labels()[24], 4);
  EXPECT_EQ(data->dataset.class_names()[9], "j");
  EXPECT_EQ(data->report.format, "cifar10");
}

TEST_F(Cifar, ReadsAFolderWithTheKnownClassNames) {
  Write("data_batch_1.bin", CifarBatch(0, 20));
  const auto data = Load(Options());
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->dataset.class_names()[0], "airplane");
}

TEST_F(Cifar, RefusesATruncatedRecord) {
  Write("data_batch_1.bin", CifarBatch(0, 2).substr(0, 6000));
  EXPECT_THAT(Load(Options()),
              StatusIs(kInvalid, AllOf(HasSubstr("data_batch_1.bin: truncated"),
                                       HasSubstr("6000 bytes are not a multiple"))));
}

TEST_F(Cifar, NamesTheRecordOfALabelOutOfRange) {
  std::string bytes = CifarBatch(0, 3);
  bytes[2 * 3073] = 12;
  Write("data_batch_1.bin", bytes);
  EXPECT_THAT(Load(Options()),
              StatusIs(kInvalid, HasSubstr("label 12 at record 2 is out of range 0..9")));
}

TEST(DetectFormat, SaysWhatIsUnderstood) {
  LoadOptions options;
  options.path = "/no/such/thing";
  EXPECT_THAT(Load(options), StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/such/thing")));
  options.path = "/dev/null";
  EXPECT_THAT(Load(options), StatusIs(kInvalid, HasSubstr("idx, csv, cifar10, image folder")));
}

TEST(RealPictures, MnistAsPngHasThePixelsOfMnist) {
  const std::string png = RealData("mnist-png");
  HONE_NEEDS_REAL_DATA(png);
  LoadOptions options;
  options.path = png;
  const auto pictures = Load(options);
  options.path = RealData("mnist");
  const auto mnist = Load(options);
  ASSERT_THAT(pictures, IsOk());
  ASSERT_THAT(mnist, IsOk());
  EXPECT_EQ(pictures->report.train.examples, 300);
  EXPECT_EQ(pictures->report.test.examples, 100);
  std::vector<std::string> files;
  for (const char* part : {"/train", "/test"}) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(png + part)) {
      if (entry.is_regular_file()) {
        names.push_back(entry.path().string());
      }
    }
    std::sort(names.begin(), names.end());
    files.insert(files.end(), names.begin(), names.end());
  }
  ASSERT_EQ(files.size(), 400u);
  for (size_t i = 0; i < files.size(); ++i) {
    // The file name is the index in MNIST, test pictures counted on from 60,000.
    const int64_t row = std::stoll(std::filesystem::path(files[i]).stem().string());
    ASSERT_EQ(std::memcmp(pictures->dataset.example(static_cast<int64_t>(i)),
                          mnist->dataset.example(row), 784),
              0)
        << files[i];
  }
}

TEST(RealPictures, SignDigitsAreSplitByTheirFolders) {
  const std::string path = RealData("sign-digits");
  HONE_NEEDS_REAL_DATA(path);
  LoadOptions options;
  options.dataset = "sign-digits";
  options.sources.mirror_dir = std::getenv("HONE_DATA_DIR");
  options.height = 32;
  options.width = 32;
  const auto data = Load(options);
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->report.train.examples, 1032);
  EXPECT_EQ(data->report.test.examples, 261);
  EXPECT_EQ(data->dataset.features().shape, (Shape{3, 32, 32}));
  EXPECT_EQ(data->report.dropped_examples(), 0);
}

TEST(RealPictures, CifarAsJpegIsReadFromItsArchive) {
  const std::string path = RealData("cifar10-jpeg");
  HONE_NEEDS_REAL_DATA(path);
  LoadOptions options;
  options.dataset = "cifar10-jpeg";
  options.sources.mirror_dir = std::getenv("HONE_DATA_DIR");
  const auto data = Load(options);
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->dataset.size(), 20000);
  EXPECT_EQ(data->report.test.examples, 4000);
  EXPECT_EQ(data->dataset.class_names()[0], "airplane");
  EXPECT_EQ(data->dataset.features().shape, (Shape{3, 32, 32}));
}

}  // namespace
}  // namespace hone::engine::data
