#include "client/jobfile/filler.h"

#include <deque>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/jobfile/scalar.h"

namespace hone::client::jobfile {
namespace {

using ::google::protobuf::Descriptor;
using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::Message;
using ::google::protobuf::OneofDescriptor;

std::vector<std::string> KnownKeys(const Descriptor& descriptor) {
  std::vector<std::string> known;
  for (int i = 0; i < descriptor.field_count(); ++i) {
    known.push_back(descriptor.field(i)->name());
  }
  for (const char* local : {"path", "job_file"}) {
    if (LocalPaths().Find(descriptor, local) != nullptr) {
      known.emplace_back(local);
    }
  }
  return known;
}

// Where below `descriptor` fields of this name are: for a key that stands at the wrong level. The
// first three, nearest first.
std::vector<std::string> PlacesOf(absl::string_view name, const Descriptor& descriptor) {
  std::vector<std::string> places;
  std::set<const Descriptor*> seen = {&descriptor};
  std::deque<std::pair<std::string, const Descriptor*>> queue = {{"", &descriptor}};
  while (!queue.empty() && places.size() < 3) {
    const auto [path, type] = queue.front();
    queue.pop_front();
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor& field = *type->field(i);
      const std::string place = Join(path, field.name());
      if (field.name() == name && !path.empty()) {
        places.push_back(place);
      }
      if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && !field.is_map() &&
          seen.insert(field.message_type()).second) {
        queue.emplace_back(field.is_repeated() ? absl::StrCat(place, "[]") : place,
                           field.message_type());
      }
    }
    if (LocalPaths().Find(*type, name) != nullptr && !path.empty()) {
      places.push_back(Join(path, name));
    }
  }
  if (places.size() > 3) {
    places.resize(3);
  }
  return places;
}

std::string ListOfKeys(const Descriptor& descriptor) {
  const std::vector<std::string> known = KnownKeys(descriptor);
  return known.empty() ? "It has no keys: write {}"
                       : absl::StrCat("Known keys: ", absl::StrJoin(known, ", "));
}

}  // namespace

std::string Join(const std::string& path, absl::string_view name) {
  return path.empty() ? std::string(name) : absl::StrCat(path, ".", name);
}

void Filler::Add(const Node& node, const std::string& path, std::string what) {
  problems_.Add(
      {.where = fixed_ ? origin_ : absl::StrCat(origin_, ":", node.line, ":", node.column),
       .field = path,
       .what = std::move(what)});
}

void Filler::AddUnknownKey(const Node& key, const std::string& path, const Descriptor& descriptor) {
  const std::string nearest = Nearest(key.text, KnownKeys(descriptor));
  std::string hint;
  if (!nearest.empty()) {
    hint = absl::StrCat("; did you mean `", nearest, "`?");
  } else if (const auto places = PlacesOf(key.text, descriptor); !places.empty()) {
    hint = absl::StrCat("; there is ", absl::StrJoin(places, ", "), ".");
  } else {
    hint = ".";
  }
  Add(key, path, absl::StrCat("unknown key ", key.Describe(), hint, " ", ListOfKeys(descriptor)));
}

