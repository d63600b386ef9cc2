#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>

#include "absl/strings/str_cat.h"
#include "server/store/job_store.h"
#include "server/store/schema.h"
#include "server/store/sqlite_store.h"
#include "server/store/writer.h"
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

class StoreTest : public ::testing::Test {
 protected:
  StoreTest() {
    path_ = absl::StrCat(::testing::TempDir(), "/store-", ::getpid(), "-", counter_++, ".db");
    Open();
  }
  ~StoreTest() override {
    store_.reset();
    for (const char* tail : {"", "-wal", "-shm"}) {
      std::filesystem::remove(path_ + tail);
    }
  }
  void Open() {
    store_.reset();
    absl::StatusOr<std::unique_ptr<JobStore>> opened = OpenSqliteStore(path_);
    ASSERT_THAT(opened, IsOk());
    store_ = std::move(*opened);
  }
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

  static inline int counter_ = 0;
  std::string path_;
  std::unique_ptr<JobStore> store_;
};

TEST_F(StoreTest, TheSameRequestIdReturnsTheFirstJob) {
  const std::string first = Insert("once");
  EXPECT_EQ(Insert("once"), first);
  EXPECT_EQ(store_->List({})->items.size(), 1u);
}

TEST_F(StoreTest, TheSameRequestIdWithAnotherSpecIsRefused) {
  Insert("once");
  EXPECT_THAT(
      store_->Insert({.id = jobs::NewId(), .spec = Spec("other"), .request_id = "once"}, kNow),
      StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("request_id")));
}

TEST_F(StoreTest, AJobIsStillThereAfterOpeningAgain) {
  const std::string id = Insert();
  Open();
  const auto job = store_->Get(id);
  ASSERT_THAT(job, IsOk());
  EXPECT_EQ(job->spec.display_name(), "digits");
  EXPECT_EQ(job->create_time, kNow);
}

TEST_F(StoreTest, ClaimTakesTheOldestOnceAndRaisesTheAttempt) {
  const std::string first = Insert();
  const std::string second = Insert();
  EXPECT_EQ((*store_->Claim(8, kNow))->id, first);
  const auto claimed = store_->Claim(8, kNow);
  EXPECT_EQ((*claimed)->id, second);
  EXPECT_EQ((*claimed)->attempt, 1);
  EXPECT_EQ(*store_->Claim(8, kNow), std::nullopt);
}

TEST_F(StoreTest, AJobThatWaitsForThreadsIsNotOvertaken) {
  Insert("", 4);
  Insert("", 1);
  EXPECT_EQ(*store_->Claim(2, kNow), std::nullopt);
}

TEST_F(StoreTest, AJobIsNotClaimedBeforeItsDelayIsOver) {
  const std::string id = InsertAndClaim();
  ASSERT_THAT(store_->Requeue(id, 1, {.charged = true, .delay = absl::Seconds(5)}, kNow), IsOk());
  EXPECT_EQ(*store_->Claim(8, kNow + absl::Seconds(4)), std::nullopt);
  EXPECT_EQ((*store_->Claim(8, kNow + absl::Seconds(5)))->attempt, 2);
}

