#include "client/jobfile/print.h"

#include <google/protobuf/timestamp.pb.h>

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace hone::client::jobfile {
namespace {

using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::Message;
using ::google::protobuf::Reflection;
using Json = ::nlohmann::ordered_json;

constexpr int64_t kExact = int64_t{1} << 53;

Json Integer(int64_t value) {
  return value > kExact || value < -kExact ? Json(absl::StrCat(value)) : Json(value);
}

Json Unsigned(uint64_t value) {
  return value > uint64_t{kExact} ? Json(absl::StrCat(value)) : Json(value);
}

// The shortest number that reads back as the same float: 0.1, not 0.10000000149011612.
Json Real(double value, bool single) {
  if (!std::isfinite(value)) {
    return std::isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
  }
  if (!single) {
    return value;
  }
  char text[32];
  const auto end = std::to_chars(text, text + sizeof(text) - 1, static_cast<float>(value)).ptr;
  *end = '\0';
  return std::strtod(text, nullptr);
}

Json ToJson(const Message& message);

Json FieldToJson(const Message& message, const FieldDescriptor& field, int index) {
  const Reflection& reflection = *message.GetReflection();
  const bool repeated = field.is_repeated();
#define HONE_LOAD(Name)                                            \
  (repeated ? reflection.GetRepeated##Name(message, &field, index) \
            : reflection.Get##Name(message, &field))
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return Integer(HONE_LOAD(Int32));
    case FieldDescriptor::CPPTYPE_INT64:
      return Integer(HONE_LOAD(Int64));
    case FieldDescriptor::CPPTYPE_UINT32:
      return Unsigned(HONE_LOAD(UInt32));
    case FieldDescriptor::CPPTYPE_UINT64:
      return Unsigned(HONE_LOAD(UInt64));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return Real(HONE_LOAD(Float), /*single=*/true);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return Real(HONE_LOAD(Double), /*single=*/false);
    case FieldDescriptor::CPPTYPE_BOOL:
      return static_cast<bool>(HONE_LOAD(Bool));
    case FieldDescriptor::CPPTYPE_ENUM:
      return HONE_LOAD(Enum)->name();
    case FieldDescriptor::CPPTYPE_STRING:
      return field.type() == FieldDescriptor::TYPE_BYTES ? absl::Base64Escape(HONE_LOAD(String))
                                                         : HONE_LOAD(String);
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return ToJson(HONE_LOAD(Message));
  }
#undef HONE_LOAD
  return nullptr;
}

Json MapToJson(const Message& message, const FieldDescriptor& field) {
  // Sorted: a map's own order changes from run to run.
  std::map<std::string, Json> entries;
  const Reflection& reflection = *message.GetReflection();
  for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
    const Message& entry = reflection.GetRepeatedMessage(message, &field, i);
    const Json key = FieldToJson(entry, *field.message_type()->map_key(), 0);
    entries[key.is_string() ? key.get<std::string>() : key.dump()] =
        FieldToJson(entry, *field.message_type()->map_value(), 0);
  }
  Json object = Json::object();
  for (auto& [key, value] : entries) {
    object[key] = std::move(value);
  }
  return object;
}

Json ToJson(const Message& message) {
  if (message.GetDescriptor()->full_name() == "google.protobuf.Timestamp") {
    google::protobuf::Timestamp time;
    time.CopyFrom(message);
    return absl::FormatTime(absl::RFC3339_full,
                            absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos()),
                            absl::UTCTimeZone());
  }
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  Json object = Json::object();
  for (const FieldDescriptor* field : fields) {
    Json& value = object[field->name()];
    if (field->is_map()) {
      value = MapToJson(message, *field);
    } else if (field->is_repeated()) {
      value = Json::array();
      for (int i = 0; i < message.GetReflection()->FieldSize(message, field); ++i) {
        value.push_back(FieldToJson(message, *field, i));
      }
    } else {
      value = FieldToJson(message, *field, 0);
    }
  }
  return object;
}

std::string Dump(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

// Plain where YAML takes it as the same text.
std::string YamlText(const std::string& text) {
  static constexpr const char* kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./";
  const bool starts_well =
      !text.empty() &&
      (std::isalpha(static_cast<unsigned char>(text[0])) != 0 || text[0] == '/' || text[0] == '_');
  static constexpr absl::string_view kWords[] = {"true", "false", "null", "yes", "no",
                                                 "on",   "off",   "y",    "n",   "~"};
  bool word = false;
  for (const absl::string_view reserved : kWords) {
    word = word || absl::EqualsIgnoreCase(text, reserved);
  }
  const bool plain = starts_well && !word && text.find_first_not_of(kPlain) == text.npos;
  return plain ? text : Dump(Json(text), -1);
}

bool OnlyScalars(const Json& value) {
  for (const Json& item : value) {
    if (item.is_structured() && !item.empty()) {
      return false;
    }
  }
  return true;
}

// In one line: {a: 1, b: [2, 3]}
std::string Flow(const Json& value) {
  if (value.is_string()) {
    return YamlText(value.get<std::string>());
  }
  if (!value.is_structured()) {
    return Dump(value, -1);
  }
  std::string text;
  for (const auto& [key, item] : value.items()) {
    absl::StrAppend(&text, text.empty() ? "" : ", ",
                    value.is_object() ? absl::StrCat(YamlText(key), ": ") : "", Flow(item));
  }
  return value.is_object() ? absl::StrCat("{", text, "}") : absl::StrCat("[", text, "]");
}

void Block(const Json& value, int indent, std::string& out) {
  const std::string margin(static_cast<size_t>(indent), ' ');
  for (const auto& [key, item] : value.items()) {
    const std::string head = value.is_object() ? absl::StrCat(YamlText(key), ":") : "-";
    const bool in_list = value.is_array();
    if (in_list && item.is_object() && item.size() == 1 &&
        (!item.front().is_structured() || OnlyScalars(item.front()))) {
      // A layer: `- dense: {units: 10}`
      absl::StrAppend(&out, margin, "- ", YamlText(item.begin().key()), ": ", Flow(item.front()),
                      "\n");
    } else if (!item.is_structured() || (indent > 0 && OnlyScalars(item)) || item.empty()) {
      absl::StrAppend(&out, margin, head, " ", Flow(item), "\n");
    } else if (in_list && item.is_object()) {
      // The first key stands on the dash's line.
      std::string inner;
      Block(item, indent + 2, inner);
      inner[static_cast<size_t>(indent)] = '-';
      out += inner;
    } else {
      absl::StrAppend(&out, margin, head, "\n");
      Block(item, indent + 2, out);
    }
  }
}

}  // namespace

std::string PrintJson(const Message& message) { return Dump(ToJson(message), -1); }

std::string PrintYaml(const Message& message, const LocalPaths& paths) {
  std::string out;
  Json value = ToJson(message);
  const bool sweep = message.GetDescriptor()->full_name() == "hone.v1.SweepSpec";
  Json& job = sweep ? value["job"] : value;
  if (!paths.data.empty()) {
    job["data"]["path"] = paths.data;
  }
  if (!paths.pretrained.empty()) {
    job["model"]["pretrained"]["path"] = paths.pretrained;
  }
  if (!paths.classifier.empty()) {
    job["image_generation"]["evaluation"]["path"] = paths.classifier;
  }
  if (!paths.maze.empty()) {
    job["reinforcement_learning"]["maze"]["path"] = paths.maze;
  }
  Block(value, 0, out);
  return out.empty() ? "{}\n" : out;
}

}  // namespace hone::client::jobfile
