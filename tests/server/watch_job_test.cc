#include "server/rpc/watch_job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/store/sqlite_store.h"
#include "tests/support/status_matchers.h"

namespace hone::server::rpc {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using Next = JobWatch::Next;

std::vector<int64_t> Numbers(int64_t first, int64_t last) {
  std::vector<int64_t> numbers;
  for (int64_t i = first; i <= last; ++i) {
    numbers.push_back(i);
  }
  return numbers;
}

constexpr int64_t kBudget = int64_t{4} << 20;

// A running job in a store, whose commits reach the bus when the test says so.
class JobWatchTest : public ::testing::Test {
 protected:
  JobWatchTest()
      : folder_(absl::StrCat(::testing::TempDir(), "/watch-", ::getpid(), "-", counter_++)) {
    std::filesystem::create_directories(folder_);
    auto opened = store::OpenSqliteStore(folder_ + "/store.db");
    EXPECT_THAT(opened, IsOk());
    store_ = *std::move(opened);
    Commit([&] {
      store::NewJob job{.id = "job"};
      job.spec.mutable_classification();
      EXPECT_THAT(store_->Insert(job, absl::Now()), IsOk());
      EXPECT_THAT(store_->Claim(1, absl::Now()), IsOk());
    });
    last_ = store_->Get("job")->last_sequence;
  }
  ~JobWatchTest() override {
    store_.reset();
    std::filesystem::remove_all(folder_);
  }

  void Commit(absl::FunctionRef<void()> writes) {
    auto events = store_->Commit(writes);
    ASSERT_THAT(events, IsOk());
    unpublished_.insert(unpublished_.end(), events->begin(), events->end());
  }
  void Log(int lines) {
    Commit([&] {
      store::Report report;
      report.events.resize(static_cast<size_t>(lines));
      for (v1::Event& event : report.events) {
        event.mutable_log()->set_text("line");
      }
      EXPECT_THAT(store_->Append("job", 1, report, absl::Now()), IsOk());
    });
    last_ += lines;
  }
  // An event of so many bytes.
  void LogLarge(size_t bytes) {
    Commit([&] {
      store::Report report;
      report.events.emplace_back().mutable_log()->set_text(std::string(bytes, 'x'));
      EXPECT_THAT(store_->Append("job", 1, report, absl::Now()), IsOk());
    });
    ++last_;
  }
  void End() {
    Commit([&] {
      EXPECT_THAT(
          store_->Finish("job", 1, {.state = jobs::JobState::kFailed, .reason = v1::Job::INTERNAL},
                         absl::Now()),
          IsOk());
    });
    ++last_;
  }
  // As the store's writer does.
  void Publish(JobWatch& watch) {
    for (const store::LoggedEvent& event : std::exchange(unpublished_, {})) {
      bus_.Publish(event);
      watch.Notified();
    }
  }
  // The bus forgets what it holds of the job, because of others.
  void ForgetAll() {
    for (size_t i = 0; i <= metrics::Bus::kHeldBytes / metrics::Bus::kHeldBytesPerJob; ++i) {
      v1::Event event;
      event.set_sequence(1);
      event.mutable_log()->set_text(std::string(metrics::Bus::kHeldBytesPerJob - 100, 'x'));
      bus_.Publish({absl::StrCat("other ", i), "classification",
                    std::make_shared<const v1::Event>(std::move(event))});
    }
  }
  JobWatch Open(const std::string& token = "", bool live_only = false) {
    v1::WatchJobRequest request;
    request.set_name("jobs/job");
    request.set_resume_token(token);
    request.set_live_only(live_only);
    auto watch = JobWatch::Open(request, *store_, bus_, budget_);
    EXPECT_THAT(watch, IsOk());
    return *std::move(watch);
  }
  // Of what is from now on; its snapshot is sent.
  JobWatch Live() {
    JobWatch watch = Open("", /*live_only=*/true);
    v1::WatchJobResponse snapshot;
    EXPECT_EQ(watch.Take(snapshot), Next::kAnswer);
    return watch;
  }
  std::vector<v1::Event> ReadLog(const JobWatch& watch) const {
    return store_->ReadEvents("job", watch.position(), 256, int64_t{1} << 40).value();
  }
  // Takes until there is nothing left; the sequences that came. The log is read when that is asked.
  std::vector<int64_t> Drain(JobWatch& watch, Next* last = nullptr) const {
    std::vector<int64_t> sequences;
    v1::WatchJobResponse answer;
    for (int i = 0; i < 10'000; ++i) {
      const Next next = watch.Take(answer);
      if (next == Next::kAnswer && answer.has_event()) {
        sequences.push_back(answer.event().sequence());
      } else if (next == Next::kReadLog) {
        watch.AddFromLog(ReadLog(watch));
      } else if (next != Next::kAnswer) {
        if (last != nullptr) {
          *last = next;
        }
        return sequences;
      }
    }
    ADD_FAILURE() << "there is no end";
    return sequences;
  }

