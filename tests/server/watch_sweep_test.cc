#include "server/rpc/watch_sweep.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

namespace hone::server::rpc {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Next = SweepWatch::Next;

constexpr int64_t kBudget = int64_t{1} << 20;

v1::Sweep ThreeTrials() {
  v1::Sweep sweep;
  sweep.set_name("sweeps/one");
  sweep.set_state(v1::Sweep::RUNNING);
  sweep.mutable_spec()->set_display_name("one");
  for (int number = 1; number <= 3; ++number) {
    v1::Trial& trial = *sweep.add_trials();
    trial.set_number(number);
    trial.set_state(v1::Trial::WAITING);
    for (const char* metric : {"loss", "accuracy", "rate", "gradient_norm"}) {
      (*trial.mutable_metrics())[metric] = number;
    }
  }
  return sweep;
}

std::vector<int> Numbers(const v1::Sweep& sweep) {
  std::vector<int> numbers;
  for (const v1::Trial& trial : sweep.trials()) {
    numbers.push_back(trial.number());
  }
  return numbers;
}

TEST(SweepWatch, BeginsWithTheWholeSweep) {
  ByteBudget budget(kBudget);
  SweepWatch watch(budget);
  v1::WatchSweepResponse answer;
  ASSERT_EQ(watch.Take(SweepLook(ThreeTrials()), answer), Next::kAnswer);
  EXPECT_EQ(answer.snapshot().spec().display_name(), "one");
  EXPECT_THAT(Numbers(answer.snapshot()), ElementsAre(1, 2, 3));
}

TEST(SweepWatch, TellsNothingWhereNothingHasChanged) {
  ByteBudget budget(kBudget);
  SweepWatch watch(budget);
  v1::WatchSweepResponse answer;
  ASSERT_EQ(watch.Take(SweepLook(ThreeTrials()), answer), Next::kAnswer);
  EXPECT_EQ(watch.Take(SweepLook(ThreeTrials()), answer), Next::kNothing);
}

TEST(SweepWatch, TellsTogetherWhatHasChangedSinceTheAnswerBefore) {
  ByteBudget budget(kBudget);
  SweepWatch watch(budget);
  v1::WatchSweepResponse answer;
  v1::Sweep sweep = ThreeTrials();
  ASSERT_EQ(watch.Take(SweepLook(sweep), answer), Next::kAnswer);
  sweep.mutable_trials(0)->set_state(v1::Trial::SUCCEEDED);
  sweep.mutable_trials(2)->set_state(v1::Trial::RUNNING);
  sweep.set_trials_ended(1);
  ASSERT_EQ(watch.Take(SweepLook(sweep), answer), Next::kAnswer);
  EXPECT_THAT(Numbers(answer.change()), ElementsAre(1, 3));
  EXPECT_EQ(answer.change().trials(0).state(), v1::Trial::SUCCEEDED);
  EXPECT_EQ(answer.change().trials_ended(), 1);
  EXPECT_FALSE(answer.change().has_spec());
}

TEST(SweepWatch, TellsOfTheSweepWhereNoTrialHasChanged) {
  ByteBudget budget(kBudget);
  SweepWatch watch(budget);
  v1::WatchSweepResponse answer;
  v1::Sweep sweep = ThreeTrials();
  ASSERT_EQ(watch.Take(SweepLook(sweep), answer), Next::kAnswer);
  sweep.set_state(v1::Sweep::STOPPING);
  ASSERT_EQ(watch.Take(SweepLook(sweep), answer), Next::kAnswer);
  EXPECT_EQ(answer.change().state(), v1::Sweep::STOPPING);
  EXPECT_THAT(Numbers(answer.change()), IsEmpty());
}

TEST(SweepWatch, HasEndedWhenTheEndOfTheSweepIsTold) {
  ByteBudget budget(kBudget);
  SweepWatch watch(budget);
  v1::WatchSweepResponse answer;
  v1::Sweep sweep = ThreeTrials();
  ASSERT_EQ(watch.Take(SweepLook(sweep), answer), Next::kAnswer);
  EXPECT_FALSE(watch.ended());
  sweep.set_state(v1::Sweep::FAILED);
  ASSERT_EQ(watch.Take(SweepLook(sweep), answer), Next::kAnswer);
  EXPECT_TRUE(watch.ended());
}

TEST(SweepWatch, TellsLaterWhatThereIsNoRoomFor) {
  ByteBudget budget(kBudget);
  SweepWatch watch(budget);
  v1::WatchSweepResponse answer;
  v1::Sweep sweep = ThreeTrials();
  ASSERT_EQ(watch.Take(SweepLook(sweep), answer), Next::kAnswer);
  watch.Sent();
  std::optional<ByteBudget::Share> others = budget.Charge(kBudget);
  sweep.mutable_trials(1)->set_message(std::string(ByteBudget::kSmall, 'x'));
  EXPECT_EQ(watch.Take(SweepLook(sweep), answer), Next::kNoRoom);
  EXPECT_EQ(answer.kind_case(), v1::WatchSweepResponse::KIND_NOT_SET);
  others.reset();
  ASSERT_EQ(watch.Take(SweepLook(sweep), answer), Next::kAnswer);
  EXPECT_THAT(Numbers(answer.change()), ElementsAre(2));
}

TEST(SweepWatch, GivesBackWhatAnAnswerTookWhenItIsSent) {
  ByteBudget budget(kBudget);
  SweepWatch watch(budget);
  v1::WatchSweepResponse answer;
  v1::Sweep sweep = ThreeTrials();
  sweep.mutable_trials(0)->set_message(std::string(ByteBudget::kSmall, 'x'));
  ASSERT_EQ(watch.Take(SweepLook(sweep), answer), Next::kAnswer);
  EXPECT_GT(budget.taken(), 0);
  watch.Sent();
  EXPECT_EQ(budget.taken(), 0);
}

}  // namespace
}  // namespace hone::server::rpc
