#include <gmock/gmock.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "engine/graph/sum.h"
#include "engine/ops/activation.h"
#include "engine/ops/cross_entropy.h"
#include "engine/ops/dropout.h"
#include "engine/ops/linear.h"
#include "engine/ops/pool2d.h"
#include "tests/support/bound_program.h"
#include "tests/support/small_net.h"
#include "tests/support/status_matchers.h"

// Forward nodes computed again for the backward pass instead of being kept for it.
namespace hone::engine {
namespace {

using ::hone::engine::testing::AddParameter;
using ::hone::engine::testing::BoundProgram;
using ::hone::engine::testing::Give;
using ::hone::engine::testing::GiveExamples;
using ::hone::engine::testing::Net;
using ::hone::engine::testing::RandomNumbers;
using ::hone::engine::testing::Slab;
using ::hone::engine::testing::StoreOf;
using ::hone::testing::IsOk;

constexpr int64_t kBatch = 64;
constexpr int64_t kUnits = 96;

// Blocks with a residual path and dropout: block.0, block.1, …
struct Deep {
  Graph graph;
  Loss loss;
  std::vector<Value> parameters;

  explicit Deep(int blocks) {
    Value x = graph.Input("x", {Shape{kBatch, kUnits}, DType::kF32});
    for (int i = 0; i < blocks; ++i) {
      const std::string scope = absl::StrCat("block.", i);
      graph.set_scope(scope);
      const Value wide =
          Activation(graph, Product(x, scope + ".up", kUnits, 2 * kUnits), ActivationKind::kGelu);
      const Value narrow = Product(Dropout(graph, wide, 0.3f), scope + ".down", 2 * kUnits, kUnits);
      x = Sum(graph, x, Activation(graph, narrow, ActivationKind::kTanh));
    }
    graph.set_scope("loss");
    loss = CrossEntropy(graph, x, graph.Input("y", {Shape{kBatch}, DType::kS32}), {});
  }
  Value Product(Value x, const std::string& name, int64_t in, int64_t out) {
    parameters.push_back(graph.Parameter({.name = name,
                                          .shape = {in, out},
                                          .initializer = {.kind = Initializer::Kind::kGlorotUniform,
                                                          .fan_in = static_cast<double>(in),
                                                          .fan_out = static_cast<double>(out)}}));
    return Linear(graph, x, parameters.back(), {});
  }
};

struct Result {
  std::vector<float> gradients;
  int64_t arena;
  int64_t dropouts = 0;
};

Result RunDeep(int blocks, const GradientOptions& options, int threads = 1) {
  Deep deep(blocks);
  ParameterStore store = *StoreOf(deep.graph);
  const std::vector<Value> gradients =
      Differentiate(deep.graph, deep.loss.sum, deep.parameters, options);
  ProgramRequest request = {.graph = &deep.graph, .fetch = {deep.loss.sum}, .gradients = {}};
  for (size_t i = 0; i < gradients.size(); ++i) {
    request.gradients.emplace_back(gradients[i], static_cast<ParameterId>(i));
  }
  const auto bound = BoundProgram::Make(request, store, {.threads = threads});
  EXPECT_THAT(bound, IsOk());
  Give(bound->program, "x", RandomNumbers(kBatch * kUnits, 4));
  Give(bound->program, "y", std::vector<int32_t>(kBatch, 7));
  EXPECT_THAT(bound->program.Run({.seed = 3, .step = 11}), IsOk());
  Result result = {Slab(store, 0), bound->program.arena_bytes()};
  for (const Program::Step& step : bound->program.steps()) {
    result.dropouts += step.op == "dropout";
  }
  return result;
}

int BlockOf(const Graph::Node& node) {
  int block = -1;
  return absl::SimpleAtoi(node.name.substr(std::min<size_t>(6, node.name.size())), &block) ? block
                                                                                           : -1;
}

TEST(Recompute, GivesTheSameGradientsBitForBit) {
  for (const int threads : {1, 2}) {
    const Result kept = RunDeep(8, {}, threads);
    const Result again = RunDeep(8, {.segment_of = BlockOf}, threads);
    EXPECT_EQ(again.gradients, kept.gradients) << threads << " threads";
  }
}

TEST(Recompute, NeedsLessMemory) {
  const Result kept = RunDeep(8, {}), again = RunDeep(8, {.segment_of = BlockOf});
  EXPECT_LT(again.arena, kept.arena / 2);
}

TEST(Recompute, OfSeveralBlocksTogetherKeepsOnlyWhatLiesBetweenThem) {
  const auto pairs = [](const Graph::Node& node) {
    const int block = BlockOf(node);
    return block < 0 ? -1 : block / 4;
  };
  const Result kept = RunDeep(16, {}), again = RunDeep(16, {.segment_of = pairs});
  EXPECT_EQ(again.gradients, kept.gradients);
  EXPECT_LT(again.arena, kept.arena / 2);
  EXPECT_EQ(kept.dropouts, 16);
  EXPECT_EQ(again.dropouts, 32);
}

TEST(Recompute, OfConvolutionsAndPoolsGivesTheSameGradientsBitForBit) {
  std::vector<std::vector<float>> results;
  for (const bool recompute : {false, true}) {
    Net net(4, /*with_dropout=*/true);
    ParameterStore store = *StoreOf(net.graph);
    GradientOptions how;
    if (recompute) {
      how.segment_of = [](const Graph::Node& node) {
        return node.name == "loss" ? -1 : node.name == "dropout" || node.name == "dense" ? 1 : 0;
      };
    }
    const std::vector<Value> gradients =
        Differentiate(net.graph, net.loss.sum, net.parameters, how);
    ProgramRequest request = {.graph = &net.graph, .fetch = {net.loss.sum}, .gradients = {}};
    for (size_t i = 0; i < gradients.size(); ++i) {
      request.gradients.emplace_back(
          gradients[i], *store.Find(net.graph.node(net.parameters[i].node).parameter.name));
    }
    const auto bound = BoundProgram::Make(request, store);
    ASSERT_THAT(bound, IsOk());
    GiveExamples(bound->program, 0, 4);
    ASSERT_THAT(bound->program.Run({.seed = 1, .step = 2}), IsOk());
    results.push_back(Slab(store, 0));
  }
  EXPECT_EQ(results[0], results[1]);
}

}  // namespace
}  // namespace hone::engine
