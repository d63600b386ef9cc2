#include "server/scheduler/decide.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <string>

namespace hone::server::scheduler {
namespace {

using jobs::JobState;
using ::testing::HasSubstr;

Outcome Finished(const std::string& reason) {
  Outcome outcome;
  outcome.finished.emplace().set_end_reason(reason);
  return outcome;
}

TEST(Decide, CompletedAndExitedWithZeroSucceeds) {
  const Decision decision = Decide(Finished("COMPLETED"), {}, absl::Seconds(1));
  EXPECT_EQ(decision.ending->state, JobState::kSucceeded);
  EXPECT_EQ(decision.ending->reason, v1::Job::COMPLETED);
}

TEST(Decide, AWorkersMessageIsCut) {
  Outcome outcome;
  outcome.failure.emplace().set_message(std::string(1'000'000, 'x'));
  outcome.failure->set_end_reason("BAD_DATA");
  EXPECT_LT(Decide(outcome, {}, absl::Seconds(1)).ending->message.size(), 5000u);
}

TEST(Decide, FinishedButCrashedAtExitIsACrash) {
  Outcome outcome = Finished("COMPLETED");
  outcome.exit.signal = SIGSEGV;
  EXPECT_TRUE(Decide(outcome, {}, absl::Seconds(1)).requeueing->charged);
}

TEST(Decide, DoneBeforeTheCancellationWasHeardSucceeds) {
  Outcome outcome = Finished("EARLY_STOP");
  outcome.cancelled = true;
  EXPECT_EQ(Decide(outcome, {}, absl::Seconds(1)).ending->state, JobState::kSucceeded);
}

TEST(Decide, KilledAfterACancellationIsCancelledByTheUser) {
  Outcome outcome;
  outcome.cancelled = true;
  outcome.exit.signal = SIGKILL;
  const Decision decision = Decide(outcome, {}, absl::Seconds(1));
  EXPECT_EQ(decision.ending->state, JobState::kCancelled);
  EXPECT_EQ(decision.ending->reason, v1::Job::USER);
}

TEST(Decide, ASigkillFromOutsideCostsNothing) {
  Outcome outcome;
  outcome.exit.signal = SIGKILL;
  EXPECT_FALSE(Decide(outcome, {.failures = 2}, absl::Seconds(1)).requeueing->charged);
}

TEST(Decide, TheOutOfMemoryKillerIsChargedAndNamedAtTheEnd) {
  Outcome outcome;
  outcome.exit.signal = SIGKILL;
  outcome.out_of_memory = true;
  EXPECT_TRUE(Decide(outcome, {}, absl::Seconds(1)).requeueing->charged);
  EXPECT_EQ(Decide(outcome, {.failures = 2}, absl::Seconds(1)).ending->reason,
            v1::Job::OUT_OF_MEMORY);
}

TEST(Decide, WhoHeldItsShareOfTheMemoryIsToBlameForItsKill) {
  Outcome outcome;
  outcome.exit = {.signal = SIGKILL, .peak_resident_bytes = 100};
  BlameForMemory(/*share=*/100, outcome);
  EXPECT_TRUE(outcome.out_of_memory);
  EXPECT_FALSE(outcome.crowded_out);
}

TEST(Decide, WhoHeldLessThanItsShareIsNotChargedForAKillForLackOfMemory) {
  Outcome outcome;
  outcome.exit = {.signal = SIGKILL, .peak_resident_bytes = 99};
  BlameForMemory(/*share=*/100, outcome);
  EXPECT_FALSE(outcome.out_of_memory);
  const Decision decision = Decide(outcome, {.failures = 2}, absl::Seconds(1));
  EXPECT_FALSE(decision.requeueing->charged);
  EXPECT_THAT(decision.requeueing->message, ::testing::HasSubstr("ran out of memory"));
}

TEST(Decide, AKillOfOursIsNotTheMemorys) {
  Outcome outcome;
  outcome.exit = {.signal = SIGKILL, .killed_by_us = true};
  BlameForMemory(/*share=*/0, outcome);
  EXPECT_FALSE(outcome.out_of_memory || outcome.crowded_out);
}

TEST(Decide, OurKillOfASilentWorkerIsCharged) {
  Outcome outcome;
  outcome.exit.signal = SIGKILL;
  outcome.exit.killed_by_us = true;
  outcome.hung = true;
  EXPECT_TRUE(Decide(outcome, {}, absl::Seconds(1)).requeueing->charged);
}

TEST(Decide, APausedJobIsPausedEvenIfItsWorkerHadToBeKilled) {
  Outcome outcome;
  outcome.exit.signal = SIGKILL;
  outcome.exit.killed_by_us = true;
  outcome.paused = true;
  EXPECT_EQ(Decide(outcome, {}, absl::Seconds(1)).ending->state, JobState::kPaused);
}

TEST(Decide, AnOverdueJobFailsWithItsDeadline) {
  Outcome outcome = Finished("CANCELLED");
  outcome.overdue = true;
  const Decision decision = Decide(outcome, {}, absl::Seconds(1));
  EXPECT_EQ(decision.ending->state, JobState::kFailed);
  EXPECT_EQ(decision.ending->reason, v1::Job::DEADLINE);
}

TEST(Decide, ADrainCostsNothing) {
  Outcome outcome = Finished("CANCELLED");
  outcome.draining = true;
  EXPECT_FALSE(Decide(outcome, {}, absl::Seconds(1)).requeueing->charged);
}

TEST(Decide, AFailureOfTheJobIsNeverRetried) {
  Outcome outcome;
  outcome.failure.emplace().set_end_reason("NON_FINITE");
  outcome.failure->set_message("the loss is NaN");
  outcome.failure->set_step(12);
  outcome.exit.code = 1;
  const Decision decision = Decide(outcome, {}, absl::Seconds(1));
  EXPECT_EQ(decision.ending->state, JobState::kFailed);
  EXPECT_EQ(decision.ending->reason, v1::Job::NON_FINITE);
  EXPECT_EQ(decision.ending->message, "the loss is NaN (step 12)");
}

TEST(Decide, TheThirdCrashIsPoisonAndDelaysDoubleBefore) {
  Outcome outcome;
  outcome.exit.signal = SIGABRT;
  EXPECT_EQ(Decide(outcome, {}, absl::Seconds(1)).requeueing->delay, absl::Seconds(1));
  EXPECT_EQ(Decide(outcome, {.failures = 1}, absl::Seconds(1)).requeueing->delay, absl::Seconds(2));
  const Decision last = Decide(outcome, {.failures = 2}, absl::Seconds(1));
  EXPECT_EQ(last.ending->reason, v1::Job::POISON);
  EXPECT_THAT(last.ending->message, HasSubstr("SIGABRT"));
}

TEST(Decide, WhatTheDiskOrTheNetworkFailedIsTriedLaterAndLaterButNotForEver) {
  Outcome outcome;
  outcome.failure.emplace().set_end_reason("STORAGE_FULL");
  outcome.failure->set_infrastructure(true);
  outcome.exit.code = 1;
  const Decision first = Decide(outcome, {.failures = 2}, absl::Seconds(1));
  EXPECT_FALSE(first.requeueing->charged);
  EXPECT_EQ(first.requeueing->delay, absl::Seconds(1));
  EXPECT_EQ(Decide(outcome, {.retries = 3}, absl::Seconds(1)).requeueing->delay, absl::Seconds(8));
  EXPECT_EQ(Decide(outcome, {.retries = 60}, absl::Seconds(1)).requeueing->delay,
            kLongestRetryDelay);
  EXPECT_EQ(Decide(outcome, {.retries = kMaxRetries}, absl::Seconds(1)).ending->reason,
            v1::Job::STORAGE_FULL);
}

}  // namespace
}  // namespace hone::server::scheduler
