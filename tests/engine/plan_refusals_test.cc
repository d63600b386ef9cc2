#include <gmock/gmock.h>

#include "tests/support/bound_program.h"
#include "tests/support/small_net.h"
#include "tests/support/status_matchers.h"

// What a plan refuses, and what a run does.
namespace hone::engine {
namespace {

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

}  // namespace
}  // namespace hone::engine
