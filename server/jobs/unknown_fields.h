#pragma once

#include "absl/status/status.h"
#include "google/protobuf/message.h"

namespace hone::server::jobs {

// OK, or INVALID_ARGUMENT that names each message of the request with a field that this server does
// not know, and the field's number: what a newer client asks for there would be ignored and, in a
// job, stored.
absl::Status CheckFieldsAreKnown(const google::protobuf::Message& request);

}  // namespace hone::server::jobs
