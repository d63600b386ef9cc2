#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "engine/data/load.h"
#include "tests/engine/data_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::data {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Ten 2x2 pictures, picture i all of value i, classes 0 and 1 in turn.
std::string Pixels(int count) {
  std::string pixels;
  for (int i = 0; i < count; ++i) {
    pixels += std::string(4, static_cast<char>(i));
  }
  return pixels;
}

class Idx : public DataTest {
 protected:
  void WriteTrain(const std::string& images, const std::string& labels) {
    Write("train-images-idx3-ubyte", images);
    Write("train-labels-idx1-ubyte", labels);
  }
  void WriteGoodTrain() {
    WriteTrain(IdxImages(10, 2, 2, Pixels(10)),
               IdxLabels(10, std::string("\0\1\0\1\0\1\0\1\0\1", 10)));
  }
};

TEST_F(Idx, ReadsPlainFilesAndSplitsOffATestPart) {
  WriteGoodTrain();
  const auto data = Load(Options());
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->dataset.size(), 10);
  EXPECT_EQ(data->dataset.features(), (TensorType{Shape{1, 2, 2}, DType::kU8}));
  EXPECT_EQ(data->splits.train.size(), 8u);
  EXPECT_EQ(data->splits.test.size(), 2u);
  EXPECT_EQ(data->dataset.example(7)[3], 7);
}

TEST_F(Idx, ReadsGzipAndTheTestPartOfItsOwn) {
  Write("train-images-idx3-ubyte.gz", Gzip(IdxImages(10, 2, 2, Pixels(10))));
  Write("train-labels-idx1-ubyte.gz", Gzip(IdxLabels(10, std::string("\0\1\0\1\0\1\0\1\0\1", 10))));
  Write("t10k-images-idx3-ubyte.gz", Gzip(IdxImages(3, 2, 2, "aaaabbbbcccc")));
  Write("t10k-labels-idx1-ubyte.gz", Gzip(IdxLabels(3, std::string("\1\0\1", 3))));
  const auto data = Load(Options());
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->splits.train.size(), 10u);
  EXPECT_THAT(data->splits.test, ElementsAre(10, 11, 12));
  EXPECT_EQ(data->dataset.example(11)[0], 'b');
  EXPECT_EQ(data->dataset.labels()[11], 0);
}

TEST_F(Idx, SaysHowManyBytesTheHeaderPromisesAndTheFileHas) {
  WriteTrain(IdxImages(60000, 28, 28, "few"), IdxLabels(1, "\1"));
  EXPECT_THAT(Load(Options()),
              StatusIs(kInvalid, AllOf(HasSubstr("truncated IDX"),
                                       HasSubstr("IDX header says 60000x28x28 = 47040000 bytes but "
                                                 "the file has 3"),
                                       HasSubstr("train-images-idx3-ubyte"))));
}

TEST_F(Idx, RefusesBytesAfterTheLastPicture) {
  WriteTrain(IdxImages(1, 2, 2, "aaaab"), IdxLabels(1, "\1"));
  EXPECT_THAT(Load(Options()), StatusIs(kInvalid, HasSubstr("1x2x2 = 4 bytes but the file has 5")));
}

TEST_F(Idx, RefusesATruncatedHeader) {
  WriteTrain(std::string("\0\0\x08\x03\0\0", 6), IdxLabels(1, "\1"));
  EXPECT_THAT(Load(Options()), StatusIs(kInvalid, HasSubstr("truncated IDX: the header needs 16")));
}

TEST_F(Idx, RefusesAnotherTypeAndShowsTheFirstBytes) {
  WriteTrain(std::string("\0\0\x0d\x03", 4) + std::string(12, '\1'), IdxLabels(1, "\1"));
  EXPECT_THAT(Load(Options()), StatusIs(kInvalid, HasSubstr("00 00 0d 03 instead of 00 00 08 03")));
}

TEST_F(Idx, RefusesASizeThatOverflows) {
  WriteTrain(IdxImages(0xffffffff, 0xffffffff, 0xffffffff, "x"), IdxLabels(1, "\1"));
  EXPECT_THAT(Load(Options()), StatusIs(kInvalid, HasSubstr("more than the limit")));
}

TEST_F(Idx, RefusesAGzipThatCannotHoldWhatItsHeaderPromises) {
  Write("train-images-idx3-ubyte.gz", Gzip(IdxImages(1000, 1000, 1000, "x")));
  Write("train-labels-idx1-ubyte.gz", Gzip(IdxLabels(1, "\1")));
  EXPECT_THAT(Load(Options()), StatusIs(kInvalid, HasSubstr("cannot hold more than")));
}

TEST_F(Idx, RefusesATruncatedGzip) {
  std::string noise(40000, '\0');
  std::iota(noise.begin(), noise.end(), '\0');
  const std::string whole = Gzip(IdxImages(10000, 2, 2, noise));
  Write("train-images-idx3-ubyte.gz", whole.substr(0, whole.size() - 20));
  Write("train-labels-idx1-ubyte.gz", Gzip(IdxLabels(10000, std::string(10000, '\1'))));
  EXPECT_THAT(Load(Options()), StatusIs(kInvalid, HasSubstr("truncated")));
}

TEST_F(Idx, RefusesAGzipWithABrokenChecksum) {
  std::string gz = Gzip(IdxImages(10, 2, 2, Pixels(10)));
  gz[gz.size() - 6] = static_cast<char>(gz[gz.size() - 6] ^ 1);
  Write("train-images-idx3-ubyte.gz", gz);
  Write("train-labels-idx1-ubyte", IdxLabels(10, std::string("\0\1\0\1\0\1\0\1\0\1", 10)));
  EXPECT_THAT(Load(Options()), StatusIs(kInvalid, HasSubstr("damaged")));
}

