#include <gmock/gmock.h>

#include <algorithm>
#include <string>

#include "engine/base/cpu.h"
#include "engine/graph/sum.h"
#include "engine/ops/activation.h"
#include "engine/ops/linear.h"
#include "engine/plan/passes.h"
#include "engine/plan/precision.h"
#include "tests/support/bound_program.h"
#include "tests/support/status_matchers.h"

// Sums of sums, which are added up in one pass.
namespace hone::engine {
namespace {

using ::hone::engine::testing::AddParameter;
using ::hone::engine::testing::BoundProgram;
using ::hone::engine::testing::Give;
using ::hone::engine::testing::RandomNumbers;
using ::hone::engine::testing::StoreOf;
using ::hone::testing::IsOk;
using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

// More than a piece of the pass, and no whole number of them.
constexpr int64_t kCount = 2500;

Value Input(Graph& graph, const char* name) {
  return graph.Input(name, {{1, kCount}, DType::kF32});
}

// How many terms the sums of a program have.
std::vector<size_t> TermsOf(const Graph& graph, const std::vector<Value>& fetch,
                            DType compute = DType::kF32) {
  PlanGraph plan = MakePlanGraph(graph, {.fetch = fetch, .gradients = {}, .updates = {}});
  RemoveDeadNodes(plan);
  ChoosePrecision(compute, plan);
  JoinSums(plan);
  std::vector<size_t> terms;
  for (const PlanGraph::Node& node : plan.nodes) {
    if (node.live && node.op != nullptr && node.op->kind() == "add") {
      terms.push_back(node.inputs.size());
    }
  }
  return terms;
}

// What the program of a graph with inputs a, b, c and d leaves.
std::vector<float> Computed(const Graph& graph, Value value) {
  ParameterStore store = *StoreOf(graph);
  const auto bound =
      BoundProgram::Make({.graph = &graph, .fetch = {value}, .gradients = {}}, store);
  EXPECT_THAT(bound, IsOk());
  uint64_t seed = 0;
  for (const char* name : {"a", "b", "c", "d"}) {
    ++seed;
    if (bound->program.input(name) != nullptr) {
      Give(bound->program, name, RandomNumbers(kCount, seed));
    }
  }
  EXPECT_THAT(bound->program.Run({}), IsOk());
  const auto* values = static_cast<const float*>(bound->program.fetched(0));
  return {values, values + kCount};
}

TEST(Sums, OfSumsAreOnePassWithTheBitsOfOneSumAfterTheOther) {
  Graph graph;
  const Value a = Input(graph, "a"), b = Input(graph, "b"), c = Input(graph, "c"),
              d = Input(graph, "d");
  const Value sum = Sum(graph, Sum(graph, c, Sum(graph, a, b)), d);
  EXPECT_THAT(TermsOf(graph, {sum}), ElementsAre(4));
  const std::vector<float> x = RandomNumbers(kCount, 1), y = RandomNumbers(kCount, 2),
                           z = RandomNumbers(kCount, 3), w = RandomNumbers(kCount, 4);
  std::vector<float> expected;
  for (size_t i = 0; i < x.size(); ++i) {
    expected.push_back((z[i] + (x[i] + y[i])) + w[i]);
  }
  EXPECT_EQ(Computed(graph, sum), expected);
}

TEST(Sums, ThatAreReadElsewhereStayOnTheirOwn) {
  Graph graph;
  const Value inner = Sum(graph, Input(graph, "a"), Input(graph, "b"));
  const Value outer = Sum(graph, inner, Input(graph, "c"));
  EXPECT_THAT(TermsOf(graph, {outer, inner}), ElementsAre(2, 2));
}

TEST(Sums, OfManyTermsKeepFewOfThemAtATime) {
  Graph graph;
  Value sum = Input(graph, "a");
  for (int i = 0; i < 8; ++i) {
    sum = Sum(graph, sum, Input(graph, ("b" + std::to_string(i)).c_str()));
  }
  EXPECT_THAT(TermsOf(graph, {sum}), ElementsAre(4, 4, 3));
}

// The first term's memory may take the result, though it is a term once more.
TEST(Sums, OfOneTermTwiceAreRightWhereTheResultTakesItsPlace) {
  Graph graph;
  const Value a = Activation(graph, Input(graph, "a"), ActivationKind::kRelu);
  const Value sum = Sum(graph, Sum(graph, a, Input(graph, "b")), a);
  EXPECT_THAT(TermsOf(graph, {sum}), ElementsAre(3));
  const std::vector<float> x = RandomNumbers(kCount, 1), y = RandomNumbers(kCount, 2);
  std::vector<float> expected;
  for (size_t i = 0; i < x.size(); ++i) {
    const float relu = std::max(x[i], 0.0f);
    expected.push_back((relu + y[i]) + relu);
  }
  EXPECT_EQ(Computed(graph, sum), expected);
}

TEST(Sums, OfDifferentTypesAreNotJoined) {
  Graph graph;
  const Value x = graph.Input("x", {{4, 6}, DType::kF32});
  const Value w = AddParameter(graph, "w", {6, 6});
  const Value products =
      Sum(graph, Linear(graph, x, w, std::nullopt), Linear(graph, x, w, std::nullopt));
  const Value sum = Sum(graph, products, x);
  EXPECT_THAT(TermsOf(graph, {sum}, DType::kBf16), UnorderedElementsAre(2, 2));
  EXPECT_THAT(TermsOf(graph, {sum}, DType::kF32), ElementsAre(3));
}

// Each sum is rounded on its own, as where somebody else reads the inner one.
TEST(Sums, OfSumsInBf16AreRoundedOneAfterTheOther) {
  if (!HasBf16()) {
    GTEST_SKIP() << "this processor does not multiply bfloat16 numbers";
  }
  constexpr int64_t kRows = 64, kWidth = 48;
  Graph graph;
  const Value x = graph.Input("x", {{kRows, kWidth}, DType::kF32});
  const auto product = [&](const char* name) {
    return Linear(graph, x, AddParameter(graph, name, {kWidth, kWidth}), std::nullopt);
  };
  const Value a = product("a"), b = product("b"), c = product("c");
  const Value inner = Sum(graph, a, b), sum = Sum(graph, inner, c);
  EXPECT_THAT(TermsOf(graph, {sum}, DType::kBf16), ElementsAre(3));
  const auto computed = [&](const std::vector<Value>& fetch) -> std::vector<float> {
    ParameterStore store = *StoreOf(graph);
    const auto bound = BoundProgram::Make({.graph = &graph, .fetch = fetch, .gradients = {}}, store,
                                          {.compute = DType::kBf16});
    EXPECT_THAT(bound, IsOk());
    Give(bound->program, "x", RandomNumbers(kRows * kWidth, 1));
    EXPECT_THAT(bound->program.Run({}), IsOk());
    const auto* values = static_cast<const float*>(bound->program.fetched(0));
    return {values, values + kRows * kWidth};
  };
  EXPECT_EQ(computed({sum}), computed({sum, inner}));
}

}  // namespace
}  // namespace hone::engine
