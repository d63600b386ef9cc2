#pragma once

#include <gtest/gtest.h>

#include <span>
#include <string>
#include <vector>

#include "engine/predict/predictor.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::testing {

// What the model in that folder gives each class for each text, one behind the other.
inline std::vector<double> ClassProbabilities(const std::string& directory,
                                              const std::vector<std::string>& texts) {
  std::vector<double> probabilities;
  const auto model = predict::Predictor::Load(directory, 2);
  EXPECT_THAT(model, hone::testing::IsOk());
  for (const std::string& text : texts) {
    const auto example = (*model)->Read(tasks::TextQuestion{text}, "it");
    const auto answer = (*model)->Predict(std::span(&*example, 1));
    EXPECT_THAT(answer, hone::testing::IsOk());
    for (const auto& one : answer->front().classes) {
      probabilities.push_back(one.probability);
    }
  }
  return probabilities;
}

}  // namespace hone::engine::testing
