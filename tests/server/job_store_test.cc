// What every JobStore must do.
#include "server/store/job_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <set>

#include "absl/strings/str_cat.h"
#include "server/store/writer.h"
#include "tests/server/store_backend.h"
#include "tests/support/status_matchers.h"

namespace hone::server::store {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using jobs::JobState;
using ::testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

v1::JobSpec Spec(const std::string& name = "digits") {
  v1::JobSpec spec;
  spec.set_display_name(name);
  spec.mutable_classification();
  spec.mutable_training()->set_epochs(1);
  return spec;
}

const Ending kCompleted{.state = JobState::kSucceeded, .reason = v1::Job::COMPLETED};

class JobStoreTest : public StoreConformance {
 protected:
  std::string Insert(const std::string& request_id = "", int threads = 1) {
    const auto job = store_->Insert(
        {.id = jobs::NewId(), .spec = Spec(), .threads = threads, .request_id = request_id}, kNow);
    EXPECT_THAT(job, IsOk());
    return job.ok() ? job->id : "";
  }
  std::string InsertAndClaim() {
    const std::string id = Insert();
    EXPECT_THAT(store_->Claim(8, kNow), IsOk());
    return id;
  }
  // A job that ended so many hours after kNow.
  std::string End(int hours) {
    const std::string id = InsertAndClaim();
    EXPECT_THAT(store_->Finish(id, 1, kCompleted, kNow + absl::Hours(hours)), IsOk());
    return id;
  }
  std::string EndWithModel(const std::string& name, int64_t bytes, int hours) {
    const std::string id = InsertAndClaim();
    Ending ending = kCompleted;
    ending.model.emplace().set_name(jobs::ModelName(id));
    ending.model->set_display_name(name);
    ending.model->set_bytes(bytes);
    EXPECT_THAT(store_->Finish(id, 1, ending, kNow + absl::Hours(hours)), IsOk());
    return id;
  }
  std::vector<std::string> States(const std::string& id) {
    std::vector<std::string> states;
    int64_t expected = 0;
    const auto events = store_->ReadEvents(id, 0, 1000);
    for (const v1::Event& event : *events) {
      EXPECT_EQ(event.sequence(), ++expected);
      states.push_back(event.state().state());
    }
    return states;
  }
};

INSTANTIATE_TEST_SUITE_P(Stores, JobStoreTest, ::testing::ValuesIn(kStoreBackends), BackendName);

TEST_P(JobStoreTest, TheSameRequestIdReturnsTheFirstJob) {
  const std::string first = Insert("once");
  EXPECT_EQ(Insert("once"), first);
  EXPECT_EQ(store_->List({})->items.size(), 1u);
}

TEST_P(JobStoreTest, TheSameRequestIdWithAnotherSpecIsRefused) {
  Insert("once");
  EXPECT_THAT(
      store_->Insert({.id = jobs::NewId(), .spec = Spec("other"), .request_id = "once"}, kNow),
      StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("request_id")));
}

TEST_P(JobStoreTest, AJobIsStillThereAfterOpeningAgain) {
  const std::string id = Insert();
  Open();
  const auto job = store_->Get(id);
  ASSERT_THAT(job, IsOk());
  EXPECT_EQ(job->spec.display_name(), "digits");
  EXPECT_EQ(job->create_time, kNow);
}

TEST_P(JobStoreTest, ClaimTakesTheOldestOnceAndRaisesTheAttempt) {
  const std::string first = Insert();
  const std::string second = Insert();
  EXPECT_EQ((*store_->Claim(8, kNow))->id, first);
  const auto claimed = store_->Claim(8, kNow);
  EXPECT_EQ((*claimed)->id, second);
  EXPECT_EQ((*claimed)->attempt, 1);
  EXPECT_EQ(*store_->Claim(8, kNow), std::nullopt);
}

TEST_P(JobStoreTest, AJobThatWaitsForThreadsIsNotOvertaken) {
  Insert("", 4);
  Insert("", 1);
  EXPECT_EQ(*store_->Claim(2, kNow), std::nullopt);
}

TEST_P(JobStoreTest, AJobIsNotClaimedBeforeItsDelayIsOver) {
  const std::string id = InsertAndClaim();
  ASSERT_THAT(store_->Requeue(id, 1, {.charged = true, .delay = absl::Seconds(5)}, kNow), IsOk());
  EXPECT_EQ(*store_->Claim(8, kNow + absl::Seconds(4)), std::nullopt);
  EXPECT_EQ((*store_->Claim(8, kNow + absl::Seconds(5)))->attempt, 2);
}

