#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/checkpoint/safetensors.h"
#include "tests/engine/checkpoint_folder.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::checkpoint {
namespace {

using ::hone::testing::Contents;
using ::hone::testing::Folder;
using ::hone::testing::IsOk;
using ::hone::testing::Put;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::string File(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + data;
}

// The error for a file with this header and so many bytes of data.
absl::Status Refused(const std::string& header, size_t data_bytes) {
  const Folder folder;
  Put(folder / "bad.safetensors", File(header, std::string(data_bytes, '\0')));
  return SafetensorsFile::Open(folder / "bad.safetensors").status();
}

std::string Tensor(const std::string& name, const std::string& dtype, const std::string& shape,
                   const std::string& offsets) {
  return absl::StrCat("\"", name, "\":{\"dtype\":\"", dtype, "\",\"shape\":", shape,
                      ",\"data_offsets\":", offsets, "}");
}

TEST(Safetensors, MappedHoldsItsTensorsAsLongAsTheMappingIsKept) {
  const Folder folder;
  const std::vector<uint16_t> values = {0x3f80, 0x4000, 0xc040};
  const TensorToWrite tensors[] = {{"w", {3}, values.data(), FileDType::kBf16}};
  ASSERT_THAT(WriteSafetensors(folder / "a.safetensors", tensors), IsOk());
  std::shared_ptr<const std::byte> mapped;
  int64_t begin = 0;
  {
    const auto file = SafetensorsFile::Open(folder / "a.safetensors");
    ASSERT_THAT(file, IsOk());
    begin = file->tensors()[0].begin;
    mapped = file->Map().value();
  }
  ASSERT_EQ(std::remove((folder / "a.safetensors").c_str()), 0);
  EXPECT_EQ(std::memcmp(mapped.get() + begin, values.data(), 6), 0);
}

TEST(Safetensors, CutShortIsNotMapped) {
  const Folder folder;
  const float values[4] = {};
  const TensorToWrite tensors[] = {{"w", {4}, values}};
  ASSERT_THAT(WriteSafetensors(folder / "a.safetensors", tensors), IsOk());
  const auto file = SafetensorsFile::Open(folder / "a.safetensors");
  std::filesystem::resize_file(folder / "a.safetensors", file->tensors()[0].begin + 8);
  EXPECT_THAT(file->Map(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("a.safetensors")));
}

TEST(Safetensors, KeepsEveryBitOfAFloat) {
  const std::vector<float> values = {0.0f,
                                     -0.0f,
                                     1e-45f,
                                     -1e-40f,
                                     std::bit_cast<float>(0x7fc12345u),
                                     std::bit_cast<float>(0xffa00001u),
                                     std::numeric_limits<float>::infinity(),
                                     3.4e38f};
  const Folder folder;
  const TensorToWrite tensors[] = {{"w", {2, 4}, values.data()}};
  ASSERT_THAT(WriteSafetensors(folder / "f", tensors), IsOk());
  auto file = SafetensorsFile::Open(folder / "f");
  ASSERT_THAT(file, IsOk());
  std::vector<float> read(8);
  ASSERT_THAT(file->Read("w", {2, 4}, read), IsOk());
  EXPECT_EQ(std::memcmp(read.data(), values.data(), 32), 0);
}

TEST(Safetensors, KeepsNamesShapesOrderAndMetadata) {
  const float data[6] = {1, 2, 3, 4, 5, 6};
  const Folder folder;
  const TensorToWrite tensors[] = {
      {"z", {3, 2}, data}, {"a.ü\"", {}, data}, {"empty", {0, 5}, nullptr}};
  const auto written = WriteSafetensors(folder / "f", tensors, {{"format", "pt"}, {"a", "b\n"}});
  ASSERT_THAT(written, IsOk());
  EXPECT_EQ(written->bytes, static_cast<int64_t>(Contents(folder / "f").size()));
  auto file = SafetensorsFile::Open(folder / "f");
  ASSERT_THAT(file, IsOk());
  ASSERT_EQ(file->tensors().size(), 3u);
  EXPECT_EQ(file->tensors()[0].name, "z");
  EXPECT_EQ(file->tensors()[0].shape, Shape({3, 2}));
  EXPECT_EQ(file->tensors()[0].begin % 8, 0);
  EXPECT_EQ(file->tensors()[1].name, "a.ü\"");
  EXPECT_EQ(file->tensors()[1].shape, Shape({}));
  EXPECT_EQ(file->tensors()[2].bytes, 0);
  EXPECT_EQ(file->metadata(), (std::map<std::string, std::string>{{"a", "b\n"}, {"format", "pt"}}));
}

TEST(Safetensors, WritesTheSameBytesForTheSameTensors) {
  const float data[2] = {1, 2};
  const Folder folder;
  const TensorToWrite tensors[] = {{"b", {2}, data}, {"a", {1}, data}};
  const auto first = WriteSafetensors(folder / "1", tensors, {{"k", "v"}});
  const auto second = WriteSafetensors(folder / "2", tensors, {{"k", "v"}});
  ASSERT_THAT(first, IsOk());
  EXPECT_EQ(first->sha256, second->sha256);
  EXPECT_EQ(Contents(folder / "1"), Contents(folder / "2"));
}

template <typename T>
std::vector<float> ReadAs(FileDType dtype, const std::vector<T>& values) {
  const Folder folder;
  const int64_t count = static_cast<int64_t>(values.size());
  const TensorToWrite tensors[] = {{"t", {count}, values.data(), dtype}};
  EXPECT_THAT(WriteSafetensors(folder / "f", tensors), IsOk());
  auto file = SafetensorsFile::Open(folder / "f");
  EXPECT_THAT(file, IsOk());
  std::vector<float> read(values.size());
  EXPECT_THAT(file->Read("t", {count}, read), IsOk());
  return read;
}

TEST(Safetensors, ReadsOtherTypesAsFloats) {
  using ::testing::ElementsAre;
  EXPECT_THAT(ReadAs<double>(FileDType::kF64, {0.1, -2}), ElementsAre(0.1f, -2));
  EXPECT_THAT(ReadAs<int64_t>(FileDType::kI64, {-5, 1 << 20}), ElementsAre(-5, 1 << 20));
  EXPECT_THAT(ReadAs<int32_t>(FileDType::kI32, {-7}), ElementsAre(-7));
  EXPECT_THAT(ReadAs<uint8_t>(FileDType::kU8, {0, 255}), ElementsAre(0, 255));
  EXPECT_THAT(ReadAs<uint16_t>(FileDType::kBf16, {0x3fc0, 0xc000}), ElementsAre(1.5f, -2));
  // One, the least subnormal, the largest, minus zero, infinity.
  const auto halves = ReadAs<uint16_t>(FileDType::kF16, {0x3c00, 0x0001, 0x7bff, 0x8000, 0x7c00});
  EXPECT_THAT(halves, ElementsAre(1, 0x1p-24f, 65504, 0, std::numeric_limits<float>::infinity()));
  EXPECT_TRUE(std::signbit(halves[3]));
}

TEST(Safetensors, ReadsMoreThanOnePieceOfAnotherType) {
  std::vector<int32_t> values(100'001);
  std::iota(values.begin(), values.end(), -5);
  const std::vector<float> read = ReadAs(FileDType::kI32, values);
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(read[i], static_cast<float>(values[i]));
  }
}

TEST(Safetensors, RefusesAFileCutAnywhere) {
  const float data[5] = {1, 2, 3, 4, 5};
  const Folder folder;
  const TensorToWrite tensors[] = {{"one", {3}, data}, {"two", {2, 1}, data}};
  ASSERT_THAT(WriteSafetensors(folder / "whole", tensors), IsOk());
  const std::string whole = Contents(folder / "whole");
  for (size_t size = 0; size < whole.size(); ++size) {
    Put(folder / "cut", whole.substr(0, size));
    ASSERT_THAT(SafetensorsFile::Open(folder / "cut"), StatusIs(kInvalid, HasSubstr("/cut: ")))
        << size << " bytes";
  }
  Put(folder / "long", whole + "x");
  EXPECT_THAT(SafetensorsFile::Open(folder / "long"), StatusIs(kInvalid, HasSubstr("21 bytes")));
}

TEST(Safetensors, SurvivesAnyByteChangedInItsHeader) {
  const float data[3] = {1, 2, 3};
  const Folder folder;
  const TensorToWrite tensors[] = {{"w", {3}, data}};
  ASSERT_THAT(WriteSafetensors(folder / "f", tensors, {{"a", "b"}}), IsOk());
  const std::string whole = Contents(folder / "f");
  for (size_t i = 0; i < whole.size() - sizeof(data); ++i) {
    for (const char change : {'\x01', '\x02', '\x20', '\x80', '\xff'}) {
      std::string bytes = whole;
      bytes[i] = static_cast<char>(bytes[i] ^ change);
      Put(folder / "f", bytes);
      auto file = SafetensorsFile::Open(folder / "f");
      if (file.ok()) {  // such as another name
        std::vector<float> read(3);
        for (const FileTensor& tensor : file->tensors()) {
          EXPECT_LE(tensor.begin + tensor.bytes, static_cast<int64_t>(bytes.size()));
        }
      }
    }
  }
}

TEST(Safetensors, RefusesALyingHeaderLength) {
  const Folder folder;
  for (const uint64_t length : {uint64_t{100}, uint64_t{1} << 31, uint64_t{1} << 63, UINT64_MAX}) {
    std::string bytes(64, ' ');
    std::memcpy(bytes.data(), &length, 8);
    Put(folder / "f", bytes);
    EXPECT_THAT(SafetensorsFile::Open(folder / "f"),
                StatusIs(kInvalid, AllOf(HasSubstr(absl::StrCat(length)), HasSubstr("56 are"))));
  }
}

TEST(Safetensors, RefusesBytesThatLieOutsideTheFile) {
  EXPECT_THAT(Refused("{" + Tensor("w", "F32", "[4]", "[0,16]") + "}", 12),
              StatusIs(kInvalid, AllOf(HasSubstr("bad.safetensors"), HasSubstr("'w'"),
                                       HasSubstr("outside the 12 bytes"))));
  EXPECT_THAT(
      Refused("{" + Tensor("w", "U8", "[1]", "[9223372036854775806,9223372036854775807]") + "}",
              12),
      StatusIs(kInvalid, HasSubstr("outside")));
}

TEST(Safetensors, RefusesOverlapAndGaps) {
  const std::string first = Tensor("a", "F32", "[2]", "[0,8]");
  EXPECT_THAT(Refused("{" + first + "," + Tensor("b", "F32", "[2]", "[4,12]") + "}", 12),
              StatusIs(kInvalid, AllOf(HasSubstr("'b' overlaps 'a'"), HasSubstr("begin at 8"))));
  EXPECT_THAT(Refused("{" + first + "," + Tensor("b", "F32", "[2]", "[0,8]") + "}", 8),
              StatusIs(kInvalid, HasSubstr("overlaps")));
  EXPECT_THAT(Refused("{" + first + "," + Tensor("b", "F32", "[1]", "[12,16]") + "}", 16),
              StatusIs(kInvalid, HasSubstr("must begin at 8")));
  EXPECT_THAT(Refused("{" + first + "}", 12), StatusIs(kInvalid, HasSubstr("take 8 bytes")));
}

TEST(Safetensors, RefusesASizeThatDoesNotFitShapeAndType) {
  EXPECT_THAT(Refused("{" + Tensor("w", "F32", "[2,3]", "[0,12]") + "}", 12),
              StatusIs(kInvalid, HasSubstr("F32[2, 3] needs 24 bytes, but data_offsets hold 12")));
  EXPECT_THAT(Refused("{" + Tensor("w", "F32", "[4294967296,4294967296]", "[0,0]") + "}", 0),
              StatusIs(kInvalid, HasSubstr("overflows")));
  EXPECT_THAT(Refused("{" + Tensor("w", "F32", "[0,9223372036854775807]", "[0,0]") + "}", 0),
              StatusIs(kInvalid, HasSubstr("overflows")));
  EXPECT_THAT(Refused("{" + Tensor("w", "F32", "[1]", "[4,0]") + "}", 4),
              StatusIs(kInvalid, HasSubstr("begin <= end")));
  EXPECT_THAT(Refused("{" + Tensor("w", "F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]") + "}", 4),
              StatusIs(kInvalid, HasSubstr("at most 8")));
}

TEST(Safetensors, RefusesJsonOfTheWrongForm) {
  const std::string w = Tensor("w", "F32", "[1]", "[0,4]");
  EXPECT_THAT(Refused("{" + w + "," + w + "}", 4),
              StatusIs(kInvalid, HasSubstr("'w' comes twice")));
  EXPECT_THAT(Refused("{\"w\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}", 4),
              StatusIs(kInvalid, HasSubstr("'dtype' comes twice")));
  EXPECT_THAT(Refused("{" + Tensor("w", "F33", "[1]", "[0,4]") + "}", 4),
              StatusIs(kInvalid, AllOf(HasSubstr("'F33'"), HasSubstr("BF16"))));
  EXPECT_THAT(Refused("{" + Tensor("w", "F32", "[-1]", "[0,4]") + "}", 4),
              StatusIs(kInvalid, HasSubstr("negative")));
  EXPECT_THAT(Refused("{" + Tensor("w", "F32", "[1.0]", "[0,4]") + "}", 4),
              StatusIs(kInvalid, HasSubstr("whole number")));
  EXPECT_THAT(Refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4),
              StatusIs(kInvalid, HasSubstr("must have dtype, shape and data_offsets")));
  EXPECT_THAT(Refused("{\"__metadata__\":{\"a\":1}}", 0),
              StatusIs(kInvalid, HasSubstr("__metadata__")));
  EXPECT_THAT(Refused("[]", 0), StatusIs(kInvalid, HasSubstr("must be an object")));
  EXPECT_THAT(Refused("7", 0), StatusIs(kInvalid, HasSubstr("must be an object")));
  EXPECT_THAT(Refused("{\"w\":7}", 0), StatusIs(kInvalid, HasSubstr("'w'")));
  EXPECT_THAT(Refused("{" + w + "} x", 4), StatusIs(kInvalid, HasSubstr("not valid JSON")));
  EXPECT_THAT(Refused("{\"\xff\":{}}", 0), StatusIs(kInvalid, HasSubstr("not valid JSON")));
  EXPECT_THAT(Refused("{\"" + std::string(5000, 'n') + "\":{}}", 0),
              StatusIs(kInvalid, HasSubstr("5000 bytes")));
}

