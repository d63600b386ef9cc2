#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "engine/predict/predictor.h"
#include "hone/v1/worker.pb.h"

namespace hone::server::worker {

// INVALID_ARGUMENT naming the input that is wrong, as `inputs[3]`.
absl::StatusOr<std::vector<engine::predict::Example>> ToExamples(
    const google::protobuf::RepeatedPtrField<v1::PredictInput>& inputs,
    const engine::predict::Predictor& predictor);

// The frame that answers: predictions, or a failure, also where the predictions are more than a
// frame has room for.
v1::WorkerFrame ToAnswer(const absl::StatusOr<std::vector<engine::predict::Prediction>>& result);

}  // namespace hone::server::worker
