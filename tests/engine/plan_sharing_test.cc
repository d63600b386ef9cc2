#include <gmock/gmock.h>

#include <algorithm>
#include <functional>

#include "tests/support/bound_program.h"
#include "tests/support/small_net.h"
#include "tests/support/status_matchers.h"

// Several programs over one store: shards, shared arenas, packed copies.
namespace hone::engine {
namespace {

using ::hone::engine::testing::BoundProgram;
using ::hone::engine::testing::Fetched;
using ::hone::engine::testing::GiveExamples;
using ::hone::engine::testing::Net;
using ::hone::engine::testing::Slab;
using ::hone::engine::testing::StoreOf;
using ::hone::testing::IsOk;
using ::testing::Pointwise;

TEST(Program, OverShardsOfABatchAddsUpToTheGradientOfTheWholeBatch) {
  Net whole(8), half(4);
  ParameterStore store = *StoreOf(whole.graph, /*shards=*/3);
  const auto all = BoundProgram::Make(whole.Training(store), store, {.shard = 2});
  ASSERT_THAT(all, IsOk());
  GiveExamples(all->program, 0, 8);
  ASSERT_THAT(all->program.Run({}), IsOk());
  const ProgramRequest request = half.Training(store);
  for (int shard = 0; shard < 2; ++shard) {
    const auto part = BoundProgram::Make(request, store, {.shard = shard});
    ASSERT_THAT(part, IsOk());
    GiveExamples(part->program, shard * 4, shard * 4 + 4);
    ASSERT_THAT(part->program.Run({}), IsOk());
  }
  std::vector<float> sum = Slab(store, 0);
  std::ranges::transform(sum, Slab(store, 1), sum.begin(), std::plus<>());
  EXPECT_THAT(sum, Pointwise(::testing::FloatNear(1e-5f), Slab(store, 2)));
}

TEST(Program, DropsTheSameElementsInShardsAsInTheWholeBatch) {
  Net whole(8, true), half(4, true);
  ParameterStore store = *StoreOf(whole.graph, /*shards=*/3);
  const auto all = BoundProgram::Make(whole.Training(store), store, {.shard = 2});
  ASSERT_THAT(all, IsOk());
  GiveExamples(all->program, 0, 8);
  ASSERT_THAT(all->program.Run({.seed = 3, .step = 4}), IsOk());
  const ProgramRequest request = half.Training(store);
  for (int shard = 0; shard < 2; ++shard) {
    const auto part = BoundProgram::Make(request, store, {.shard = shard});
    ASSERT_THAT(part, IsOk());
    GiveExamples(part->program, shard * 4, shard * 4 + 4);
    ASSERT_THAT(part->program.Run({.seed = 3, .step = 4, .first_example = shard * 4}), IsOk());
  }
  std::vector<float> sum = Slab(store, 0);
  std::ranges::transform(sum, Slab(store, 1), sum.begin(), std::plus<>());
  EXPECT_THAT(sum, Pointwise(::testing::FloatNear(1e-5f), Slab(store, 2)));
}

TEST(Program, DropsOtherElementsInTheNextStep) {
  Net net(4, true);
  ParameterStore store = *StoreOf(net.graph);
  const auto bound = BoundProgram::Make(net.Training(store), store);
  ASSERT_THAT(bound, IsOk());
  std::vector<float> losses;
  for (const uint64_t step : {1, 2, 1}) {
    GiveExamples(bound->program, 0, 4);
    ASSERT_THAT(bound->program.Run({.seed = 3, .step = step}), IsOk());
    losses.push_back(bound->program.fetched_scalar(0));
  }
  EXPECT_NE(losses[0], losses[1]);
  EXPECT_EQ(losses[0], losses[2]);
}

TEST(Program, SharesItsArenaWithAnotherThatNeverRunsAtTheSameTime) {
  Net net(4);
  ParameterStore store = *StoreOf(net.graph);
  const auto alone = BoundProgram::Make(net.Prediction(), store);
  auto training = Program::Compile(net.Training(store), store, {});
  auto prediction = Program::Compile(net.Prediction(), store, {});
  ASSERT_THAT(alone, IsOk());
  ASSERT_THAT(training, IsOk());
  ASSERT_THAT(prediction, IsOk());
  const Buffer arena(std::max(training->arena_bytes(), prediction->arena_bytes()));
  ASSERT_THAT(training->Bind(arena.as<std::byte>()), IsOk());
  ASSERT_THAT(prediction->Bind(arena.as<std::byte>()), IsOk());
  store.RefreshAll();
  for (int64_t i = 0; i < 3; ++i) {
    GiveExamples(*training, i, i + 4);
    ASSERT_THAT(training->Run({}), IsOk());
    GiveExamples(*prediction, 10 + i, 14 + i);
    ASSERT_THAT(prediction->Run({}), IsOk());
    GiveExamples(alone->program, 10 + i, 14 + i);
    ASSERT_THAT(alone->program.Run({}), IsOk());
    EXPECT_EQ(Fetched(*prediction, 40), Fetched(alone->program, 40));
  }
}

TEST(Program, SeesChangedParametersAfterTheStoreIsRefreshed) {
  Net net(4);
  ParameterStore store = *StoreOf(net.graph);
  // bfloat16 or blocked weights are copies; a fresh program over the changed store is the truth.
  const auto bound = BoundProgram::Make(net.Prediction(), store);
  ASSERT_THAT(bound, IsOk());
  ASSERT_GT(store.packed_bytes(), 0);
  for (float& value : store.mutable_values(*store.Find("conv2.weight")).f32()) {
    value *= -2;
  }
  store.MarkChanged();
  store.RefreshAll();
  GiveExamples(bound->program, 0, 4);
  ASSERT_THAT(bound->program.Run({}), IsOk());

  ParameterStore other = *StoreOf(net.graph);
  for (float& value : other.mutable_values(*other.Find("conv2.weight")).f32()) {
    value *= -2;
  }
  const auto fresh = BoundProgram::Make(net.Prediction(), other);
  ASSERT_THAT(fresh, IsOk());
  GiveExamples(fresh->program, 0, 4);
  ASSERT_THAT(fresh->program.Run({}), IsOk());
  EXPECT_EQ(Fetched(bound->program, 40), Fetched(fresh->program, 40));
}

TEST(Program, RunsWithOldCopiesUntilTheStoreIsRefreshed) {
  Net net(4);
  ParameterStore store = *StoreOf(net.graph);
  const auto bound = BoundProgram::Make(net.Prediction(), store);
  ASSERT_THAT(bound, IsOk());
  GiveExamples(bound->program, 0, 4);
  ASSERT_THAT(bound->program.Run({}), IsOk());
  const std::vector<float> before = Fetched(bound->program, 40);
  std::ranges::fill(store.mutable_values(*store.Find("conv2.weight")).f32(), 0.0f);
  store.MarkChanged();
  GiveExamples(bound->program, 0, 4);
  ASSERT_THAT(bound->program.Run({}), IsOk());
  EXPECT_EQ(Fetched(bound->program, 40), before);
  store.RefreshAll();
  GiveExamples(bound->program, 0, 4);
  ASSERT_THAT(bound->program.Run({}), IsOk());
  EXPECT_NE(Fetched(bound->program, 40), before);
}

TEST(Program, SharesPackedCopiesWithOthersOverTheSameStore) {
  Net net(4);
  ParameterStore store = *StoreOf(net.graph);
  const auto first = BoundProgram::Make(net.Prediction(), store);
  ASSERT_THAT(first, IsOk());
  const int64_t bytes = store.packed_bytes();
  const auto second = BoundProgram::Make(net.Prediction(), store);
  ASSERT_THAT(second, IsOk());
  EXPECT_EQ(store.packed_bytes(), bytes);
  GiveExamples(first->program, 0, 4);
  GiveExamples(second->program, 0, 4);
  ASSERT_THAT(first->program.Run({}), IsOk());
  ASSERT_THAT(second->program.Run({}), IsOk());
  EXPECT_EQ(Fetched(first->program, 40), Fetched(second->program, 40));
}

}  // namespace
}  // namespace hone::engine