TEST(Safetensors, RefusesDeepNestingWithoutFollowingIt) {
  EXPECT_THAT(Refused(std::string(1'000'000, '['), 0), StatusIs(kInvalid, HasSubstr("object")));
  EXPECT_THAT(Refused("{\"w\":{\"shape\":" + std::string(1'000'000, '['), 0),
              StatusIs(kInvalid, HasSubstr("whole number")));
  std::string nested;
  for (int i = 0; i < 100'000; ++i) {
    nested += "{\"a\":";
  }
  EXPECT_THAT(Refused(nested, 0), StatusIs(kInvalid, HasSubstr("'a'")));
}

TEST(Safetensors, ShowsAHostileNameEscapedAndCut) {
  EXPECT_THAT(Refused("{\"\\u001b[31m" + std::string(500, 'x') + "\":7}", 0),
              StatusIs(kInvalid, AllOf(HasSubstr("\\x1b[31mxxx"), HasSubstr("…'"))));
}

TEST(Safetensors, SaysWhichNamesThereAreAndWhichShape) {
  const float data[2] = {1, 2};
  const Folder folder;
  const TensorToWrite tensors[] = {{"fc.weight", {2}, data}};
  ASSERT_THAT(WriteSafetensors(folder / "f", tensors), IsOk());
  auto file = SafetensorsFile::Open(folder / "f");
  std::vector<float> out(2);
  EXPECT_THAT(file->Read("fc", {2}, out),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("it has 1: 'fc.weight'")));
  EXPECT_THAT(file->Read("fc.weight", {1, 2}, out),
              StatusIs(kInvalid, HasSubstr("must have shape [1, 2], has [2]")));
}

