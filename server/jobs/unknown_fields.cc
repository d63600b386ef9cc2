#include "server/jobs/unknown_fields.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/unknown_field_set.h"
#include "server/jobs/field_errors.h"

namespace hone::server::jobs {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// As many as an error shows.
constexpr size_t kMostErrors = 16;

// The messages in one field of `message`, each with its path.
template <typename Visit>
void ForEachMessageOf(const Message& message, const FieldDescriptor& field,
                      const std::string& prefix, Visit visit) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  const std::string path = absl::StrCat(prefix, prefix.empty() ? "" : ".", field.name());
  if (!field.is_repeated()) {
    return visit(reflection.GetMessage(message, &field), path);
  }
  for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
    visit(reflection.GetRepeatedMessage(message, &field, i), absl::StrCat(path, "[", i, "]"));
  }
}

void Check(const Message& message, const std::string& path, FieldErrors& errors) {
  if (errors.all().size() >= kMostErrors) {
    return;
  }
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  if (const auto& unknown = reflection.GetUnknownFields(message); !unknown.empty()) {
    errors.Add(path.empty() ? "request" : path,
               absl::StrCat("must not have field ", unknown.field(0).number(), ", which ",
                            message.GetDescriptor()->full_name(),
                            " of this server does not have; is the client newer?"));
  }
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* const field : fields) {
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && !field->is_map()) {
      ForEachMessageOf(message, *field, path,
                       [&](const Message& inner, const std::string& inner_path) {
                         Check(inner, inner_path, errors);
                       });
    }
  }
}

}  // namespace

absl::Status CheckFieldsAreKnown(const Message& request) {
  FieldErrors errors;
  Check(request, "", errors);
  return errors.ToStatus();
}

}  // namespace hone::server::jobs