TEST_P(JobStoreTest, AResultOfAnOlderAttemptIsRefused) {
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

TEST_P(JobStoreTest, ChargedFailuresAddUpUntilACheckpointForgivesThem) {
  const std::string id = InsertAndClaim();
  ASSERT_THAT(store_->Requeue(id, 1, {.charged = true}, kNow), IsOk());
  ASSERT_THAT(store_->Claim(8, kNow), IsOk());
  ASSERT_THAT(store_->Requeue(id, 2, {.charged = true}, kNow), IsOk());
  EXPECT_EQ(store_->Get(id)->failures, 2);
  ASSERT_THAT(store_->Claim(8, kNow), IsOk());
  ASSERT_THAT(store_->Requeue(id, 3, {.charged = true, .checkpointed = true}, kNow), IsOk());
  EXPECT_EQ(store_->Get(id)->failures, 1);
}

TEST_P(JobStoreTest, EventsAreNumberedWithoutGapsAcrossAttempts) {
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
  EXPECT_EQ(store_->ReadEvents(id, 4, 2)->front().sequence(), 5);
}

TEST_P(JobStoreTest, CancellingAQueuedJobEndsItAndARunningOneIsAskedTo) {
  const std::string running = InsertAndClaim();
  const std::string queued = Insert();
  EXPECT_EQ(store_->RequestCancel(queued, kNow)->state, JobState::kCancelled);
  EXPECT_EQ(store_->RequestCancel(running, kNow)->state, JobState::kCancelling);
  EXPECT_EQ(store_->RequestCancel(running, kNow)->state, JobState::kCancelling);
  EXPECT_THAT(store_->RequestCancel(queued, kNow),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("CANCELLED")));
}

TEST_P(JobStoreTest, ClaimTakesTheHighestPriorityFirst) {
  Insert();
  v1::JobSpec urgent = Spec("urgent");
  urgent.set_priority(5);
  const auto job = store_->Insert({.id = jobs::NewId(), .spec = urgent}, kNow);
  EXPECT_EQ(store_->Get(job->id)->queue_position, 1);
  EXPECT_EQ((*store_->Claim(8, kNow))->id, job->id);
}

TEST_P(JobStoreTest, ListNumbersTheQueueAsGetDoes) {
  const std::string first = Insert(), second = Insert();
  const auto page = store_->List({});
  ASSERT_EQ(page->items.size(), 2u);
  for (const jobs::Job& job : page->items) {
    EXPECT_EQ(job.queue_position, store_->Get(job.id)->queue_position);
  }
  EXPECT_EQ(store_->Get(second)->queue_position, 2);
}

TEST_P(JobStoreTest, PausingTakesAQueuedJobOutOfTheQueueAndResumingPutsItBack) {
  const std::string id = Insert();
  EXPECT_EQ(store_->RequestPause(id, kNow)->state, JobState::kPaused);
  EXPECT_EQ(*store_->Claim(8, kNow), std::nullopt);
  EXPECT_EQ(store_->Resume(id, kNow)->state, JobState::kQueued);
  EXPECT_EQ((*store_->Claim(8, kNow))->id, id);
}

TEST_P(JobStoreTest, ARunningJobIsAskedToPauseAndCannotBeResumed) {
  const std::string id = InsertAndClaim();
  EXPECT_EQ(store_->RequestPause(id, kNow)->state, JobState::kPausing);
  EXPECT_EQ(store_->RequestPause(id, kNow)->state, JobState::kPausing);
  EXPECT_THAT(store_->Resume(id, kNow),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("PAUSING")));
}

TEST_P(JobStoreTest, RecoveryPausesWhatWasBeingPaused) {
  const std::string id = InsertAndClaim();
  ASSERT_THAT(store_->RequestPause(id, kNow), IsOk());
  Open();
  EXPECT_EQ(*store_->Recover(kNow), 1);
  EXPECT_EQ(store_->Get(id)->state, JobState::kPaused);
}

