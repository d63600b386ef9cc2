#include "client/jobfile/overrides.h"

#include <optional>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/jobfile/document.h"
#include "client/jobfile/filler.h"

namespace hone::client::jobfile {
namespace {

using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::Message;
using ::google::protobuf::Reflection;

// `layers[2]`: a name and perhaps an index.
struct Step {
  std::string name;
  std::optional<int> index;
};

// nullopt: not of the form a.b[2].c
std::optional<std::vector<Step>> ParsePath(absl::string_view path) {
  std::vector<Step> steps;
  for (absl::string_view part : absl::StrSplit(path, '.')) {
    Step step;
    const size_t bracket = part.find('[');
    step.name = std::string(part.substr(0, bracket));
    if (bracket != part.npos) {
      int index = 0;
      if (part.back() != ']' ||
          !absl::SimpleAtoi(part.substr(bracket + 1, part.size() - bracket - 2), &index) ||
          index < 0) {
        return std::nullopt;
      }
      step.index = index;
    }
    if (step.name.empty()) {
      return std::nullopt;
    }
    steps.push_back(std::move(step));
  }
  return steps;
}

Node Scalar(absl::string_view text) {
  Node node;
  node.kind = Node::Kind::kScalar;
  node.text = std::string(text);
  return node;
}

// The field's own value goes, the new one comes.
void Replace(const Step& step, const FieldDescriptor& field, const Node& value,
             const std::string& path, Filler& filler, Message& message) {
  const Reflection& reflection = *message.GetReflection();
  if (!step.index) {
    reflection.ClearField(&message, &field);
    filler.FillField(value, path, field, message);
    return;
  }
  const int count = reflection.FieldSize(message, &field);
  if (value.kind == Node::Kind::kSequence) {
    filler.Add(value, path, "must be one value, got a list");
    return;
  }
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
    Message& item = *reflection.MutableRepeatedMessage(&message, &field, *step.index);
    item.Clear();
    filler.FillMessage(value, path, item);
    return;
  }
  // Appended, then put in the old one's place.
  filler.FillField(value, path, field, message);
  if (reflection.FieldSize(message, &field) > count) {
    reflection.SwapElements(&message, &field, *step.index, count);
    reflection.RemoveLast(&message, &field);
  }
}

// What is wrong with the step as such; "" when the field can be entered or set.
std::string CheckStep(const Step& step, const FieldDescriptor& field, bool last,
                      const Message& message) {
  if (step.index) {
    if (!field.is_repeated() || field.is_map()) {
      return "is not a list, so it takes no [index]";
    }
    const int count = message.GetReflection()->FieldSize(message, &field);
    if (*step.index >= count) {
      return absl::StrCat("there is no item ", *step.index, ": the list has ", count,
                          count == 0 ? "" : absl::StrCat(", counted from 0 to ", count - 1));
    }
    return last || field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE ? ""
                                                                        : "has nothing below it";
  }
  if (last) {
    return "";
  }
  if (field.is_repeated() && !field.is_map()) {
    return absl::StrCat("is a list: say which item, such as ", step.name, "[0]");
  }
  return field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE ? "" : "has nothing below it";
}

}  // namespace

void ApplyOverride(const std::string& setting, Message& message, LocalPaths& paths,
                   Problems& problems) {
  const size_t equals = setting.find('=');
  const std::string path = setting.substr(0, equals);
  const std::string origin = absl::StrCat("--set ", path);
  Filler filler(origin, /*fixed=*/true, paths, problems);
  const std::optional<std::vector<Step>> steps = ParsePath(path);
  if (equals == std::string::npos || !steps) {
    problems.Add({.where = absl::StrCat("--set ", setting),
                  .field = "",
                  .what = "must be PATH=VALUE, such as training.epochs=1 or "
                          "model.layers[1].dense.units=32"});
    return;
  }
  const absl::string_view text = absl::string_view(setting).substr(equals + 1);
  Message* current = &message;
  std::string walked;
  for (size_t i = 0; i < steps->size(); ++i) {
    const Step& step = (*steps)[i];
    const bool last = i + 1 == steps->size();
    const FieldDescriptor* field = current->GetDescriptor()->FindFieldByName(step.name);
    if (std::string* const local = paths.Find(*current->GetDescriptor(), step.name);
        local != nullptr && last && !step.index) {
      *local = std::string(text);
      return;
    }
    if (field == nullptr) {
      filler.AddUnknownKey(Scalar(step.name), walked, *current->GetDescriptor());
      return;
    }
    walked = Join(walked, step.name);
    if (std::string wrong = CheckStep(step, *field, last, *current); !wrong.empty()) {
      filler.Add(Node(), walked, std::move(wrong));
      return;
    }
    if (step.index) {
      absl::StrAppend(&walked, "[", *step.index, "]");
    }
    if (field->is_map() && !last) {
      // What follows is the entry's key, whatever it is made of.
      Node entry;
      entry.kind = Node::Kind::kMap;
      entry.keys.push_back(Scalar(absl::string_view(path).substr(walked.size() + 1)));
      entry.items.push_back(Scalar(text));
      filler.FillField(entry, walked, *field, *current);
      return;
    }
    if (!last) {
      const Reflection& reflection = *current->GetReflection();
      current = step.index ? reflection.MutableRepeatedMessage(current, field, *step.index)
                           : reflection.MutableMessage(current, field);
      continue;
    }
    // Text is taken as it stands; everything else is YAML.
    Node value = Scalar(text);
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_STRING || field->is_repeated()) {
      absl::StatusOr<Node> parsed = ReadDocument(text, "value");
      if (!parsed.ok()) {
        filler.Add(Node(), walked,
                   absl::StrCat("the value cannot be read: ", parsed.status().message()));
        return;
      }
      value = *std::move(parsed);
    }
    Replace(step, *field, value, walked, filler, *current);
  }
}

}  // namespace hone::client::jobfile
