#pragma once

#include "absl/status/statusor.h"
#include "engine/predict/predictor.h"
#include "hone/v1/prediction.pb.h"

namespace hone::server::translate {

// INVALID_ARGUMENT naming the input.
absl::StatusOr<engine::predict::Example> ToExample(const v1::PredictInput& input,
                                                   const engine::predict::Predictor& predictor,
                                                   const std::string& name);

v1::Prediction ToProto(const engine::predict::Prediction& prediction);

}  // namespace hone::server::translate
