#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "engine/graph/reference.h"
#include "engine/layers/conv2d.h"
#include "engine/layers/dense.h"
#include "engine/layers/glu.h"
#include "engine/layers/normalization.h"
#include "engine/layers/sequences.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::layers {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::HasSubstr;

const ParameterSpec& Spec(const Graph& graph, const std::string& name) {
  for (const Graph::Node& node : graph.nodes()) {
    if (node.kind == Graph::Node::Kind::kParameter && node.parameter.name == name) {
      return node.parameter;
    }
  }
  static const ParameterSpec none;
  ADD_FAILURE() << "no parameter " << name;
  return none;
}

DenseOptions DenseOf(int64_t units) {
  DenseOptions options;
  options.name = "d";
  options.units = units;
  return options;
}

TEST(Dense, CountsItsFansAndSparesTheBiasFromDecay) {
  Graph graph;
  const Value x = graph.Input("x", {{4, 6}, DType::kF32});
  EXPECT_EQ(graph.shape(Dense(graph, x, DenseOf(5))), (Shape{4, 5}));
  EXPECT_EQ(Spec(graph, "d.weight").shape, (Shape{6, 5}));
  EXPECT_EQ(Spec(graph, "d.weight").initializer.fan_in, 6);
  EXPECT_EQ(Spec(graph, "d.weight").initializer.fan_out, 5);
  EXPECT_TRUE(Spec(graph, "d.weight").decays);
  EXPECT_FALSE(Spec(graph, "d.bias").decays);
}

TEST(Dense, RefusesNoUnits) {
  Graph graph;
  Dense(graph, graph.Input("x", {{4, 6}, DType::kF32}), DenseOf(0));
  EXPECT_THAT(graph.status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("units must be at least 1")));
}

TEST(Dense, AFrozenLayersParametersAreFrozen) {
  Graph graph;
  DenseOptions options = DenseOf(2);
  options.frozen = true;
  Dense(graph, graph.Input("x", {{4, 6}, DType::kF32}), options);
  EXPECT_EQ(Spec(graph, "d.weight").role, ParameterRole::kFrozen);
  EXPECT_EQ(Spec(graph, "d.bias").role, ParameterRole::kFrozen);
}

TEST(Glu, HasThreeProductsAndKeepsTheWidth) {
  Graph graph;
  const Value x = graph.Input("x", {{4, 6}, DType::kF32});
  const Value y = Glu(graph, x, {.name = "g", .units = 10, .use_bias = true});
  EXPECT_EQ(graph.shape(y), (Shape{4, 6}));
  EXPECT_EQ(Spec(graph, "g.gate.weight").shape, (Shape{6, 10}));
  EXPECT_EQ(Spec(graph, "g.up.weight").shape, (Shape{6, 10}));
  EXPECT_EQ(Spec(graph, "g.up.bias").shape, Shape{10});
  EXPECT_EQ(Spec(graph, "g.down.weight").shape, (Shape{10, 6}));
  EXPECT_EQ(Spec(graph, "g.down.weight").initializer.fan_in, 10);
}

// down · (silu(gate x) ⊙ up x), in double.
TEST(Glu, IsAGateTimesAProduct) {
  Graph graph;
  const Value y = Glu(graph, graph.Input("x", {{1, 1}, DType::kF32}), {.name = "g", .units = 1});
  EXPECT_THAT(graph.status(), IsOk());
  const std::map<std::string, double> weights = {
      {"g.gate.weight", 3}, {"g.up.weight", -2}, {"g.down.weight", 0.25}};
  const auto source = [&](const Graph::Node& node) {
    DoubleTensor number(Shape{1, 1});
    const bool is_weight = node.kind == Graph::Node::Kind::kParameter;
    number[0] = is_weight ? weights.at(node.parameter.name) : 0.5;
    return number;
  };
  const auto values = Interpret(graph, {y}, source);
  ASSERT_THAT(values, IsOk());
  const double silu = 1.5 / (1 + std::exp(-1.5));
  EXPECT_NEAR((*values)[0][0], silu * (-2 * 0.5) * 0.25, 1e-12);
}

TEST(Glu, RefusesNoUnits) {
  Graph graph;
  Glu(graph, graph.Input("x", {{4, 6}, DType::kF32}), {.name = "g"});
  EXPECT_THAT(graph.status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("units must be at least 1")));
}

TEST(Attention, RefusesTwoKindsOfPositions) {
  Graph graph;
  const Value x = graph.Input("x", {{4, 6}, DType::kF32});
  const Value offsets = graph.Input("offsets", {{3}, DType::kS32});
  Attention(graph, x, offsets, {.name = "a", .heads = 3, .rotary = true, .alibi = true}, true);
  EXPECT_THAT(graph.status(), StatusIs(absl::StatusCode::kInvalidArgument,
                                       HasSubstr("must have rotary or alibi, got both")));
}

