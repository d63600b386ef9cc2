#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <string>

#include "client/jobfile/document.h"

namespace hone::client::jobfile {

// Sets the field (appends, if it is repeated) from a scalar's text: numbers, booleans, enum names,
// text. Returns what is wrong and would be right, such as "must be a whole number, got `x`"; ""
// when all is well.
std::string SetScalar(const Node& node, const google::protobuf::FieldDescriptor& field,
                      google::protobuf::Message& message);

}  // namespace hone::client::jobfile
