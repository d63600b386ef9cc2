#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <new>
#include <set>

#include "engine/base/team.h"
#include "engine/ops/activation.h"
#include "engine/ops/batch_norm.h"
#include "engine/ops/linear.h"
#include "engine/plan/memory_plan.h"
#include "engine/plan/passes.h"
#include "tests/support/bound_program.h"
#include "tests/support/small_net.h"
#include "tests/support/status_matchers.h"

namespace {

thread_local bool t_counting = false;
thread_local int64_t t_allocations = 0;

}  // namespace

// Under sanitizers GCC takes malloc and free in these for a mismatch.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
// Counts what this thread allocates outside oneDNN while it counts. Not inlined: the compiler would
// see memory from new go to free.
[[gnu::noinline]] void* operator new(size_t size, const std::nothrow_t&) noexcept {
  t_allocations += t_counting && !hone::engine::onednn::InsideOneDnn() ? 1 : 0;
  return std::malloc(size == 0 ? 1 : size);
}
[[gnu::noinline]] void* operator new(size_t size) {
  t_allocations += t_counting && !hone::engine::onednn::InsideOneDnn() ? 1 : 0;
  if (void* memory = std::malloc(size == 0 ? 1 : size)) {
    return memory;
  }
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace hone::engine {
namespace {

using ::hone::engine::testing::AddParameter;
using ::hone::engine::testing::BoundProgram;
using ::hone::engine::testing::Give;
using ::hone::engine::testing::GiveExamples;
using ::hone::engine::testing::Net;
using ::hone::engine::testing::StoreOf;
using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pointwise;

TEST(PlanMemory, NeverPlacesPiecesThatLiveAtTheSameTimeOverEachOther) {
  RandomStream random(5, "lifetimes");
  for (int round = 0; round < 50; ++round) {
    std::vector<Lifetime> pieces;
    for (int i = 0; i < 60; ++i) {
      const auto first = static_cast<int32_t>(random.NextBelow(100));
      pieces.push_back({static_cast<int64_t>(random.NextBelow(5000)), first,
                        first + static_cast<int32_t>(random.NextBelow(20))});
    }
    const MemoryPlan plan = PlanMemory(pieces);
    for (size_t a = 0; a < pieces.size(); ++a) {
      ASSERT_EQ(plan.offsets[a] % 64, 0);
      ASSERT_LE(plan.offsets[a] + pieces[a].bytes, plan.bytes);
      for (size_t b = 0; b < a; ++b) {
        const bool together =
            pieces[a].first <= pieces[b].last && pieces[b].first <= pieces[a].last;
        const bool apart = plan.offsets[a] + pieces[a].bytes <= plan.offsets[b] ||
                           plan.offsets[b] + pieces[b].bytes <= plan.offsets[a];
        ASSERT_TRUE(!together || apart || pieces[a].bytes == 0 || pieces[b].bytes == 0)
            << "round " << round << ", pieces " << a << " and " << b;
      }
    }
  }
}

TEST(Program, HasNoTwoSlotsInOnePlaceAtOneTime) {
  Net net(4);
  auto store = StoreOf(net.graph);
  ASSERT_THAT(store, IsOk());
  const auto program = Program::Compile(net.Training(*store), *store, {});
  ASSERT_THAT(program, IsOk());
  const auto& intervals = program->intervals();
  ASSERT_GT(intervals.size(), 5u);
  for (size_t a = 0; a < intervals.size(); ++a) {
    EXPECT_LE(intervals[a].offset + intervals[a].bytes, program->arena_bytes());
    for (size_t b = 0; b < a; ++b) {
      const bool together =
          intervals[a].first <= intervals[b].last && intervals[b].first <= intervals[a].last;
      const bool apart = intervals[a].offset + intervals[a].bytes <= intervals[b].offset ||
                         intervals[b].offset + intervals[b].bytes <= intervals[a].offset;
      EXPECT_TRUE(!together || apart) << a << " and " << b;
    }
  }
}

TEST(Program, ComputesElementwiseOpsInPlace) {
  Graph graph;
  const Value x = graph.Input("x", {Shape{8, 100}, DType::kF32});
  const Value w = AddParameter(graph, "w", Shape{100, 333});
  Value y = Linear(graph, x, w, std::nullopt);
  y = Activation(graph, y, ActivationKind::kSilu);
  y = Activation(graph, y, ActivationKind::kGelu);
  auto store = StoreOf(graph);
  ASSERT_THAT(store, IsOk());
  const auto program =
      Program::Compile({.graph = &graph, .fetch = {y}, .gradients = {}}, *store, {});
  ASSERT_THAT(program, IsOk());
  EXPECT_EQ(std::ranges::count(program->intervals(), 8 * 333 * 4, &Program::Interval::bytes), 1);
}

TEST(Program, FusesAConvolutionAndItsActivationIntoOneStep) {
  Net net(4);
  auto store = StoreOf(net.graph);
  ASSERT_THAT(store, IsOk());
  const auto program = Program::Compile(net.Prediction(), *store, {});
  ASSERT_THAT(program, IsOk());
  std::multiset<std::string> ops;
  for (const Program::Step& step : program->steps()) {
    ops.insert(step.op);
  }
  EXPECT_EQ(ops.count("conv2d"), 2u);
  EXPECT_EQ(ops.count("relu"), 0u);
}

TEST(Passes, MoveAnActivationsGradientToTheSmallSideOfThePool) {
  Net net(4);
  ParameterStore store = *StoreOf(net.graph);
  const Roots roots = *RootsOf(net.Training(store), store, /*shard=*/0);
  PlanGraph plan = MakePlanGraph(net.graph, roots);
  RemoveDeadNodes(plan);
  MoveActivationGradientsBehindPools(plan);
  int moved = 0;
  for (const int32_t index : plan.order) {
    const PlanGraph::Node& node = plan.nodes[static_cast<size_t>(index)];
    if (node.op != nullptr && node.op->kind() == "relu_gradient") {
      EXPECT_EQ(plan.nodes[static_cast<size_t>(node.inputs[1].node)].op->kind(), "max_pool2d");
      ++moved;
    }
  }
  EXPECT_EQ(moved, 2);
}

TEST(Program, GivesTheReferencesGradientsOfAWholeNet) {
  Net net(5);
  ParameterStore store = *StoreOf(net.graph);
  const ProgramRequest request = net.Training(store);
  const auto bound = BoundProgram::Make(request, store);
  ASSERT_THAT(bound, IsOk());
  GiveExamples(bound->program, 0, 5);
  const auto* x = static_cast<const float*>(bound->program.input("x"));
  const auto* y = static_cast<const int32_t*>(bound->program.input("y"));
  const std::vector<float> pictures(x, x + 5 * 256);
  const std::vector<int32_t> labels(y, y + 5);
  ASSERT_THAT(bound->program.Run({}), IsOk());
  std::vector<Value> fetch = {net.loss.sum};
  for (const auto& [value, id] : request.gradients) {
    fetch.push_back(value);
  }
  const auto reference = Interpret(net.graph, fetch, [&](const Graph::Node& node) {
    DoubleTensor tensor(node.types[0].shape);
    if (node.kind == Graph::Node::Kind::kParameter) {
      std::ranges::copy(store.values(*store.Find(node.parameter.name)).f32(),
                        tensor.values.begin());
    } else if (node.name == "x") {
      std::ranges::copy(pictures, tensor.values.begin());
    } else {
      std::ranges::copy(labels, tensor.values.begin());
    }
    return tensor;
  });
  ASSERT_THAT(reference, IsOk());
  EXPECT_NEAR(bound->program.fetched_scalar(0), (*reference)[0][0], 1e-5);
  for (size_t i = 0; i < request.gradients.size(); ++i) {
    const std::span<const float> gradient = store.gradients(request.gradients[i].second, 0);
    const std::vector<double> seen(gradient.begin(), gradient.end());
    EXPECT_THAT(seen, Pointwise(::testing::DoubleNear(2e-5), (*reference)[i + 1].values));
  }
}

TEST(Program, AllocatesNothingWhenItRuns) {
  for (const int threads : {1, 2}) {
    const ScopedThreads scoped(threads);
    Net net(64, /*with_dropout=*/true);
    ParameterStore store = *StoreOf(net.graph);
    const auto bound = BoundProgram::Make(net.Training(store), store, {.threads = threads});
    ASSERT_THAT(bound, IsOk());
    GiveExamples(bound->program, 0, 64);
    ASSERT_THAT(bound->program.Run({}), IsOk());
    t_allocations = 0;
    t_counting = true;
    const absl::Status status = bound->program.Run({.seed = 1, .step = 2});
    t_counting = false;
    ASSERT_THAT(status, IsOk());
    EXPECT_EQ(t_allocations, 0) << threads << " threads";
  }
}

TEST(Program, RefusesTheGradientOfAParameterThatTheLossDoesNotDependOn) {
  Net net(2);
  ParameterStore store = *StoreOf(net.graph);
  ProgramRequest request = net.Training(store);
  request.gradients[2].first = Value();
  EXPECT_THAT(Program::Compile(request, store, {}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("conv2.weight")));
}

// Batch norm of [2, 1]: mean 3, variance 1 and unbiased 2.
struct NormNet {
  Graph graph;
  Value y;

  NormNet() {
    const auto buffer = [&](absl::string_view name) {
      return AddParameter(graph, name, Shape{1}, ParameterRole::kBuffer);
    };
    const Value x = graph.Input("x", {Shape{2, 1}, DType::kF32});
    y = BatchNormOfBatch(graph, x, AddParameter(graph, "scale", Shape{1}),
                         AddParameter(graph, "shift", Shape{1}), buffer("mean"), buffer("variance"),
                         {.momentum = 0.75});
  }
};

TEST(Program, MovesRunningStatisticsWhenAskedTo) {
  NormNet net;
  ParameterStore store = *StoreOf(net.graph);
  const auto bound = BoundProgram::Make(
      {.graph = &net.graph, .fetch = {net.y}, .gradients = {}, .update_buffers = true}, store);
  ASSERT_THAT(bound, IsOk());
  store.mutable_values(*store.Find("mean")).f32()[0] = 1;
  store.mutable_values(*store.Find("variance")).f32()[0] = 4;
  Give(bound->program, "x", std::vector<float>{2, 4});
  ASSERT_THAT(bound->program.Run({}), IsOk());
  EXPECT_THAT(store.values(*store.Find("mean")).f32(), ElementsAre(1.5f));
  EXPECT_THAT(store.values(*store.Find("variance")).f32(), ElementsAre(3.5f));
}

TEST(Program, LeavesRunningStatisticsAloneWhenNotAskedTo) {
  NormNet net;
  ParameterStore store = *StoreOf(net.graph);
  const auto bound =
      BoundProgram::Make({.graph = &net.graph, .fetch = {net.y}, .gradients = {}}, store);
  ASSERT_THAT(bound, IsOk());
  store.mutable_values(*store.Find("mean")).f32()[0] = 1;
  Give(bound->program, "x", std::vector<float>{2, 4});
  ASSERT_THAT(bound->program.Run({}), IsOk());
  EXPECT_THAT(store.values(*store.Find("mean")).f32(), ElementsAre(1.0f));
}

}  // namespace
}  // namespace hone::engine
