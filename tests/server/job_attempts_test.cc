// Attempts: their events, failures and ends, wishes that come meanwhile, and claims over a restart.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/server/job_store_testing.h"

namespace hone::server::store {
namespace {

using ::testing::HasSubstr;

class JobAttemptsTest : public JobStoreTest {};

INSTANTIATE_TEST_SUITE_P(Stores, JobAttemptsTest, ::testing::ValuesIn(kStoreBackends), BackendName);

TEST_P(JobAttemptsTest, AResultOfAnOlderAttemptIsRefused) {
  const std::string id = InsertAndClaim();
  ASSERT_THAT(store_->Requeue(id, 1, {}, kNow), IsOk());
  ASSERT_THAT(store_->Claim(8, kNow), IsOk());
  const Ending late{.state = JobState::kSucceeded, .reason = v1::Job::COMPLETED};
  EXPECT_THAT(store_->Finish(id, 1, late, kNow),
              StatusIs(absl::StatusCode::kAborted, HasSubstr(id)));
  EXPECT_THAT(store_->Append(id, 1, {}, kNow),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("attempt")));
  EXPECT_EQ(store_->Get(id)->state, JobState::kRunning);
  EXPECT_THAT(store_->Finish(id, 2, late, kNow), IsOk());
}

TEST_P(JobAttemptsTest, ChargedFailuresAddUpUntilACheckpointForgivesThem) {
  const std::string id = InsertAndClaim();
  ASSERT_THAT(store_->Requeue(id, 1, {.charged = true}, kNow), IsOk());
  ASSERT_THAT(store_->Claim(8, kNow), IsOk());
  ASSERT_THAT(store_->Requeue(id, 2, {.charged = true}, kNow), IsOk());
  EXPECT_EQ(store_->Get(id)->failures, 2);
  ASSERT_THAT(store_->Claim(8, kNow), IsOk());
  ASSERT_THAT(store_->Requeue(id, 3, {.charged = true, .checkpointed = true}, kNow), IsOk());
  EXPECT_EQ(store_->Get(id)->failures, 1);
}

TEST_P(JobAttemptsTest, RetriesAddUpBesideFailuresUntilACheckpointForgivesThem) {
  const std::string id = InsertAndClaim();
  ASSERT_THAT(store_->Requeue(id, 1, {.retry = true}, kNow), IsOk());
  ASSERT_TRUE(store_->Claim(8, kNow)->has_value());
  ASSERT_THAT(store_->Requeue(id, 2, {.retry = true}, kNow), IsOk());
  EXPECT_EQ(store_->Get(id)->retries, 2);
  EXPECT_EQ(store_->Get(id)->failures, 0);
  ASSERT_TRUE(store_->Claim(8, kNow)->has_value());
  ASSERT_THAT(store_->Requeue(id, 3, {.retry = true, .checkpointed = true}, kNow), IsOk());
  EXPECT_EQ(store_->Get(id)->retries, 1);
}

TEST_P(JobAttemptsTest, AJobKnowsTheStepOfItsNewestCheckpointAndItsRetryDoes) {
  const std::string id = InsertAndClaim();
  Report report;
  report.events.emplace_back().mutable_checkpoint()->set_step(7);
  ASSERT_THAT(store_->Append(id, 1, report, kNow), IsOk());
  ASSERT_THAT(store_->Append(id, 1, {}, kNow), IsOk());
  EXPECT_EQ(store_->Get(id)->checkpoint_step, 7);
  ASSERT_THAT(store_->Finish(id, 1, {}, kNow), IsOk());
  EXPECT_EQ(store_->Insert({.id = "retry", .spec = Spec(), .retry_of = id}, kNow)->checkpoint_step,
            7);
}

TEST_P(JobAttemptsTest, AnAttemptThatGoesOnFromAnOlderCheckpointSaysSo) {
  const std::string id = InsertAndClaim();
  Report report;
  report.events.emplace_back().mutable_checkpoint()->set_step(7);
  report.events.emplace_back().mutable_started()->set_resumed_from_step(3);
  ASSERT_THAT(store_->Append(id, 1, report, kNow), IsOk());
  EXPECT_EQ(store_->Get(id)->checkpoint_step, 3);
}

TEST_P(JobAttemptsTest, EventsAreNumberedWithoutGapsAcrossAttempts) {
  const std::string id = InsertAndClaim();
  Report report;
  report.events.resize(3);
  report.events[0].mutable_log()->set_text("one");
  ASSERT_THAT(store_->Append(id, 1, report, kNow), IsOk());
  ASSERT_THAT(store_->Requeue(id, 1, {}, kNow), IsOk());
  ASSERT_THAT(store_->Claim(8, kNow), IsOk());
  EXPECT_THAT(States(id),
              ::testing::ElementsAre("QUEUED", "RUNNING", "", "", "", "QUEUED", "RUNNING"));
  EXPECT_EQ(store_->Get(id)->last_sequence, 7);
  EXPECT_EQ(store_->ReadEvents(id, 4, 2, int64_t{1} << 40)->front().sequence(), 5);
}

TEST_P(JobAttemptsTest, EventsAreReadUpToAsManyBytesAsAskedFor) {
  const std::string id = InsertAndClaim();
  Report report;
  for (int i = 0; i < 5; ++i) {
    report.events.emplace_back().mutable_log()->set_text(std::string(1000, 'x'));
  }
  ASSERT_THAT(store_->Append(id, 1, report, kNow), IsOk());
  EXPECT_EQ(store_->ReadEvents(id, 2, 100, 2500)->size(), 2u);
  EXPECT_EQ(store_->ReadEvents(id, 2, 100, 1)->size(), 1u);  // one is always read
}

TEST_P(JobAttemptsTest, CancellingAQueuedJobEndsItAndARunningOneIsAskedTo) {
  const std::string running = InsertAndClaim();
  const std::string queued = Insert();
  EXPECT_EQ(store_->RequestCancel(queued, kNow)->state, JobState::kCancelled);
  EXPECT_EQ(store_->RequestCancel(running, kNow)->state, JobState::kCancelling);
  EXPECT_EQ(store_->RequestCancel(running, kNow)->state, JobState::kCancelling);
  EXPECT_THAT(store_->RequestCancel(queued, kNow),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("CANCELLED")));
}

