#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/scheduler/scheduler.h"
#include "server/store/sqlite_store.h"
#include "tests/server/failing_store.h"
#include "tests/support/status_matchers.h"

namespace hone::server::scheduler {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;

// A store, a scheduler and the scripted worker.
class SchedulerTest : public ::testing::Test {
 protected:
  SchedulerTest()
      : root_(absl::StrCat(::testing::TempDir(), "/sched-", ::getpid(), "-", counter_++)) {
    options_ = {.worker = HONE_SCRIPTED_WORKER,
                .concurrent_jobs = 2,
                .threads = 2,
                .grace = absl::Seconds(60),
                .silence = absl::Minutes(5),
                .retry_delay = absl::Milliseconds(10)};
    directory_ = *artifacts::DataDirectory::Open(root_);
    store_ = *store::OpenSqliteStore(directory_->store_path());
    failing_store_ = std::make_unique<FailingStore>(*store_);
    writer_ = std::make_unique<store::Writer>(*failing_store_, [](const store::LoggedEvent&) {});
  }
  ~SchedulerTest() override {
    scheduler_.reset();
    writer_.reset();
    failing_store_.reset();
    store_.reset();
    directory_.reset();
    std::filesystem::remove_all(root_);
  }
  void Start() {
    scheduler_ = std::make_unique<Scheduler>(options_, *writer_, *directory_, registry_);
    scheduler_->Start();
  }
  std::string Insert(const std::string& what, double deadline_seconds = 0) {
    v1::JobSpec spec;
    spec.set_display_name(what);
    spec.mutable_classification();
    spec.set_deadline_seconds(deadline_seconds);
    const auto job = Store({.id = jobs::NewId(), .spec = spec});
    if (scheduler_ != nullptr) {
      scheduler_->Wake();
    }
    return job->id;
  }
  absl::StatusOr<jobs::Job> Store(const store::NewJob& job) {
    return writer_->Run<jobs::Job>(
        [&](store::JobStore& store) { return store.Insert(job, absl::Now()); });
  }
  // Waits until the job is in a state for which `wanted` holds.
  jobs::Job Await(const std::string& id, const std::function<bool(const jobs::Job&)>& wanted) {
    const absl::Time deadline = absl::Now() + absl::Seconds(60);
    for (;;) {
      const jobs::Job job = *store_->Get(id);
      if (wanted(job)) {
        return job;
      }
      if (absl::Now() > deadline) {
        ADD_FAILURE() << "still " << jobs::StateName(job.state) << ": " << job.message;
        return job;
      }
      absl::SleepFor(absl::Milliseconds(5));
    }
  }
  jobs::Job AwaitEnd(const std::string& id) {
    return Await(id, [](const jobs::Job& job) { return jobs::IsEnd(job.state); });
  }
  jobs::Job AwaitFirstStep(const std::string& id) {
    return Await(id, [](const jobs::Job& job) { return job.progress.step() > 0; });
  }
  // Waits until so many writes of the failing store have failed.
  void AwaitFailures(int count) {
    const absl::Time deadline = absl::Now() + absl::Seconds(60);
    while (failing_store_->failures() < count) {
      ASSERT_LT(absl::Now(), deadline) << failing_store_->failures() << " writes have failed";
      absl::SleepFor(absl::Milliseconds(5));
    }
  }
  std::vector<v1::Event> Events(const std::string& id) {
    return store_->ReadEvents(id, 0, 10'000, int64_t{1} << 40).value();
  }
  // The wish, of which the scheduler is not told.
  void RequestCancel(const std::string& id) {
    const auto job = writer_->Run<jobs::Job>(
        [&](store::JobStore& store) { return store.RequestCancel(id, absl::Now()); });
    ASSERT_THAT(job, IsOk());
  }
  void Cancel(const std::string& id) {
    RequestCancel(id);
    scheduler_->Stop(id);
  }

  static inline int counter_ = 0;
  const std::string root_;
  SchedulerOptions options_;
  metrics::Registry registry_;
  std::unique_ptr<artifacts::DataDirectory> directory_;
  std::unique_ptr<store::JobStore> store_;
  std::unique_ptr<FailingStore> failing_store_;  // what the scheduler writes to
  std::unique_ptr<store::Writer> writer_;
  std::unique_ptr<Scheduler> scheduler_;
};

}  // namespace hone::server::scheduler
