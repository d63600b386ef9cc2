#include <gtest/gtest.h>

#include "engine/base/status.h"
#include "engine/ops/attention.h"
#include "engine/ops/dropout.h"
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

// Two shards of two sequences of four tokens each, whose rows are all ones.
TEST(Replicas, OfTokenRowsDropOtherNumbersInEachShard) {
  constexpr int64_t kRows = 8, kWidth = 16;
  const auto build = [](int64_t sequences) -> absl::StatusOr<BuiltGraph> {
    BuiltGraph built;
    built.graph = std::make_unique<Graph>();
    Graph& graph = *built.graph;
    const Value x = graph.Input("x", {{kRows, kWidth}, DType::kF32});
    const Value offsets = graph.Input(kOffsetsInput, {Shape{sequences + 1}, DType::kS32});
    built.request.fetch = {
        Dropout(graph, x, 0.5F),
        Attention(graph, x, x, x, offsets, {.heads = 2, .kv_heads = 2, .dropout = 0.5F})};
    built.request.graph = &graph;
    HONE_RETURN_IF_ERROR(graph.status());
    return built;
  };
  ParameterStore store;
  store.Allocate(2);
  Replicas replicas = Replicas::Compile(build, 4, store, {.threads = 2, .shards = 2}).value();
  std::vector<Buffer> arenas;
  std::vector<std::vector<float>> dropped[2];
  for (int k = 0; k < 2; ++k) {
    arenas.emplace_back(replicas.arena_bytes());
  }
  ASSERT_TRUE(replicas.Bind(arenas).ok());
  for (int k = 0; k < 2; ++k) {
    const Program& program = replicas.program(k);
    std::fill_n(static_cast<float*>(program.input("x")), kRows * kWidth, 1.0F);
    std::ranges::copy(std::vector<int32_t>{0, 4, 8},
                      static_cast<int32_t*>(program.input(kOffsetsInput)));
    ASSERT_TRUE(replicas.RunShard(k, {.seed = 7, .step = 3}).ok());
    for (int i = 0; i < 2; ++i) {
      const auto* values = static_cast<const float*>(program.fetched(i));
      dropped[k].emplace_back(values, values + kRows * kWidth);
    }
  }
  // Nor those of the rows behind the second sequence's place, where shard 1 begins.
  EXPECT_NE(dropped[0][0], dropped[1][0]);
  EXPECT_FALSE(
      std::equal(dropped[0][0].begin() + 2 * kWidth, dropped[0][0].end(), dropped[1][0].begin()));
  EXPECT_NE(dropped[0][1], dropped[1][1]) << "attention";
}

}  // namespace
}  // namespace hone::engine
