#include "engine/graph/graph.h"

#include <gmock/gmock.h>

#include <set>

#include "engine/graph/reference.h"
#include "engine/ops/activation.h"
#include "engine/ops/conv2d.h"
#include "engine/ops/linear.h"
#include "engine/ops/moving_average.h"
#include "engine/ops/mul.h"
#include "engine/ops/regression_loss.h"
#include "engine/ops/reshape.h"
#include "engine/ops/scale.h"
#include "tests/support/bound_program.h"
#include "tests/support/status_matchers.h"

namespace hone::engine {
namespace {

using ::hone::engine::testing::AddParameter;
using ::hone::engine::testing::StoreOf;
using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Graph, KeepsTheFirstErrorAndNamesTheLayer) {
  Graph graph;
  graph.set_scope("first");
  const Value x = graph.Input("x", {Shape{2, 3}, DType::kF32});
  const Value bad =
      Linear(graph, x, AddParameter(graph, "first.weight", Shape{4, 5}), std::nullopt);
  graph.set_scope("second");
  Mul(graph, bad, x);
  EXPECT_THAT(graph.status(), StatusIs(absl::StatusCode::kInvalidArgument,
                                       AllOf(HasSubstr("first"), HasSubstr("[4, 5]"))));
}

TEST(Graph, GoesOnWithAPlaceholderAfterAnError) {
  Graph graph;
  Value x = graph.Fail(absl::InvalidArgumentError("broken"));
  x = Flatten(graph, Relu(graph, x));
  x = Linear(graph, x, AddParameter(graph, "w", Shape{1, 1}), std::nullopt);
  const Loss loss = RegressionLoss(graph, x, x, RegressionKind::kMeanSquaredError);
  Differentiate(graph, loss.sum, {x});
  EXPECT_THAT(graph.status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("broken")));
}

TEST(Graph, GivesTheSameParameterForTheSameName) {
  Graph graph;
  const Value a = AddParameter(graph, "shared", Shape{2, 3});
  const Value b = AddParameter(graph, "shared", Shape{2, 3});
  EXPECT_EQ(a, b);
}

TEST(Graph, AnOutputThatIsMadeAnInputIsGivenAndNotComputed) {
  Graph graph;
  const Value x = graph.Input("x", {Shape{2, 3}, DType::kF32});
  const Value hidden = Relu(graph, x);
  const Value y = Mul(graph, hidden, hidden);
  graph.MakeInput(hidden, "hidden");
  ASSERT_THAT(graph.status(), IsOk());
  auto store = StoreOf(graph);
  ASSERT_THAT(store, IsOk());
  ProgramRequest request;
  request.graph = &graph;
  request.fetch = {y};
  const auto program = Program::Compile(request, *store, {});
  ASSERT_THAT(program, IsOk());
  ASSERT_EQ(program->inputs().size(), 1u);
  EXPECT_EQ(program->inputs()[0].name, "hidden");
  EXPECT_EQ(program->inputs()[0].type, graph.type(hidden));
}

TEST(Graph, RefusesToMakeAnInputOfAnInputOrUnderItsName) {
  for (const bool of_input : {false, true}) {
    Graph graph;
    const Value x = graph.Input("x", {Shape{2, 3}, DType::kF32});
    graph.MakeInput(of_input ? x : Relu(graph, x), of_input ? "other" : "x");
    EXPECT_THAT(graph.status(), StatusIs(absl::StatusCode::kInternal, HasSubstr("the input")));
  }
}

TEST(Graph, RefusesOneNameForTwoShapes) {
  Graph graph;
  AddParameter(graph, "shared", Shape{2, 3});
  AddParameter(graph, "shared", Shape{3, 2});
  EXPECT_THAT(graph.status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("shared"), HasSubstr("[2, 3]"), HasSubstr("[3, 2]"))));
}

// Whoever fills the inputs finds them by name: a second one of that name would be left unfilled.
TEST(Graph, GivesTheSameInputForTheSameName) {
  Graph graph;
  const TensorType type = {Shape{2, 3}, DType::kF32};
  EXPECT_EQ(graph.Input("shared", type), graph.Input("shared", type));
}

TEST(Graph, RefusesOneInputOfTwoTypes) {
  Graph graph;
  graph.Input("shared", {Shape{2, 3}, DType::kF32});
  graph.Input("shared", {Shape{2, 3}, DType::kS32});
  EXPECT_THAT(graph.status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("shared")));
}

