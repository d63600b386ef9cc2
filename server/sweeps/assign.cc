#include "server/sweeps/assign.h"

#include <google/protobuf/util/json_util.h>

#include <charconv>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"

namespace hone::server::sweeps {
namespace {

using ::google::protobuf::Descriptor;
using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::Message;

constexpr size_t kLongestPath = 512;

struct Step {
  const FieldDescriptor* field = nullptr;
  std::optional<int> index;
};

// "layers[2]": the name and the index.
std::optional<std::pair<std::string, std::optional<int>>> ParseStep(absl::string_view part) {
  const size_t bracket = part.find('[');
  std::string name(part.substr(0, bracket));
  if (bracket == part.npos) {
    return std::pair(std::move(name), std::optional<int>());
  }
  int index = 0;
  if (part.back() != ']' || index < 0 ||
      !absl::SimpleAtoi(part.substr(bracket + 1, part.size() - bracket - 2), &index) || index < 0) {
    return std::nullopt;
  }
  return std::pair(std::move(name), std::optional(index));
}

std::string FieldsOf(const Descriptor& descriptor) {
  std::vector<std::string> names;
  for (int i = 0; i < descriptor.field_count(); ++i) {
    names.push_back(descriptor.field(i)->name());
  }
  return absl::StrJoin(names, ", ");
}

// Follows the path; `message` is null where the way leads through what is not set.
absl::StatusOr<std::vector<Step>> Walk(const Message& root, absl::string_view path) {
  std::vector<Step> steps;
  const Descriptor* descriptor = root.GetDescriptor();
  const Message* message = &root;
  std::string walked;
  const auto wrong = [&](auto... text) {
    return absl::InvalidArgumentError(
        absl::StrCat("there is no field ", CutUtf8(path, 100), ": ", text...));
  };
  if (path.empty() || path.size() > kLongestPath) {
    return wrong("a field has 1 to ", kLongestPath, " characters");
  }
  for (const absl::string_view part : absl::StrSplit(path, '.')) {
    if (descriptor == nullptr) {
      const bool list = steps.back().field->is_repeated() && !steps.back().index.has_value();
      return wrong(walked,
                   list ? " is a list: say which item, such as [0]" : " has nothing below it");
    }
    const auto step = ParseStep(part);
    const FieldDescriptor* field =
        step.has_value() ? descriptor->FindFieldByName(step->first) : nullptr;
    if (field == nullptr) {
      return wrong(walked.empty() ? "a job" : walked, " has ", FieldsOf(*descriptor));
    }
    absl::StrAppend(&walked, walked.empty() ? "" : ".", part);
    if (field->is_map()) {
      return wrong(walked, " is a map");
    }
    const auto& index = step->second;
    if (index.has_value() && !field->is_repeated()) {
      return wrong(walked, " is not a list");
    }
    if (index.has_value()) {
      const int size =
          message == nullptr ? 0 : message->GetReflection()->FieldSize(*message, field);
      if (*index >= size) {
        return wrong(walked, ": the list has ", size, size == 1 ? " item" : " items");
      }
    }
    steps.push_back({field, index});
    const bool enters = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE &&
                        (index.has_value() || !field->is_repeated());
    descriptor = enters ? field->message_type() : nullptr;
    if (!enters || message == nullptr) {
      message = nullptr;
    } else if (index.has_value()) {
      message = &message->GetReflection()->GetRepeatedMessage(*message, field, *index);
    } else {
      message = message->GetReflection()->HasField(*message, field)
                    ? &message->GetReflection()->GetMessage(*message, field)
                    : nullptr;
    }
  }
  return steps;
}

// The value as JSON: text and names of enums in quotes.
absl::StatusOr<std::string> Json(const FieldDescriptor& field, bool whole_list,
                                 const std::string& text) {
  const auto must = [&](absl::string_view what) {
    return absl::InvalidArgumentError(
        absl::StrCat("must be ", what, ", got \"", CutUtf8(text, 80), "\""));
  };
  if (whole_list || field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
    return text;
  }
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string quoted = "\"";
      for (const char c : text) {
        if (static_cast<unsigned char>(c) < 0x20) {
          return must("text without control characters");
        }
        absl::StrAppend(&quoted, c == '"' || c == '\\' ? "\\" : "", std::string(1, c));
      }
      return quoted + "\"";
    }
    case FieldDescriptor::CPPTYPE_ENUM: {
      const auto* value = field.enum_type()->FindValueByName(text);
      if (value == nullptr) {
        std::vector<std::string> names;
        for (int i = 0; i < field.enum_type()->value_count(); ++i) {
          if (field.enum_type()->value(i)->number() != 0) {
            names.push_back(field.enum_type()->value(i)->name());
          }
        }
        return must(absl::StrCat("one of ", absl::StrJoin(names, ", ")));
      }
      return absl::StrCat("\"", text, "\"");
    }
    case FieldDescriptor::CPPTYPE_BOOL:
      return text == "true" || text == "false" ? absl::StatusOr<std::string>(text)
                                               : must("true or false");
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      double value = 0;
      const double most = field.cpp_type() == FieldDescriptor::CPPTYPE_FLOAT
                              ? std::numeric_limits<float>::max()
                              : std::numeric_limits<double>::max();
      if (!absl::SimpleAtod(text, &value) || !(std::abs(value) <= most)) {
        return must("a number");
      }
      char digits[32];
      *std::to_chars(digits, digits + sizeof(digits) - 1, value).ptr = '\0';
      return std::string(digits);
    }
    default: {
      int64_t value = 0;
      const bool unsigned_field = field.cpp_type() == FieldDescriptor::CPPTYPE_UINT32 ||
                                  field.cpp_type() == FieldDescriptor::CPPTYPE_UINT64;
      const bool small = field.cpp_type() == FieldDescriptor::CPPTYPE_INT32;
      if (!absl::SimpleAtoi(text, &value) || (unsigned_field && value < 0) ||
          (small && value != static_cast<int32_t>(value))) {
        return must("a whole number");
      }
      return absl::StrCat(value);
    }
  }
}

