#include "server/http/transcode.h"

#include <google/protobuf/util/json_util.h>

#include <cmath>
#include <cstdint>
#include <set>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"

namespace hone::server::http {
namespace {

namespace protobuf = google::protobuf;
using protobuf::FieldDescriptor;
using protobuf::Message;

// A path in a query goes no deeper than a person writes it.
constexpr size_t kMostParts = 16;
constexpr size_t kMostOfName = 256;

// For an error: no more of what a stranger wrote than helps.
std::string Shown(absl::string_view text) { return CutUtf8(text, 100); }

const FieldDescriptor* FieldOf(const protobuf::Descriptor& type, absl::string_view name) {
  const FieldDescriptor* const field = type.FindFieldByName(std::string(name));
  return field != nullptr ? field : type.FindFieldByCamelcaseName(std::string(name));
}

// The messages that JSON writes as text.
bool IsText(const protobuf::Descriptor& type) {
  return type.full_name() == "google.protobuf.Timestamp" ||
         type.full_name() == "google.protobuf.Duration" ||
         type.full_name() == "google.protobuf.FieldMask";
}

// Sets or adds one value. Each kind of number is set or added by functions of its own.
class Setter {
 public:
  Setter(Message& message, const FieldDescriptor& field, absl::string_view name)
      : message_(message), reflection_(*message.GetReflection()), field_(field), name_(name) {}

  absl::Status Set(const std::string& text) {
    switch (field_.cpp_type()) {
      case FieldDescriptor::CPPTYPE_STRING:
        return String(text);
      case FieldDescriptor::CPPTYPE_BOOL:
        return text == "true" || text == "false"
                   ? Put(text == "true", &protobuf::Reflection::SetBool,
                         &protobuf::Reflection::AddBool)
                   : Wrong("true or false", text);
      case FieldDescriptor::CPPTYPE_ENUM:
        return Enum(text);
      case FieldDescriptor::CPPTYPE_INT32:
        return Whole<int32_t>(text, &protobuf::Reflection::SetInt32,
                              &protobuf::Reflection::AddInt32);
      case FieldDescriptor::CPPTYPE_INT64:
        return Whole<int64_t>(text, &protobuf::Reflection::SetInt64,
                              &protobuf::Reflection::AddInt64);
      case FieldDescriptor::CPPTYPE_UINT32:
        return Whole<uint32_t>(text, &protobuf::Reflection::SetUInt32,
                               &protobuf::Reflection::AddUInt32);
      case FieldDescriptor::CPPTYPE_UINT64:
        return Whole<uint64_t>(text, &protobuf::Reflection::SetUInt64,
                               &protobuf::Reflection::AddUInt64);
      case FieldDescriptor::CPPTYPE_DOUBLE: {
        double value = 0;
        return absl::SimpleAtod(text, &value) && std::isfinite(value)
                   ? Put(value, &protobuf::Reflection::SetDouble, &protobuf::Reflection::AddDouble)
                   : Wrong("a number", text);
      }
      case FieldDescriptor::CPPTYPE_FLOAT: {
        float value = 0;
        return absl::SimpleAtof(text, &value) && std::isfinite(value)
                   ? Put(value, &protobuf::Reflection::SetFloat, &protobuf::Reflection::AddFloat)
                   : Wrong("a number", text);
      }
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return Text(text);
    }
    return Wrong("a value", text);
  }

 private:
  absl::Status Wrong(absl::string_view right, absl::string_view text) const {
    return absl::InvalidArgumentError(
        absl::StrCat(name_, ": must be ", right, ", got \"", Shown(text), "\""));
  }

  template <typename Value, typename Argument>
  absl::Status Put(Value value,
                   void (protobuf::Reflection::*set)(Message*, const FieldDescriptor*, Argument)
                       const,
                   void (protobuf::Reflection::*add)(Message*, const FieldDescriptor*, Argument)
                       const) {
    (reflection_.*(field_.is_repeated() ? add : set))(&message_, &field_, std::move(value));
    return absl::OkStatus();
  }

  template <typename Value, typename Argument>
  absl::Status Whole(const std::string& text,
                     void (protobuf::Reflection::*set)(Message*, const FieldDescriptor*, Argument)
                         const,
                     void (protobuf::Reflection::*add)(Message*, const FieldDescriptor*, Argument)
                         const) {
    Value value = 0;
    return absl::SimpleAtoi(text, &value) ? Put(value, set, add)
                                          : Wrong("a whole number in the range of the field", text);
  }

  absl::Status String(const std::string& text) {
    std::string value = text;
    if (field_.type() == FieldDescriptor::TYPE_BYTES && !absl::Base64Unescape(text, &value) &&
        !absl::WebSafeBase64Unescape(text, &value)) {
      return Wrong("base64", text);
    }
    return Put(std::move(value), &protobuf::Reflection::SetString,
               &protobuf::Reflection::AddString);
  }

