#include <gmock/gmock.h>

#include <algorithm>

#include "engine/graph/sum.h"
#include "engine/ops/concat.h"
#include "engine/ops/linear.h"
#include "engine/ops/matmul.h"
#include "engine/ops/reshape.h"
#include "engine/ops/transpose.h"
#include "tests/support/bound_program.h"
#include "tests/support/status_matchers.h"

// Values that lie inside others: read there by strides, and written side by side.
namespace hone::engine {
namespace {

using ::hone::engine::testing::AddParameter;
using ::hone::engine::testing::BoundProgram;
using ::hone::engine::testing::Give;
using ::hone::engine::testing::RandomNumbers;
using ::hone::engine::testing::StoreOf;
using ::hone::testing::IsOk;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;

// Queries, keys and values of 2 × 5 tokens of 3 heads, from one product.
struct FusedAttention {
  static constexpr int64_t kBatch = 2, kTime = 5, kHeads = 3, kWidth = 16, kAll = kHeads * kWidth;

  Graph graph;
  Value w = AddParameter(graph, "qkv", {kAll, 3 * kAll});
  Value mixed;

  FusedAttention() {
    const Value x = graph.Input("x", {{kBatch, kTime, kAll}, DType::kF32});
    const Value qkv = Linear(graph, x, w, std::nullopt);
    const Value scores = MatMul(graph, Head(qkv, 0), Head(qkv, 1), {.transpose_b = true});
    mixed = MatMul(graph, scores, Head(qkv, 2));
  }
  Value Head(Value qkv, int64_t i) {
    const Value part = Slice(graph, qkv, i * kAll, (i + 1) * kAll, /*axis=*/2);
    return Transpose(graph, Reshape(graph, part, {kBatch, kTime, kHeads, kWidth}), {0, 2, 1, 3});
  }
  ProgramRequest Training() {
    const Value dy = graph.Input("dy", graph.type(mixed));
    const Value gradient = Differentiate(graph, {{mixed, dy}}, {w})[0];
    return {.graph = &graph, .fetch = {mixed}, .gradients = {{gradient, 0}}};
  }
};

std::vector<std::string> OpsOf(const Program& program) {
  std::vector<std::string> ops;
  for (const Program::Step& step : program.steps()) {
    ops.push_back(step.op);
  }
  return ops;
}

TEST(Views, OfAFusedProductAreReadWithoutACopy) {
  const FusedAttention net;
  ParameterStore store = *StoreOf(net.graph);
  const auto program =
      Program::Compile({.graph = &net.graph, .fetch = {net.mixed}, .gradients = {}}, store, {});
  ASSERT_THAT(program, IsOk());
  EXPECT_THAT(OpsOf(*program), ElementsAre("linear", "matmul", "matmul"));
}

TEST(Views, HaveTheirGradientsWrittenIntoOneTensorWithoutZerosAndSums) {
  FusedAttention net;
  const ProgramRequest request = net.Training();
  ParameterStore store = *StoreOf(net.graph);
  const auto program = Program::Compile(request, store, {});
  ASSERT_THAT(program, IsOk());
  EXPECT_THAT(OpsOf(*program), Not(Contains("add")));
  for (const Program::Step& step : program->steps()) {
    EXPECT_NE(step.implementation, "zeros");
  }
}

// The products of the backward pass write their part of the one tensor themselves.
TEST(Views, HaveTheirGradientsWrittenWithoutACopy) {
  FusedAttention net;
  const ProgramRequest request = net.Training();
  ParameterStore store = *StoreOf(net.graph);
  const auto program = Program::Compile(request, store, {});
  ASSERT_THAT(program, IsOk());
  EXPECT_THAT(OpsOf(*program), ElementsAre("linear", "matmul", "matmul", "matmul", "matmul",
                                           "matmul", "matmul", "linear_weight_gradient"));
}

// The same numbers as in the reference, which knows no memory.
TEST(Views, HaveTheRightGradients) {
  FusedAttention net;
  const ProgramRequest request = net.Training();
  ParameterStore store = *StoreOf(net.graph);
  const auto bound = BoundProgram::Make(request, store);
  ASSERT_THAT(bound, IsOk());
  for (const char* name : {"x", "dy"}) {
    Give(bound->program, name, RandomNumbers(bound->program.input_type(name)->shape.elements(), 7));
  }
  ASSERT_THAT(bound->program.Run({}), IsOk());
  const auto reference =
      Interpret(net.graph, {request.gradients[0].first}, [&](const Graph::Node& node) {
        DoubleTensor tensor(node.types[0].shape);
        std::vector<float> numbers = RandomNumbers(tensor.shape.elements(), 7);
        if (node.kind == Graph::Node::Kind::kParameter) {
          store.values(0).CopyTo(numbers);
        }
        tensor.values.assign(numbers.begin(), numbers.end());
        return tensor;
      });
  ASSERT_THAT(reference, IsOk());
  const std::span<const float> gradient = store.gradients(0, 0);
  for (size_t i = 0; i < gradient.size(); ++i) {
    ASSERT_NEAR(gradient[i], (*reference)[0].values[i], 1e-3) << i;
  }
}

TEST(Views, ThatAreJoinedAreWrittenWhereTheyGo) {
  Graph graph;
  const Value a = graph.Input("a", {{6, 8}, DType::kF32}),
              b = graph.Input("b", {{8, 16}, DType::kF32});
  const Value y = Concat(
      graph, {MatMul(graph, a, b), graph.Input("c", {{6, 4}, DType::kF32}), MatMul(graph, a, b)});
  ParameterStore store = *StoreOf(graph);
  const auto program =
      Program::Compile({.graph = &graph, .fetch = {y}, .gradients = {}}, store, {});
  ASSERT_THAT(program, IsOk());
  EXPECT_THAT(OpsOf(*program), ElementsAre("matmul", "matmul", "concat"));
}

TEST(Views, ThatOverlapHaveTheirGradientsAdded) {
  Graph graph;
  const Value w = AddParameter(graph, "w", {4, 6});
  const Value y = Sum(graph, Slice(graph, w, 0, 4), Slice(graph, w, 2, 6));
  const Value dy = graph.Input("dy", graph.type(y));
  const Value gradient = Differentiate(graph, {{y, dy}}, {w})[0];
  ParameterStore store = *StoreOf(graph);
  const auto program =
      Program::Compile({.graph = &graph, .fetch = {}, .gradients = {{gradient, 0}}}, store, {});
  ASSERT_THAT(program, IsOk());
  EXPECT_THAT(OpsOf(*program), Contains("add"));
}

// Two slots that are in use at one time lie apart, or one lies in the other.
TEST(Views, LieInsideWhatTheyArePartsOfAndNothingElseOverlaps) {
  FusedAttention net;
  const ProgramRequest request = net.Training();
  ParameterStore store = *StoreOf(net.graph);
  const auto program = Program::Compile(request, store, {});
  ASSERT_THAT(program, IsOk());
  const auto& intervals = program->intervals();
  int views = 0;
  for (size_t a = 0; a < intervals.size(); ++a) {
    const Program::Interval& one = intervals[a];
    EXPECT_LE(one.offset + one.bytes, program->arena_bytes());
    if (one.inside >= 0) {
      const Program::Interval& whole = intervals[static_cast<size_t>(one.inside)];
      EXPECT_LT(whole.inside, 0);
      EXPECT_GE(one.offset, whole.offset);
      EXPECT_LE(one.offset + one.bytes, whole.offset + whole.bytes);
      EXPECT_GE(one.first, whole.first);
      EXPECT_LE(one.last, whole.last);
      ++views;
      continue;
    }
    for (size_t b = 0; b < a; ++b) {
      const Program::Interval& other = intervals[b];
      const bool together = one.first <= other.last && other.first <= one.last;
      const bool apart =
          one.offset + one.bytes <= other.offset || other.offset + other.bytes <= one.offset;
      EXPECT_TRUE(!together || apart || other.inside >= 0) << a << " and " << b;
    }
  }
  EXPECT_EQ(views, 6);  // of the product, and of its gradient
}

}  // namespace
}  // namespace hone::engine
