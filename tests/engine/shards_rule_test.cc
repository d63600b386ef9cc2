#include <gtest/gtest.h>

#include "engine/ops/linear.h"
#include "engine/plan/replicas.h"
#include "engine/tensor/token_rows.h"

// When a batch is computed in parts side by side: a rule of shapes and threads.
namespace hone::engine {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

TEST(ShardsFor, GivesEachThreadItsPartOfALargeEnoughBatch) {
  EXPECT_EQ(ShardsFor(16, 2, false, kMiB), 2);
  EXPECT_EQ(ShardsFor(15, 2, false, kMiB), 1);
  EXPECT_EQ(ShardsFor(64, 8, false, kMiB), 8);
}

TEST(ShardsFor, LeavesAnUndividedBatchToTheTeam) {
  EXPECT_EQ(ShardsFor(128, 2, true, kMiB), 1);
  EXPECT_EQ(ShardsFor(128, 1, false, kMiB), 1);
}

TEST(ShardsFor, CountsTheBytesOfAllSlabs) {
  EXPECT_EQ(ShardsFor(128, 2, false, 32 * kMiB), 2);
  EXPECT_EQ(ShardsFor(128, 2, false, 32 * kMiB + 64), 1);
  EXPECT_EQ(ShardsFor(128, 8, false, 8 * kMiB), 8);
  EXPECT_EQ(ShardsFor(128, 8, false, 9 * kMiB), 1);
}

TEST(ShardsFor, OfANetWithoutGradientsLooksAtTheBatchAlone) {
  EXPECT_EQ(ShardsFor(256, 2, false, 0), 2);
}

// One dense layer of as many inputs as outputs.
Cost Dense(int64_t rows, int64_t width) {
  Graph graph;
  const Value x = graph.Input("x", {{rows, width}, DType::kF32});
  Linear(graph, x, graph.Input("w", {{width, width}, DType::kF32}), std::nullopt);
  return CostOf(graph);
}

TEST(CostOf, AddsUpWhatTheOpsCost) {
  const Cost one = Dense(32, 24);
  EXPECT_EQ(one.flops, 2.0 * 32 * 24 * 24);
  EXPECT_EQ(one.bytes, 4.0 * (32 * 24 + 24 * 24 + 32 * 24));
}

TEST(IsWorthATeam, IsSaidOfWhatTakesLongerThanATeamNeedsToMeet) {
  EXPECT_TRUE(IsWorthATeam(Dense(128, 256)));
  EXPECT_FALSE(IsWorthATeam(Dense(32, 24)));
  EXPECT_TRUE(IsWorthATeam({.flops = 0, .bytes = 2e6})) << "memory takes time, too";
}

TEST(ShardsFor, CountsSequencesByTheirTokens) {
  EXPECT_EQ(ShardsFor(12, 2, false, kMiB, 128), 2);
  EXPECT_EQ(ShardsFor(12, 2, false, kMiB, 127), 1);
  EXPECT_EQ(ShardsFor(1, 2, false, kMiB, 4096), 1) << "one sequence is one thread's";
}

TEST(ReadsOffsets, IsSaidOfAGraphOfTokenRows) {
  Graph rows, padded;
  rows.Input(kTokensInput, {Shape{24}, DType::kS32});
  rows.Input(kOffsetsInput, {Shape{5}, DType::kS32});
  padded.Input(kTokensInput, {Shape{4, 6}, DType::kS32});
  EXPECT_TRUE(ReadsOffsets(rows));
  EXPECT_FALSE(ReadsOffsets(padded));
}

}  // namespace
}  // namespace hone::engine
