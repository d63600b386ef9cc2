#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "engine/optim/schedule.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::optim {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;

// 101 steps of 10 to an epoch: step 100 is the last, 50 the middle.
double At(const Schedule& schedule, int64_t step, int64_t total = 101) {
  return LearningRateFactor(schedule, {.step = step, .total_steps = total, .steps_per_epoch = 10});
}

TEST(Schedule, ConstantIsOneEverywhere) {
  EXPECT_EQ(At({}, 0), 1);
  EXPECT_EQ(At({}, 100), 1);
}

TEST(Schedule, StepFallsAfterEveryNEpochs) {
  const Schedule schedule{.kind = StepDecay{.every_epochs = 2, .factor = 0.5}};
  EXPECT_EQ(At(schedule, 19), 1);
  EXPECT_EQ(At(schedule, 20), 0.5);
  EXPECT_EQ(At(schedule, 45), 0.25);
}

TEST(Schedule, ExponentialCountsFractionsOfAnEpoch) {
  const Schedule schedule{.kind = ExponentialDecay{.factor_per_epoch = 0.81}};
  EXPECT_EQ(At(schedule, 0), 1);
  EXPECT_DOUBLE_EQ(At(schedule, 5), 0.9);
  EXPECT_DOUBLE_EQ(At(schedule, 10), 0.81);
}

TEST(Schedule, CosineEndsAtItsFinalFactorAtTheLastStep) {
  const Schedule schedule{.kind = CosineDecay{.final_factor = 0.1}};
  EXPECT_DOUBLE_EQ(At(schedule, 0), 1);
  EXPECT_DOUBLE_EQ(At(schedule, 50), 0.55);
  EXPECT_DOUBLE_EQ(At(schedule, 100), 0.1);
}

TEST(Schedule, LinearFallsEvenly) {
  const Schedule schedule{.kind = LinearDecay{.final_factor = 0.2}};
  EXPECT_DOUBLE_EQ(At(schedule, 0), 1);
  EXPECT_DOUBLE_EQ(At(schedule, 25), 0.8);
  EXPECT_DOUBLE_EQ(At(schedule, 100), 0.2);
}

TEST(Schedule, OneCycleRisesToOneAndFallsToNearlyNothing) {
  const Schedule schedule{.kind = OneCycle{.rising_share = 0.3}};
  EXPECT_NEAR(At(schedule, 0), 0.04, 1e-12);
  EXPECT_NEAR(At(schedule, 15), 0.52, 1e-12);
  EXPECT_DOUBLE_EQ(At(schedule, 30), 1);
  EXPECT_NEAR(At(schedule, 65), 0.50005, 1e-12);
  EXPECT_NEAR(At(schedule, 100), 1e-4, 1e-12);
}

TEST(Schedule, OneCycleThatOnlyRisesOrOnlyFallsIsFinite) {
  EXPECT_DOUBLE_EQ(At({.kind = OneCycle{.rising_share = 1}}, 100), 1);
  EXPECT_DOUBLE_EQ(At({.kind = OneCycle{.rising_share = 0}}, 0), 1);
}

TEST(Schedule, WarmUpRisesToTheStartOfAnyScheduleWhichThenRunsOverTheRest) {
  const Schedule schedule{.warmup_steps = 4, .kind = LinearDecay{.final_factor = 0}};
  EXPECT_DOUBLE_EQ(At(schedule, 0), 0.2);
  EXPECT_DOUBLE_EQ(At(schedule, 3), 0.8);
  EXPECT_DOUBLE_EQ(At(schedule, 4), 1);
  EXPECT_DOUBLE_EQ(At(schedule, 100), 0);
}

TEST(Schedule, WarmUpLongerThanTheJobIsFinite) {
  EXPECT_DOUBLE_EQ(At({.warmup_steps = 9, .kind = CosineDecay{}}, 4, /*total=*/5), 0.5);
  EXPECT_DOUBLE_EQ(At({.kind = CosineDecay{}}, 0, /*total=*/1), 1);
}

TEST(Plateau, FallsWhenTheLossHasNotFallenForThePatience) {
  const Schedule schedule{.kind = Plateau{.factor = 0.5, .patience = 2}};
  PlateauState state;
  EXPECT_FALSE(ObserveValidationLoss(schedule, 1.0, state));
  EXPECT_FALSE(ObserveValidationLoss(schedule, 0.9, state));
  EXPECT_FALSE(ObserveValidationLoss(schedule, 0.95, state));
  EXPECT_TRUE(ObserveValidationLoss(schedule, std::nan(""), state));
  EXPECT_EQ(LearningRateFactor(schedule, {}, state), 0.5);
  EXPECT_FALSE(ObserveValidationLoss(schedule, 0.95, state));
  EXPECT_TRUE(ObserveValidationLoss(schedule, 0.9, state));
  EXPECT_EQ(LearningRateFactor(schedule, {}, state), 0.25);
}

TEST(Plateau, NeverGoesBelowItsLeastFactor) {
  const Schedule schedule{.kind = Plateau{.factor = 0.5, .patience = 1, .min_factor = 0.4}};
  PlateauState state;
  ObserveValidationLoss(schedule, 1.0, state);
  EXPECT_TRUE(ObserveValidationLoss(schedule, 1.0, state));
  EXPECT_EQ(state.factor, 0.5);
  EXPECT_TRUE(ObserveValidationLoss(schedule, 1.0, state));
  EXPECT_FALSE(ObserveValidationLoss(schedule, 1.0, state));
  EXPECT_EQ(state.factor, 0.4);
}

TEST(Schedule, NamesTheFieldThatIsWrongAndWhatWouldBeRight) {
  EXPECT_THAT(Validate(Schedule{.kind = CosineDecay{.final_factor = 2}}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "schedule.cosine.final_factor: must be between 0 and 1, got 2"));
  EXPECT_THAT(Validate(Schedule{.kind = StepDecay{.every_epochs = 0}}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "schedule.step.every_epochs: must be at least 1, got 0"));
  EXPECT_THAT(
      Validate(Schedule{.kind = ExponentialDecay{.factor_per_epoch = std::nan("")}}),
      StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr("factor_per_epoch")));
  EXPECT_THAT(Validate(Schedule{.warmup_steps = -1, .kind = {}}),
              StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr("warmup_steps")));
  EXPECT_THAT(Validate(Schedule{.kind = Plateau{}}), IsOk());
}

}  // namespace
}  // namespace hone::engine::optim
