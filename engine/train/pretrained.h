#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/models/model_description.h"
#include "engine/params/parameter_store.h"
#include "engine/train/data_info.h"

namespace hone::engine::train {

// What of an earlier model a job begins with.
struct PretrainedOptions {
  std::string directory;            // a published model; "": none
  int64_t drop_layers = 0;          // of its last ones: the job's own layers take their place
  std::vector<std::string> freeze;  // names of layers that keep their weights; "*": all kept ones
};

// The earlier model's layers but those dropped, then `head`; with names, frozen where asked for.
// INVALID_ARGUMENT where more is dropped than there is, nothing is left to learn from it, or a name
// in `freeze` is no kept layer's. Errors of LoadModel.
absl::StatusOr<models::ModelDescription> WithPretrained(const PretrainedOptions& options,
                                                        const models::ModelDescription& head);

// INVALID_ARGUMENT where the earlier model was made for other examples: another shape, or pixels
// brought to numbers in another way.
absl::Status CheckPretrainedData(const PretrainedOptions& options, const DataInfo& info);

// Parameters and buffers of the kept layers from the earlier model's file; the others stay.
// INVALID_ARGUMENT names one whose shape differs.
absl::Status LoadPretrained(const PretrainedOptions& options, ParameterStore& store);

}  // namespace hone::engine::train
