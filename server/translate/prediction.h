#pragma once

#include "absl/status/statusor.h"
#include "engine/tasks/prediction.h"
#include "hone/v1/prediction.pb.h"

namespace hone::server::translate {

// INVALID_ARGUMENT naming the input where it is of no kind that is known.
absl::StatusOr<engine::tasks::Question> ToQuestion(const v1::PredictInput& input,
                                                   const std::string& name);

v1::Prediction ToProto(const engine::tasks::Prediction& prediction);

}  // namespace hone::server::translate
