#include "client/jobfile/scalar.h"

#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/jobfile/problems.h"

namespace hone::client::jobfile {
namespace {

using ::google::protobuf::EnumValueDescriptor;
using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::Message;

// A number's text without the plus sign that from_chars does not take.
absl::string_view WithoutPlus(absl::string_view text) {
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') {
    text.remove_prefix(1);
  }
  return text;
}

std::optional<double> ParseDouble(absl::string_view text) {
  text = WithoutPlus(text);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end != text.data() + text.size() || text.empty()) {
    return std::nullopt;
  }
  if (error == std::errc::result_out_of_range) {
    // Too large or too small for a double; the exponent's sign says which.
    return text.find("e-") != text.npos || text.find("E-") != text.npos ? 0.0 : HUGE_VAL;
  }
  return error == std::errc() ? std::optional<double>(value) : std::nullopt;
}

// Whole numbers in any of their spellings: 5, +5, 5.0, 1e3. Sets `value`; else says what is wrong.
template <typename Int>
std::string ParseInteger(const Node& node, Int& value) {
  const absl::string_view text = WithoutPlus(node.text);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size()) {
    return "";
  }
  const std::optional<double> number = ParseDouble(text);
  if (!number || std::isnan(*number)) {
    return absl::StrCat("must be a whole number, got ", node.Describe());
  }
  constexpr Int kLow = std::numeric_limits<Int>::min();
  constexpr Int kHigh = std::numeric_limits<Int>::max();
  if (*number < static_cast<double>(kLow) || *number >= static_cast<double>(kHigh)) {
    return absl::StrCat("must be between ", kLow, " and ", kHigh, ", got ", node.Describe());
  }
  if (*number != std::floor(*number)) {
    return absl::StrCat("must be a whole number, got ", node.Describe());
  }
  value = static_cast<Int>(*number);
  return "";
}

template <typename Float>
std::string ParseFloat(const Node& node, Float& value) {
  if (node.text == ".inf" || node.text == "-.inf" || node.text == ".nan" || node.text == ".NaN") {
    return absl::StrCat("must be a finite number, got ", node.Describe());
  }
  const std::optional<double> number = ParseDouble(node.text);
  if (!number) {
    return absl::StrCat("must be a number, got ", node.Describe());
  }
  if (!std::isfinite(*number)) {
    return absl::StrCat("must be a finite number, got ", node.Describe());
  }
  if (std::abs(*number) > static_cast<double>(std::numeric_limits<Float>::max())) {
    return absl::StrCat("must be between ±", std::numeric_limits<Float>::max(), ", got ",
                        node.Describe());
  }
  value = static_cast<Float>(*number);
  return "";
}

std::string ParseBool(const Node& node, bool& value) {
  if (!node.quoted && (node.text == "true" || node.text == "True" || node.text == "TRUE")) {
    value = true;
    return "";
  }
  if (!node.quoted && (node.text == "false" || node.text == "False" || node.text == "FALSE")) {
    value = false;
    return "";
  }
  return absl::StrCat("must be true or false, got ", node.Describe());
}

std::string ParseEnum(const Node& node, const FieldDescriptor& field,
                      const EnumValueDescriptor*& value) {
  value = field.enum_type()->FindValueByName(node.text);
  if (value != nullptr) {
    return "";
  }
  std::vector<std::string> known;
  for (int i = 0; i < field.enum_type()->value_count(); ++i) {
    // Number 0 is the value of a field that was not given.
    if (field.enum_type()->value(i)->number() != 0) {
      known.push_back(field.enum_type()->value(i)->name());
    }
  }
  const std::string nearest = Nearest(node.text, known);
  return absl::StrCat(
      "unknown value ", node.Describe(),
      nearest.empty() ? "" : absl::StrCat("; did you mean ", nearest, "?"),
      nearest.empty() ? "; known values: " : " Known values: ", absl::StrJoin(known, ", "));
}

// One member function pair of Reflection for each type.
#define HONE_STORE(Name)                                                             \
  (field.is_repeated() ? message.GetReflection()->Add##Name(&message, &field, value) \
                       : message.GetReflection()->Set##Name(&message, &field, value))

}  // namespace

std::string SetScalar(const Node& node, const FieldDescriptor& field, Message& message) {
  std::string error;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      if (int32_t value = 0; (error = ParseInteger(node, value)).empty()) HONE_STORE(Int32);
      break;
    case FieldDescriptor::CPPTYPE_INT64:
      if (int64_t value = 0; (error = ParseInteger(node, value)).empty()) HONE_STORE(Int64);
      break;
    case FieldDescriptor::CPPTYPE_UINT32:
      if (uint32_t value = 0; (error = ParseInteger(node, value)).empty()) HONE_STORE(UInt32);
      break;
    case FieldDescriptor::CPPTYPE_UINT64:
      if (uint64_t value = 0; (error = ParseInteger(node, value)).empty()) HONE_STORE(UInt64);
      break;
    case FieldDescriptor::CPPTYPE_FLOAT:
      if (float value = 0; (error = ParseFloat(node, value)).empty()) HONE_STORE(Float);
      break;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      if (double value = 0; (error = ParseFloat(node, value)).empty()) HONE_STORE(Double);
      break;
    case FieldDescriptor::CPPTYPE_BOOL:
      if (bool value = false; (error = ParseBool(node, value)).empty()) HONE_STORE(Bool);
      break;
    case FieldDescriptor::CPPTYPE_ENUM:
      if (const EnumValueDescriptor* value = nullptr;
          (error = ParseEnum(node, field, value)).empty())
        HONE_STORE(Enum);
      break;
    case FieldDescriptor::CPPTYPE_STRING: {
      const std::string& value = node.text;
      HONE_STORE(String);
      break;
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      error = absl::StrCat("must be a map, got ", node.Describe());
      break;
  }
  return error;
}

#undef HONE_STORE

}  // namespace hone::client::jobfile