TEST_F(StoreTest, AResultOfAnOlderAttemptIsRefused) {
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

TEST_F(StoreTest, ChargedFailuresAddUpUntilACheckpointForgivesThem) {
  const std::string id = InsertAndClaim();
  ASSERT_THAT(store_->Requeue(id, 1, {.charged = true}, kNow), IsOk());
  ASSERT_THAT(store_->Claim(8, kNow), IsOk());
  ASSERT_THAT(store_->Requeue(id, 2, {.charged = true}, kNow), IsOk());
  EXPECT_EQ(store_->Get(id)->failures, 2);
  ASSERT_THAT(store_->Claim(8, kNow), IsOk());
  ASSERT_THAT(store_->Requeue(id, 3, {.charged = true, .checkpointed = true}, kNow), IsOk());
  EXPECT_EQ(store_->Get(id)->failures, 1);
}

TEST_F(StoreTest, EventsAreNumberedWithoutGapsAcrossAttempts) {
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

TEST_F(StoreTest, CancellingAQueuedJobEndsItAndARunningOneIsAskedTo) {
  const std::string running = InsertAndClaim();
  const std::string queued = Insert();
  EXPECT_EQ(store_->RequestCancel(queued, kNow)->state, JobState::kCancelled);
  EXPECT_EQ(store_->RequestCancel(running, kNow)->state, JobState::kCancelling);
  EXPECT_EQ(store_->RequestCancel(running, kNow)->state, JobState::kCancelling);
  EXPECT_THAT(store_->RequestCancel(queued, kNow),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("CANCELLED")));
}

TEST_F(StoreTest, ClaimTakesTheHighestPriorityFirst) {
  Insert();
  v1::JobSpec urgent = Spec("urgent");
  urgent.set_priority(5);
  const auto job = store_->Insert({.id = jobs::NewId(), .spec = urgent}, kNow);
  EXPECT_EQ(store_->Get(job->id)->queue_position, 1);
  EXPECT_EQ((*store_->Claim(8, kNow))->id, job->id);
}

TEST_F(StoreTest, ListNumbersTheQueueAsGetDoes) {
  const std::string first = Insert(), second = Insert();
  const auto page = store_->List({});
  ASSERT_EQ(page->items.size(), 2u);
  for (const jobs::Job& job : page->items) {
    EXPECT_EQ(job.queue_position, store_->Get(job.id)->queue_position);
  }
  EXPECT_EQ(store_->Get(second)->queue_position, 2);
}

TEST_F(StoreTest, PausingTakesAQueuedJobOutOfTheQueueAndResumingPutsItBack) {
  const std::string id = Insert();
  EXPECT_EQ(store_->RequestPause(id, kNow)->state, JobState::kPaused);
  EXPECT_EQ(*store_->Claim(8, kNow), std::nullopt);
  EXPECT_EQ(store_->Resume(id, kNow)->state, JobState::kQueued);
  EXPECT_EQ((*store_->Claim(8, kNow))->id, id);
}

TEST_F(StoreTest, ARunningJobIsAskedToPauseAndCannotBeResumed) {
  const std::string id = InsertAndClaim();
  EXPECT_EQ(store_->RequestPause(id, kNow)->state, JobState::kPausing);
  EXPECT_EQ(store_->RequestPause(id, kNow)->state, JobState::kPausing);
  EXPECT_THAT(store_->Resume(id, kNow),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("PAUSING")));
}

TEST_F(StoreTest, RecoveryPausesWhatWasBeingPaused) {
  const std::string id = InsertAndClaim();
  ASSERT_THAT(store_->RequestPause(id, kNow), IsOk());
  Open();
  EXPECT_EQ(*store_->Recover(kNow), 1);
  EXPECT_EQ(store_->Get(id)->state, JobState::kPaused);
}