TEST_F(Idx, NamesTheRecordOfALabelOutOfRange) {
  std::string labels("\0\1\2\3\4\x0c\6\7\x08\x09", 10);
  WriteTrain(IdxImages(10, 2, 2, Pixels(10)), IdxLabels(10, labels));
  LoadOptions options = Options();
  options.class_names = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
  EXPECT_THAT(Load(options),
              StatusIs(kInvalid, HasSubstr("label 12 at record 5 is out of range 0..9")));
  EXPECT_THAT(Load(Options()),
              StatusIs(kInvalid, HasSubstr("label 12 at record 5 is out of range 0..9")));
}

TEST_F(Idx, RefusesAnotherNumberOfLabelsThanPictures) {
  WriteTrain(IdxImages(10, 2, 2, Pixels(10)), IdxLabels(9, std::string(9, '\1')));
  EXPECT_THAT(Load(Options()), StatusIs(kInvalid, HasSubstr("holds 9 labels for 10 pictures")));
}

TEST_F(Idx, RefusesAnEmptyDataSet) {
  WriteTrain(IdxImages(0, 2, 2, ""), IdxLabels(0, ""));
  EXPECT_THAT(Load(Options()), StatusIs(kInvalid, HasSubstr("the data set is empty")));
}

TEST_F(Idx, RefusesASingleClass) {
  WriteTrain(IdxImages(10, 2, 2, Pixels(10)), IdxLabels(10, std::string(10, '\1')));
  EXPECT_THAT(Load(Options()), StatusIs(kInvalid, AllOf(HasSubstr("of class '1'"),
                                                        HasSubstr("needs at least two classes"))));
}

TEST_F(Idx, NamesTheFileThatIsMissing) {
  Write("train-images-idx3-ubyte", IdxImages(10, 2, 2, Pixels(10)));
  EXPECT_THAT(Load(Options()),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("train-labels-idx1-ubyte")));
}

TEST_F(Idx, RefusesRegression) {
  WriteGoodTrain();
  LoadOptions options = Options();
  options.task = Task::kRegression;
  EXPECT_THAT(Load(options), StatusIs(kInvalid, HasSubstr("regression")));
}

TEST_F(Idx, IsBroughtToTheSizeAndChannelsAskedFor) {
  WriteGoodTrain();
  LoadOptions options = Options();
  options.height = 4;
  options.width = 6;
  options.channels = 3;
  const auto data = Load(options);
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->dataset.features().shape, (Shape{3, 4, 6}));
  EXPECT_EQ(data->preprocessing.image, (Shape{3, 4, 6}));
  EXPECT_EQ(data->dataset.example(9)[71], 9);
}

TEST_F(Idx, CountsAndOnRequestDropsCopies) {
  // Pictures 8 and 9 are copies of 0 and 1; 3 has the pixels of 2 but another label.
  std::string pixels = Pixels(10);
  pixels.replace(3 * 4, 4, pixels.substr(2 * 4, 4));
  pixels.replace(8 * 4, 8, pixels.substr(0, 8));
  WriteTrain(IdxImages(10, 2, 2, pixels), IdxLabels(10, std::string("\0\1\0\1\0\1\0\1\0\1", 10)));
  Write("t10k-images-idx3-ubyte", IdxImages(2, 2, 2, pixels.substr(0, 4) + "zzzz"));
  Write("t10k-labels-idx1-ubyte", IdxLabels(2, std::string("\0\0", 2)));
  LoadOptions options = Options();
  const auto kept = Load(options);
  ASSERT_THAT(kept, IsOk());
  EXPECT_EQ(kept->report.duplicates, 2);
  EXPECT_EQ(kept->report.duplicates_across_parts, 1);
  EXPECT_EQ(kept->report.contradictions, 1);
  EXPECT_EQ(kept->splits.train.size(), 10u);
  options.deduplicate = true;
  const auto dropped = Load(options);
  ASSERT_THAT(dropped, IsOk());
  EXPECT_EQ(dropped->report.dropped_examples(), 3);
  EXPECT_THAT(dropped->splits.train, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
  EXPECT_THAT(dropped->splits.test, ElementsAre(11));
}

TEST_F(Idx, InspectsWithoutPixelsWhatLoadGives) {
  WriteGoodTrain();
  LoadOptions options = Options();
  options.validation_fraction = 0.25;
  const auto data = Load(options);
  const auto summary = Inspect(options);
  ASSERT_THAT(data, IsOk());
  ASSERT_THAT(summary, IsOk());
  EXPECT_EQ(summary->features, data->dataset.features());
  EXPECT_EQ(summary->train, data->report.train.examples);
  EXPECT_EQ(summary->validation, 2);
  EXPECT_EQ(summary->test, 2);
  EXPECT_EQ(summary->bytes, data->dataset.bytes());
}

TEST(RealMnist, HasTheKnownCounts) {
  const std::string path = RealData("mnist");
  HONE_NEEDS_REAL_DATA(path);
  LoadOptions options;
  options.dataset = "mnist";
  options.sources.mirror_dir = std::getenv("HONE_DATA_DIR");
  options.validation_count = 5000;
  const auto data = Load(options);
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->dataset.features().shape, (Shape{1, 28, 28}));
  EXPECT_EQ(data->report.train.examples, 55000);
  EXPECT_EQ(data->report.validation.examples, 5000);
  EXPECT_THAT(data->report.test.class_counts,
              ElementsAre(980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009));
  EXPECT_EQ(data->dataset.labels()[0], 5);
  EXPECT_THAT(data->report.source, HasSubstr("local mirror"));
  // Data set, labels and nothing else of this size.
  EXPECT_LT(data->dataset.bytes(), 56'000'000);
}

}  // namespace
}  // namespace hone::engine::data
