#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/optim/optimizer.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::optim {
namespace {

// Held against tests/golden/optimizers.json: torch.optim in float64. With a tiny epsilon it does
// not matter that torch adds it elsewhere.
struct Golden {
  std::string name;
  OptimizerOptions options;
  double learning_rate;
  float weight_decay;
};

void PrintTo(const Golden& golden, std::ostream* out) { *out << golden.name; }

class TorchGolden : public ::testing::TestWithParam<Golden> {};

TEST_P(TorchGolden, ThreeUpdatesGiveTheValuesOfTorch) {
  std::ifstream file(HONE_SOURCE_DIR "/tests/golden/optimizers.json");
  const auto expected = nlohmann::json::parse(file).at(GetParam().name).get<std::vector<double>>();
  ASSERT_EQ(expected.size(), 3u);
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
                     {.step = step, .learning_rate = GetParam().learning_rate}, 0,
                     optimizer->WriteFloats());
  }
  for (int i = 0; i < 3; ++i) {
    EXPECT_NEAR(values[i], expected[static_cast<size_t>(i)], 1e-6) << "value " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Optimizers, TorchGolden,
    ::testing::Values(
        Golden{"Sgd", Sgd{}, 0.1, 0}, Golden{"Momentum", Sgd{.momentum = 0.9}, 0.1, 0.01f},
        Golden{"Nesterov", Sgd{.momentum = 0.9, .nesterov = true}, 0.1, 0},
        Golden{"Adam", Adam{.epsilon = 1e-12}, 0.01, 0.02f},
        Golden{"AdamW", AdamW{.epsilon = 1e-12}, 0.01, 0.1f}, Golden{"RmsProp", RmsProp{}, 0.01, 0},
        Golden{"RmsPropCentered", RmsProp{.momentum = 0.9, .centered = true}, 0.01, 0.02f}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace hone::engine::optim
