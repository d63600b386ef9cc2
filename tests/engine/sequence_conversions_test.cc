#include <gmock/gmock.h>

#include <set>
#include <string>

#include "engine/base/cpu.h"
#include "engine/graph/row_sums.h"
#include "engine/graph/sum.h"
#include "engine/layers/dense.h"
#include "engine/layers/embedding.h"
#include "engine/layers/normalization.h"
#include "engine/layers/sequences.h"
#include "engine/ops/cross_entropy.h"
#include "engine/plan/program.h"
#include "tests/support/status_matchers.h"

// In a training step that computes in bf16, values stay bf16 from the tables to the logits and
// back: what is left are conversions around the loss, whose logits are f32.
namespace hone::engine {
namespace {

using ::hone::testing::IsOk;
using ::testing::IsSubsetOf;
using ::testing::IsSupersetOf;

constexpr int64_t kRows = 32, kBatch = 4, kVocabulary = 50, kWidth = 64;

struct Inputs {
  Value tokens, offsets;
};

class Conversions : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!HasBf16()) {
      GTEST_SKIP() << "this processor does not multiply bfloat16 numbers";
    }
  }

  // Plans a step of `net`, which makes logits of an embedding's rows, `labels` of them.
  template <typename Net>
  void Plan(int64_t labels, Net&& net) {
    Graph graph;
    const Inputs in = {graph.Input("tokens", {{kRows}, DType::kS32}),
                       graph.Input("offsets", {{kBatch + 1}, DType::kS32})};
    const Value of = graph.Input("labels", {{labels}, DType::kS32});
    const Value x = layers::Embedding(graph, in.tokens,
                                      {.name = "embedding", .rows = kVocabulary, .width = kWidth});
    const Value logits =
        layers::Dense(graph, net(graph, x, in), {.name = "head", .units = 10, .initializer = {}});
    Loss loss;
    {
      const Graph::Scope scope(graph, "loss");
      loss = CrossEntropy(graph, logits, of, {});
    }
    std::vector<Value> parameters;
    for (size_t i = 0; i < graph.nodes().size(); ++i) {
      if (graph.nodes()[i].kind == Graph::Node::Kind::kParameter) {
        parameters.push_back({static_cast<int32_t>(i), 0});
      }
    }
    const std::vector<Value> gradients = Differentiate(graph, loss.sum, parameters);
    ASSERT_THAT(graph.status(), IsOk());
    ParameterStore store;
    ProgramRequest request = {.graph = &graph, .fetch = {loss.sum}, .gradients = {}};
    for (size_t i = 0; i < parameters.size(); ++i) {
      const auto id = store.Declare(graph.node(parameters[i].node).parameter);
      ASSERT_THAT(id, IsOk());
      if (IsRowSums(graph, gradients[i])) {
        store.GiveRows(*id);
      }
      request.gradients.emplace_back(gradients[i], *id);
    }
    store.Allocate(1);
    const auto program = Program::Compile(request, store, {.threads = 1, .compute = DType::kBf16});
    ASSERT_THAT(program, IsOk());
    for (const Program::Step& step : program->steps()) {
      ops_.insert(step.op);
      if (step.op == "reorder") {
        converting_.insert(step.layer);
      }
    }
  }

  std::set<std::string> ops_;
  std::set<std::string> converting_;  // layers with steps that convert
};

const std::set<std::string> kAroundTheLoss = {"head", "loss"};

TEST_F(Conversions, AreNoneInABlockOfAttention) {
  Plan(kRows, [](Graph& graph, Value x, const Inputs& in) {
    x = layers::Positions(graph, x, in.offsets, {.name = "positions", .length = 16});
    Value y = layers::LayerNorm(graph, x, {.name = "norm1"});
    y = layers::Attention(graph, y, in.offsets,
                          {.name = "attention", .heads = 4, .causal = true, .rotary = true},
                          /*training=*/true);
    x = Sum(graph, x, y);
    y = layers::LayerNorm(graph, x, {.name = "norm2"});
    y = layers::Dense(graph, y,
                      {.name = "wide",
                       .units = 4 * kWidth,
                       .activation = ActivationKind::kGelu,
                       .initializer = {}});
    x = Sum(graph, x,
            layers::Dense(graph, y, {.name = "narrow", .units = kWidth, .initializer = {}}));
    return layers::LayerNorm(graph, x, {.name = "norm3"});
  });
  EXPECT_THAT(ops_, IsSupersetOf({"attention_gradient", "rotary_gradient", "row_sums"}));
  EXPECT_THAT(converting_, IsSubsetOf(kAroundTheLoss));
}

TEST_F(Conversions, AreNoneInARecurrentLayer) {
  Plan(kBatch, [](Graph& graph, Value x, const Inputs& in) {
    return layers::Recurrent(graph, layers::RecurrentCell::kLstm, x, in.offsets,
                             {.name = "lstm", .units = kWidth}, /*training=*/true);
  });
  EXPECT_THAT(ops_, IsSupersetOf({"lstm_gradient", "segment_pool_gradient", "row_sums"}));
  EXPECT_THAT(converting_, IsSubsetOf(kAroundTheLoss));
}

}  // namespace
}  // namespace hone::engine