TEST_F(StoreTest, ADeletedJobIsGoneAndItsEventsFollowInSlices) {
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

TEST_F(StoreTest, AJobThatMayStillRunIsNotDeleted) {
  EXPECT_THAT(store_->Delete(Insert()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("QUEUED")));
  EXPECT_THAT(store_->Delete(InsertAndClaim()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("")));
}

TEST_F(StoreTest, AQueuedJobFailsWhenItsDeadlineHasPassed) {
  v1::JobSpec spec = Spec();
  spec.set_deadline_seconds(10);
  const auto job = store_->Insert({.id = jobs::NewId(), .spec = spec}, kNow);
  EXPECT_EQ(*store_->FailOverdue(kNow + absl::Seconds(9)), 0);
  EXPECT_EQ(*store_->FailOverdue(kNow + absl::Seconds(10)), 1);
  EXPECT_EQ(store_->Get(job->id)->end_reason, v1::Job::DEADLINE);
}

TEST_F(StoreTest, ListKeepsToTaskAndLabelsAndOrder) {
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

TEST_F(StoreTest, RecoveryQueuesRunningJobsAndEndsThoseBeingCancelled) {
  const std::string running = InsertAndClaim();
  const std::string cancelling = InsertAndClaim();
  ASSERT_THAT(store_->RequestCancel(cancelling, kNow), IsOk());
  Open();
  EXPECT_EQ(*store_->Recover(kNow), 2);
  EXPECT_EQ(store_->Get(running)->state, JobState::kQueued);
  EXPECT_EQ(store_->Get(cancelling)->state, JobState::kCancelled);
  EXPECT_EQ(store_->Get(cancelling)->end_reason, v1::Job::USER);
}

TEST_F(StoreTest, ModelAndEndAreStoredTogether) {
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

TEST_F(StoreTest, ARefusedFinishLeavesNoModel) {
  const std::string id = InsertAndClaim();
  Ending ending{.state = JobState::kSucceeded, .reason = v1::Job::COMPLETED};
  ending.model.emplace().set_name("models/m1");
  EXPECT_FALSE(store_->Finish(id, 7, ending, kNow).ok());
  EXPECT_THAT(store_->GetModel("m1"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("models/m1")));
}

TEST_F(StoreTest, PagesCoverAllJobsOnceNewestFirst) {
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

TEST_F(StoreTest, PagesOfSeveralStatesCoverEachJobOnceAlsoWhereBytesEndThem) {
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

TEST_F(StoreTest, AJobWhoseRetryHasNotEndedIsNeitherDeletedNorForgotten) {
  const std::string old = Insert();
  ASSERT_THAT(store_->RequestCancel(old, kNow), IsOk());
  const auto retry = store_->Insert({.id = jobs::NewId(), .spec = Spec(), .retry_of = old}, kNow);
  ASSERT_THAT(retry, IsOk());
  EXPECT_THAT(store_->Delete(old),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(retry->id)));
  const auto forgotten = store_->DeleteEnded(kNow + absl::Hours(1), 10);
  ASSERT_THAT(forgotten, IsOk());
  EXPECT_TRUE(forgotten->empty());
  ASSERT_THAT(store_->RequestCancel(retry->id, kNow), IsOk());
  EXPECT_THAT(store_->Delete(old), IsOk());
  EXPECT_THAT(store_->Insert({.id = jobs::NewId(), .spec = Spec(), .retry_of = old}, kNow),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(old)));
}

TEST_F(StoreTest, ListKeepsToTheAskedStates) {
  const std::string running = InsertAndClaim();
  Insert();
  const auto page = store_->List({.states = {JobState::kRunning, JobState::kFailed}});
  ASSERT_EQ(page->items.size(), 1u);
  EXPECT_EQ(page->items[0].id, running);
}

TEST_F(StoreTest, WritesOfOneCommitStandAloneWhenOneIsRefused) {
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

TEST_F(StoreTest, TheWriterTellsEventsInOrderBeforeTheResult) {
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

TEST_F(StoreTest, ADamagedFileIsReportedAsDataLoss) {
  Insert();
  store_.reset();
  std::ofstream(path_, std::ios::binary) << std::string(8192, 'x');
  EXPECT_THAT(OpenSqliteStore(path_).status(),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr(path_)));
}

TEST_F(StoreTest, JobsThatEndedLongAgoAreForgottenAndOthersAreNot) {
  const std::string old = InsertAndClaim(), fresh = InsertAndClaim(), waiting = Insert();
  const Ending ending{.state = jobs::JobState::kSucceeded, .reason = v1::Job::COMPLETED};
  ASSERT_THAT(store_->Finish(old, 1, ending, kNow), IsOk());
  ASSERT_THAT(store_->Finish(fresh, 1, ending, kNow + absl::Hours(2)), IsOk());
  const auto forgotten = store_->DeleteEnded(kNow + absl::Hours(1), 10);
  ASSERT_THAT(forgotten, IsOk());
  EXPECT_THAT(*forgotten, ::testing::ElementsAre(old));
  EXPECT_THAT(store_->Get(old).status(), StatusIs(absl::StatusCode::kNotFound, HasSubstr(old)));
  EXPECT_THAT(store_->Get(fresh), IsOk());
  EXPECT_THAT(store_->Get(waiting), IsOk());
}

TEST_F(StoreTest, AClockThatWasSetBackDoesNotKeepAJobWaiting) {
  const std::string id = InsertAndClaim();
  ASSERT_THAT(store_->Requeue(id, 1, {.message = "again", .delay = absl::Seconds(5)}, kNow),
              IsOk());
  EXPECT_FALSE(store_->Claim(1, kNow + absl::Seconds(1))->has_value());
  EXPECT_TRUE(store_->Claim(1, kNow - absl::Hours(48))->has_value());
}

// Overwrites the pages that hold the text, but for their first bytes.
void Damage(const std::string& path, const std::string& text) {
  constexpr size_t kPage = 4096, kHeader = 100;
  std::ifstream in(path, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(in)), {});
  for (size_t page = kPage; page < bytes.size(); page += kPage) {
    if (bytes.substr(page, kPage).find(text) != std::string::npos) {
      bytes.replace(page, kHeader, std::string(kHeader, '\xee'));
    }
  }
  std::ofstream(path, std::ios::binary) << bytes;
}

TEST_F(StoreTest, ADamagedJobIsFoundWhenTheStoreIsOpened) {
  Insert();
  store_.reset();
  Damage(path_, "QUEUED");
  EXPECT_THAT(OpenSqliteStore(path_).status(),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr(path_)));
}

// Opening does not read the history.
TEST_F(StoreTest, ADamagedEventIsFoundWhenItIsRead) {
  const std::string id = InsertAndClaim();
  v1::Event event;
  event.mutable_log()->set_text("marked by its text");
  ASSERT_THAT(store_->Append(id, 1, {.events = {event}}, kNow), IsOk());
  store_.reset();
  Damage(path_, "marked by its text");
  Open();
  EXPECT_THAT(store_->Get(id), IsOk());
  EXPECT_THAT(store_->ReadEvents(id, 0, 10).status(),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("store")));
}

std::set<std::string> QuotedIn(const std::string& text) {
  std::set<std::string> found;
  const std::regex quoted("'([A-Z]+(>[A-Z]+)?)'");
  for (std::sregex_iterator it(text.begin(), text.end(), quoted), end; it != end; ++it) {
    found.insert((*it)[1]);
  }
  return found;
}

std::string Between(const std::string& text, const std::string& from, const std::string& to) {
  const size_t begin = text.find(from);
  EXPECT_NE(begin, std::string::npos) << from;
  return text.substr(begin, text.find(to, begin) - begin);
}

TEST(Schema, ListsTheTransitionsOfTheTable) {
  std::set<std::string> table;
  for (const auto& [from, to] : jobs::kTransitions) {
    table.insert(absl::StrCat(jobs::StateName(from), ">", jobs::StateName(to)));
  }
  EXPECT_EQ(QuotedIn(Between(kSchema0001, "CREATE TRIGGER job_state_change", "BEGIN")), table);
}

TEST(Schema, ListsTheStatesOfTheTable) {
  std::set<std::string> states;
  for (const JobState state : jobs::kAllStates) {
    states.insert(std::string(jobs::StateName(state)));
  }
  EXPECT_EQ(QuotedIn(Between(kSchema0001, "CHECK (state IN (", "))")), states);
}

TEST(Schema, RefusesAChangeThatTheTableDoesNotList) {
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(":memory:", &db), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(db, kSchema0001, nullptr, nullptr, nullptr), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(db,
                         "INSERT INTO job (id, task, spec, plan, threads, state, create_time) "
                         "VALUES ('a', '', '', '', 1, 'QUEUED', 1)",
                         nullptr, nullptr, nullptr),
            SQLITE_OK);
  EXPECT_NE(sqlite3_exec(db, "UPDATE job SET state = 'CANCELLING'", nullptr, nullptr, nullptr),
            SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(db, "UPDATE job SET state = 'RUNNING'", nullptr, nullptr, nullptr),
            SQLITE_OK);
  sqlite3_close(db);
}

}  // namespace
}  // namespace hone::server::store