TEST_P(JobStoreTest, ADeletedJobIsGoneAndItsEventsFollowInSlices) {
  const std::string id = InsertAndClaim();
  Report report;
  report.events.resize(10);
  ASSERT_THAT(store_->Append(id, 1, report, kNow), IsOk());
  ASSERT_THAT(
      store_->Finish(id, 1, {.state = JobState::kFailed, .reason = v1::Job::BAD_DATA}, kNow),
      IsOk());
  ASSERT_THAT(store_->Delete(id), IsOk());
  EXPECT_THAT(store_->Get(id), StatusIs(absl::StatusCode::kNotFound, HasSubstr(id)));
  EXPECT_EQ(*store_->RemoveGarbage(8), 8);
  EXPECT_EQ(*store_->RemoveGarbage(8), 5);
  EXPECT_EQ(*store_->RemoveGarbage(8), 0);
}

TEST_P(JobStoreTest, AJobThatMayStillRunIsNotDeleted) {
  EXPECT_THAT(store_->Delete(Insert()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("QUEUED")));
  EXPECT_THAT(store_->Delete(InsertAndClaim()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("")));
}

TEST_P(JobStoreTest, AQueuedJobFailsWhenItsDeadlineHasPassed) {
  v1::JobSpec spec = Spec();
  spec.set_deadline_seconds(10);
  const auto job = store_->Insert({.id = jobs::NewId(), .spec = spec}, kNow);
  EXPECT_EQ(*store_->FailOverdue(kNow + absl::Seconds(9)), 0);
  EXPECT_EQ(*store_->FailOverdue(kNow + absl::Seconds(10)), 1);
  EXPECT_EQ(store_->Get(job->id)->end_reason, v1::Job::DEADLINE);
}

TEST_P(JobStoreTest, ListKeepsToTaskAndLabelsAndOrder) {
  v1::JobSpec red = Spec("red");
  (*red.mutable_labels())["colour"] = "red";
  (*red.mutable_labels())["size"] = "1";
  const auto job = store_->Insert({.id = jobs::NewId(), .spec = red}, kNow);
  const std::string plain = Insert();
  EXPECT_EQ(store_->List({.labels = {"colour=red", "size=1"}})->items.size(), 1u);
  EXPECT_TRUE(store_->List({.labels = {"colour=red", "size=2"}})->items.empty());
  EXPECT_TRUE(store_->List({.task = "regression"})->items.empty());
  EXPECT_EQ(store_->List({.task = "classification", .oldest_first = true})->items.front().id,
            job->id);
}

TEST_P(JobStoreTest, RecoveryQueuesRunningJobsAndEndsThoseBeingCancelled) {
  const std::string running = InsertAndClaim();
  const std::string cancelling = InsertAndClaim();
  ASSERT_THAT(store_->RequestCancel(cancelling, kNow), IsOk());
  Open();
  EXPECT_EQ(*store_->Recover(kNow), 2);
  EXPECT_EQ(store_->Get(running)->state, JobState::kQueued);
  EXPECT_EQ(store_->Get(cancelling)->state, JobState::kCancelled);
  EXPECT_EQ(store_->Get(cancelling)->end_reason, v1::Job::USER);
}

TEST_P(JobStoreTest, ModelAndEndAreStoredTogether) {
  const std::string id = InsertAndClaim();
  Ending ending{.state = JobState::kSucceeded, .reason = v1::Job::COMPLETED};
  ending.model.emplace().set_name("models/m1");
  ending.evaluation.set_split("test");
  ASSERT_THAT(store_->Finish(id, 1, ending, kNow), IsOk());
  EXPECT_EQ(store_->Get(id)->model_id, "m1");
  EXPECT_EQ(store_->Get(id)->evaluation.split(), "test");
  EXPECT_EQ(store_->GetModel("m1")->name(), "models/m1");
  EXPECT_EQ(store_->ListModels(10, 0)->items.size(), 1u);
}

TEST_P(JobStoreTest, ARefusedFinishLeavesNoModel) {
  const std::string id = InsertAndClaim();
  Ending ending{.state = JobState::kSucceeded, .reason = v1::Job::COMPLETED};
  ending.model.emplace().set_name("models/m1");
  EXPECT_FALSE(store_->Finish(id, 7, ending, kNow).ok());
  EXPECT_THAT(store_->GetModel("m1"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("models/m1")));
}