  absl::Status Enum(const std::string& text) {
    const protobuf::EnumValueDescriptor* const value = field_.enum_type()->FindValueByName(text);
    if (value == nullptr) {
      std::string known;
      for (int i = 0; i < field_.enum_type()->value_count(); ++i) {
        absl::StrAppend(&known, i > 0 ? ", " : "", field_.enum_type()->value(i)->name());
      }
      return Wrong(absl::StrCat("one of ", known), text);
    }
    return Put(value, &protobuf::Reflection::SetEnum, &protobuf::Reflection::AddEnum);
  }

  absl::Status Text(const std::string& text) {
    if (!IsText(*field_.message_type())) {
      return absl::InvalidArgumentError(absl::StrCat(
          name_, ": is a message; a query names its fields, such as ", name_, ".",
          field_.message_type()->field_count() > 0 ? field_.message_type()->field(0)->name()
                                                   : "…"));
    }
    Message* const part = field_.is_repeated() ? reflection_.AddMessage(&message_, &field_)
                                               : reflection_.MutableMessage(&message_, &field_);
    // As JSON has it: a text, in which nothing needs to be escaped.
    const bool plain = absl::c_all_of(text, [](char c) {
      return absl::ascii_isprint(static_cast<unsigned char>(c)) && c != '"' && c != '\\';
    });
    return plain && FromJson(absl::StrCat("\"", text, "\""), *part).ok()
               ? absl::OkStatus()
               : Wrong(absl::StrCat("a ", field_.message_type()->name(), " as JSON writes it"),
                       text);
  }

  Message& message_;
  const protobuf::Reflection& reflection_;
  const FieldDescriptor& field_;
  const std::string name_;
};

absl::Status UnknownField(const protobuf::Descriptor& type, absl::string_view name) {
  std::string known;
  for (int i = 0; i < type.field_count(); ++i) {
    absl::StrAppend(&known, i > 0 ? ", " : "", type.field(i)->name());
  }
  return absl::InvalidArgumentError(
      absl::StrCat(Shown(name), ": there is no such field; ",
                   known.empty() ? "this request has none" : absl::StrCat("there are ", known)));
}

// The first field of a path, as the .proto has it; "" where there is none.
std::string FirstField(const protobuf::Descriptor& type, absl::string_view path) {
  const absl::string_view first = path.substr(0, path.find_first_of(".["));
  const FieldDescriptor* const field = FieldOf(type, first);
  return field == nullptr ? "" : field->name();
}

bool IsSet(const Message& message, absl::string_view path) {
  const Message* at = &message;
  const std::vector<std::string> parts = absl::StrSplit(path, '.');
  for (size_t i = 0; i < parts.size(); ++i) {
    const FieldDescriptor* const field = FieldOf(*at->GetDescriptor(), parts[i]);
    if (field == nullptr || field->is_repeated()) {
      return false;
    }
    if (i + 1 == parts.size()) {
      return at->GetReflection()->HasField(*at, field);
    }
    at = &at->GetReflection()->GetMessage(*at, field);
  }
  return false;
}

// An update's mask is the fields that its body has, where the query names none: AIP-134.
void MaskFromBody(Message& request, const std::string& body_field) {
  const FieldDescriptor* const mask = request.GetDescriptor()->FindFieldByName("update_mask");
  const FieldDescriptor* const body = request.GetDescriptor()->FindFieldByName(body_field);
  if (mask == nullptr || body == nullptr || request.GetReflection()->HasField(request, mask)) {
    return;
  }
  const Message& changed = request.GetReflection()->GetMessage(request, body);
  std::vector<const FieldDescriptor*> fields;
  changed.GetReflection()->ListFields(changed, &fields);
  Message* const paths = request.GetReflection()->MutableMessage(&request, mask);
  const FieldDescriptor* const path = paths->GetDescriptor()->FindFieldByName("paths");
  for (const FieldDescriptor* const field : fields) {
    if (field->name() != "name") {
      paths->GetReflection()->AddString(paths, path, field->name());
    }
  }
}

}  // namespace

std::unique_ptr<Message> NewMessage(const protobuf::Descriptor& type) {
  return std::unique_ptr<Message>(
      protobuf::MessageFactory::generated_factory()->GetPrototype(&type)->New());
}

absl::Status SetField(Message& message, absl::string_view name, const std::string& value) {
  if (name.size() > kMostOfName) {
    return absl::InvalidArgumentError(absl::StrCat(Shown(name), "…: is no name of a field"));
  }
  absl::string_view path = name;
  std::string key;
  bool has_key = false;
  if (const size_t bracket = path.find('['); bracket != absl::string_view::npos) {
    if (!absl::EndsWith(path, "]")) {
      return absl::InvalidArgumentError(
          absl::StrCat(Shown(name), ": must be FIELD[KEY] for a value of a map"));
    }
    key = std::string(path.substr(bracket + 1, path.size() - bracket - 2));
    path = path.substr(0, bracket);
    has_key = true;
  }
  const std::vector<absl::string_view> parts = absl::StrSplit(path, '.');
  if (parts.size() > kMostParts) {
    return absl::InvalidArgumentError(absl::StrCat(Shown(name), ": is no name of a field"));
  }
  Message* at = &message;
  for (size_t i = 0; i < parts.size(); ++i) {
    const FieldDescriptor* const field = FieldOf(*at->GetDescriptor(), parts[i]);
    if (field == nullptr) {
      return UnknownField(*at->GetDescriptor(), name);
    }
    const protobuf::Reflection& reflection = *at->GetReflection();
    if (i + 1 < parts.size()) {
      if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || field->is_repeated() ||
          IsText(*field->message_type())) {
        return absl::InvalidArgumentError(
            absl::StrCat(Shown(name), ": ", field->name(), " has no fields that a query can set"));
      }
      at = reflection.MutableMessage(at, field);
      continue;
    }
    if (field->is_map() != has_key) {
      return absl::InvalidArgumentError(
          field->is_map() ? absl::StrCat(name, ": is a map; write ", field->name(), "[KEY]=VALUE")
                          : absl::StrCat(Shown(name), ": ", field->name(), " is no map"));
    }
    if (field->is_map()) {
      Message* const entry = reflection.AddMessage(at, field);
      HONE_RETURN_IF_ERROR(Setter(*entry, *field->message_type()->map_key(), name).Set(key));
      return Setter(*entry, *field->message_type()->map_value(), name).Set(value);
    }
    if (!field->is_repeated() && reflection.HasField(*at, field)) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": is said twice"));
    }
    return Setter(*at, *field, name).Set(value);
  }
  return absl::OkStatus();
}

