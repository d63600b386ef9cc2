#include "server/scheduler/worker_calls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <future>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/worker_process/worker_process.h"
#include "tests/support/status_matchers.h"

namespace hone::server::scheduler {
namespace {

TEST(WorkerCallsTest, EachWorkerMayUseSoMuchMemoryAndALittleToReserve) {
  const std::string root = absl::StrCat(::testing::TempDir(), "/worker-calls-", ::getpid());
  const auto directory = *artifacts::DataDirectory::Open(root);
  metrics::Registry registry;
  std::promise<absl::StatusOr<v1::WorkerFrame>> answer;
  WorkerCalls calls(HONE_SCRIPTED_WORKER, int64_t{1} << 30, *directory, registry);
  v1::WorkerRequest request;
  request.set_mode(v1::WorkerRequest::PLAN);
  request.mutable_spec()->set_display_name("its limit");
  calls.Submit(request, absl::Seconds(60),
               [&](absl::StatusOr<v1::WorkerFrame> frame) { answer.set_value(std::move(frame)); });
  const absl::StatusOr<v1::WorkerFrame> frame = answer.get_future().get();
  ASSERT_THAT(frame, ::hone::testing::IsOk());
  EXPECT_EQ(frame->plan().peak_memory_bytes(), (int64_t{1} << 30) + worker_process::kUnusedBytes);
  std::filesystem::remove_all(root);
}

TEST(WorkerCallsTest, WhatIsDoneWithAnAnswerEndsWhenTheServerStops) {
  const std::string root = absl::StrCat(::testing::TempDir(), "/worker-calls-stop-", ::getpid());
  const auto directory = *artifacts::DataDirectory::Open(root);
  metrics::Registry registry;
  std::promise<absl::StatusOr<v1::WorkerFrame>> answer;
  std::promise<void> begun;
  WorkerCalls calls(HONE_SCRIPTED_WORKER, 0, *directory, registry);
  v1::WorkerRequest request;
  request.set_mode(v1::WorkerRequest::PLAN);
  calls.Submit(
      request, absl::Hours(1),
      [&](absl::StatusOr<v1::WorkerFrame> frame) { answer.set_value(std::move(frame)); },
      [&](v1::WorkerFrame&, const std::string&, absl::FunctionRef<bool()> wanted) {
        begun.set_value();
        while (wanted()) {
          absl::SleepFor(absl::Milliseconds(1));
        }
        return absl::CancelledError("nobody wants it");
      });
  begun.get_future().wait();
  calls.Stop();
  EXPECT_THAT(answer.get_future().get().status(),
              ::hone::testing::StatusIs(absl::StatusCode::kUnavailable,
                                        ::testing::HasSubstr("shutting down")));
  std::filesystem::remove_all(root);
}

// What a call is told that has waited in the queue for longer than its timeout.
absl::Status ToldAfterAWait(absl::Duration timeout, WorkerCalls::Since since) {
  const std::string root = absl::StrCat(::testing::TempDir(), "/worker-calls-wait-", ::getpid());
  const auto directory = *artifacts::DataDirectory::Open(root);
  metrics::Registry registry;
  std::promise<absl::Status> told;
  std::promise<void> go;
  WorkerCalls calls(HONE_SCRIPTED_WORKER, 0, *directory, registry, {.threads = 1, .queued = 8});
  v1::WorkerRequest request;
  request.set_mode(v1::WorkerRequest::PLAN);
  calls.Submit(
      request, absl::Hours(1), [](const auto&) {}, nullptr,
      [&](v1::WorkerRequest&, const std::string&) {
        go.get_future().wait();
        return absl::OkStatus();
      });
  calls.Submit(
      request, timeout, [&](const auto& answer) { told.set_value(answer.status()); }, nullptr,
      nullptr, since);
  absl::SleepFor(timeout);
  go.set_value();
  const absl::Status status = told.get_future().get();
  std::filesystem::remove_all(root);
  return status;
}

TEST(WorkerCallsTest, TheTimeInTheQueueCountsForWhoWaits) {
  EXPECT_THAT(ToldAfterAWait(absl::Milliseconds(50), WorkerCalls::Since::kSubmitted),
              ::hone::testing::StatusIs(absl::StatusCode::kDeadlineExceeded,
                                        ::testing::HasSubstr("in time")));
}

TEST(WorkerCallsTest, TheTimeInTheQueueDoesNotCountForWhatIsGivenItsTime) {
  // A machine that is busy may need more than the first ones.
  absl::Status told;
  for (int seconds = 1; seconds <= 32; seconds *= 2) {
    told = ToldAfterAWait(absl::Seconds(seconds), WorkerCalls::Since::kBegun);
    if (told.ok()) {
      break;
    }
  }
  EXPECT_THAT(told, ::hone::testing::IsOk());
}

}  // namespace
}  // namespace hone::server::scheduler
