#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "hone/v1/worker.pb.h"
#include "server/artifacts/data_directory.h"
#include "server/metrics/registry.h"
#include "server/scheduler/executor.h"

namespace hone::server::scheduler {

// Short runs of hone-worker that answer with one frame: PLAN, DATASET and IMPORT. A few at a time,
// a bounded number waits. What they read (data sets, models) is parsed in their process, not here.
// The arguments of the constructor outlive this.
class WorkerCalls {
 public:
  struct Size {
    int threads = 2;  // runs at a time
    size_t queued = 32;
  };
  // `memory_bytes`: each may use so much; 0: no limit.
  WorkerCalls(std::string worker, int64_t memory_bytes, const artifacts::DataDirectory& directory,
              metrics::Registry& registry, Size size);
  WorkerCalls(std::string worker, int64_t memory_bytes, const artifacts::DataDirectory& directory,
              metrics::Registry& registry)
      : WorkerCalls(std::move(worker), memory_bytes, directory, registry, Size()) {}
  // As Stop, and waits until all are told.
  ~WorkerCalls();

  // Before the worker starts: given its request and its run_directory, which is empty. Its error
  // becomes the answer.
  using Prepare =
      std::function<absl::Status(v1::WorkerRequest& request, const std::string& folder)>;
  // Given the answer and the run_directory that the worker wrote into, which goes when this
  // returns. Its error becomes the answer. What takes long asks `wanted` again and again, and ends
  // with CANCELLED where that says no.
  using Keep = std::function<absl::Status(v1::WorkerFrame& answer, const std::string& folder,
                                          absl::FunctionRef<bool()> wanted)>;

  // What a call's timeout is counted from: Submit, for somebody who waits for the answer, or the
  // end of the wait in the queue, for work that takes its time.
  enum class Since { kSubmitted, kBegun };

  // `done` gets the first `plan`, `dataset` or `imported` frame, on a thread of this class, or
  //   the code and message of the worker's Failure (INVALID_ARGUMENT, NOT_FOUND, …);
  //   DEADLINE_EXCEEDED after `timeout`;
  //   RESOURCE_EXHAUSTED, on the caller's thread, when too many wait; INTERNAL: the worker crashed.
  void Submit(v1::WorkerRequest request, absl::Duration timeout,
              std::function<void(absl::StatusOr<v1::WorkerFrame>)> done, Keep keep = nullptr,
              Prepare prepare = nullptr, Since since = Since::kSubmitted);

  // What runs is killed and what waits is not begun; all are told UNAVAILABLE.
  void Stop() { stopping_ = true; }
  bool stopping() const { return stopping_; }

  const Executor& executor() const { return executor_; }

 private:
  absl::StatusOr<v1::WorkerFrame> Call(v1::WorkerRequest request,
                                       absl::Duration deadline,  // SteadyNow()
                                       const Keep& keep, const Prepare& prepare);

  const std::string worker_;
  const int64_t memory_bytes_;
  const artifacts::DataDirectory& directory_;
  metrics::Registry& registry_;
  std::atomic<bool> stopping_ = false;
  Executor executor_;
};

}  // namespace hone::server::scheduler
