#include <gmock/gmock.h>

#include <cstring>

#include "engine/graph/sum.h"
#include "engine/ops/embedding.h"
#include "engine/ops/linear.h"
#include "engine/ops/scan.h"
#include "tests/support/bound_program.h"
#include "tests/support/status_matchers.h"

// Inputs that an op asks for in a layout of its own, and what a program keeps of them between runs.
namespace hone::engine {
namespace {

using ::hone::engine::testing::AddParameter;
using ::hone::engine::testing::BoundProgram;
using ::hone::engine::testing::Give;
using ::hone::engine::testing::StoreOf;
using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::AnyOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::Not;

// Gives its input, a square matrix, row major in `dtype`; transposed if it says so.
class ReadSquareOp final : public Op {
 public:
  ReadSquareOp(bool transposed, DType dtype) : transposed_(transposed), dtype_(dtype) {}

  absl::string_view kind() const override { return "test_read_square"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    return std::vector<TensorType>{in[0]};
  }

  Precision precision(int) const override { return {.rule = Precision::Rule::kOwn}; }

  void Reference(std::span<const DoubleTensor* const>, std::span<DoubleTensor>,
                 const RunScalars&) const override {}

  absl::Status Lower(Lowering& l) const override {
    const Shape shape = l.input_type(0).shape;
    const auto seen_as = onednn::MemoryDesc::Strided(
        {shape, DType::kF32},
        transposed_ ? std::vector<int64_t>{1, shape[0]} : std::vector<int64_t>{shape[0], 1});
    const auto wanted = onednn::MemoryDesc::Plain({shape, dtype_});
    HONE_ASSIGN_OR_RETURN(const Slot x, l.Input(0, wanted, seen_as));
    const Slot y = l.Output(0, wanted);
    const auto bytes = static_cast<size_t>(wanted.bytes());
    l.Emit(kind(), [=](const Memory& m) -> absl::StatusOr<StepFunction> {
      return [=, from = m[x], to = m[y]](const RunScalars&) {
        std::memcpy(to, from, bytes);
        return true;
      };
    });
    return absl::OkStatus();
  }

 private:
  bool transposed_;
  DType dtype_;
};

Value ReadSquare(Graph& graph, Value x, bool transposed, DType dtype) {
  return graph.Add(std::make_shared<ReadSquareOp>(transposed, dtype), {x});
}

// What the readers of [1 2; 3 4] get, one after another.
std::vector<std::vector<float>> Read(const Graph& graph, const std::vector<Value>& fetch) {
  ParameterStore store = *StoreOf(graph);
  const std::vector<float> square = {1, 2, 3, 4};
  if (store.size() > 0) {
    std::ranges::copy(square, store.mutable_values(0).f32().begin());
    store.MarkChanged();
  }
  const auto bound = BoundProgram::Make({.graph = &graph, .fetch = fetch, .gradients = {}}, store);
  EXPECT_THAT(bound, IsOk());
  if (bound->program.input("x") != nullptr) {
    Give(bound->program, "x", square);
  }
  EXPECT_THAT(bound->program.Run({}), IsOk());
  std::vector<std::vector<float>> read;
  for (size_t i = 0; i < fetch.size(); ++i) {
    const auto* numbers = static_cast<const float*>(bound->program.fetched(static_cast<int>(i)));
    read.emplace_back(numbers, numbers + 4);
  }
  return read;
}

TEST(Conversion, OfASquareMatrixThatIsSeenTransposedTransposesIt) {
  Graph graph;
  const Value x = graph.Input("x", {{2, 2}, DType::kF32});
  const Value y = ReadSquare(graph, x, /*transposed=*/true, DType::kF32);
  EXPECT_THAT(Read(graph, {y}), ElementsAre(ElementsAre(1, 3, 2, 4)));
}

TEST(Conversion, OfASquareParameterThatIsSeenTransposedTransposesIt) {
  Graph graph;
  const Value w = AddParameter(graph, "w", {2, 2});
  const Value y = ReadSquare(graph, w, /*transposed=*/true, DType::kF32);
  EXPECT_THAT(Read(graph, {y}), ElementsAre(ElementsAre(1, 3, 2, 4)));
}

TEST(Conversion, IsSharedOnlyByReadersThatSeeTheSame) {
  Graph graph;
  const Value x = graph.Input("x", {{2, 2}, DType::kF32});
  const Value w = AddParameter(graph, "w", {2, 2});
  std::vector<Value> fetch;
  for (const Value value : {x, w}) {
    fetch.push_back(ReadSquare(graph, value, /*transposed=*/false, DType::kBf16));
    fetch.push_back(ReadSquare(graph, value, /*transposed=*/true, DType::kBf16));
  }
  EXPECT_THAT(Read(graph, fetch), ElementsAre(ElementsAre(1, 2, 3, 4), ElementsAre(1, 3, 2, 4),
                                              ElementsAre(1, 2, 3, 4), ElementsAre(1, 3, 2, 4)));
}

// Gives its input [rows, columns] with the columns in reverse, from a layout of its own.
class ReverseOp final : public Op {
 public:
  explicit ReverseOp(int* packs) : packs_(packs) {}

