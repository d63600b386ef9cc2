#include <gtest/gtest.h>

#include "engine/base/rng.h"

namespace hone::engine {
namespace {

// The numbers that runs were made of so far: others would shuffle every data set anew. The first
// follows from Philox's first two words c6523f67 729434cc: ⌊0xc6523f67729434cc · 10 / 2⁶⁴⌋ = 7.
TEST(RandomStream, DrawsTheSameNumbersBelowABoundOnEveryMachine) {
  RandomStream words(7, "below"), stream(7, "below");
  EXPECT_EQ(words.NextBits(), 0xc6523f67);
  EXPECT_EQ(words.NextBits(), 0x729434cc);
  EXPECT_EQ(stream.NextBelow(10), 7u);
  EXPECT_EQ(stream.NextBelow(1000), 644u);
  EXPECT_EQ(stream.NextBelow(1000000007), 296090806u);
  EXPECT_EQ(stream.NextBelow(uint64_t{1} << 63), 6333078890709174651u);
}

// Its key follows from the seed and the name; the counter is the block's number and the index.
TEST(RandomStream, IsPhiloxBlockByBlock) {
  const uint64_t index = (uint64_t{9} << 32) + 5;
  RandomStream stream(7, "below", index);
  const uint64_t mixed = 7 * 0x9E3779B97F4A7C15 ^ NameHash("below");
  for (uint32_t block = 0; block < 50; ++block) {
    const std::array<uint32_t, 4> words = Philox(
        {block, 0, 5, 9}, {static_cast<uint32_t>(mixed), static_cast<uint32_t>(mixed >> 32)});
    for (const uint32_t word : words) {
      ASSERT_EQ(stream.NextBits(), word) << block;
    }
  }
}

// Draws that would be biased are thrown away: half of them for this bound.
TEST(RandomStream, DrawsAgainWhereABoundDoesNotDivideTheRange) {
  RandomStream stream(7, "below");
  stream.NextBelow(10);
  for (const uint64_t bound : {uint64_t{1000}, uint64_t{1000000007}, uint64_t{1} << 63}) {
    stream.NextBelow(bound);
  }
  EXPECT_EQ(stream.NextBelow((uint64_t{1} << 63) + 1), 6645882029988197326u);
}

}  // namespace
}  // namespace hone::engine
