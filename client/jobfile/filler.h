#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <string>

#include "absl/strings/string_view.h"
#include "client/jobfile/document.h"
#include "client/jobfile/local_paths.h"
#include "client/jobfile/problems.h"

namespace hone::client::jobfile {

// Fills messages from YAML values, walking both along the descriptor, and adds a problem for
// everything that does not fit; it goes on after each. Keys are the fields' snake_case names, and
// those of LocalPaths. Outlived by `problems` and `paths`.
class Filler {
 public:
  // `origin` is the file's name: problems stand at `origin:line:column`; or, when `fixed`, the
  // whole place of every problem.
  Filler(std::string origin, bool fixed, LocalPaths& paths, Problems& problems)
      : origin_(std::move(origin)), fixed_(fixed), paths_(paths), problems_(problems) {}

  // Fills `message` from a map. `path` names the message in problems; "" is the job itself.
  void FillMessage(const Node& node, const std::string& path, google::protobuf::Message& message);

  // Sets one field. A repeated field gets the values appended; one scalar stands for a list of one.
  void FillField(const Node& node, const std::string& path,
                 const google::protobuf::FieldDescriptor& field,
                 google::protobuf::Message& message);

  // Sets one of LocalPaths.
  void FillPath(const Node& node, const std::string& path, std::string& value);

  // Adds the problem of a key that `descriptor` does not have.
  void AddUnknownKey(const Node& key, const std::string& path,
                     const google::protobuf::Descriptor& descriptor);

  void Add(const Node& node, const std::string& path, std::string what);

 private:
  void FillMap(const Node& node, const std::string& path,
               const google::protobuf::FieldDescriptor& field, google::protobuf::Message& message);
  // Sets, or appends when repeated, one value.
  void FillOne(const Node& node, const std::string& path,
               const google::protobuf::FieldDescriptor& field, google::protobuf::Message& message);

  const std::string origin_;
  const bool fixed_;
  LocalPaths& paths_;
  Problems& problems_;
};

// `path.name`, or `name` at the top.
std::string Join(const std::string& path, absl::string_view name);

}  // namespace hone::client::jobfile
