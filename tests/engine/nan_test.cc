#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/base/cpu.h"
#include "engine/base/team.h"
#include "engine/ops/activation.h"
#include "engine/ops/conv2d.h"
#include "engine/ops/linear.h"
#include "engine/ops/pool2d.h"
#include "tests/support/bound_program.h"
#include "tests/support/status_matchers.h"

// A NaN must not get lost on its way to the loss, in a ReLU or in the largest of a window: a net
// that has gone wrong would go on training as if its units were dead.
namespace hone::engine {
namespace {

using ::hone::engine::testing::AddParameter;
using ::hone::engine::testing::BoundProgram;
using ::hone::engine::testing::Give;
using ::hone::engine::testing::StoreOf;
using ::hone::testing::IsOk;

// Runs `y`, a function of the input "x", on numbers with a NaN at `place`, and says whether there
// is a NaN in it.
bool StaysNan(const Graph& graph, Value x, Value y, DType compute, int64_t place = 0) {
  ParameterStore store = *StoreOf(graph);
  const auto bound = BoundProgram::Make({.graph = &graph, .fetch = {y}, .gradients = {}}, store,
                                        {.threads = 1, .compute = compute});
  EXPECT_THAT(bound, IsOk());
  std::vector<float> numbers = testing::RandomNumbers(graph.shape(x).elements(), 1);
  numbers[static_cast<size_t>(place)] = std::numeric_limits<float>::quiet_NaN();
  Give(bound->program, "x", numbers);
  EXPECT_THAT(bound->program.Run({}), IsOk());
  const auto* out = static_cast<const float*>(bound->program.fetched(0));
  return std::any_of(out, out + graph.shape(y).elements(), [](float v) { return std::isnan(v); });
}

constexpr ActivationKind kActivations[] = {ActivationKind::kRelu,    ActivationKind::kLeakyRelu,
                                           ActivationKind::kTanh,    ActivationKind::kSigmoid,
                                           ActivationKind::kSilu,    ActivationKind::kGelu,
                                           ActivationKind::kGeluTanh};

class Nan : public ::testing::TestWithParam<DType> {
 protected:
  // Where the engine computes, denormal numbers are zero.
  Nan() : threads_(1) {}
  void SetUp() override {
    if (GetParam() == DType::kBf16 && !HasBf16()) {
      GTEST_SKIP() << "this processor does not multiply bfloat16 numbers";
    }
  }
  const ScopedThreads threads_;
};

TEST_P(Nan, PassesEveryActivation) {
  for (const ActivationKind kind : kActivations) {
    Graph graph;
    const Value x = graph.Input("x", {{3, 17}, DType::kF32});
    EXPECT_TRUE(StaysNan(graph, x, Activation(graph, x, kind), GetParam())) << NameOf(kind);
  }
}

TEST_P(Nan, PassesAnActivationThatIsPartOfADenseLayer) {
  for (const int64_t units : {1, 10, 64}) {
    for (const ActivationKind kind : kActivations) {
      Graph graph;
      const Value x = graph.Input("x", {{5, 48}, DType::kF32});
      const Value y = Activation(graph,
                                 Linear(graph, x, AddParameter(graph, "w", {48, units}),
                                        AddParameter(graph, "b", {units})),
                                 kind);
      EXPECT_TRUE(StaysNan(graph, x, y, GetParam(), 50)) << NameOf(kind) << " of " << units;
    }
  }
}

TEST_P(Nan, PassesAnActivationThatIsPartOfAConvolution) {
  for (const int64_t channels : {1, 3, 16, 32}) {
    for (const int64_t kernel : {1, 3}) {
      for (const ActivationKind kind : kActivations) {
        Graph graph;
        const Value x = graph.Input("x", {{2, channels, 9, 9}, DType::kF32});
        const Value y =
            Activation(graph,
                       Conv2d(graph, x, AddParameter(graph, "w", {32, channels, kernel, kernel}),
                              AddParameter(graph, "b", {32}), {}),
                       kind);
        EXPECT_TRUE(StaysNan(graph, x, y, GetParam(), 40))
            << NameOf(kind) << " of " << channels << " channels, " << kernel << "x" << kernel;
      }
    }
  }
}

struct Window {
  int64_t kernel, stride, padding, size, channels;
};

// Windows of our own kernels and of oneDNN's, small and whole pictures.
constexpr Window kWindows[] = {{2, 2, 0, 8, 16},   {3, 3, 0, 9, 16}, {3, 2, 1, 9, 16},
                               {3, 1, 0, 7, 3},    {2, 2, 0, 8, 3},  {7, 1, 0, 7, 32},
                               {18, 1, 0, 18, 16}, {18, 1, 0, 18, 5}};

TEST_P(Nan, PassesAMaxPoolWhereverItIsInItsWindow) {
  for (const Window& window : kWindows) {
    const int64_t n = window.size;
    for (const int64_t place : {int64_t{0}, int64_t{1}, n, n + 1, 2 * n + 1}) {
      Graph graph;
      const Value x = graph.Input("x", {{1, window.channels, n, n}, DType::kF32});
      // Behind a convolution, which has channels in blocks.
      const Value blocks = Conv2d(
          graph, x, AddParameter(graph, "w", {window.channels, window.channels, 1, 1}), {}, {});
      for (const Value from : {x, blocks}) {
        const PoolGeometry geometry = {.kernel = {window.kernel, window.kernel},
                                       .stride = window.stride,
                                       .padding_before = {window.padding, window.padding},
                                       .padding_after = {window.padding, window.padding}};
        EXPECT_TRUE(StaysNan(graph, x, MaxPool2d(graph, from, geometry), GetParam(), place))
            << window.kernel << "x" << window.kernel << ", " << window.channels
            << " channels, a NaN at " << place << (from == x ? "" : ", in blocks");
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Nan, ::testing::Values(DType::kF32, DType::kBf16),
                         [](const auto& test) { return std::string(NameOf(test.param)); });

}  // namespace
}  // namespace hone::engine
