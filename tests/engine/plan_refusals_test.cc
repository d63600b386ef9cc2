#include <gmock/gmock.h>

#include "engine/ops/embedding.h"
#include "engine/ops/transpose.h"
#include "tests/support/bound_program.h"
#include "tests/support/small_net.h"
#include "tests/support/status_matchers.h"

// What a plan refuses, and what a run does.
namespace hone::engine {
namespace {

using ::hone::engine::testing::AddParameter;
using ::hone::engine::testing::BoundProgram;
using ::hone::engine::testing::Give;
using ::hone::engine::testing::GiveExamples;
using ::hone::engine::testing::kClasses;
using ::hone::engine::testing::Net;
using ::hone::engine::testing::StoreOf;
using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::HasSubstr;

TEST(Program, IsNotMadeForAShardWithoutAGradientSlab) {
  Net net(4);
  ParameterStore store = *StoreOf(net.graph, /*shards=*/2);
  EXPECT_THAT(Program::Compile(net.Training(store), store, {.shard = 2}),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("shard 2")));
}

TEST(Program, WithoutGradientsNeedsNoSlabOfItsShard) {
  const Net net(4);
  ParameterStore store = *StoreOf(net.graph, /*shards=*/1);
  EXPECT_THAT(Program::Compile(net.Prediction(), store, {.shard = 2}), IsOk());
}

TEST(CrossEntropy, FailsTheRunWhereALabelIsNoClass) {
  Net net(4);
  ParameterStore store = *StoreOf(net.graph);
  const auto bound = BoundProgram::Make(net.Training(store), store);
  ASSERT_THAT(bound, IsOk());
  GiveExamples(bound->program, 0, 4);
  Give(bound->program, "y", std::vector<int32_t>{0, kClasses - 1, -1, 3});
  EXPECT_THAT(bound->program.Run({}), IsOk());
  for (const int32_t label : {int32_t{kClasses}, 1 << 30}) {
    GiveExamples(bound->program, 0, 4);
    Give(bound->program, "y", std::vector<int32_t>{0, 1, label, 3});
    EXPECT_THAT(bound->program.Run({}),
                StatusIs(absl::StatusCode::kInternal, HasSubstr("out of range")));
  }
}

TEST(Embedding, FailsTheRunWhereAnIndexIsNoRow) {
  Graph graph;
  const Value table = AddParameter(graph, "table", {5, 3});
  const Value y = Embedding(graph, table, graph.Input("index", {{2}, DType::kS32}));
  ParameterStore store = *StoreOf(graph);
  const auto bound = BoundProgram::Make({.graph = &graph, .fetch = {y}, .gradients = {}}, store);
  ASSERT_THAT(bound, IsOk());
  for (const int32_t index : {-1, 5, 1 << 30}) {
    Give(bound->program, "index", std::vector<int32_t>{0, index});
    EXPECT_THAT(bound->program.Run({}),
                StatusIs(absl::StatusCode::kInternal, HasSubstr("out of range")));
  }
}

TEST(Transpose, RefusesAxesThatAreNoPermutation) {
  Graph graph;
  Transpose(graph, graph.Input("x", {{4, 6}, DType::kF32}), {0, 0});
  EXPECT_THAT(graph.status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("each dimension of [4, 6]")));
}

}  // namespace
}  // namespace hone::engine
