#include "engine/tasks/frechet_distance.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>

#include "engine/base/rng.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::tasks {
namespace {

using ::hone::testing::StatusIs;

// Normal vectors whose numbers are scaled and shifted, then mixed by a rotation.
FeatureStatistics Sample(uint64_t seed, const std::vector<float>& scale, float shift,
                         int count = 20000) {
  const auto n = scale.size();
  FeatureStatistics statistics(static_cast<int64_t>(n));
  RandomStream random(seed, "sample");
  std::vector<float> x(n);
  for (int i = 0; i < count; ++i) {
    for (size_t k = 0; k < n; ++k) {
      x[k] = scale[k] * random.NextNormal() + shift;
    }
    statistics.Add(x);
  }
  return statistics;
}

TEST(FrechetDistance, OfASetToItselfIsNothing) {
  const FeatureStatistics a = Sample(1, {1, 2, 3}, 5);
  EXPECT_NEAR(FrechetDistance(a, a).value(), 0, 1e-9);
}

TEST(FrechetDistance, OfShiftedSetsIsTheSquaredDistanceOfTheirMeans) {
  FeatureStatistics a(2), b(2);
  for (const std::vector<float>& x : {std::vector<float>{0, 0}, {2, 1}, {1, 3}, {5, 5}}) {
    a.Add(x);
    b.Add(std::vector<float>{x[0] + 3, x[1] - 4});
  }
  EXPECT_NEAR(FrechetDistance(a, b).value(), 25, 1e-9);
}

TEST(FrechetDistance, OfNormalNumbersIsThatOfMeansAndDeviations) {
  const double distance = FrechetDistance(Sample(1, {1, 2}, 0), Sample(2, {3, 2}, 1)).value();
  EXPECT_NEAR(distance, 2 + (3 - 1) * (3 - 1), 0.2);
}

// Both covariances turned by one rotation: the distance stays.
TEST(FrechetDistance, DoesNotDependOnTheAxes) {
  FeatureStatistics a(2), b(2), turned_a(2), turned_b(2);
  RandomStream random(3, "axes");
  for (int i = 0; i < 1000; ++i) {
    for (auto& [plain, turned, scale] :
         {std::tuple(&a, &turned_a, 1.0f), std::tuple(&b, &turned_b, 4.0f)}) {
      const float x = scale * random.NextNormal(), y = random.NextNormal() + 0.5f * x;
      plain->Add(std::vector<float>{x, y});
      turned->Add(std::vector<float>{0.6f * x - 0.8f * y, 0.8f * x + 0.6f * y});
    }
  }
  const double distance = FrechetDistance(a, b).value();
  EXPECT_GT(distance, 1);
  EXPECT_NEAR(FrechetDistance(turned_a, turned_b).value(), distance, 1e-4 * distance);
}

TEST(FrechetDistance, KeepsItsDigitsFarFromZero) {
  FeatureStatistics near(1), far(1);
  for (int i = 0; i < 1000; ++i) {
    near.Add(std::vector<float>{static_cast<float>(i % 7)});
    far.Add(std::vector<float>{static_cast<float>(i % 7) + 100000});
  }
  EXPECT_NEAR(far.Covariance()[0], near.Covariance()[0], 1e-9);
}

TEST(FrechetDistance, RefusesSetsOfOneVector) {
  FeatureStatistics a(1), b(1);
  a.Add(std::vector<float>{1});
  b.Add(std::vector<float>{1, 2});
  EXPECT_THAT(FrechetDistance(a, b),
              StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr("two vectors")));
}

TEST(SymmetricEigenvalues, AreThoseOfAMatrixThatIsMadeOfThem) {
  // [[2, 1], [1, 2]] has 1 and 3.
  std::vector<double> vectors;
  std::vector<double> values = SymmetricEigenvalues({2, 1, 1, 2}, 2, &vectors);
  for (int64_t k = 0; k < 2; ++k) {
    const double x = vectors[static_cast<size_t>(k)], y = vectors[static_cast<size_t>(2 + k)];
    EXPECT_NEAR(2 * x + y, values[static_cast<size_t>(k)] * x, 1e-12);
    EXPECT_NEAR(x * x + y * y, 1, 1e-12);
  }
  std::ranges::sort(values);
  EXPECT_NEAR(values[0], 1, 1e-12);
  EXPECT_NEAR(values[1], 3, 1e-12);
}

}  // namespace
}  // namespace hone::engine::tasks
