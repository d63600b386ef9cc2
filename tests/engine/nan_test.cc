#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "engine/base/cpu.h"
#include "engine/ops/activation.h"
#include "tests/support/bound_program.h"
#include "tests/support/status_matchers.h"

// A NaN must not get lost in a ReLU: a net that has gone wrong would go on training as if its units
// were dead.
namespace hone::engine {
namespace {

using ::hone::engine::testing::BoundProgram;
using ::hone::engine::testing::StoreOf;
using ::hone::testing::IsOk;

// Runs `y`, a function of the input "x", on ones with a NaN in front, and says whether its first
// number is NaN.
bool StaysNan(const Graph& graph, Value x, Value y, DType compute) {
  ParameterStore store = *StoreOf(graph);
  const auto bound = BoundProgram::Make({.graph = &graph, .fetch = {y}, .gradients = {}}, store,
                                        {.threads = 1, .compute = compute});
  EXPECT_THAT(bound, IsOk());
  auto* numbers = static_cast<float*>(bound->program.input("x"));
  std::fill(numbers, numbers + graph.shape(x).elements(), 1.0f);
  numbers[0] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(bound->program.Run({}), IsOk());
  return std::isnan(static_cast<const float*>(bound->program.fetched(0))[0]);
}

class Nan : public ::testing::TestWithParam<DType> {
 protected:
  void SetUp() override {
    if (GetParam() == DType::kBf16 && !HasBf16()) {
      GTEST_SKIP() << "this processor does not multiply bfloat16 numbers";
    }
  }
  Graph graph_;
};

TEST_P(Nan, PassesRelu) {
  const Value x = graph_.Input("x", {{3, 17}, DType::kF32});
  EXPECT_TRUE(StaysNan(graph_, x, Relu(graph_, x), GetParam()));
}

INSTANTIATE_TEST_SUITE_P(All, Nan, ::testing::Values(DType::kF32, DType::kBf16),
                         [](const auto& test) { return std::string(NameOf(test.param)); });

}  // namespace
}  // namespace hone::engine