TEST(Safetensors, SaysThatAFileBecameShorterWhileItWasOpen) {
  const float data[2] = {1, 2};
  const Folder folder;
  const TensorToWrite tensors[] = {{"w", {2}, data}};
  ASSERT_THAT(WriteSafetensors(folder / "f", tensors), IsOk());
  auto file = SafetensorsFile::Open(folder / "f");
  std::filesystem::resize_file(folder / "f", 40);
  std::vector<float> out(2);
  EXPECT_THAT(file->Read("w", {2}, out), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("'w'")));
}

TEST(Safetensors, RefusesToWriteNamesThatCannotBeReadBack) {
  const float data[1] = {1};
  const Folder folder;
  const auto write = [&](std::vector<TensorToWrite> tensors) {
    return WriteSafetensors(folder / "f", tensors).status();
  };
  EXPECT_THAT(write({{"w", {1}, data}, {"w", {1}, data}}), StatusIs(kInvalid, HasSubstr("'w'")));
  EXPECT_THAT(write({{"", {1}, data}}), StatusIs(kInvalid, HasSubstr("empty")));
  EXPECT_THAT(write({{"__metadata__", {1}, data}}), StatusIs(kInvalid, HasSubstr("__metadata__")));
  EXPECT_THAT(write({{"\xff", {1}, data}}), StatusIs(kInvalid, HasSubstr("UTF-8")));
}

