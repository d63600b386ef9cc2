// GGUF: bytes by its specification, and numbers that come back.
#include <gmock/gmock.h>

#include <cmath>
#include <filesystem>
#include <string_view>

#include "engine/export/gguf.h"
#include "engine/tensor/half.h"
#include "tests/engine/checkpoint_folder.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::exports {
namespace {

using ::hone::testing::Contents;
using ::hone::testing::Folder;
using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::HasSubstr;

TEST(Halves, ComeBackFromFloatsWithAllTheirBits) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    if (!std::isnan(FromF16(half))) {
      ASSERT_EQ(ToF16(FromF16(half)), half);
    }
  }
}

TEST(Halves, AreRoundedToTheNearestAndOfTwoToTheEven) {
  EXPECT_EQ(ToF16(1 + 0x1p-11f), ToF16(1));
  EXPECT_EQ(ToF16(1 + 3 * 0x1p-11f), ToF16(1 + 0x1p-9f));
  EXPECT_EQ(ToF16(65519), 0x7bff);
  EXPECT_EQ(ToF16(65520), 0x7c00);
}

// A file with one pair and two tensors, as the specification has its bytes.
TEST(GgufFile, HasTheBytesOfTheSpecification) {
  const Folder folder;
  const Gguf gguf = {.pairs = {{"a.b", uint32_t{7}}},
                     .tensors = {{.name = "x",
                                  .extents = {2, 1},
                                  .type = GgufType::kF32,
                                  .bytes = ToGgufBytes(GgufType::kF32, {1, -2})},
                                 {.name = "y",
                                  .extents = {1},
                                  .type = GgufType::kF16,
                                  .bytes = ToGgufBytes(GgufType::kF16, {0.5f})}}};
  ASSERT_THAT(WriteGguf(folder / "a.gguf", gguf), IsOk());
  const auto text = [](std::string_view bytes) { return std::string(bytes); };
  using namespace std::literals;  // NOLINT: strings with zeros in them
  std::string wanted = text("GGUF\3\0\0\0\2\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0"sv);
  wanted += text("\3\0\0\0\0\0\0\0a.b\4\0\0\0\7\0\0\0"sv);
  wanted += text("\1\0\0\0\0\0\0\0x\2\0\0\0\2\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0"sv);
  wanted += text("\0\0\0\0\0\0\0\0"sv);
  wanted += text("\1\0\0\0\0\0\0\0y\1\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0\x20\0\0\0\0\0\0\0"sv);
  wanted.resize((wanted.size() + 31) / 32 * 32);
  wanted += text("\0\0\x80\x3f\0\0\0\xc0"sv);
  wanted.resize((wanted.size() + 31) / 32 * 32);
  wanted += text("\0\x38"sv);
  wanted.resize((wanted.size() + 31) / 32 * 32);
  EXPECT_EQ(Contents(folder / "a.gguf"), wanted);
}

TEST(GgufFile, ComesBackWithAllItsPairs) {
  const Folder folder;
  const Gguf gguf = {.pairs = {{"whole", uint32_t{7}},
                               {"number", 0.5f},
                               {"flag", true},
                               {"text", std::string("of ten")},
                               {"texts", std::vector<std::string>{"a", "", "Ġb"}},
                               {"wholes", std::vector<int32_t>{-1, 2}}},
                     .tensors = {}};
  ASSERT_THAT(WriteGguf(folder / "a.gguf", gguf), IsOk());
  const auto read = ReadGguf(folder / "a.gguf");
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(read->pairs, gguf.pairs);
}

TEST(GgufFile, ThatIsReadHasItsTensorsWhereTheyLie) {
  const Folder folder;
  const Gguf gguf = {
      .pairs = {},
      .tensors = {
          {.name = "x", .extents = {64}, .type = GgufType::kF32, .bytes = std::string(256, '\1')}}};
  ASSERT_THAT(WriteGguf(folder / "a.gguf", gguf), IsOk());
  const auto read = ReadGguf(folder / "a.gguf");
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(read->tensors.at(0).bytes, "");
  EXPECT_EQ(read->tensors.at(0).data(), gguf.tensors[0].bytes);
}

TEST(GgufFile, ThatIsCutOffIsRefused) {
  const Folder folder;
  const std::string path = folder / "a.gguf";
  const Gguf gguf = {
      .pairs = {{"text", std::string("of ten")}},
      .tensors = {
          {.name = "x", .extents = {64}, .type = GgufType::kF32, .bytes = std::string(256, '\1')}}};
  ASSERT_THAT(WriteGguf(path, gguf), IsOk());
  const auto whole = std::filesystem::file_size(path);
  for (const uint64_t size : {whole - 1, whole / 2, uint64_t{30}, uint64_t{3}, uint64_t{0}}) {
    std::filesystem::resize_file(path, size);
    EXPECT_THAT(ReadGguf(path).status(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("a.gguf")))
        << size;
  }
}

// A block is a scale, the largest size by 127, and 32 whole numbers of it.
TEST(GgufNumbers, OfBlocksAreTheirScaleAndWholeNumbers) {
  std::vector<float> numbers(64);
  numbers[0] = 127;
  numbers[1] = -127;
  numbers[2] = 63.4f;
  numbers[3] = 0.6f;
  numbers[4] = -0.6f;
  numbers[32] = 2;
  numbers[33] = -254;
  std::string wanted(68, '\0');
  wanted[1] = '\x3c';  // 1 as a half
  wanted[2] = 127;
  wanted[3] = '\x81';
  wanted[4] = 63;
  wanted[5] = 1;
  wanted[6] = '\xff';
  wanted[35] = '\x40';  // 2
  wanted[36] = 1;
  wanted[37] = '\x81';
  EXPECT_EQ(ToGgufBytes(GgufType::kQ8_0, numbers), wanted);
}

TEST(GgufNumbers, OfABlockOfZerosAreZeros) {
  EXPECT_EQ(ToGgufBytes(GgufType::kQ8_0, std::vector<float>(32)), std::string(34, '\0'));
}

TEST(GgufNumbers, OfBlocksAreWithinHalfAStep) {
  std::vector<float> numbers;
  for (int i = 0; i < 64; ++i) {
    numbers.push_back(std::sin(static_cast<float>(i)) * static_cast<float>(i < 32 ? 1 : 100));
  }
  const std::string bytes = ToGgufBytes(GgufType::kQ8_0, numbers);
  ASSERT_EQ(bytes.size(), 68u);
  const std::vector<float> back = FromGgufBytes(GgufType::kQ8_0, bytes);
  ASSERT_EQ(back.size(), numbers.size());
  for (size_t i = 0; i < numbers.size(); ++i) {
    EXPECT_NEAR(back[i], numbers[i], (i < 32 ? 1.0 : 100.0) / 127 * 0.6) << i;
  }
}

}  // namespace
}  // namespace hone::engine::exports
