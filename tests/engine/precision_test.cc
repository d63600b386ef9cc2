#include "engine/plan/precision.h"

#include <gmock/gmock.h>

#include <bit>
#include <map>
#include <set>
#include <string>

#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "engine/base/cpu.h"
#include "engine/base/files.h"
#include "engine/graph/sum.h"
#include "engine/ops/cast.h"
#include "engine/ops/embedding.h"
#include "engine/ops/layer_norm.h"
#include "engine/ops/linear.h"
#include "engine/ops/matmul.h"
#include "engine/ops/mul.h"
#include "engine/ops/op_table.h"
#include "engine/ops/reshape.h"
#include "tests/engine/op_case.h"
#include "tests/support/bound_program.h"
#include "tests/support/status_matchers.h"

// What is bf16 and what is f32: a rule for each op, and nothing else.
namespace hone::engine {
namespace {

using ::hone::engine::testing::AddParameter;
using ::hone::engine::testing::BoundProgram;
using ::hone::engine::testing::Give;
using ::hone::engine::testing::StoreOf;
using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Rule = Precision::Rule;

// The element types in memory of `values` where a program over `roots` computes in `compute`.
std::vector<DType> Stored(const Graph& graph, const Roots& roots, const std::vector<Value>& values,
                          DType compute = DType::kBf16) {
  PlanGraph plan = MakePlanGraph(graph, roots);
  RemoveDeadNodes(plan);
  ChoosePrecision(compute, plan);
  std::vector<DType> stored;
  for (const Value value : values) {
    stored.push_back(
        plan.nodes[static_cast<size_t>(value.node)].stored[static_cast<size_t>(value.output)]);
  }
  return stored;
}

std::vector<DType> Stored(const Graph& graph, const std::vector<Value>& fetch,
                          DType compute = DType::kBf16) {
  return Stored(graph, {.fetch = fetch, .gradients = {}, .updates = {}}, fetch, compute);
}

// By kind of op, the rules of its first result that occur in the cases.
std::map<std::string, std::set<Rule>> RulesOfTheOps() {
  std::map<std::string, std::set<Rule>> rules;
  for (const OpCase& what : AllCases()) {
    const BuiltCase built(what);
    for (size_t i = 0; i < built.graph.nodes().size(); ++i) {
      const Graph::Node& node = built.graph.nodes()[i];
      // That of a convolution of one channel, or to one if it is transposed, depends on the
      // processor (kernels/README.md).
      const auto is = [&](absl::string_view kind) {
        return node.op != nullptr && node.op->kind() == kind;
      };
      const bool grey =
          (is("conv2d") && built.graph.shape(node.inputs[0])[1] == 1) ||
          (is("conv2d_transpose") && built.graph.shape({static_cast<int32_t>(i), 0})[1] == 1);
      if (node.op != nullptr && !grey && node.op->kind() != "test_contract") {
        rules[std::string(node.op->kind())].insert(node.op->precision(0).rule);
      }
    }
  }
  return rules;
}

// The same as the table in engine/README.md has it.
std::map<std::string, std::set<Rule>> RulesOfTheTable() {
  const std::map<std::string, std::set<Rule>, std::less<>> names = {
      {"`kF32`", {Rule::kF32}},
      {"`kComputed`", {Rule::kComputed}},
      {"`kFollows`", {Rule::kFollows}},
      {"`kWidest`", {Rule::kWidest}},
      {"`kForProducts`", {Rule::kForProducts}},
      {"`kCopied`", {Rule::kCopied}},
      {"declared", {Rule::kF32, Rule::kComputed}}};
  std::map<std::string, std::set<Rule>> rules;
  const auto text = ReadFile(std::string(HONE_SOURCE_DIR) + "/engine/README.md");
  EXPECT_THAT(text, IsOk());
  for (const absl::string_view line : absl::StrSplit(*text, '\n')) {
    const std::vector<absl::string_view> cells = absl::StrSplit(line, '|');
    const auto name =
        cells.size() == 5 ? names.find(absl::StripAsciiWhitespace(cells[1])) : names.end();
    if (name == names.end()) {
      continue;
    }
    for (absl::string_view op : absl::StrSplit(cells[3], ' ', absl::SkipWhitespace())) {
      EXPECT_TRUE(absl::ConsumePrefix(&op, "`") && absl::ConsumeSuffix(&op, "`")) << op;
      EXPECT_TRUE(rules.emplace(std::string(op), name->second).second)
          << op << " is in the table twice";
    }
  }
  return rules;
}

TEST(Precision, OfEveryOpIsWhatTheTableInTheReadmeSays) {
  EXPECT_EQ(RulesOfTheTable(), RulesOfTheOps());
  EXPECT_EQ(RulesOfTheTable().size(), std::size(kOpTable));
}

// x [4, 6] and f(x), a product of it.
struct Branch {
  Graph graph;
  Value x = graph.Input("x", {{4, 6}, DType::kF32});
  Value w = AddParameter(graph, "w", {6, 6});
  Value f = Linear(graph, x, w, std::nullopt);
};

TEST(Precision, OfASumIsTheSameWhicheverSummandComesFirst) {
  Branch b;
  const Value product_first = Sum(b.graph, b.f, b.x), product_last = Sum(b.graph, b.x, b.f);
  const Value both = Sum(b.graph, b.f, b.f);
  EXPECT_THAT(Stored(b.graph, {product_first, product_last, both}),
              ElementsAre(DType::kF32, DType::kF32, DType::kBf16));
}

TEST(Precision, OfAProductOfElementsIsTheSameWhicheverFactorComesFirst) {
  Branch b;
  const Value product_first = Mul(b.graph, b.f, b.x), product_last = Mul(b.graph, b.x, b.f);
  EXPECT_THAT(Stored(b.graph, {product_first, product_last}),
              ElementsAre(DType::kF32, DType::kF32));
}

TEST(Precision, OfAResidualStreamIsDeclaredWhereItStarts) {
  for (const DType declared : {DType::kF32, DType::kBf16}) {
    Graph graph;
    const Value rows = Embedding(graph, AddParameter(graph, "table", {5, 6}),
                                 graph.Input("index", {{4}, DType::kS32}));
    const Value w = AddParameter(graph, "w", {6, 6});
    Value x = Cast(graph, rows, declared);
    x = Sum(graph, x, Linear(graph, x, w, std::nullopt));
    x = Sum(graph, Linear(graph, x, w, std::nullopt), x);
    EXPECT_THAT(Stored(graph, {x}), ElementsAre(declared));
  }
}

// Rows of a table that go to a product through a sum and, if `read`, to who wants them as they are.
std::vector<DType> StoredOfRows(bool read) {
  Graph graph;
  const Value rows = Embedding(graph, AddParameter(graph, "table", {5, 6}),
                               graph.Input("index", {{4}, DType::kS32}));
  const Value sum = Sum(graph, rows, rows);
  std::vector<Value> values = {rows, sum,
                               Linear(graph, sum, AddParameter(graph, "w", {6, 6}), std::nullopt)};
  if (read) {
    values.push_back(Cast(graph, sum, DType::kF32));
  }
  return Stored(graph, values);
}

TEST(Precision, OfRowsOfATableIsThatOfProductsWhereThoseAloneReadThem) {
  EXPECT_THAT(StoredOfRows(false), ElementsAre(DType::kBf16, DType::kBf16, DType::kBf16));
  EXPECT_THAT(StoredOfRows(true), ElementsAre(DType::kF32, DType::kF32, DType::kBf16, DType::kF32));
}

TEST(Precision, OfRowsOfATableThatAreFetchedAloneIsF32) {
  Graph graph;
  const Value rows = Embedding(graph, AddParameter(graph, "table", {5, 6}),
                               graph.Input("index", {{4}, DType::kS32}));
  EXPECT_THAT(Stored(graph, {rows}), ElementsAre(DType::kF32));
}

TEST(Precision, IsF32EverywhereInAProgramThatComputesInF32) {
  Branch b;
  const Value cast = Cast(b.graph, b.f, DType::kBf16);
  EXPECT_THAT(Stored(b.graph, {b.f, cast, Sum(b.graph, b.f, cast)}, DType::kF32),
              ElementsAre(DType::kF32, DType::kF32, DType::kF32));
}

// y = x · w as a matrix product, w read at two places and once seen with another shape.
struct TiedMatMul {
  Graph graph;
  Value w = AddParameter(graph, "w", {6, 6});
  Value gradient;
  Value of_x;