TEST_P(JobAttemptsTest, ARunningJobIsAskedToPauseAndCannotBeResumed) {
  const std::string id = InsertAndClaim();
  EXPECT_EQ(store_->RequestPause(id, kNow)->state, JobState::kPausing);
  EXPECT_EQ(store_->RequestPause(id, kNow)->state, JobState::kPausing);
  EXPECT_THAT(store_->Resume(id, kNow),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("PAUSING")));
}

TEST_P(JobAttemptsTest, AJobThatComesBackWhileItsEndIsWishedEndsAsWished) {
  const std::string cancelled = InsertAndClaim(), paused = InsertAndClaim();
  ASSERT_THAT(store_->RequestCancel(cancelled, kNow), IsOk());
  ASSERT_THAT(store_->RequestPause(paused, kNow), IsOk());
  ASSERT_THAT(store_->Requeue(cancelled, 1, {.message = "no disk"}, kNow), IsOk());
  ASSERT_THAT(store_->Requeue(paused, 1, {.message = "no disk"}, kNow), IsOk());
  EXPECT_EQ(store_->Get(cancelled)->state, JobState::kCancelled);
  EXPECT_EQ(store_->Get(paused)->state, JobState::kPaused);
}

TEST_P(JobAttemptsTest, AJobThatIsCancelledWhileItPausesIsCancelled) {
  const std::string id = InsertAndClaim();
  ASSERT_THAT(store_->RequestPause(id, kNow), IsOk());
  ASSERT_THAT(store_->RequestCancel(id, kNow), IsOk());
  ASSERT_THAT(store_->Finish(id, 1, {.state = JobState::kPaused}, kNow), IsOk());
  EXPECT_EQ(store_->Get(id)->state, JobState::kCancelled);
  EXPECT_EQ(store_->Get(id)->end_reason, v1::Job::USER);
}

