#include <gmock/gmock.h>

#include "engine/graph/row_sums.h"
#include "engine/ops/embedding.h"
#include "engine/ops/matmul.h"
#include "engine/ops/scale.h"
#include "tests/support/bound_program.h"
#include "tests/support/status_matchers.h"

// Gradients of tables as rows and their sums: which tables have them, and what is in them.
namespace hone::engine {
namespace {

using ::hone::engine::testing::BoundProgram;
using ::hone::engine::testing::Give;
using ::hone::engine::testing::RandomNumbers;
using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kWidth = 20;
constexpr int64_t kTokens = 6;

// Rows of a table looked up by "first" (and "second"), and gradients that come back to them.
struct Lookups {
  Graph graph;
  Value table;
  std::vector<std::pair<Value, Value>> known;

  explicit Lookups(int64_t rows, int count = 1, bool sparse = true) {
    table = graph.Parameter({.name = "table",
                             .shape = {rows, kWidth},
                             .initializer = {.kind = Initializer::Kind::kNormal},
                             .sparse = sparse});
    for (int i = 0; i < count; ++i) {
      LookUp(table, i == 0 ? "first" : "second");
    }
  }
  void LookUp(Value from, const std::string& name) {
    const Value index = graph.Input(name, {Shape{kTokens}, DType::kS32});
    const Value y = Embedding(graph, from, index);
    known.emplace_back(y, graph.Input("d" + name, {Shape{kTokens, kWidth}, DType::kF32}));
  }
  Value Gradient() { return Differentiate(graph, known, {table})[0]; }
};

ParameterStore StoreOf(const Graph& graph, bool gives_rows) {
  ParameterStore store;
  for (const Graph::Node& node : graph.nodes()) {
    if (node.kind == Graph::Node::Kind::kParameter) {
      EXPECT_THAT(store.Declare(node.parameter), IsOk());
    }
  }
  if (gives_rows) {
    store.GiveRows(*store.Find("table"));
  }
  store.Allocate(1);
  store.Initialize(1);
  return store;
}

void GiveAll(const Program& program, const std::vector<std::vector<int32_t>>& indices) {
  const char* names[] = {"first", "second"};
  for (size_t i = 0; i < indices.size(); ++i) {
    Give(program, names[i], indices[i]);
    Give(program, std::string("d") + names[i], RandomNumbers(kTokens * kWidth, 10 + i));
  }
}

// The table's gradient as floats of its size, from a program that leaves it as rows or in the slab.
std::vector<float> DenseGradient(const Program& program, ParameterStore& store, int64_t rows) {
  std::vector<float> dense(static_cast<size_t>(rows * kWidth));
  for (const Program::RowGradient& gradient : program.row_gradients()) {
    for (int64_t i = 0; i < gradient.capacity && gradient.rows[i] >= 0; ++i) {
      std::copy_n(gradient.sums + i * kWidth, kWidth, dense.begin() + gradient.rows[i] * kWidth);
    }
  }
  if (program.row_gradients().empty()) {
    std::ranges::copy(store.gradients(0, 0), dense.begin());
  }
  return dense;
}

std::vector<int32_t> RowsOf(const Program& program) {
  const Program::RowGradient& gradient = program.row_gradients().at(0);
  return {gradient.rows, gradient.rows + gradient.capacity};
}

TEST(SparseGradient, NamesTheRowsThatWereReadOnceInTheirOrder) {
  Lookups lookups(50);
  ParameterStore store = StoreOf(lookups.graph, true);
  const auto bound = BoundProgram::Make(
      {.graph = &lookups.graph, .fetch = {}, .gradients = {{lookups.Gradient(), 0}}}, store);
  ASSERT_THAT(bound, IsOk());
  GiveAll(bound->program, {{7, 49, 7, 0, 3, 7}});
  ASSERT_THAT(bound->program.Run({}), IsOk());
  EXPECT_THAT(RowsOf(bound->program), ElementsAre(0, 3, 7, 49, -1, -1));
}

TEST(SparseGradient, HasTheBitsOfTheDenseOne) {
  const std::vector<std::vector<int32_t>> indices = {{7, 49, 7, 0, 3, 7}, {0, 0, 7, 11, 12, 13}};
  for (const int count : {1, 2}) {
    std::vector<std::vector<float>> results;
    for (const bool sparse : {true, false}) {
      Lookups lookups(50, count, sparse);
      ParameterStore store = StoreOf(lookups.graph, sparse);
      const Value gradient = lookups.Gradient();
      EXPECT_EQ(IsRowSums(lookups.graph, gradient), sparse);
      const auto bound =
          BoundProgram::Make({.graph = &lookups.graph, .fetch = {}, .gradients = {{gradient, 0}}},
                             store, {.threads = 2});
      ASSERT_THAT(bound, IsOk());
      GiveAll(bound->program, {indices.begin(), indices.begin() + count});
      ASSERT_THAT(bound->program.Run({}), IsOk());
      results.push_back(DenseGradient(bound->program, store, 50));
    }
    if (count == 1) {
      EXPECT_EQ(results[0], results[1]);
    } else {  // the sums are taken in another order
      EXPECT_THAT(results[0], ::testing::Pointwise(::testing::FloatNear(1e-5f), results[1]));
    }
  }
}

TEST(SparseGradient, OfTablesReadByTheSameIndicesHaveOneListOfRows) {
  Graph graph;
  const Value index = graph.Input("first", {Shape{kTokens}, DType::kS32});
  std::vector<Value> tables;
  std::vector<std::pair<Value, Value>> known;
  for (const auto& [name, width] : {std::pair("factors", kWidth), std::pair("bias", int64_t{1})}) {
    tables.push_back(graph.Parameter({.name = name,
                                      .shape = {50, width},
                                      .initializer = {.kind = Initializer::Kind::kZeros},
                                      .sparse = true}));
    known.emplace_back(Embedding(graph, tables.back(), index),
                       graph.Input(absl::StrCat("d", name), {{kTokens, width}, DType::kF32}));
  }
  const std::vector<Value> gradients = Differentiate(graph, known, tables);
  ParameterStore store;
  for (const Value table : tables) {
    store.GiveRows(*store.Declare(graph.node(table.node).parameter));
  }
  store.Allocate(1);
  const auto bound = BoundProgram::Make(
      {.graph = &graph, .fetch = {}, .gradients = {{gradients[0], 0}, {gradients[1], 1}}}, store);
  ASSERT_THAT(bound, IsOk());
  Give(bound->program, "first", std::vector<int32_t>{7, 49, 7, 0, 3, 7});
  Give(bound->program, "dbias", std::vector<float>{1, 2, 3, 4, 5, 6});
  Give(bound->program, "dfactors", RandomNumbers(kTokens * kWidth, 1));
  ASSERT_THAT(bound->program.Run({}), IsOk());
  const auto& rows = bound->program.row_gradients();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].rows, rows[1].rows);
  EXPECT_THAT(std::vector<float>(rows[1].sums, rows[1].sums + 4), ElementsAre(4, 5, 10, 2));
}