void Filler::FillMessage(const Node& node, const std::string& path, Message& message) {
  const Descriptor& descriptor = *message.GetDescriptor();
  if (node.kind != Node::Kind::kMap) {
    const bool forgotten = node.kind == Node::Kind::kNull;
    Add(node, path,
        absl::StrCat("must be a map, got ", node.Describe(),
                     forgotten ? "; write {} for one with default values. " : ". ",
                     ListOfKeys(descriptor)));
    return;
  }
  std::map<std::string, const Node*> seen;
  std::map<const OneofDescriptor*, std::string> chosen;
  for (size_t i = 0; i < node.keys.size(); ++i) {
    const Node& key = node.keys[i];
    if (key.kind != Node::Kind::kScalar) {
      Add(key, path, absl::StrCat("a key must be a name, got ", key.Describe()));
      continue;
    }
    const FieldDescriptor* field = descriptor.FindFieldByName(key.text);
    std::string* const local = paths_.Find(descriptor, key.text);
    if (field == nullptr && local == nullptr) {
      AddUnknownKey(key, path, descriptor);
      continue;
    }
    const std::string field_path = Join(path, key.text);
    if (const auto [first, fresh] = seen.emplace(key.text, &key); !fresh) {
      Add(key, field_path, absl::StrCat("is given twice; first in line ", first->second->line));
      continue;
    }
    if (local != nullptr) {
      FillPath(node.items[i], field_path, *local);
      continue;
    }
    if (const OneofDescriptor* oneof = field->real_containing_oneof(); oneof != nullptr) {
      if (const auto [first, fresh] = chosen.emplace(oneof, key.text); !fresh) {
        Add(key, field_path,
            absl::StrCat("cannot stand beside `", first->second, "`: give one of the two"));
        continue;
      }
    }
    FillField(node.items[i], field_path, *field, message);
  }
}

void Filler::FillPath(const Node& node, const std::string& path, std::string& value) {
  if (node.kind != Node::Kind::kScalar) {
    Add(node, path, absl::StrCat("must be one value, got ", node.Describe()));
    return;
  }
  value = node.text;
}

void Filler::FillMap(const Node& node, const std::string& path, const FieldDescriptor& field,
                     Message& message) {
  if (node.kind != Node::Kind::kMap) {
    Add(node, path, absl::StrCat("must be a map, got ", node.Describe()));
    return;
  }
  std::set<std::string> seen;
  for (size_t i = 0; i < node.keys.size(); ++i) {
    const Node& key = node.keys[i];
    const std::string entry_path = Join(path, key.text);
    if (key.kind != Node::Kind::kScalar) {
      Add(key, path, absl::StrCat("a key must be a name, got ", key.Describe()));
    } else if (!seen.insert(key.text).second) {
      Add(key, entry_path, "is given twice");
    } else if (node.items[i].kind != Node::Kind::kScalar) {
      Add(node.items[i], entry_path, absl::StrCat("must be text, got ", node.items[i].Describe()));
    } else {
      Message& entry = *message.GetReflection()->AddMessage(&message, &field);
      SetScalar(key, *field.message_type()->map_key(), entry);
      if (const std::string error =
              SetScalar(node.items[i], *field.message_type()->map_value(), entry);
          !error.empty()) {
        Add(node.items[i], entry_path, error);
      }
    }
  }
}

void Filler::FillField(const Node& node, const std::string& path, const FieldDescriptor& field,
                       Message& message) {
  if (field.is_map()) {
    FillMap(node, path, field, message);
    return;
  }
  if (!field.is_repeated()) {
    FillOne(node, path, field, message);
    return;
  }
  if (node.kind == Node::Kind::kSequence) {
    for (size_t i = 0; i < node.items.size(); ++i) {
      FillOne(node.items[i], absl::StrCat(path, "[", i, "]"), field, message);
    }
  } else if (node.kind == Node::Kind::kScalar &&
             field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
    FillOne(node, path, field, message);
  } else {
    Add(node, path, absl::StrCat("must be a list, got ", node.Describe()));
  }
}

void Filler::FillOne(const Node& node, const std::string& path, const FieldDescriptor& field,
                     Message& message) {
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
    Message& child = field.is_repeated()
                         ? *message.GetReflection()->AddMessage(&message, &field)
                         : *message.GetReflection()->MutableMessage(&message, &field);
    FillMessage(node, path, child);
    return;
  }
  if (node.kind != Node::Kind::kScalar) {
    Add(node, path, absl::StrCat("must be one value, got ", node.Describe()));
    return;
  }
  if (std::string error = SetScalar(node, field, message); !error.empty()) {
    Add(node, path, std::move(error));
  }
}

}  // namespace hone::client::jobfile
