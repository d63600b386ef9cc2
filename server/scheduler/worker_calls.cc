#include "server/scheduler/worker_calls.h"

#include <algorithm>
#include <csignal>
#include <memory>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/steady_clock.h"
#include "server/jobs/retry_delay.h"
#include "server/worker_process/worker_process.h"

namespace hone::server::scheduler {
namespace {

using worker_process::ModeName;
using worker_process::Received;
using worker_process::WorkerProcess;

absl::Status StoppingError() { return absl::UnavailableError("the server is shutting down"); }
absl::Status LateError() {
  return absl::DeadlineExceededError("the worker did not answer in time");
}

}  // namespace

WorkerCalls::WorkerCalls(std::string worker, int64_t memory_bytes,
                         const artifacts::DataDirectory& directory, metrics::Registry& registry,
                         Size size)
    : worker_(std::move(worker)),
      memory_bytes_(memory_bytes),
      directory_(directory),
      registry_(registry),
      executor_(size.threads, size.queued) {
  for (const auto mode :
       {v1::WorkerRequest::PLAN, v1::WorkerRequest::DATASET, v1::WorkerRequest::IMPORT}) {
    registry_.Add(metrics::Metric::kWorkerStarts, {ModeName(mode)}, 0);
  }
}

WorkerCalls::~WorkerCalls() { Stop(); }

void WorkerCalls::Submit(v1::WorkerRequest request, absl::Duration timeout,
                         std::function<void(absl::StatusOr<v1::WorkerFrame>)> done, Keep keep,
                         Prepare prepare, Since since) {
  const absl::Duration submitted = SteadyNow();
  if (memory_bytes_ > 0) {
    request.set_memory_limit_bytes(memory_bytes_ + worker_process::kUnusedBytes);
  }
  const bool taken =
      executor_.Submit([this, request = std::move(request), timeout, since, submitted, done,
                        keep = std::move(keep), prepare = std::move(prepare)] {
        const absl::Duration from = since == Since::kSubmitted ? submitted : SteadyNow();
        done(Call(request, from + timeout, keep, prepare));
      });
  if (!taken) {
    done(jobs::WithRetryDelay(
        absl::ResourceExhaustedError("too many calls of this kind are queued; try again"),
        absl::Seconds(2)));
  }
}

absl::StatusOr<v1::WorkerFrame> WorkerCalls::Call(v1::WorkerRequest request,
                                                  absl::Duration deadline, const Keep& keep,
                                                  const Prepare& prepare) {
  if (stopping_) {
    return StoppingError();
  }
  HONE_ASSIGN_OR_RETURN(const std::string folder, directory_.MakeTemporary());
  const absl::Cleanup remove = [&folder] { artifacts::DataDirectory::Remove(folder); };
  // For texts that are larger than memory.
  request.set_run_directory(folder);
  if (prepare != nullptr) {
    HONE_RETURN_IF_ERROR(prepare(request, folder));
  }
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<WorkerProcess> worker,
                        WorkerProcess::Start(request, {.binary = worker_,
                                                       .request_path = folder + "/request.pb",
                                                       .output_path = folder + "/worker.log"}));
  registry_.Add(metrics::Metric::kWorkerStarts, {ModeName(request.mode())}, 1);
  // Ends by kill, at the latest when `worker` leaves.
  while (!stopping_) {
    const absl::Duration left = deadline - SteadyNow();
    if (left <= absl::ZeroDuration()) {
      return LateError();
    }
    absl::StatusOr<Received> received = worker->Read(std::min(left, absl::Milliseconds(200)));
    if (!received.ok()) {
      // No fault of who asked, whatever its code.
      return absl::InternalError(received.status().message());
    }
    if (received->frame.has_value()) {
      if (received->frame->has_failure()) {
        return worker_process::ToStatus(received->frame->failure());
      }
      if (received->frame->has_plan() || received->frame->has_dataset() ||
          received->frame->has_imported()) {
        if (keep != nullptr) {
          const absl::Status kept =
              keep(*received->frame, folder, [&] { return !stopping_ && SteadyNow() < deadline; });
          if (absl::IsCancelled(kept)) {
            return stopping_ ? StoppingError() : LateError();
          }
          HONE_RETURN_IF_ERROR(kept);
        }
        return *std::move(received->frame);
      }
    }
    if (received->ended) {
      return absl::InternalError(absl::StrCat("the worker did not answer: it ",
                                              worker->Wait(absl::Seconds(1)).ToString()));
    }
  }
  return StoppingError();
}

}  // namespace hone::server::scheduler