TEST(SparseGradient, OfATableReadTwiceIsOneListOfRows) {
  Lookups lookups(50, 2);
  ParameterStore store = StoreOf(lookups.graph, true);
  const auto bound = BoundProgram::Make(
      {.graph = &lookups.graph, .fetch = {}, .gradients = {{lookups.Gradient(), 0}}}, store);
  ASSERT_THAT(bound, IsOk());
  GiveAll(bound->program, {{7, 49, 7, 0, 3, 7}, {0, 0, 7, 11, 12, 13}});
  ASSERT_THAT(bound->program.Run({}), IsOk());
  EXPECT_THAT(RowsOf(bound->program), ElementsAre(0, 3, 7, 11, 12, 13, 49, -1, -1, -1, -1, -1));
}

TEST(SparseGradient, IsNoneWhereSomethingElseReadsTheTableToo) {
  Lookups tied(5);
  const Value x = tied.graph.Input("x", {Shape{2, kWidth}, DType::kF32});
  const Value logits = MatMul(tied.graph, x, tied.table, {.transpose_b = true});
  tied.known.emplace_back(logits, tied.graph.Input("dlogits", {Shape{2, 5}, DType::kF32}));
  const Value gradient = tied.Gradient();
  EXPECT_FALSE(IsRowSums(tied.graph, gradient));
  EXPECT_EQ(tied.graph.shape(gradient), (Shape{5, kWidth}));
}

TEST(SparseGradient, IsNoneBehindATableThatIsComputed) {
  Lookups lookups(5, 0);
  lookups.LookUp(ScaleBy(lookups.graph, lookups.table, lookups.graph.Constant(2)), "first");
  EXPECT_FALSE(IsRowSums(lookups.graph, lookups.Gradient()));
}

TEST(SparseGradient, CostsNothingForTheRowsThatAreNotRead) {
  double bytes[2];
  int64_t arena[2];
  for (int i = 0; i < 2; ++i) {
    Lookups lookups(i == 0 ? 1000 : 100'000);  // both too large for a map of the rows
    ParameterStore store = StoreOf(lookups.graph, true);
    const auto program = Program::Compile(
        {.graph = &lookups.graph, .fetch = {}, .gradients = {{lookups.Gradient(), 0}}}, store, {});
    ASSERT_THAT(program, IsOk());
    bytes[i] = 0;
    for (const Program::Step& step : program->steps()) {
      bytes[i] += step.cost.bytes;
    }
    arena[i] = program->arena_bytes();
    EXPECT_EQ(store.SlabBytes(1), store.SlabBytes(0));
  }
  EXPECT_EQ(bytes[0], bytes[1]);
  EXPECT_EQ(arena[0], arena[1]);
}

TEST(SparseGradient, IsRefusedByAStoreThatHasASlabForIt) {
  Lookups lookups(5);
  ParameterStore store = StoreOf(lookups.graph, false);
  EXPECT_THAT(
      BoundProgram::Make(
          {.graph = &lookups.graph, .fetch = {}, .gradients = {{lookups.Gradient(), 0}}}, store)
          .status(),
      StatusIs(absl::StatusCode::kInternal, HasSubstr("table comes as rows")));
}

TEST(SparseGradient, OfAnIndexThatIsOutOfRangeIsAnError) {
  Lookups lookups(5);
  ParameterStore store = StoreOf(lookups.graph, true);
  const auto bound = BoundProgram::Make(
      {.graph = &lookups.graph, .fetch = {}, .gradients = {{lookups.Gradient(), 0}}}, store);
  ASSERT_THAT(bound, IsOk());
  GiveAll(bound->program, {{0, 1, 5, 0, 0, 0}});
  EXPECT_THAT(bound->program.Run({}), StatusIs(absl::StatusCode::kInternal, HasSubstr("index")));
}

}  // namespace
}  // namespace hone::engine
