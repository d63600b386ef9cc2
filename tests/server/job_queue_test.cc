// The queue: who is claimed, when, and what those who wait are told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "tests/server/job_store_testing.h"

namespace hone::server::store {
namespace {

class JobQueueTest : public JobStoreTest {};

INSTANTIATE_TEST_SUITE_P(Stores, JobQueueTest, ::testing::ValuesIn(kStoreBackends), BackendName);

TEST_P(JobQueueTest, ClaimTakesTheOldestOnceAndRaisesTheAttempt) {
  const std::string first = Insert();
  const std::string second = Insert();
  EXPECT_EQ((*store_->Claim(8, kNow))->id, first);
  const auto claimed = store_->Claim(8, kNow);
  EXPECT_EQ((*claimed)->id, second);
  EXPECT_EQ((*claimed)->attempt, 1);
  EXPECT_EQ(*store_->Claim(8, kNow), std::nullopt);
}

TEST_P(JobQueueTest, ATraceIsKeptWithItsJobAlone) {
  const std::string id = jobs::NewId(), other = Insert();
  ASSERT_THAT(store_->Insert({.id = id, .spec = Spec(), .traceparent = "00-a-b-01"}, kNow), IsOk());
  EXPECT_EQ(*store_->TraceparentOf(id), "00-a-b-01");
  EXPECT_EQ(*store_->TraceparentOf(other), "");
  EXPECT_THAT(store_->TraceparentOf("none"),
              StatusIs(absl::StatusCode::kNotFound, ::testing::HasSubstr("none")));
}

TEST_P(JobQueueTest, AJobThatWaitsForThreadsIsNotOvertaken) {
  Insert("", 4);
  Insert("", 1);
  EXPECT_EQ(*store_->Claim(2, kNow), std::nullopt);
}

TEST_P(JobQueueTest, AHeldJobIsPassedByThoseBehindIt) {
  const std::string held = Insert("", 4), behind = Insert();
  ASSERT_THAT(store_->Hold(held, "it asks for too much", kNow), IsOk());
  EXPECT_EQ((*store_->Claim(8, kNow))->id, behind);
  EXPECT_EQ(*store_->Claim(8, kNow), std::nullopt);
}

TEST_P(JobQueueTest, AJobThatGoesBackIntoTheQueueMayBeHeldThere) {
  const std::string held = InsertAndClaim(), behind = Insert();
  ASSERT_THAT(store_->Requeue(held, 1, {.message = "it waits", .held = true}, kNow), IsOk());
  EXPECT_EQ((*store_->Claim(8, kNow))->id, behind);
  EXPECT_EQ(*store_->Claim(8, kNow), std::nullopt);
  EXPECT_EQ(store_->Get(held)->message, "it waits");
}

TEST_P(JobQueueTest, AJobThatWasToBePausedIsNotHeldWhenItIsResumed) {
  const std::string id = InsertAndClaim();
  ASSERT_THAT(store_->RequestPause(id, kNow), IsOk());
  ASSERT_THAT(store_->Requeue(id, 1, {.message = "it waits", .held = true}, kNow), IsOk());
  ASSERT_THAT(store_->Resume(id, kNow), IsOk());
  EXPECT_EQ((*store_->Claim(8, kNow))->id, id);
}

TEST_P(JobQueueTest, AHeldJobSaysWhyAndHasNoNumberAndNoTime) {
  const std::string held = Insert(), behind = Insert();
  ASSERT_THAT(store_->Hold(held, "it asks for too much", kNow), IsOk());
  const jobs::Job job = *store_->Get(held), listed = store_->List({})->items[1];
  EXPECT_EQ(job.message, "it asks for too much");
  EXPECT_EQ(job.queue_position, 0);
  EXPECT_EQ(job.queued_before, absl::InfiniteDuration());
  EXPECT_EQ(listed.queue_position, 0);
  EXPECT_EQ(listed.queued_before, absl::InfiniteDuration());
  EXPECT_EQ(store_->Get(behind)->queue_position, 1);
  EXPECT_EQ(store_->ReadEvents(held, 1, 10, int64_t{1} << 40)->front().state().message(),
            "it asks for too much");
}

TEST_P(JobQueueTest, AServerThatStartsHoldsNoJob) {
  const std::string held = Insert();
  ASSERT_THAT(store_->Hold(held, "it asks for too much", kNow), IsOk());
  Open();
  ASSERT_THAT(store_->Recover(kNow), IsOk());
  EXPECT_EQ(store_->Get(held)->message, "");
  EXPECT_EQ((*store_->Claim(8, kNow))->id, held);
}

TEST_P(JobQueueTest, AHeldJobThatWasPausedAndResumedIsNotHeld) {
  const std::string held = Insert();
  ASSERT_THAT(store_->Hold(held, "it asks for too much", kNow), IsOk());
  ASSERT_THAT(store_->RequestPause(held, kNow), IsOk());
  ASSERT_THAT(store_->Resume(held, kNow), IsOk());
  EXPECT_EQ((*store_->Next(kNow))->id, held);
}

TEST_P(JobQueueTest, OnlyAJobThatWaitsIsHeld) {
  EXPECT_THAT(store_->Hold(InsertAndClaim(), "why", kNow),
              StatusIs(absl::StatusCode::kFailedPrecondition, ::testing::HasSubstr("RUNNING")));
}

TEST_P(JobQueueTest, AJobIsNotClaimedBeforeItsDelayIsOver) {
  const std::string id = InsertAndClaim();
  ASSERT_THAT(store_->Requeue(id, 1, {.charged = true, .delay = absl::Seconds(5)}, kNow), IsOk());
  EXPECT_EQ(*store_->Claim(8, kNow + absl::Seconds(4)), std::nullopt);
  EXPECT_EQ((*store_->Claim(8, kNow + absl::Seconds(5)))->attempt, 2);
}

TEST_P(JobQueueTest, AClockThatWasSetBackDoesNotKeepAJobWaiting) {
  const std::string id = InsertAndClaim();
  ASSERT_THAT(store_->Requeue(id, 1, {.message = "again", .delay = absl::Seconds(5)}, kNow),
              IsOk());
  EXPECT_FALSE(store_->Claim(1, kNow + absl::Seconds(1))->has_value());
  EXPECT_TRUE(store_->Claim(1, kNow - absl::Hours(48))->has_value());
}

TEST_P(JobQueueTest, ClaimTakesTheHighestPriorityFirst) {
  Insert();
  v1::JobSpec urgent = Spec("urgent");
  urgent.set_priority(5);
  const auto job = store_->Insert({.id = jobs::NewId(), .spec = urgent}, kNow);
  EXPECT_EQ(store_->Get(job->id)->queue_position, 1);
  EXPECT_EQ((*store_->Claim(8, kNow))->id, job->id);
}

TEST_P(JobQueueTest, ListNumbersTheQueueAsGetDoes) {
  const std::string first = Insert(), second = Insert();
  const auto page = store_->List({});
  ASSERT_EQ(page->items.size(), 2u);
  for (const jobs::Job& job : page->items) {
    EXPECT_EQ(job.queue_position, store_->Get(job.id)->queue_position);
  }
  EXPECT_EQ(store_->Get(second)->queue_position, 2);
}

TEST_P(JobQueueTest, APageNumbersJobsOfSeveralPrioritiesAsGetDoes) {
  for (int i = 0; i < 30; ++i) {
    NewJob job{.id = jobs::NewId(), .spec = Spec()};
    job.spec.set_priority(i % 7 % 4 - 1);
    job.plan.set_seconds(1 + i);
    ASSERT_THAT(store_->Insert(job, kNow), IsOk());
  }
  ListJobs what{.limit = 4};
  for (int pages = 0; pages < 8; ++pages) {
    const auto page = store_->List(what);
    for (const jobs::Job& job : page->items) {
      EXPECT_EQ(job.queue_position, store_->Get(job.id)->queue_position);
      EXPECT_EQ(job.queued_before, store_->Get(job.id)->queued_before);
    }
    what.from_row = page->next_row;
  }
  EXPECT_EQ(what.from_row, 0);
}

TEST_P(JobQueueTest, JobsThatWouldTakeForEverHideNoOther) {
  std::string last;
  for (int i = 0; i < 4; ++i) {
    NewJob job{.id = jobs::NewId(), .spec = Spec()};
    job.plan.set_seconds(1e30);
    last = store_->Insert(job, kNow)->id;
  }
  ASSERT_THAT(store_->Get(last), IsOk());
  EXPECT_GT(store_->Get(last)->queued_before, absl::Hours(24 * 365));
  ASSERT_THAT(store_->List({}), IsOk());
  EXPECT_EQ(store_->List({})->items[0].queued_before, store_->Get(last)->queued_before);
}

TEST_P(JobQueueTest, AQueuedJobKnowsHowLongThoseBeforeItTake) {
  const auto insert = [&](double seconds) {
    NewJob job{.id = jobs::NewId(), .spec = Spec()};
    if (seconds > 0) {
      job.plan.set_seconds(seconds);
    }
    return store_->Insert(job, kNow)->id;
  };
  insert(2);
  const std::string unknown = insert(0), last = insert(1);
  EXPECT_EQ(store_->Get(unknown)->queued_before, absl::Seconds(2));
  EXPECT_EQ(store_->Get(last)->queued_before, absl::InfiniteDuration());
  const auto page = store_->List({});
  EXPECT_EQ(page->items[1].queued_before, absl::Seconds(2));
  EXPECT_EQ(page->items[0].queued_before, absl::InfiniteDuration());
}

TEST_P(JobQueueTest, TheOldestJobOfTheQueueIsTheOneMadeFirstWhateverItsPriority) {
  EXPECT_EQ(*store_->OldestQueued(), std::nullopt);
  v1::JobSpec urgent = Spec();
  urgent.set_priority(5);
  ASSERT_THAT(store_->Insert({.id = "first", .spec = Spec()}, kNow), IsOk());
  ASSERT_THAT(store_->Insert({.id = "urgent", .spec = urgent}, kNow + absl::Seconds(9)), IsOk());
  EXPECT_EQ(*store_->OldestQueued(), kNow);
  ASSERT_THAT(store_->RequestCancel("first", kNow), IsOk());
  EXPECT_EQ(*store_->OldestQueued(), kNow + absl::Seconds(9));
}

TEST_P(JobQueueTest, PausingTakesAQueuedJobOutOfTheQueueAndResumingPutsItBack) {
  const std::string id = Insert();
  EXPECT_EQ(store_->RequestPause(id, kNow)->state, JobState::kPaused);
  EXPECT_EQ(*store_->Claim(8, kNow), std::nullopt);
  EXPECT_EQ(store_->Resume(id, kNow)->state, JobState::kQueued);
  EXPECT_EQ((*store_->Claim(8, kNow))->id, id);
}

TEST_P(JobQueueTest, AQueuedJobFailsWhenItsDeadlineHasPassed) {
  v1::JobSpec spec = Spec();
  spec.set_deadline_seconds(10);
  const auto job = store_->Insert({.id = jobs::NewId(), .spec = spec}, kNow);
  EXPECT_EQ(*store_->FailOverdue(kNow + absl::Seconds(9)), 0);
  EXPECT_EQ(*store_->FailOverdue(kNow + absl::Seconds(10)), 1);
  EXPECT_EQ(store_->Get(job->id)->end_reason, v1::Job::DEADLINE);
}

}  // namespace
}  // namespace hone::server::store