TEST(Safetensors, OpensFilesThatOthersWrote) {
  const char* root = std::getenv("HONE_DATA_DIR");
  if (root == nullptr || !std::filesystem::exists(std::string(root) + "/checkpoints")) {
    GTEST_SKIP() << "HONE_DATA_DIR/checkpoints is not there";
  }
  const std::string checkpoints = std::string(root) + "/checkpoints/";
  struct Known {
    const char* path;
    int64_t parameters;
    const char* name;
    Shape shape;
  };
  const Known known[] = {
      {"aren-transliteration/model.safetensors", 182731, "decoder.embeddings.weight", {43, 32}},
      {"gpt-nano-sort/model.safetensors", 86091, "transformer.wpe.weight", {11, 48}},
      {"gpt-nano-sort/partials.safetensors", 45705, "tok_emb", {3, 11, 48}},
      {"mnist-cnn/mnist.safetensors", 376940, "norm1.num_batches_tracked", {}},
      {"stories260k/model.safetensors", 260032, "tok_embeddings.weight", {512, 64}},
  };
  for (const Known& k : known) {
    auto file = SafetensorsFile::Open(checkpoints + k.path);
    ASSERT_THAT(file, IsOk());
    int64_t parameters = 0;
    for (const FileTensor& tensor : file->tensors()) {
      parameters += tensor.shape.elements();
      std::vector<float> values(static_cast<size_t>(tensor.shape.elements()));
      ASSERT_THAT(file->Read(tensor, values), IsOk());
      for (const float value : values) {
        ASSERT_FALSE(std::isnan(value)) << k.path << " " << tensor.name;
      }
    }
    EXPECT_EQ(parameters, k.parameters) << k.path;
    auto tensor = file->Find(k.name);
    ASSERT_THAT(tensor, IsOk());
    EXPECT_EQ((*tensor)->shape, k.shape);
  }
}

}  // namespace
}  // namespace hone::engine::checkpoint
