#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/checkpoint/checkpoint.h"
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

// The earlier model's weights, verified once, for a store to begin with.
class Pretrained {
 public:
  // Holds nothing where the options name no model. Errors of LoadModel.
  static absl::StatusOr<Pretrained> Open(const tasks::PretrainedOptions& options);

  // The parameter, or buffer, is of a kept layer: Load, or the file itself, gives its values.
  bool Holds(absl::string_view parameter) const;
  // Lends the store the frozen ones, so that nothing is copied; before its Allocate. What the file
  // holds in another type than f32 and bf16, or not at a multiple of its size, is left for Load.
  // INVALID_ARGUMENT names one whose shape differs.
  absl::Status LendTo(ParameterStore& store) const;
  // The others' values. INVALID_ARGUMENT as LendTo.
  absl::Status Load(ParameterStore& store) const;

 private:
  std::optional<checkpoint::Model> files_;
  std::vector<std::string> layers_;  // those kept
};

}  // namespace hone::engine::job
