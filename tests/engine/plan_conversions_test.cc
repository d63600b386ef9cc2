#include <gmock/gmock.h>

#include <cstring>

#include "engine/ops/embedding.h"
#include "engine/ops/linear.h"
#include "tests/support/bound_program.h"
#include "tests/support/status_matchers.h"

// Inputs that an op asks for in a layout of its own, seen as something else than the graph does.
namespace hone::engine {
namespace {

using ::hone::engine::testing::AddParameter;
using ::hone::engine::testing::BoundProgram;
using ::hone::engine::testing::Give;
using ::hone::engine::testing::StoreOf;
using ::hone::testing::IsOk;
using ::testing::AnyOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::Field;
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