  static inline int counter_ = 0;
  const std::string folder_;
  std::unique_ptr<store::JobStore> store_;
  metrics::Bus bus_;
  ByteBudget budget_{kBudget};
  std::vector<store::LoggedEvent> unpublished_;
  int64_t last_ = 0;
};

TEST_F(JobWatchTest, BeginsWithTheSnapshotAndThenTheWholeLog) {
  Log(10);
  JobWatch watch = Open();
  v1::WatchJobResponse answer;
  ASSERT_EQ(watch.Take(answer), Next::kAnswer);
  EXPECT_EQ(answer.snapshot().name(), "jobs/job");
  EXPECT_EQ(Drain(watch), Numbers(1, last_));
}

TEST_F(JobWatchTest, GoesOnFromTheBusWhenTheLogIsRead) {
  JobWatch watch = Open();
  Drain(watch);
  Log(3);
  Publish(watch);
  v1::WatchJobResponse answer;
  ASSERT_EQ(watch.Take(answer), Next::kAnswer);
  EXPECT_EQ(answer.event().sequence(), last_ - 2);
}

TEST_F(JobWatchTest, ATokenLeavesOutWhatWasSeen) {
  Log(10);
  JobWatch first = Open();
  Drain(first);
  const std::string token = first.ResumeToken();
  Log(2);
  JobWatch second = Open(token);
  EXPECT_EQ(Drain(second), Numbers(last_ - 1, last_));
}

TEST_F(JobWatchTest, ATokenOfAnotherLogIsRefused) {
  v1::WatchJobRequest request;
  request.set_name("jobs/job");
  request.set_resume_token("another.job.1");
  EXPECT_THAT(JobWatch::Open(request, *store_, bus_, budget_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("resume_token")));
}

TEST_F(JobWatchTest, LiveOnlyLeavesOutWhatWasBefore) {
  Log(10);
  JobWatch watch = Open("", /*live_only=*/true);
  EXPECT_THAT(Drain(watch), SizeIs(0));
}

TEST_F(JobWatchTest, WhoFallsBehindFarReadsTheLogAndMissesNothing) {
  JobWatch watch = Open();
  const std::vector<int64_t> before = Drain(watch);
  EXPECT_EQ(before, Numbers(1, last_));
  Log(3 * static_cast<int>(metrics::Bus::kHeldPerJob));
  Publish(watch);
  EXPECT_EQ(Drain(watch), Numbers(before.back() + 1, last_));
}

TEST_F(JobWatchTest, MoreThanTheBusHoldsDuringAReadThatFoundNothingIsNotWaitedFor) {
  JobWatch watch = Open("", /*live_only=*/true);
  v1::WatchJobResponse answer;
  ASSERT_EQ(watch.Take(answer), Next::kAnswer);
  const int64_t before = last_;
  ASSERT_EQ(watch.Take(answer), Next::kReadLog);
  std::vector<v1::Event> nothing = ReadLog(watch);
  ASSERT_THAT(nothing, SizeIs(0));
  Log(static_cast<int>(metrics::Bus::kHeldPerJob) + 1);
  Publish(watch);
  watch.AddFromLog(std::move(nothing));
  EXPECT_EQ(Drain(watch), Numbers(before + 1, last_));
}

TEST_F(JobWatchTest, EndsWithTheJobsEnd) {
  JobWatch watch = Open();
  Drain(watch);
  Log(1);
  End();
  Publish(watch);
  Next last = Next::kWait;
  EXPECT_EQ(Drain(watch, &last).back(), last_);
  EXPECT_EQ(last, Next::kEnd);
}

TEST_F(JobWatchTest, ASlowWatcherKeepsNoMoreOfTheBusAliveThanOneEvent) {
  JobWatch watch = Open("", /*live_only=*/true);
  Log(3);
  const std::weak_ptr<const v1::Event> newest = unpublished_.back().event;
  Publish(watch);
  v1::WatchJobResponse answer;
  EXPECT_EQ(watch.Take(answer), Next::kAnswer);  // the snapshot
  EXPECT_EQ(watch.Take(answer), Next::kAnswer);
  ForgetAll();
  EXPECT_TRUE(newest.expired());
  EXPECT_THAT(Drain(watch), SizeIs(2));
}

TEST_F(JobWatchTest, ALargeEventThatThereIsNoRoomForIsAGapUntilOthersHaveTakenTheirs) {
  JobWatch slow = Live(), other = Live();
  v1::WatchJobResponse answer;
  LogLarge(1'000'000);
  Publish(slow);
  EXPECT_EQ(slow.Take(answer), Next::kAnswer);
  EXPECT_TRUE(answer.has_event());
  EXPECT_EQ(other.Take(answer), Next::kAnswer);
  ASSERT_TRUE(answer.has_gap());
  EXPECT_EQ(answer.gap().from_sequence(), last_);
  EXPECT_EQ(answer.gap().to_sequence(), last_);
  EXPECT_THAT(Drain(slow), SizeIs(0));  // what it had is sent
  LogLarge(1'000'000);
  Publish(other);
  EXPECT_EQ(Drain(other), Numbers(last_, last_));
}

TEST_F(JobWatchTest, AThousandWatchersOfAMegabyteHoldNoMoreThanTheBudgetTogether) {
  std::vector<JobWatch> watches;
  for (int i = 0; i < 1000; ++i) {
    watches.push_back(Live());
  }
  LogLarge(1'000'000);  // which the bus holds
  Publish(watches.front());
  int events = 0, gaps = 0;
  for (JobWatch& watch : watches) {
    v1::WatchJobResponse answer;
    EXPECT_EQ(watch.Take(answer), Next::kAnswer);
    events += answer.has_event() ? 1 : 0;
    gaps += answer.has_gap() ? 1 : 0;
  }
  EXPECT_EQ(events, 1);
  EXPECT_EQ(gaps, 999);
  EXPECT_LE(budget_.taken(), kBudget);
}

TEST_F(JobWatchTest, WhatManyWatchersReadOfTheLogHasABoundTogether) {
  LogLarge(1'000'000);
  std::vector<JobWatch> watches;
  for (int i = 0; i < 10; ++i) {
    watches.push_back(Open());
    v1::WatchJobResponse answer;
    EXPECT_EQ(watches.back().Take(answer), Next::kAnswer);  // the snapshot
    ASSERT_EQ(watches.back().Take(answer), Next::kReadLog);
    watches.back().AddFromLog(ReadLog(watches.back()));
  }
  EXPECT_LE(budget_.taken(), kBudget);
}

TEST_F(JobWatchTest, ALargeEventOfTheLogThatThereIsNoRoomForIsAGap) {
  LogLarge(1'000'000);
  Log(2);
  const ByteBudget::Share others = budget_.Charge(kBudget);
  JobWatch watch = Open();
  std::vector<int64_t> expected = Numbers(1, last_);
  expected.erase(expected.end() - 3);
  EXPECT_EQ(Drain(watch), expected);
}

TEST_F(JobWatchTest, SmallEventsComeAlsoWhereThereIsNoRoom) {
  Log(3000);  // which are large together
  const ByteBudget::Share others = budget_.Charge(kBudget);
  JobWatch watch = Open();
  EXPECT_EQ(Drain(watch), Numbers(1, last_));
}

TEST_F(JobWatchTest, WhoHasTakenEverythingHoldsNothing) {
  LogLarge(1'000'000);
  Log(3000);
  JobWatch watch = Open();
  EXPECT_EQ(Drain(watch), Numbers(1, last_));
  EXPECT_EQ(budget_.taken(), 0);
}

TEST_F(JobWatchTest, ALargeJobThatThereIsNoRoomForIsToBeAskedForAgain) {
  Commit([&] {
    store::NewJob job{.id = "large"};
    for (int i = 0; i < 2000; ++i) {
      job.plan.add_layers()->set_name("a layer");
    }
    EXPECT_THAT(store_->Insert(job, absl::Now()), IsOk());
  });
  const ByteBudget::Share others = budget_.Charge(kBudget);
  v1::WatchJobRequest request;
  request.set_name("jobs/large");
  EXPECT_THAT(JobWatch::Open(request, *store_, bus_, budget_),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("try again")));
}

}  // namespace
}  // namespace hone::server::rpc