// Puts the one value of `from` into the item of `to`.
void SwapItem(const FieldDescriptor& field, int index, Message& from, Message& to) {
  const auto& reflection = *to.GetReflection();
  const int last = reflection.FieldSize(to, &field);
  to.MergeFrom(from);
  reflection.SwapElements(&to, &field, index, last);
  reflection.RemoveLast(&to, &field);
}

}  // namespace

absl::StatusOr<const FieldDescriptor*> FindField(const Message& message, absl::string_view path) {
  HONE_ASSIGN_OR_RETURN(const std::vector<Step> steps, Walk(message, path));
  return steps.back().field;
}

absl::Status Assign(absl::string_view path, const std::string& text, Message& message) {
  HONE_ASSIGN_OR_RETURN(const std::vector<Step> steps, Walk(message, path));
  Message* parent = &message;
  for (size_t i = 0; i + 1 < steps.size(); ++i) {
    const auto& reflection = *parent->GetReflection();
    parent = steps[i].index.has_value()
                 ? reflection.MutableRepeatedMessage(parent, steps[i].field, *steps[i].index)
                 : reflection.MutableMessage(parent, steps[i].field);
  }
  const FieldDescriptor& field = *steps.back().field;
  const std::optional<int>& index = steps.back().index;
  HONE_ASSIGN_OR_RETURN(const std::string json,
                        Json(field, field.is_repeated() && !index.has_value(), text));
  const std::unique_ptr<Message> value(parent->New());
  const auto parsed = google::protobuf::util::JsonStringToMessage(
      absl::StrCat("{\"", field.name(), "\": ", index.has_value() ? "[" : "", json,
                   index.has_value() ? "]" : "", "}"),
      value.get());
  if (!parsed.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot be \"", CutUtf8(text, 80), "\": ", CutUtf8(parsed.ToString(), 200)));
  }
  if (index.has_value()) {
    SwapItem(field, *index, *value, *parent);
    return absl::OkStatus();
  }
  parent->GetReflection()->ClearField(parent, &field);
  parent->MergeFrom(*value);
  return absl::OkStatus();
}

}  // namespace hone::server::sweeps
