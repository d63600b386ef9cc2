#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/models/model_description.h"
#include "engine/params/parameter_store.h"
#include "engine/tasks/config.h"
#include "engine/tasks/data_info.h"

namespace hone::engine::job {

// The earlier model's layers but those dropped, then `head`; with names, frozen where asked for.
// INVALID_ARGUMENT where more is dropped than there is, nothing is left to learn from it, or a name
// in `freeze` is no kept layer's. Errors of LoadModel.
absl::StatusOr<models::ModelDescription> WithPretrained(const tasks::PretrainedOptions& options,
                                                        const models::ModelDescription& head);

// INVALID_ARGUMENT where the earlier model was made for other examples: another shape, or pixels
// brought to numbers in another way.
absl::Status CheckPretrainedData(const tasks::PretrainedOptions& options,
                                 const tasks::DataInfo& info);

// Parameters and buffers of the kept layers from the earlier model's file; the others stay.
// INVALID_ARGUMENT names one whose shape differs.
absl::Status LoadPretrained(const tasks::PretrainedOptions& options, ParameterStore& store);

}  // namespace hone::engine::job