TEST_P(JobStoreTest, PagesCoverAllJobsOnceNewestFirst) {
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) {
    ids.insert(ids.begin(), Insert());
  }
  std::vector<std::string> seen;
  ListJobs what{.limit = 2};
  do {
    const auto page = store_->List(what);
    for (const jobs::Job& job : page->items) {
      seen.push_back(job.id);
    }
    what.from_row = page->next_row;
  } while (what.from_row != 0);
  EXPECT_EQ(seen, ids);
}

TEST_P(JobStoreTest, PagesOfSeveralStatesCoverEachJobOnceAlsoWhereBytesEndThem) {
  std::vector<std::string> ids;
  for (int i = 0; i < 12; ++i) {
    ids.push_back(Insert());
    // Queued, cancelled and paused in turn; the paused ones are not asked for.
    if (i % 3 == 1) {
      EXPECT_THAT(store_->RequestCancel(ids.back(), kNow), IsOk());
    } else if (i % 3 == 2) {
      EXPECT_THAT(store_->RequestPause(ids.back(), kNow), IsOk());
      ids.pop_back();
    }
  }
  for (const bool oldest_first : {true, false}) {
    for (const int64_t bytes : {int64_t{1}, int64_t{100}, int64_t{1} << 20}) {
      std::vector<std::string> seen;
      ListJobs what{.states = {JobState::kQueued, JobState::kCancelled},
                    .oldest_first = oldest_first,
                    .limit = 3,
                    .max_bytes = bytes};
      do {
        const auto page = store_->List(what);
        ASSERT_THAT(page, IsOk());
        ASSERT_FALSE(page->items.empty());
        for (const jobs::Job& job : page->items) {
          seen.push_back(job.id);
        }
        what.from_row = page->next_row;
      } while (what.from_row != 0);
      EXPECT_EQ(seen, ids) << bytes;
    }
    std::reverse(ids.begin(), ids.end());
  }
}

TEST_P(JobStoreTest, AJobWhoseRetryHasNotEndedIsNeitherDeletedNorForgotten) {
  const std::string old = Insert();
  ASSERT_THAT(store_->RequestCancel(old, kNow), IsOk());
  const auto retry = store_->Insert({.id = jobs::NewId(), .spec = Spec(), .retry_of = old}, kNow);
  ASSERT_THAT(retry, IsOk());
  EXPECT_THAT(store_->Delete(old),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(retry->id)));
  const auto forgotten = store_->DeleteEnded({.ended_since = kNow + absl::Hours(1)}, 10);
  ASSERT_THAT(forgotten, IsOk());
  EXPECT_TRUE(forgotten->empty());
  ASSERT_THAT(store_->RequestCancel(retry->id, kNow), IsOk());
  EXPECT_THAT(store_->Delete(old), IsOk());
  EXPECT_THAT(store_->Insert({.id = jobs::NewId(), .spec = Spec(), .retry_of = old}, kNow),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(old)));
}

TEST_P(JobStoreTest, ListKeepsToTheAskedStates) {
  const std::string running = InsertAndClaim();
  Insert();
  const auto page = store_->List({.states = {JobState::kRunning, JobState::kFailed}});
  ASSERT_EQ(page->items.size(), 1u);
  EXPECT_EQ(page->items[0].id, running);
}

TEST_P(JobStoreTest, WritesOfOneCommitStandAloneWhenOneIsRefused) {
  const std::string id = InsertAndClaim();
  absl::Status refused;
  const auto events = store_->Commit([&] {
    refused = store_->Append(id, 9, {}, kNow);
    Insert();
  });
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kAborted, HasSubstr("attempt 9")));
  EXPECT_EQ(events->size(), 1u);
  EXPECT_EQ(store_->List({})->items.size(), 2u);
}

TEST_P(JobStoreTest, TheWriterTellsEventsInOrderBeforeTheResult) {
  std::vector<int64_t> sequences;
  std::atomic<bool> told = false;
  Writer writer(*store_, [&](const LoggedEvent& event) {
    EXPECT_FALSE(told);
    sequences.push_back(event.event->sequence());
  });
  const auto job = writer.Run<jobs::Job>([&](JobStore& store) {
    auto inserted = store.Insert({.id = "a", .spec = Spec()}, kNow);
    EXPECT_THAT(store.Claim(1, kNow), IsOk());
    return inserted;
  });
  told = true;
  ASSERT_THAT(job, IsOk());
  EXPECT_THAT(sequences, ::testing::ElementsAre(1, 2));
}

