#pragma once

#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "google/protobuf/util/json_util.h"
#include "hone/v1/worker.pb.h"

namespace hone::server::translate {

// Of a job's spec as JSON.
inline v1::WorkerRequest RequestOf(const std::string& spec) {
  v1::WorkerRequest request;
  const auto status = google::protobuf::util::JsonStringToMessage(spec, request.mutable_spec());
  EXPECT_TRUE(status.ok()) << status.ToString();
  request.set_threads(2);
  return request;
}

// Fields with presence that are not set, and enums at 0: by their paths.
inline void CollectDefaults(const google::protobuf::Message& message, const std::string& path,
                            std::vector<std::string>& found) {
  const auto& reflection = *message.GetReflection();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const auto& field = *message.GetDescriptor()->field(i);
    const std::string at = path + "." + field.name();
    using Field = google::protobuf::FieldDescriptor;
    if (field.is_map()) {
      continue;
    }
    if (field.cpp_type() == Field::CPPTYPE_MESSAGE) {
      for (int k = 0; field.is_repeated() && k < reflection.FieldSize(message, &field); ++k) {
        CollectDefaults(reflection.GetRepeatedMessage(message, &field, k), at, found);
      }
      if (!field.is_repeated() && reflection.HasField(message, &field)) {
        CollectDefaults(reflection.GetMessage(message, &field), at, found);
      }
    } else if (!field.is_repeated() && !reflection.HasField(message, &field) &&
               (field.has_optional_keyword() || field.cpp_type() == Field::CPPTYPE_ENUM)) {
      found.push_back(at);
    }
  }
}

}  // namespace hone::server::translate
