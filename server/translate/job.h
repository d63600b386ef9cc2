#pragma once

#include "absl/status/statusor.h"
#include "engine/job/evaluator.h"
#include "engine/tasks/config.h"
#include "hone/v1/worker.pb.h"

namespace hone::server::translate {

// The layers of a job file, those without a name still without. INVALID_ARGUMENT names the layer.
absl::StatusOr<engine::models::ModelDescription> ToModelDescription(const v1::ModelSpec& model);

// The job that a worker is asked to run or to plan, with every default of the job file filled in.
// The spec has passed jobs::Validate. INVALID_ARGUMENT names the field.
absl::StatusOr<engine::tasks::TrainingConfig> ToTrainingConfig(const v1::WorkerRequest& request);

// The same for a request whose spec is an evaluation.
engine::job::EvaluationConfig ToEvaluationConfig(const v1::WorkerRequest& request);

}  // namespace hone::server::translate
