#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/optim/optimizer.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::optim {
namespace {

// Numbers of tests/golden/optimizers.py: torch.optim in float64. With a tiny epsilon it does not
// matter that torch adds it elsewhere.
struct Golden {
  std::string name;
  OptimizerOptions options;
  double learning_rate;
  float weight_decay;
  std::vector<double> values;
};

void PrintTo(const Golden& golden, std::ostream* out) { *out << golden.name; }

class TorchGolden : public ::testing::TestWithParam<Golden> {};

TEST_P(TorchGolden, ThreeUpdatesGiveTheValuesOfTorch) {
  const double gradients[3][3] = {{0.1, -0.7, 0.3}, {-0.4, 0.25, 0.9}, {1.5, 0.05, -0.6}};
  alignas(64) float values[16] = {0.5f, -1.25f, 2.0f};
  auto optimizer = Optimizer::Create(
      GetParam().options, {{.begin = 0, .end = 3, .weight_decay = GetParam().weight_decay}});
  ASSERT_THAT(optimizer, testing::IsOk());
  for (int step = 1; step <= 3; ++step) {
    alignas(64) float gradient[16] = {};
    for (int i = 0; i < 3; ++i) {
      gradient[i] = static_cast<float>(gradients[step - 1][i]);
    }
    const float* shards[] = {gradient};
    optimizer->Write({.values = values, .gradients = shards},
                     {.step = step, .learning_rate = GetParam().learning_rate}, 0, 1);
  }
  for (int i = 0; i < 3; ++i) {
    EXPECT_NEAR(values[i], GetParam().values[static_cast<size_t>(i)], 1e-6) << "value " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Optimizers, TorchGolden,
    ::testing::Values(
        Golden{"Sgd", Sgd{}, 0.1, 0, {0.38, -1.21, 1.94}},
        Golden{"Momentum",
               Sgd{.momentum = 0.9},
               0.1,
               0.01f,
               {0.3960953895, -1.10603442875, 1.796693568}},
        Golden{"Nesterov",
               Sgd{.momentum = 0.9, .nesterov = true},
               0.1,
               0,
               {0.28901, -1.08652, 1.76693}},
        Golden{"Adam",
               Adam{.epsilon = 1e-12},
               0.01,
               0.02f,
               {0.490246323269, -1.23278523527, 1.97759542168}},
        Golden{"AdamW",
               AdamW{.epsilon = 1e-12},
               0.01,
               0.1f,
               {0.489096768284, -1.22996537956, 1.97227831657}},
        Golden{"RmsProp", RmsProp{}, 0.01, 0, {0.468541301821, -1.2318610082, 1.9558283241}},
        Golden{"RmsPropCentered",
               RmsProp{.momentum = 0.9, .centered = true},
               0.01,
               0.02f,
               {0.437605932132, -1.1799481144, 1.86417823797}}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace hone::engine::optim
