#pragma once

#include <google/protobuf/message.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/http/routes.h"

namespace hone::server::http {

// Of a request as gRPC sees it, as everywhere in this server.
inline constexpr size_t kMostRequestBytes = size_t{4} << 20;
// Of its JSON, in which bytes take four thirds.
inline constexpr size_t kMostBodyBytes = size_t{6} << 20;

// Between HTTP with JSON and messages, by descriptors alone. All JSON is proto3's: names in
// lowerCamelCase (a request may also have those of the .proto files), 64-bit integers as text,
// enums by name, what has its default left out.

// The request of a call by `route`: the body's JSON ("" is none), then what path and query say.
// INVALID_ARGUMENT names the field, the parameter or the place in the JSON, and what would be
// right: a field that there is not, one that two of the three say, a query beside a body that is
// the whole request. OUT_OF_RANGE: the message is larger than kMostRequestBytes.
absl::StatusOr<std::unique_ptr<google::protobuf::Message>> MakeRequest(
    const Route& route, const std::vector<Binding>& path, const std::vector<Binding>& query,
    absl::string_view body);

// Sets the field `name` of `message`: `a.b` for a field of a message's field, once more for the
// next value of a repeated one, `labels[key]` for a map's. As in a query. INVALID_ARGUMENT.
absl::Status SetField(google::protobuf::Message& message, absl::string_view name,
                      const std::string& value);

// INVALID_ARGUMENT: what is wrong with the JSON, with the name of a field that there is not.
absl::Status FromJson(absl::string_view json, google::protobuf::Message& message);

// INTERNAL: a message that has no JSON, such as one with text that is not UTF-8.
absl::StatusOr<std::string> ToJson(const google::protobuf::Message& message);

// A new message of a type of this program.
std::unique_ptr<google::protobuf::Message> NewMessage(const google::protobuf::Descriptor& type);

}  // namespace hone::server::http
