#pragma once

#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/engine/task_testing.h"
#include "tests/support/golden.h"
#include "tests/support/status_matchers.h"

// The first steps of a whole run, held against golden ones (tests/golden/): losses, and how far
// each parameter has moved from where it began.
namespace hone::engine::train {

// The largest error of a loss, and of a parameter's whole movement, which is about 0.1: float32
// is wrong by 1e-6 at most.
inline constexpr double kErrorOfRun = 1e-5;

inline nlohmann::json GoldenRun(const std::string& file) {
  return nlohmann::json::parse(std::ifstream(HONE_SOURCE_DIR "/tests/golden/" + file));
}

// The values that a golden run begins with.
inline void BeginAsGolden(const nlohmann::json& golden, ParameterStore& store) {
  for (const nlohmann::json& parameter : golden["parameters"]) {
    const auto id = store.Find(parameter["name"].get<std::string>());
    ASSERT_THAT(id, hone::testing::IsOk());
    const std::span<float> values = store.mutable_values(*id).f32();
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = testing::Start(parameter, static_cast<int64_t>(i));
    }
  }
}

// `values` of the parameter, or of one that began as it, have moved as the field `moved` of it.
inline void ExpectMovement(const nlohmann::json& parameter, const std::string& moved,
                           const std::vector<float>& values) {
  std::vector<double> movement(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    movement[i] = double{values[i]} - double{testing::Start(parameter, static_cast<int64_t>(i))};
  }
  EXPECT_LE(testing::ErrorOf<double>(movement, parameter[moved]), kErrorOfRun)
      << moved << " of " << parameter["name"];
}

// What the steps' metric was, where each step is an epoch and the first of them are passed over.
inline void ExpectLosses(const nlohmann::json& losses, const std::string& name,
                         const checkpoint::RunState& state, size_t first = 0) {
  ASSERT_EQ(state.history.size(), first + losses.size());
  for (size_t i = 0; i < losses.size(); ++i) {
    const auto& values = state.history[first + i].values;
    ASSERT_TRUE(values.contains(name)) << name << " of step " << first + i + 1;
    EXPECT_NEAR(values.at(name), losses[i].get<double>(), kErrorOfRun)
        << name << " of step " << first + i + 1;
  }
}

}  // namespace hone::engine::train