TEST_P(JobAttemptsTest, ModelAndEndAreStoredTogether) {
  const std::string id = InsertAndClaim();
  Ending ending{.state = JobState::kSucceeded, .reason = v1::Job::COMPLETED};
  ending.model.emplace().set_name("models/m1");
  ending.evaluation.set_split("test");
  ASSERT_THAT(store_->Finish(id, 1, ending, kNow), IsOk());
  EXPECT_EQ(store_->Get(id)->model_id, "m1");
  EXPECT_EQ(store_->Get(id)->evaluation.split(), "test");
  EXPECT_EQ(store_->GetModel("m1")->name(), "models/m1");
  EXPECT_EQ(store_->ListModels({})->items.size(), 1u);
}

TEST_P(JobAttemptsTest, ARefusedFinishLeavesNoModel) {
  const std::string id = InsertAndClaim();
  Ending ending{.state = JobState::kSucceeded, .reason = v1::Job::COMPLETED};
  ending.model.emplace().set_name("models/m1");
  EXPECT_FALSE(store_->Finish(id, 7, ending, kNow).ok());
  EXPECT_THAT(store_->GetModel("m1"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("models/m1")));
}

TEST_P(JobAttemptsTest, RecoveryPausesWhatWasBeingPaused) {
  const std::string id = InsertAndClaim();
  ASSERT_THAT(store_->RequestPause(id, kNow), IsOk());
  Open();
  EXPECT_EQ(*store_->Recover(kNow), 1);
  EXPECT_EQ(store_->Get(id)->state, JobState::kPaused);
}

TEST_P(JobAttemptsTest, RecoveryQueuesRunningJobsAndEndsThoseBeingCancelled) {
  const std::string running = InsertAndClaim();
  const std::string cancelling = InsertAndClaim();
  ASSERT_THAT(store_->RequestCancel(cancelling, kNow), IsOk());
  Open();
  EXPECT_EQ(*store_->Recover(kNow), 2);
  EXPECT_EQ(store_->Get(running)->state, JobState::kQueued);
  EXPECT_EQ(store_->Get(cancelling)->state, JobState::kCancelled);
  EXPECT_EQ(store_->Get(cancelling)->end_reason, v1::Job::USER);
}

TEST_P(JobAttemptsTest, AJobThatTakesTheServerDownAgainAndAgainEndsAsPoison) {
  const std::string id = Insert();
  for (int i = 0; i < kMaxRecoveries; ++i) {
    EXPECT_EQ(store_->Get(id)->state, JobState::kQueued) << i;
    ASSERT_TRUE(store_->Claim(8, kNow)->has_value());
    ASSERT_EQ(*store_->Recover(kNow), 1);
  }
  const jobs::Job job = *store_->Get(id);
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_EQ(job.end_reason, v1::Job::POISON);
}

TEST_P(JobAttemptsTest, RecoveriesAreForgivenWhereTheJobHasANewerCheckpoint) {
  const std::string id = InsertAndClaim();
  ASSERT_EQ(*store_->Recover(kNow), 1);
  ASSERT_TRUE(store_->Claim(8, kNow)->has_value());
  EXPECT_EQ(store_->Get(id)->recoveries, 1);
  // It was written before the server ended, and could not be told then.
  Report report;
  report.events.emplace_back().mutable_started()->set_resumed_from_step(3);
  ASSERT_THAT(store_->Append(id, 2, report, kNow), IsOk());
  EXPECT_EQ(store_->Get(id)->recoveries, 0);
}

TEST_P(JobAttemptsTest, ARestartTakesBackItsOwnClaimsAndThoseOfOthersOnlyWhenTheyAreOver) {
  const std::string id = InsertAndClaim();
  Open("another");
  EXPECT_EQ(*store_->Recover(kNow + kLease / 2), 0);
  EXPECT_EQ(store_->Get(id)->state, JobState::kRunning);
  EXPECT_EQ(*store_->Recover(kNow + 2 * kLease), 1);
  EXPECT_EQ(store_->Get(id)->state, JobState::kQueued);
  ASSERT_TRUE(store_->Claim(8, kNow)->has_value());
  Open("another");
  EXPECT_EQ(*store_->Recover(kNow), 1);
}

TEST_P(JobAttemptsTest, ARenewedClaimHoldsForLonger) {
  InsertAndClaim();
  ASSERT_THAT(store_->RenewLeases(kNow + kLease), IsOk());
  Open("another");
  EXPECT_EQ(*store_->Recover(kNow + kLease + kLease / 2), 0);
}

}  // namespace
}  // namespace hone::server::store