  absl::string_view kind() const override { return "test_reverse"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    return std::vector<TensorType>{in[0]};
  }

  void Reference(std::span<const DoubleTensor* const>, std::span<DoubleTensor>,
                 const RunScalars&) const override {}

  absl::Status Lower(Lowering& l) const override {
    const auto desc = onednn::MemoryDesc::Plain(l.input_type(0));
    const int64_t n = l.input_type(0).shape.elements(), columns = l.input_type(0).shape[1];
    const auto pack = [n, columns, packs = packs_](const float* values, void* packed) {
      for (int64_t i = 0; i < n; ++i) {
        static_cast<float*>(packed)[i] = values[i / columns * columns + columns - 1 - i % columns];
      }
      ++*packs;
    };
    HONE_ASSIGN_OR_RETURN(const Slot x, l.PackedInput(0, "reverse", desc.bytes(), pack));
    const Slot y = l.Output(0, desc);
    const auto bytes = static_cast<size_t>(desc.bytes());
    l.Emit(kind(), [=](const Memory& m) -> absl::StatusOr<StepFunction> {
      return [=, from = m[x], to = m[y]](const RunScalars&) {
        std::memcpy(to, from, bytes);
        return true;
      };
    });
    return absl::OkStatus();
  }

 private:
  int* packs_;
};

// w [2, 3] as an op of a private layout gives it.
struct PrivateLayout {
  int packs = 0;
  Graph graph;
  Value w = AddParameter(graph, "w", {2, 3});
  Value y = graph.Add(std::make_shared<ReverseOp>(&packs), {w});