TEST(Differentiate, AddsUpGradientsThatMeet) {
  Graph graph;
  const Value x = AddParameter(graph, "x", Shape{1, 2});
  // y = 2x · 3x; the loss is the mean of y² over two numbers.
  const Value y =
      Mul(graph, ScaleBy(graph, x, graph.Constant(2)), ScaleBy(graph, x, graph.Constant(3)));
  const Value zero = graph.Input("zero", {Shape{1, 2}, DType::kF32});
  const Loss loss = RegressionLoss(graph, y, zero, RegressionKind::kMeanSquaredError);
  const std::vector<Value> gradients = Differentiate(graph, loss.sum, {x});
  const auto result = Interpret(graph, gradients, [](const Graph::Node& node) {
    DoubleTensor tensor(node.types[0].shape);
    if (node.kind == Graph::Node::Kind::kParameter) {
      tensor.values = {1, -2};
    }
    return tensor;
  });
  ASSERT_THAT(result, IsOk());
  // loss = Σ 36 x⁴ / 2, so its gradient is 72 x³.
  EXPECT_THAT((*result)[0].values, ElementsAre(72, -576));
}

TEST(Differentiate, GivesNoValueForWhatTheLossDoesNotDependOn) {
  Graph graph;
  const Value used = AddParameter(graph, "used", Shape{1, 2});
  const Value unused = AddParameter(graph, "unused", Shape{1, 2});
  const Value zero = graph.Input("zero", {Shape{1, 2}, DType::kF32});
  const Loss loss = RegressionLoss(graph, used, zero, RegressionKind::kMeanSquaredError);
  const std::vector<Value> gradients = Differentiate(graph, loss.sum, {unused, used});
  EXPECT_FALSE(gradients[0].valid());
  EXPECT_TRUE(gradients[1].valid());
}

TEST(Differentiate, FailsAtAnOpWithoutGradientAndNamesIt) {
  Graph graph;
  const Value x = AddParameter(graph, "x", Shape{1, 2});
  const Value y = MovingAverage(graph, x, x, 0.5);
  const Value zero = graph.Input("zero", {Shape{1, 2}, DType::kF32});
  const Loss loss = RegressionLoss(graph, y, zero, RegressionKind::kMeanSquaredError);
  Differentiate(graph, loss.sum, {x});
  EXPECT_THAT(graph.status(),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("moving_average")));
}

// Two dense layers; how many steps of each kind the plan has for the gradients that are asked for.
struct DenseNet {
  Graph graph;
  Value first, second, loss;

  DenseNet() {
    const Value x = graph.Input("x", {Shape{4, 6}, DType::kF32});
    first = AddParameter(graph, "first", Shape{6, 5});
    second = AddParameter(graph, "second", Shape{5, 3});
    const Value hidden =
        Activation(graph, Linear(graph, x, first, std::nullopt), ActivationKind::kTanh);
    const Value y = Linear(graph, hidden, second, std::nullopt);
    const Value target = graph.Input("target", {Shape{4, 3}, DType::kF32});
    loss = RegressionLoss(graph, y, target, RegressionKind::kMeanSquaredError).sum;
  }

  absl::StatusOr<std::multiset<std::string>> StepsFor(const std::vector<Value>& parameters) {
    const std::vector<Value> gradients = Differentiate(graph, loss, parameters);
    HONE_ASSIGN_OR_RETURN(ParameterStore store, StoreOf(graph));
    ProgramRequest request{.graph = &graph, .fetch = {loss}, .gradients = {}};
    for (size_t i = 0; i < parameters.size(); ++i) {
      HONE_ASSIGN_OR_RETURN(const ParameterId id,
                            store.Find(graph.node(parameters[i].node).parameter.name));
      request.gradients.emplace_back(gradients[i], id);
    }
    HONE_ASSIGN_OR_RETURN(const Program program, Program::Compile(request, store, {}));
    std::multiset<std::string> steps;
    for (const Program::Step& step : program.steps()) {
      steps.insert(step.op);
    }
    return steps;
  }
};

TEST(Program, NeverComputesTheGradientOfTheFirstLayersInput) {
  DenseNet net;
  const auto steps = net.StepsFor({net.first, net.second});
  ASSERT_THAT(steps, IsOk());
  EXPECT_EQ(steps->count("linear_data_gradient"), 1u);
  EXPECT_EQ(steps->count("linear_weight_gradient"), 2u);
}

TEST(Program, StopsTheWayBackAtFrozenLayers) {
  DenseNet net;
  const auto steps = net.StepsFor({net.second});
  ASSERT_THAT(steps, IsOk());
  EXPECT_EQ(steps->count("linear_data_gradient"), 0u);
  EXPECT_EQ(steps->count("tanh_gradient"), 0u);
  EXPECT_EQ(steps->count("linear_weight_gradient"), 1u);
}

TEST(Program, PassesThroughAFrozenLayerWithoutItsOwnGradient) {
  DenseNet net;
  const auto steps = net.StepsFor({net.first});
  ASSERT_THAT(steps, IsOk());
  EXPECT_EQ(steps->count("linear_data_gradient"), 1u);
  EXPECT_EQ(steps->count("linear_weight_gradient"), 1u);
}

}  // namespace
}  // namespace hone::engine
