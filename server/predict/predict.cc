#include "server/predict/predict.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace hone::server::predict {
namespace {

constexpr absl::Duration kTimeout = absl::Seconds(50);

absl::StatusOr<v1::PredictResponse> ToResponse(absl::StatusOr<v1::WorkerFrame> frame, int inputs) {
  if (!frame.ok()) {
    return frame.status();
  }
  if (frame->predictions().predictions_size() != inputs) {
    return absl::InternalError(absl::StrCat("the worker answered ",
                                            frame->predictions().predictions_size(), " of ", inputs,
                                            " inputs"));
  }
  v1::PredictResponse response;
  response.mutable_predictions()->Swap(frame->mutable_predictions()->mutable_predictions());
  return response;
}

}  // namespace

void Predict(const std::string& model_id, const v1::PredictRequest& request,
             const artifacts::DataDirectory& directory, scheduler::WorkerCalls& calls,
             std::function<void(absl::StatusOr<v1::PredictResponse>)> done) {
  v1::WorkerRequest worker_request;
  worker_request.set_mode(v1::WorkerRequest::PREDICT);
  worker_request.set_model_directory(directory.ModelDirectory(model_id));
  worker_request.set_threads(1);
  *worker_request.mutable_inputs() = request.inputs();
  calls.Submit(
      std::move(worker_request), kTimeout,
      [done = std::move(done), inputs = request.inputs_size()](
          absl::StatusOr<v1::WorkerFrame> frame) { done(ToResponse(std::move(frame), inputs)); });
}

}  // namespace hone::server::predict
