#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "hone/v1/model_service.pb.h"
#include "server/artifacts/data_directory.h"
#include "server/scheduler/worker_calls.h"

namespace hone::server::predict {

// Runs a published model over the inputs in a worker process, which also decodes them: bytes that a
// user sent, or a model file, are never parsed in this process. `done` is called once, on any
// thread; errors are those of WorkerCalls.
void Predict(const std::string& model_id, const v1::PredictRequest& request,
             const artifacts::DataDirectory& directory, scheduler::WorkerCalls& calls,
             std::function<void(absl::StatusOr<v1::PredictResponse>)> done);

}  // namespace hone::server::predict