TEST_P(JobStoreTest, TheWriterTellsOfEachCommitAndOfWritesThatAreLostThroughTheStoresFault) {
  int commits = 0, failures = 0;
  Writer writer(*store_, [](const LoggedEvent&) {},
                {.committed = [&](absl::Duration) { ++commits; }, .failed = [&] { ++failures; }});
  const auto fail = [&](const absl::Status& status) {
    EXPECT_EQ(writer.RunStatus([&](JobStore&) { return status; }), status);
  };
  fail(absl::OkStatus());
  fail(absl::NotFoundError("no such job"));
  fail(absl::FailedPreconditionError("has ended"));
  fail(absl::ResourceExhaustedError("the quota is used up"));
  EXPECT_EQ(commits, 4);
  EXPECT_EQ(failures, 0);
  fail(absl::UnavailableError("disk I/O error"));
  fail(absl::DataLossError("malformed"));
  EXPECT_EQ(failures, 2);
}

TEST_P(JobStoreTest, TheOldestJobOfTheQueueIsTheOneMadeFirstWhateverItsPriority) {
  EXPECT_EQ(*store_->OldestQueued(), std::nullopt);
  v1::JobSpec urgent = Spec();
  urgent.set_priority(5);
  ASSERT_THAT(store_->Insert({.id = "first", .spec = Spec()}, kNow), IsOk());
  ASSERT_THAT(store_->Insert({.id = "urgent", .spec = urgent}, kNow + absl::Seconds(9)), IsOk());
  EXPECT_EQ(*store_->OldestQueued(), kNow);
  ASSERT_THAT(store_->RequestCancel("first", kNow), IsOk());
  EXPECT_EQ(*store_->OldestQueued(), kNow + absl::Seconds(9));
}

TEST_P(JobStoreTest, JobsThatEndedLongAgoAreForgottenAndOthersAreNot) {
  const std::string old = InsertAndClaim(), fresh = InsertAndClaim(), waiting = Insert();
  const Ending ending{.state = jobs::JobState::kSucceeded, .reason = v1::Job::COMPLETED};
  ASSERT_THAT(store_->Finish(old, 1, ending, kNow), IsOk());
  ASSERT_THAT(store_->Finish(fresh, 1, ending, kNow + absl::Hours(2)), IsOk());
  const auto forgotten = store_->DeleteEnded({.ended_since = kNow + absl::Hours(1)}, 10);
  ASSERT_THAT(forgotten, IsOk());
  EXPECT_THAT(*forgotten, ::testing::ElementsAre(old));
  EXPECT_THAT(store_->Get(old).status(), StatusIs(absl::StatusCode::kNotFound, HasSubstr(old)));
  EXPECT_THAT(store_->Get(fresh), IsOk());
  EXPECT_THAT(store_->Get(waiting), IsOk());
}

TEST_P(JobStoreTest, AClockThatWasSetBackDoesNotKeepAJobWaiting) {
  const std::string id = InsertAndClaim();
  ASSERT_THAT(store_->Requeue(id, 1, {.message = "again", .delay = absl::Seconds(5)}, kNow),
              IsOk());
  EXPECT_FALSE(store_->Claim(1, kNow + absl::Seconds(1))->has_value());
  EXPECT_TRUE(store_->Claim(1, kNow - absl::Hours(48))->has_value());
}

