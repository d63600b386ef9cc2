#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace hone::server::sweeps {

// The field that `path` names, as `--set` names one: "model.layers[1].dense.units". Items of lists
// must be there. INVALID_ARGUMENT says what there is instead.
absl::StatusOr<const google::protobuf::FieldDescriptor*> FindField(
    const google::protobuf::Message& message, absl::string_view path);

// Gives the field its value; messages on the way are made, another member of a oneof gives way.
// `text` is a number, a word, true or false; for a message or a list its JSON.
// INVALID_ARGUMENT: no such field, or no value of its kind.
absl::Status Assign(absl::string_view path, const std::string& text,
                    google::protobuf::Message& message);

}  // namespace hone::server::sweeps
