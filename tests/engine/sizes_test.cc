#include <gmock/gmock.h>

#include <limits>

#include "engine/params/parameter_store.h"

namespace hone::engine {
namespace {

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

TEST(Shape, WithMoreElementsThanCanBeCountedHasTheMostThatCan) {
  EXPECT_EQ((Shape{int64_t{1} << 32, int64_t{1} << 32}).elements(), kMost);
  EXPECT_EQ((Shape{int64_t{1} << 40, 3, int64_t{1} << 24}).elements(), kMost);
  EXPECT_EQ((Shape{int64_t{1} << 40, int64_t{1} << 40, 0}).elements(), 0);
}

TEST(TensorType, OfMoreBytesThanCanBeCountedHasTheMostThatCan) {
  EXPECT_EQ((TensorType{{int64_t{1} << 62}, DType::kF32}).bytes(), kMost);
  EXPECT_EQ((TensorType{{int64_t{1} << 62}, DType::kU8}).bytes(), int64_t{1} << 62);
}

// Sixteen convolutions of 524,288 filters with kernels of 1024 × 1024: 2⁶⁴ bytes.
TEST(ParameterStore, ThatNeedsMoreThanCanBeCountedDoesNotSeemToNeedNothing) {
  ParameterStore store;
  for (int i = 0; i < 16; ++i) {
    ASSERT_TRUE(store
                    .Declare({.name = "weight" + std::to_string(i),
                              .shape = {524288, 524288, 1024, 1024},
                              .initializer = {},
                              .role = ParameterRole::kFrozen})
                    .ok());
  }
  EXPECT_EQ(store.SlabBytes(1), kMost);
}

TEST(ParameterStore, SaysInWhichRolesANameIsDeclaredTwice) {
  ParameterStore store;
  ASSERT_TRUE(store.Declare({.name = "w", .shape = {4}, .initializer = {}}).ok());
  const auto again =
      store.Declare({.name = "w", .shape = {4}, .initializer = {}, .role = ParameterRole::kBuffer});
  EXPECT_THAT(std::string(again.status().message()),
              ::testing::HasSubstr("as trainable [4] and as buffer [4]"));
}

}  // namespace
}  // namespace hone::engine
