#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "hone/v1/worker.pb.h"
#include "server/artifacts/data_directory.h"
#include "server/worker_process/worker_process.h"

namespace hone::server::predict {

// A hone-worker that has loaded one model and answers requests in their order. Model files and
// inputs are parsed there, never in this process. Ends with this object. For one thread.
//
// Errors: ABORTED, the process has ended or speaks no sense: it is of no more use; CANCELLED,
// `stop` became true; DEADLINE_EXCEEDED.
class PredictorProcess {
 public:
  // Starts the program and waits until the model is loaded. Also the worker's own code where the
  // model cannot be used. It may use so many bytes of memory (0: no limit). `stop` outlives
  // this.
  static absl::StatusOr<std::unique_ptr<PredictorProcess>> Start(
      const std::string& worker, const std::string& model_directory, int64_t memory_bytes,
      const artifacts::DataDirectory& directory, absl::Duration timeout,
      const std::atomic<bool>& stop);

  // Several may be sent before the first is answered: what waits is run as one batch.
  absl::Status Send(const v1::WorkerFrame& inputs, absl::Duration timeout);
  // The answer to the oldest one without: `predictions` or `failure`.
  absl::StatusOr<v1::WorkerFrame> Receive(absl::Duration deadline);  // SteadyNow()

  // False where it has ended although nothing was asked.
  bool Alive();
  int64_t PrivateBytes() const { return process_->PrivateBytes(); }

 private:
  PredictorProcess(std::unique_ptr<worker_process::WorkerProcess> process,
                   const std::atomic<bool>& stop)
      : process_(std::move(process)), stop_(stop) {}

  // The next frame that `wanted` accepts.
  absl::StatusOr<v1::WorkerFrame> Next(absl::Duration deadline,
                                       bool (*wanted)(const v1::WorkerFrame&));
  absl::Status Ended();

  const std::unique_ptr<worker_process::WorkerProcess> process_;
  const std::atomic<bool>& stop_;
};

}  // namespace hone::server::predict
