#include "engine/ops/token_cross_entropy.h"

#include <gmock/gmock.h>

#include <numeric>

#include "absl/strings/str_cat.h"
#include "engine/ops/activation.h"
#include "engine/ops/linear.h"
#include "tests/support/bound_program.h"
#include "tests/support/small_net.h"
#include "tests/support/status_matchers.h"

// Logits that are made for some rows at a time.
namespace hone::engine {
namespace {

using ::hone::engine::testing::AddParameter;
using ::hone::engine::testing::BoundProgram;
using ::hone::engine::testing::Give;
using ::hone::engine::testing::RandomNumbers;
using ::hone::engine::testing::Slab;
using ::hone::engine::testing::StoreOf;
using ::hone::testing::IsOk;
using ::testing::FloatNear;
using ::testing::Pointwise;

constexpr int64_t kRows = 256, kWidth = 16, kClasses = 1000;
constexpr ChunkOptions kNever = {}, kAlways = {.most_logits = 0, .chunk_logits = 16 * kClasses};

struct Result {
  std::vector<float> sums;  // of the loss, of weights, of right answers
  std::vector<float> gradients;
  int64_t arena = 0;
};

Result RunLoss(const ChunkOptions& chunks, int threads = 1) {
  Graph graph;
  const Value table = AddParameter(graph, "table", {kClasses, kWidth});
  const Value first = AddParameter(graph, "first", {kWidth, kWidth});
  const Value x = graph.Input("x", {Shape{kRows, kWidth}, DType::kF32});
  const Value y = graph.Input("y", {Shape{kRows}, DType::kS32});
  const Value logits =
      Linear(graph, Linear(graph, x, first, std::nullopt), table, std::nullopt, {true});
  const Loss loss = TokenCrossEntropy(graph, logits, y, {}, chunks);
  ParameterStore store = *StoreOf(graph);
  const std::vector<Value> gradients = Differentiate(graph, loss.sum, {table, first});
  ProgramRequest request = {
      .graph = &graph, .fetch = {loss.sum, loss.weight, loss.correct}, .gradients = {}};
  for (size_t i = 0; i < gradients.size(); ++i) {
    request.gradients.emplace_back(gradients[i], static_cast<ParameterId>(i));
  }
  const auto bound = BoundProgram::Make(request, store, {.threads = threads});
  EXPECT_THAT(bound, IsOk());
  Give(bound->program, "x", RandomNumbers(kRows * kWidth, 4));
  std::vector<int32_t> labels;
  for (int32_t i = 0; i < kRows; ++i) {
    labels.push_back(i % 9 == 0 ? -1 : i * 37 % static_cast<int32_t>(kClasses));
  }
  Give(bound->program, "y", labels);
  EXPECT_THAT(bound->program.Run({}), IsOk());
  Result result = {.sums = {}, .gradients = Slab(store, 0), .arena = bound->program.arena_bytes()};
  for (size_t i = 0; i < 3; ++i) {
    result.sums.push_back(*static_cast<const float*>(bound->program.fetched(i)));
  }
  return result;
}

TEST(TokenCrossEntropy, InPartsGivesTheSameLossAndGradients) {
  for (const int threads : {1, 2}) {
    const Result whole = RunLoss(kNever, threads), parts = RunLoss(kAlways, threads);
    EXPECT_NEAR(parts.sums[0], whole.sums[0], 1e-5f * whole.sums[0]);
    EXPECT_EQ(parts.sums[1], whole.sums[1]);
    EXPECT_EQ(parts.sums[2], whole.sums[2]);
    EXPECT_THAT(parts.gradients, Pointwise(FloatNear(1e-3f), whole.gradients));
  }
}

// The rows' losses, and their gradients where each row has another weight.
Result RunRows(const ChunkOptions& chunks, int threads) {
  Graph graph;
  const Value table = AddParameter(graph, "table", {kClasses, kWidth});
  const Value x = graph.Input("x", {Shape{kRows, kWidth}, DType::kF32});
  const Value y = graph.Input("y", {Shape{kRows}, DType::kS32});
  const Value weights = graph.Input("weights", {Shape{kRows}, DType::kF32});
  const Value losses = TokenLosses(graph, Linear(graph, x, table, std::nullopt, {true}), y, chunks);
  ParameterStore store = *StoreOf(graph);
  const std::vector<std::pair<Value, Value>> known = {{losses, weights}};
  const std::vector<Value> gradients = Differentiate(graph, known, {table});
  ProgramRequest request = {.graph = &graph, .fetch = {losses}, .gradients = {}};
  request.gradients.emplace_back(gradients[0], ParameterId{0});
  const auto bound = BoundProgram::Make(request, store, {.threads = threads});
  EXPECT_THAT(bound, IsOk());
  Give(bound->program, "x", RandomNumbers(kRows * kWidth, 4));
  Give(bound->program, "weights", RandomNumbers(kRows, 5));
  std::vector<int32_t> labels;
  for (int32_t i = 0; i < kRows; ++i) {
    labels.push_back(i % 9 == 0 ? -1 : i * 37 % static_cast<int32_t>(kClasses));
  }
  Give(bound->program, "y", labels);
  EXPECT_THAT(bound->program.Run({}), IsOk());
  const auto* rows = static_cast<const float*>(bound->program.fetched(0));
  return {.sums = {rows, rows + kRows},
          .gradients = Slab(store, 0),
          .arena = bound->program.arena_bytes()};
}

TEST(TokenLosses, InPartsAreTheSameForEachRow) {
  for (const int threads : {1, 2}) {
    const Result whole = RunRows(kNever, threads), parts = RunRows(kAlways, threads);
    EXPECT_THAT(parts.sums, Pointwise(FloatNear(1e-4f), whole.sums));
    EXPECT_THAT(parts.gradients, Pointwise(FloatNear(1e-4f), whole.gradients));
    EXPECT_LT(parts.arena, whole.arena / 2);
  }
}

TEST(TokenLosses, AddUpToTheCrossEntropyAndAreZeroWithoutALabel) {
  Graph graph;
  const Value x = graph.Input("x", {Shape{kRows, kClasses}, DType::kF32});
  const Value y = graph.Input("y", {Shape{kRows}, DType::kS32});
  const Value losses = TokenLosses(graph, x, y);
  const ProgramRequest request = {
      .graph = &graph, .fetch = {losses, CrossEntropy(graph, x, y, {}).sum}, .gradients = {}};
  ParameterStore store = *StoreOf(graph);
  const auto bound = BoundProgram::Make(request, store);
  ASSERT_THAT(bound, IsOk());
  Give(bound->program, "x", RandomNumbers(kRows * kClasses, 4));
  std::vector<int32_t> labels(kRows, 7);
  labels[3] = -1;
  Give(bound->program, "y", labels);
  ASSERT_THAT(bound->program.Run({}), IsOk());
  const auto* rows = static_cast<const float*>(bound->program.fetched(0));
  EXPECT_EQ(rows[3], 0);
  const double sum = std::accumulate(rows, rows + kRows, 0.0);
  EXPECT_NEAR(*static_cast<const float*>(bound->program.fetched(1)), sum, 1e-5 * sum);
}

TEST(TokenCrossEntropy, InPartsNeedsLessMemory) {
  EXPECT_LT(RunLoss(kAlways).arena, RunLoss(kNever).arena / 2);
}

TEST(TokenCrossEntropy, OfFewLogitsOrOfOthersThanAProductsIsInOnePiece) {
  Graph graph;
  const auto kind_of = [&](Value logits, int64_t rows, const ChunkOptions& chunks) {
    const Value labels =
        graph.Input(absl::StrCat("labels ", graph.nodes().size()), {Shape{rows}, DType::kS32});
    return graph.node(TokenCrossEntropy(graph, logits, labels, {}, chunks).sum.node).op->kind();
  };
  const Value weight = AddParameter(graph, "weight", {4, 10});
  const auto product = [&](int64_t rows) {
    const Value x = graph.Input(absl::StrCat("x ", rows), {Shape{rows, 4}, DType::kF32});
    return Linear(graph, x, weight, std::nullopt);
  };
  constexpr ChunkOptions kSmall = {.most_logits = 100, .chunk_logits = 160};
  EXPECT_EQ(kind_of(product(64), 64, kSmall), "scan");
  EXPECT_EQ(kind_of(product(8), 8, kSmall), "cross_entropy");
  EXPECT_EQ(kind_of(product(67), 67, kSmall), "cross_entropy");  // a prime number of rows
  EXPECT_EQ(kind_of(Activation(graph, product(32), ActivationKind::kTanh), 32, kSmall),
            "cross_entropy");
  EXPECT_THAT(graph.status(), IsOk());
}

}  // namespace
}  // namespace hone::engine