  ProgramRequest Request() const { return {.graph = &graph, .fetch = {y}, .gradients = {}}; }
};

std::vector<float> RunAndFetch(const Program& program) {
  EXPECT_THAT(program.Run({}), IsOk());
  const auto* numbers = static_cast<const float*>(program.fetched(0));
  return {numbers, numbers + 6};
}

TEST(PrivateLayout, OfAParameterIsPackedOnceForAllPrograms) {
  PrivateLayout net;
  ParameterStore store = *StoreOf(net.graph);
  const auto first = BoundProgram::Make(net.Request(), store);
  const auto second = BoundProgram::Make(net.Request(), store);
  ASSERT_THAT(first, IsOk());
  ASSERT_THAT(second, IsOk());
  EXPECT_EQ(RunAndFetch(first->program), RunAndFetch(second->program));
  EXPECT_EQ(net.packs, 1);
  EXPECT_EQ(store.packed_bytes(), 2 * 3 * 4);
}

TEST(PrivateLayout, OfAParameterIsPackedAgainWhenThatHasChanged) {
  PrivateLayout net;
  ParameterStore store = *StoreOf(net.graph);
  const auto bound = BoundProgram::Make(net.Request(), store);
  ASSERT_THAT(bound, IsOk());
  std::ranges::copy(std::vector<float>{1, 2, 3, 4, 5, 6}, store.mutable_values(0).f32().begin());
  store.MarkChanged();
  store.RefreshAll();
  EXPECT_THAT(RunAndFetch(bound->program), ElementsAre(3, 2, 1, 6, 5, 4));
  EXPECT_EQ(net.packs, 2);
}

TEST(PrivateLayout, OfWhatIsNoParameterIsPackedInEachRun) {
  int packs = 0;
  Graph graph;
  const Value x = graph.Input("x", {{2, 3}, DType::kF32});
  const Value y = graph.Add(std::make_shared<ReverseOp>(&packs), {x});
  ParameterStore store = *StoreOf(graph);
  const auto bound = BoundProgram::Make({.graph = &graph, .fetch = {y}, .gradients = {}}, store);
  ASSERT_THAT(bound, IsOk());
  Give(bound->program, "x", std::vector<float>{1, 2, 3, 4, 5, 6});
  EXPECT_THAT(RunAndFetch(bound->program), ElementsAre(3, 2, 1, 6, 5, 4));
  Give(bound->program, "x", std::vector<float>{6, 5, 4, 3, 2, 1});
  EXPECT_THAT(RunAndFetch(bound->program), ElementsAre(4, 5, 6, 1, 2, 3));
  EXPECT_EQ(packs, 2);
}

// Five steps that add a constant in a private layout to the state.
Value SumOverTime(Graph& graph, Value constant, int* packs) {
  const Value start = graph.Input("start", {{2, 3}, DType::kF32});
  const ScanResult scan =
      Scan(graph, {.carries = {start}, .sequences = {}, .constants = {constant}}, {.steps = 5},
           [&](Graph& body, const ScanStep& step) {
             const Value more = body.Add(std::make_shared<ReverseOp>(packs), {step.constants[0]});
             return ScanStepResult{.carries = {Sum(body, step.carries[0], more)}, .outputs = {}};
           });
  return scan.carries[0];
}

TEST(Scan, PacksAConstantOnceInARun) {
  int packs = 0;
  Graph graph;
  const Value y = SumOverTime(graph, graph.Input("x", {{2, 3}, DType::kF32}), &packs);
  ParameterStore store = *StoreOf(graph);
  const auto bound = BoundProgram::Make({.graph = &graph, .fetch = {y}, .gradients = {}}, store);
  ASSERT_THAT(bound, IsOk());
  Give(bound->program, "x", std::vector<float>{1, 2, 3, 4, 5, 6});
  Give(bound->program, "start", std::vector<float>{0, 0, 0, 0, 0, 1});
  EXPECT_THAT(RunAndFetch(bound->program), ElementsAre(15, 10, 5, 30, 25, 21));
  EXPECT_EQ(packs, 1);
}

TEST(Scan, LeavesTheWeightsThatItReadsToTheStoreToPack) {
  int packs = 0;
  Graph graph;
  const Value y = SumOverTime(graph, AddParameter(graph, "w", {2, 3}), &packs);
  ParameterStore store = *StoreOf(graph);
  std::ranges::copy(std::vector<float>{1, 2, 3, 4, 5, 6}, store.mutable_values(0).f32().begin());
  store.MarkChanged();
  const auto bound = BoundProgram::Make({.graph = &graph, .fetch = {y}, .gradients = {}}, store);
  ASSERT_THAT(bound, IsOk());
  EXPECT_EQ(packs, 1);
  Give(bound->program, "start", std::vector<float>(6));
  EXPECT_THAT(RunAndFetch(bound->program), ElementsAre(15, 10, 5, 30, 25, 20));
  EXPECT_EQ(packs, 1);
}

// The gradient of a weight over time: a carry that is added to.
TEST(Carry, ThatIsAddedToIsChangedWhereItLies) {
  Graph graph;
  const Value sum = graph.Input("sum", {{2, 3}, DType::kF32});
  const Value next = Sum(graph, sum, graph.Input("x", {{2, 3}, DType::kF32}));
  ParameterStore store;
  store.Allocate(1);
  absl::StatusOr<Program> program = Program::Compile(
      {.graph = &graph, .fetch = {}, .gradients = {}, .carries = {{sum, next}}}, store, {});
  ASSERT_THAT(program, IsOk());
  ASSERT_EQ(program->steps().size(), 1u);
  std::vector<float> memory = {1, 2, 3, 4, 5, 6};
  program->Place("sum", memory.data());
  const Buffer arena(program->arena_bytes());
  ASSERT_THAT(program->Bind(arena.as<std::byte>()), IsOk());
  Give(*program, "x", std::vector<float>{10, 10, 10, 10, 10, 10});
  ASSERT_THAT(program->Run({}), IsOk());
  ASSERT_THAT(program->Run({}), IsOk());
  EXPECT_THAT(memory, ElementsAre(21, 22, 23, 24, 25, 26));
}

TEST(Carry, WithoutMemoryIsRefused) {
  Graph graph;
  const Value x = graph.Input("x", {{2}, DType::kF32});
  ParameterStore store;
  store.Allocate(1);
  absl::StatusOr<Program> program = Program::Compile(
      {.graph = &graph, .fetch = {}, .gradients = {}, .carries = {{x, Sum(graph, x, x)}}}, store,
      {});
  ASSERT_THAT(program, IsOk());
  const Buffer arena(program->arena_bytes());
  EXPECT_THAT(program->Bind(arena.as<std::byte>()),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("memory of a carry")));
}

// A table of rows that is looked up and is the output layer, too.
TEST(Linear, ReadsATransposedWeightWhereItLiesInF32) {
  Graph graph;
  const Value table = AddParameter(graph, "table", {50, 16});
  const Value x = Embedding(graph, table, graph.Input("index", {{4}, DType::kS32}));
  const Value y = Linear(graph, x, table, std::nullopt, {.transposed = true});
  const Value dy = graph.Input("dy", {{4, 50}, DType::kF32});
  const Value gradient = Differentiate(graph, {{y, dy}}, {table})[0];
  ParameterStore store = *StoreOf(graph);
  const auto bound =
      BoundProgram::Make({.graph = &graph, .fetch = {y}, .gradients = {{gradient, 0}}}, store);
  ASSERT_THAT(bound, IsOk());
  EXPECT_EQ(store.packed_bytes(), 0);
  EXPECT_THAT(bound->program.steps(),
              Each(Field(&Program::Step::op, Not(AnyOf(Eq("reorder"), Eq("copy"))))));
}

}  // namespace
}  // namespace hone::engine