TEST(Conv2d, CountsItsFansByTheKernelsArea) {
  Graph graph;
  Conv2dOptions options;
  options.name = "c";
  options.filters = 8;
  options.kernel = 3;
  options.groups = 2;
  const Value y = Conv2d(graph, graph.Input("x", {{1, 4, 9, 9}, DType::kF32}), options);
  ASSERT_TRUE(graph.status().ok()) << graph.status();
  EXPECT_EQ(graph.shape(y), (Shape{1, 8, 7, 7}));
  EXPECT_EQ(Spec(graph, "c.weight").shape, (Shape{8, 2, 3, 3}));
  EXPECT_EQ(Spec(graph, "c.weight").initializer.fan_in, 18);
  EXPECT_EQ(Spec(graph, "c.weight").initializer.fan_out, 72);
}

// The picture that a transposed convolution makes of [1, 4, 5, 6].
Shape TransposedShape(Padding padding, int64_t kernel, int64_t stride, int64_t dilation = 1) {
  Graph graph;
  Conv2dOptions options;
  options.filters = 2;
  options.kernel = kernel;
  options.stride = stride;
  options.padding = padding;
  options.dilation = dilation;
  const Value y = Conv2dTranspose(graph, graph.Input("x", {{1, 4, 5, 6}, DType::kF32}), options);
  EXPECT_TRUE(graph.status().ok()) << graph.status();
  return graph.shape(y);
}

TEST(Conv2dTranspose, MakesEachExtentThatOfTheWindowsSideBySide) {
  EXPECT_EQ(TransposedShape(Padding::kValid, 3, 1), (Shape{1, 2, 7, 8}));
  EXPECT_EQ(TransposedShape(Padding::kValid, 4, 2), (Shape{1, 2, 12, 14}));
  EXPECT_EQ(TransposedShape(Padding::kValid, 3, 2, 2), (Shape{1, 2, 13, 15}));
}

TEST(Conv2dTranspose, SamePaddingMultipliesTheSizeByTheStride) {
  for (const int64_t stride : {1, 2, 3}) {
    for (const int64_t kernel : {1, 2, 3, 4, 5}) {
      EXPECT_EQ(TransposedShape(Padding::kSame, kernel, stride),
                (Shape{1, 2, 5 * stride, 6 * stride}))
          << "a kernel of " << kernel << ", stride " << stride;
    }
  }
}

TEST(Conv2dTranspose, CountsItsFansByTheKernelsArea) {
  Graph graph;
  Conv2dOptions options;
  options.name = "t";
  options.filters = 8;
  options.kernel = 3;
  options.groups = 2;
  Conv2dTranspose(graph, graph.Input("x", {{1, 4, 9, 9}, DType::kF32}), options);
  EXPECT_EQ(Spec(graph, "t.weight").shape, (Shape{4, 4, 3, 3}));
  EXPECT_EQ(Spec(graph, "t.weight").initializer.fan_in, 36);
  EXPECT_EQ(Spec(graph, "t.weight").initializer.fan_out, 36);
}

TEST(Conv2dTranspose, RefusesGroupsThatDoNotDivideItsChannels) {
  Graph graph;
  Conv2dOptions options;
  options.filters = 6;
  options.kernel = 3;
  options.groups = 3;
  Conv2dTranspose(graph, graph.Input("x", {{1, 4, 9, 9}, DType::kF32}), options);
  EXPECT_THAT(graph.status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("groups must divide the 4")));
}

TEST(Conv2d, SamePaddingKeepsTheSizeAtStrideOne) {
  Graph graph;
  Conv2dOptions options;
  options.name = "c";
  options.filters = 2;
  options.kernel = 4;
  options.padding = Padding::kSame;
  const Value y = Conv2d(graph, graph.Input("x", {{1, 1, 7, 5}, DType::kF32}), options);
  EXPECT_EQ(graph.shape(y), (Shape{1, 2, 7, 5}));
}

TEST(MaxPool2d, StepsByItsSizeWhereNoStrideIsGiven) {
  Graph graph;
  const Value y =
      MaxPool2d(graph, graph.Input("x", {{1, 1, 9, 9}, DType::kF32}), {.name = "p", .size = 3});
  EXPECT_EQ(graph.shape(y), (Shape{1, 1, 3, 3}));
}

TEST(BatchNorm, UpdatesItsStatisticsWhileItTrainsOnly) {
  for (const bool training : {true, false}) {
    Graph graph;
    BatchNorm(graph, graph.Input("x", {{4, 6}, DType::kF32}), {.name = "b"}, training);
    EXPECT_EQ(graph.updates().empty(), !training);
    EXPECT_EQ(Spec(graph, "b.running_mean").role, ParameterRole::kBuffer);
  }
}

TEST(Dropout, IsNothingOutsideOfTraining) {
  Graph graph;
  const Value x = graph.Input("x", {{4, 6}, DType::kF32});
  EXPECT_EQ(Dropout(graph, x, {.name = "d", .rate = 0.5f}, false), x);
  EXPECT_NE(Dropout(graph, x, {.name = "d", .rate = 0.5f}, true), x);
}

}  // namespace
}  // namespace hone::engine::layers
