#pragma once

#include <google/protobuf/repeated_ptr_field.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "hone/v1/model.pb.h"

namespace hone::server::translate {

// A layer, and where it stands: ".layers[3].repeat.layers[0]".
struct ExpandedLayer {
  v1::Layer layer;
  std::string place;
};

// The layers with each `repeat` written out, copy behind copy. Layers within are named behind their
// copy, "block_1.dense_1", and what they read is named in full. Where there is a `repeat`, layers
// without a name get it here, by kind and number within their own list, so that the number of
// copies changes no other name; with `behind_others` (a pretrained model's layers come first, under
// names that are not known here) those at the top stay without.
// The layers have passed jobs::Validate. INVALID_ARGUMENT: a copy reads as `input` a layer whose
// name is not known.
absl::StatusOr<std::vector<ExpandedLayer>> ExpandRepeats(
    const google::protobuf::RepeatedPtrField<v1::Layer>& layers, bool behind_others);

}  // namespace hone::server::translate
