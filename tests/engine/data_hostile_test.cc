#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "engine/base/rng.h"
#include "engine/data/load.h"
#include "engine/image/image.h"
#include "tests/engine/data_testing.h"

namespace hone::engine::data {
namespace {

// Small good files, damaged at random in many ways: each is read or refused, never more (the
// sanitizers watch).
class Hostile : public DataTest {
 protected:
  void ExpectErrorOrSuccess(const std::string& file, const std::string& folder) {
    const std::string good = ReadFile(Path(file)).value();
    RandomStream random(17, file);
    for (int round = 0; round < 300; ++round) {
      std::string bad = good;
      const uint64_t changes = 1 + random.NextBelow(4);
      for (uint64_t i = 0; i < changes; ++i) {
        const auto at = static_cast<size_t>(random.NextBelow(bad.size()));
        switch (random.NextBelow(4)) {
          case 0:
            bad[at] = static_cast<char>(random.NextBits());
            break;
          case 1:
            bad.resize(at + 1);
            break;
          case 2:
            bad.insert(at, bad.substr(at / 2, 5));
            break;
          default:
            bad[at] = "\n\",;\t\xff\x7f "[random.NextBelow(8)];
        }
      }
      Write(file, bad);
      LoadOptions options = Options(folder);
      options.max_bytes = 1 << 20;
      const auto data = Load(options);
      if (!data.ok()) {
        EXPECT_TRUE(absl::IsInvalidArgument(data.status())) << round << data.status();
        EXPECT_THAT(std::string(data.status().message()), ::testing::HasSubstr(folder_)) << round;
      }
    }
    Write(file, good);
  }

  static std::string Png(uint8_t value, int64_t channels) {
    const image::Image image{channels, 6, 6,
                             std::vector<uint8_t>(static_cast<size_t>(channels * 36), value)};
    return image::EncodePng(image).value();
  }
};

TEST_F(Hostile, IdxImages) {
  Write("train-images-idx3-ubyte", IdxImages(6, 2, 2, std::string(24, 'a')));
  Write("train-labels-idx1-ubyte", IdxLabels(6, std::string("\0\1\0\1\0\1", 6)));
  ExpectErrorOrSuccess("train-images-idx3-ubyte", "");
  ExpectErrorOrSuccess("train-labels-idx1-ubyte", "");
}

TEST_F(Hostile, GzippedIdx) {
  Write("train-images-idx3-ubyte.gz", Gzip(IdxImages(6, 2, 2, std::string(24, 'a'))));
  Write("train-labels-idx1-ubyte", IdxLabels(6, std::string("\0\1\0\1\0\1", 6)));
  ExpectErrorOrSuccess("train-images-idx3-ubyte.gz", "");
}

TEST_F(Hostile, Csv) {
  std::string text = "size,colour,kind\n";
  for (int i = 0; i < 12; ++i) {
    absl::StrAppend(&text, i * 0.5, i % 2 ? ",red," : ",\"a \"\"b\"\"\",", i % 3 ? "x\n" : "y\r\n");
  }
  Write("table.csv", text);
  ExpectErrorOrSuccess("table.csv", "table.csv");
}

TEST_F(Hostile, PngInAFolder) {
  Write("set/a/1.png", Png(1, 3));
  Write("set/b/2.png", Png(2, 1));
  Write("set/b/3.png", Png(3, 1));
  ExpectErrorOrSuccess("set/a/1.png", "set");
}

TEST_F(Hostile, Cifar) {
  Write("data_batch_1.bin",
        std::string(3073, '\1') + std::string(3073, '\2') + std::string(3073, '\2'));
  ExpectErrorOrSuccess("data_batch_1.bin", "");
}

}  // namespace
}  // namespace hone::engine::data