  TiedMatMul() {
    const Value x = graph.Input("x", {{4, 6}, DType::kF32});
    const Value first = MatMul(graph, x, w);
    const Value second = MatMul(graph, first, Reshape(graph, Reshape(graph, w, {36}), {6, 6}));
    const Value dy = graph.Input("dy", {{4, 6}, DType::kF32});
    const std::vector<Value> gradients = Differentiate(graph, {{second, dy}}, {w, first});
    gradient = gradients[0];
    of_x = gradients[1];
  }
};

TEST(Precision, OfAParametersGradientIsF32ThoughAProductMakesIt) {
  const TiedMatMul net;
  const Roots roots = {.fetch = {net.of_x}, .gradients = {{net.gradient, 0}}, .updates = {}};
  const Graph::Node& sum = net.graph.node(net.gradient.node);
  ASSERT_EQ(sum.op->kind(), "add");
  EXPECT_THAT(Stored(net.graph, roots, {net.gradient, sum.inputs[0], sum.inputs[1], net.of_x}),
              ElementsAre(DType::kF32, DType::kF32, DType::kF32, DType::kBf16));
}

// The norm's gradient is a node that gives the scale's gradient, a sum over examples, too.
TEST(Precision, OfAProductThatANormReadsIsBf16ThoughTheNormLearns) {
  Branch b;
  const Value scale = AddParameter(b.graph, "scale", {6});
  const Value y = LayerNorm(b.graph, b.f, scale, AddParameter(b.graph, "shift", {6}), 1e-5f);
  const Value dy = b.graph.Input("dy", {{4, 6}, DType::kF32});
  const Value gradient = Differentiate(b.graph, {{y, dy}}, {scale})[0];
  const Roots roots = {.fetch = {}, .gradients = {{gradient, 0}}, .updates = {}};
  EXPECT_THAT(Stored(b.graph, roots, {b.f, gradient}), ElementsAre(DType::kBf16, DType::kF32));
}

TEST(Precision, OfAParametersGradientIsNotRoundedToBf16OnTheWay) {
  if (!HasBf16()) {
    GTEST_SKIP() << "this processor does not multiply bfloat16 numbers";
  }
  const TiedMatMul net;
  ParameterStore store = *StoreOf(net.graph);
  const auto bound =
      BoundProgram::Make({.graph = &net.graph, .fetch = {}, .gradients = {{net.gradient, 0}}},
                         store, {.compute = DType::kBf16});
  ASSERT_THAT(bound, IsOk());
  Give(bound->program, "x", testing::RandomNumbers(24, 1));
  Give(bound->program, "dy", testing::RandomNumbers(24, 2));
  ASSERT_THAT(bound->program.Run({}), IsOk());
  const std::span<const float> gradient = store.gradients(0, 0);
  EXPECT_TRUE(std::ranges::any_of(
      gradient, [](float number) { return (std::bit_cast<uint32_t>(number) & 0xffff) != 0; }));
}

// Says that it gives f32 and gives bf16.
class WrongOp final : public Op {
 public:
  absl::string_view kind() const override { return "test_wrong"; }
  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    return std::vector<TensorType>{in[0]};
  }
  void Reference(std::span<const DoubleTensor* const>, std::span<DoubleTensor>,
                 const RunScalars&) const override {}
  absl::Status Lower(Lowering& l) const override {
    l.Output(0, onednn::MemoryDesc::Plain({l.output_type(0).shape, DType::kBf16}));
    return absl::OkStatus();
  }
};

TEST(Precision, IsHeldAgainstWhatALoweringLeaves) {
  Graph graph;
  const Value x = graph.Input("x", {{4}, DType::kF32});
  const Value y = graph.Add(std::make_shared<WrongOp>(), {x});
  ParameterStore store = *StoreOf(graph);
  EXPECT_THAT(Program::Compile({.graph = &graph, .fetch = {y}, .gradients = {}}, store, {}),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("bf16 in memory and must be f32")));
}

}  // namespace
}  // namespace hone::engine