absl::Status FromJson(absl::string_view json, Message& message) {
  if (const absl::Status utf8 = CheckUtf8(json); !utf8.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("the JSON: ", utf8.message()));
  }
  const auto status = protobuf::util::JsonStringToMessage(
      protobuf::StringPiece(json.data(), json.size()), &message);
  if (!status.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the JSON: ",
        CutUtf8(absl::string_view(status.message().data(), status.message().size()), 600)));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ToJson(const Message& message) {
  std::string json;
  const auto status = protobuf::util::MessageToJsonString(message, &json);
  if (!status.ok()) {
    return absl::InternalError(absl::StrCat(
        "the answer cannot be written as JSON: ",
        CutUtf8(absl::string_view(status.message().data(), status.message().size()), 600)));
  }
  return json;
}

absl::StatusOr<std::unique_ptr<Message>> MakeRequest(const Route& route,
                                                     const std::vector<Binding>& path,
                                                     const std::vector<Binding>& query,
                                                     absl::string_view body) {
  const protobuf::Descriptor& type = *route.rpc->input_type();
  std::unique_ptr<Message> request = NewMessage(type);
  if (route.body.empty() && !body.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(route.method, " of this path has no body; what it asks is in the query"));
  }
  if (!body.empty()) {
    Message* part = request.get();
    if (route.body != "*") {
      const FieldDescriptor* const field = type.FindFieldByName(route.body);
      part = request->GetReflection()->MutableMessage(request.get(), field);
    }
    HONE_RETURN_IF_ERROR(FromJson(body, *part));
  }
  std::set<std::string> in_path;
  for (const auto& [field, value] : path) {
    in_path.insert(field);
    if (IsSet(*request, field)) {
      return absl::InvalidArgumentError(
          absl::StrCat(field, ": is said by the path; leave it out of the body"));
    }
    HONE_RETURN_IF_ERROR(SetField(*request, field, value));
  }
  for (const auto& [name, value] : query) {
    const std::string first = FirstField(type, name);
    if (!first.empty() && (route.body == "*" || route.body == first)) {
      return absl::InvalidArgumentError(
          absl::StrCat(Shown(name), ": belongs into the body of this call, not into the query"));
    }
    if (in_path.contains(first)) {
      return absl::InvalidArgumentError(absl::StrCat(Shown(name), ": is said by the path already"));
    }
    HONE_RETURN_IF_ERROR(SetField(*request, name, value));
  }
  if (route.method == "PATCH" && !route.body.empty() && route.body != "*") {
    MaskFromBody(*request, route.body);
  }
  if (request->ByteSizeLong() > kMostRequestBytes) {
    return absl::OutOfRangeError(absl::StrCat("the request has ", request->ByteSizeLong(),
                                              " bytes; must be at most ", kMostRequestBytes));
  }
  return request;
}

}  // namespace hone::server::http
