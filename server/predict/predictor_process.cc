#include "server/predict/predictor_process.h"

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/steady_clock.h"

namespace hone::server::predict {
namespace {

using worker_process::Received;
using worker_process::WorkerProcess;

bool IsReady(const v1::WorkerFrame& frame) {
  return frame.has_failure() || (frame.has_progress() && frame.progress().phase() == "serving");
}

bool IsAnswer(const v1::WorkerFrame& frame) {
  return frame.has_failure() || frame.has_predictions();
}

}  // namespace

absl::StatusOr<std::unique_ptr<PredictorProcess>> PredictorProcess::Start(
    const std::string& worker, const std::string& model_directory, int64_t memory_bytes,
    const artifacts::DataDirectory& directory, absl::Duration timeout,
    const std::atomic<bool>& stop) {
  v1::WorkerRequest request;
  request.set_mode(v1::WorkerRequest::SERVE);
  request.set_model_directory(model_directory);
  request.set_threads(1);
  if (memory_bytes > 0) {
    request.set_memory_limit_bytes(memory_bytes + worker_process::kUnusedBytes);
  }
  HONE_ASSIGN_OR_RETURN(const std::string folder, directory.MakeTemporary());
  // Once the model is loaded the request was read.
  const absl::Cleanup remove = [&folder] { artifacts::DataDirectory::Remove(folder); };
  HONE_ASSIGN_OR_RETURN(
      std::unique_ptr<WorkerProcess> process,
      WorkerProcess::Start(
          request, {.binary = worker, .request_path = folder + "/request.pb", .output_path = ""}));
  std::unique_ptr<PredictorProcess> predictor(new PredictorProcess(std::move(process), stop));
  HONE_ASSIGN_OR_RETURN(const v1::WorkerFrame ready,
                        predictor->Next(SteadyNow() + timeout, &IsReady));
  if (ready.has_failure()) {
    return worker_process::ToStatus(ready.failure());
  }
  return predictor;
}

absl::Status PredictorProcess::Ended() {
  return absl::AbortedError(
      absl::StrCat("the model's process ", process_->Wait(absl::Seconds(1)).ToString()));
}

absl::StatusOr<v1::WorkerFrame> PredictorProcess::Next(absl::Duration deadline,
                                                       bool (*wanted)(const v1::WorkerFrame&)) {
  while (!stop_) {
    const absl::Duration left = deadline - SteadyNow();
    if (left <= absl::ZeroDuration()) {
      return absl::DeadlineExceededError("the model's process did not answer in time");
    }
    absl::StatusOr<Received> received = process_->Read(std::min(left, absl::Milliseconds(200)));
    if (!received.ok()) {
      return absl::AbortedError(received.status().message());
    }
    if (received->frame.has_value() && wanted(*received->frame)) {
      return *std::move(received->frame);
    }
    if (received->ended) {
      return Ended();
    }
  }
  return absl::UnavailableError("the server is shutting down");
}

absl::Status PredictorProcess::Send(const v1::WorkerFrame& inputs, absl::Duration timeout) {
  const absl::Status written = process_->Write(inputs, timeout);
  return absl::IsUnavailable(written) ? Ended() : written;
}

absl::StatusOr<v1::WorkerFrame> PredictorProcess::Receive(absl::Duration deadline) {
  return Next(deadline, &IsAnswer);
}

bool PredictorProcess::Alive() {
  const absl::StatusOr<Received> received = process_->Read(absl::ZeroDuration());
  return received.ok() && !received->ended;
}

}  // namespace hone::server::predict