TEST_P(JobStoreTest, ARestartTakesBackItsOwnClaimsAndThoseOfOthersOnlyWhenTheyAreOver) {
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

TEST_P(JobStoreTest, ARenewedClaimHoldsForLonger) {
  InsertAndClaim();
  ASSERT_THAT(store_->RenewLeases(kNow + kLease), IsOk());
  Open("another");
  EXPECT_EQ(*store_->Recover(kNow + kLease + kLease / 2), 0);
}

TEST_P(JobStoreTest, AJobThatComesBackWhileItsEndIsWishedEndsAsWished) {
  const std::string cancelled = InsertAndClaim(), paused = InsertAndClaim();
  ASSERT_THAT(store_->RequestCancel(cancelled, kNow), IsOk());
  ASSERT_THAT(store_->RequestPause(paused, kNow), IsOk());
  ASSERT_THAT(store_->Requeue(cancelled, 1, {.message = "no disk"}, kNow), IsOk());
  ASSERT_THAT(store_->Requeue(paused, 1, {.message = "no disk"}, kNow), IsOk());
  EXPECT_EQ(store_->Get(cancelled)->state, JobState::kCancelled);
  EXPECT_EQ(store_->Get(paused)->state, JobState::kPaused);
}

TEST_P(JobStoreTest, AJobThatIsCancelledWhileItPausesIsCancelled) {
  const std::string id = InsertAndClaim();
  ASSERT_THAT(store_->RequestPause(id, kNow), IsOk());
  ASSERT_THAT(store_->RequestCancel(id, kNow), IsOk());
  ASSERT_THAT(store_->Finish(id, 1, {.state = JobState::kPaused}, kNow), IsOk());
  EXPECT_EQ(store_->Get(id)->state, JobState::kCancelled);
  EXPECT_EQ(store_->Get(id)->end_reason, v1::Job::USER);
}

TEST_P(JobStoreTest, RetriesAddUpBesideFailuresUntilACheckpointForgivesThem) {
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

TEST_P(JobStoreTest, OfTheEndedJobsTheNewestAreKept) {
  const std::string first = End(0), second = End(1), third = End(2), waiting = Insert();
  EXPECT_THAT(*store_->DeleteEnded({.at_most = 2}, 10), ::testing::ElementsAre(first));
  EXPECT_THAT(*store_->DeleteEnded({.at_most = 2}, 10), ::testing::IsEmpty());
  EXPECT_THAT(*store_->DeleteEnded({.at_most = 1}, 10), ::testing::ElementsAre(second));
  EXPECT_THAT(store_->Get(third), IsOk());
  EXPECT_THAT(store_->Get(waiting), IsOk());
}

TEST_P(JobStoreTest, AStoreThatIsTooLargeForgetsTheOldestAndWaitsUntilItsEventsAreGone) {
  const std::string first = End(0), second = End(1);
  EXPECT_THAT(*store_->DeleteEnded({.bytes = int64_t{1} << 40}, 10), ::testing::IsEmpty());
  EXPECT_THAT(*store_->DeleteEnded({.bytes = 1}, 10), ::testing::ElementsAre(first));
  EXPECT_THAT(*store_->DeleteEnded({.bytes = 1}, 10), ::testing::IsEmpty());
  while (*store_->RemoveGarbage(100) > 0) {
  }
  EXPECT_THAT(*store_->DeleteEnded({.bytes = 1}, 10), ::testing::ElementsAre(second));
}

TEST_P(JobStoreTest, ModelsAreLimitedByAgeByNumberOfANameAndByBytes) {
  const std::string old = EndWithModel("a", 10, 0), middle = EndWithModel("a", 10, 1),
                    other = EndWithModel("b", 10, 2), fresh = EndWithModel("a", 10, 3);
  EXPECT_THAT(*store_->DeleteModels({}, 10), ::testing::IsEmpty());
  EXPECT_THAT(*store_->DeleteModels({.made_since = kNow + absl::Hours(1)}, 10),
              ::testing::ElementsAre(old));
  EXPECT_THAT(*store_->DeleteModels({.of_a_name = 1}, 10), ::testing::ElementsAre(middle));
  EXPECT_THAT(*store_->DeleteModels({.bytes = 10}, 10), ::testing::ElementsAre(other));
  EXPECT_THAT(store_->GetModel(fresh), IsOk());
}

TEST_P(JobStoreTest, APinnedModelStaysAndSaysSo) {
  const std::string id = EndWithModel("a", 10, 0);
  EXPECT_TRUE(store_->PinModel(id, true)->pinned());
  EXPECT_TRUE(store_->GetModel(id)->pinned());
  const KeepModels nothing{.made_since = kNow + absl::Hours(1), .bytes = 1};
  EXPECT_THAT(*store_->DeleteModels(nothing, 10), ::testing::IsEmpty());
  ASSERT_THAT(store_->PinModel(id, false), IsOk());
  EXPECT_THAT(*store_->DeleteModels(nothing, 10), ::testing::ElementsAre(id));
  EXPECT_THAT(store_->PinModel(id, true).status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(id)));
}

TEST_P(JobStoreTest, AQueuedJobKnowsHowLongThoseBeforeItTake) {
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

}  // namespace
}  // namespace hone::server::store
