#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "engine/kernels/cross_entropy.h"

namespace hone::engine::kernels {
namespace {

TEST(SoftmaxCrossEntropy, TakesTheFirstOfEqualLogitsForTheAnswerAsAScorerDoes) {
  constexpr int64_t kClasses = 4;
  const std::vector<float> logits = {1, 3, 3, 2};
  const auto answer = std::ranges::max_element(logits) - logits.begin();
  for (int32_t label = 0; label < kClasses; ++label) {
    const auto sums = SoftmaxCrossEntropy(logits.data(), &label, kClasses, 0, {}, nullptr, 0, 1);
    EXPECT_EQ(sums->correct, label == answer ? 1 : 0) << label;
    std::vector<float> in_place = logits;
    const auto training =
        SoftmaxCrossEntropy(in_place.data(), &label, kClasses, 0, {}, in_place.data(), 0, 1);
    EXPECT_EQ(training->correct, label == answer ? 1 : 0) << label << ", gradient in place";
  }
}

// A sum of 50,000 logits around 100 in f32, one after another, is off in its fifth digit.
TEST(LabelSmoothing, KeepsItsDigitsOverManyClasses) {
  constexpr int64_t kClasses = 50'003;
  constexpr float kSmoothing = 0.1f;
  std::vector<float> x(kClasses), weights(kClasses), gradient(kClasses);
  for (size_t c = 0; c < x.size(); ++c) {
    x[c] = 100 + static_cast<float>(c * 7 % 101) / 100;
    weights[c] = 0.5f + static_cast<float>(c * 3 % 11) / 10;
  }
  const std::vector<int32_t> labels = {17};
  for (const bool weighted : {false, true}) {
    const std::vector<float> of_classes = weighted ? weights : std::vector<float>();
    const auto sums = SoftmaxCrossEntropy(x.data(), labels.data(), kClasses, kSmoothing, of_classes,
                                          gradient.data(), 0, 1);
    ASSERT_TRUE(sums.has_value());
    double sum = 0, loss = 0, mass = 0;
    for (const float v : x) {
      sum += std::exp(double{v} - 101);
    }
    const auto target = [&](size_t c) {
      return ((c == 17 ? 1 - double{kSmoothing} : 0) + double{kSmoothing} / kClasses) *
             (weighted ? weights[c] : 1);
    };
    for (size_t c = 0; c < x.size(); ++c) {
      loss += target(c) * (101 + std::log(sum) - x[c]);
      mass += target(c);
    }
    EXPECT_NEAR(sums->loss, loss, 2e-6 * loss);
    for (size_t c = 0; c < x.size(); ++c) {
      ASSERT_NEAR(gradient[c], mass * std::exp(double{x[c]} - 101) / sum - target(c), 2e-7) << c;
    }
  }
}

}  // namespace
}  // namespace hone::engine::kernels
