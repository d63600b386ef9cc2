#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "engine/kernels/losses.h"

namespace hone::engine::kernels {
namespace {

TEST(SoftmaxCrossEntropy, TakesTheFirstOfEqualLogitsForTheAnswerAsAScorerDoes) {
  constexpr int64_t kClasses = 4;
  const std::vector<float> logits = {1, 3, 3, 2};
  const auto answer = std::ranges::max_element(logits) - logits.begin();
  for (int32_t label = 0; label < kClasses; ++label) {
    const auto sums = SoftmaxCrossEntropy(logits.data(), &label, 1, kClasses, 0, {}, nullptr);
    EXPECT_EQ(sums->correct, label == answer ? 1 : 0) << label;
  }
}

}  // namespace
}  // namespace hone::engine::kernels
