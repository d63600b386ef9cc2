#pragma once

#include <google/protobuf/message.h>

#include <string>

#include "client/jobfile/local_paths.h"

namespace hone::client::jobfile {

// A message in proto3 JSON with the fields' own snake_case names, in one line. Only what is set.
// Unlike protobuf's own printer, 64-bit integers are numbers (text only beyond 2^53, where readers
// of JSON lose digits).
std::string PrintJson(const google::protobuf::Message& message);

// The same as YAML, as a person would write a job file: messages of scalars alone in one line. Of a
// JobSpec or SweepSpec with the paths that are given.
std::string PrintYaml(const google::protobuf::Message& message, const LocalPaths& paths = {});

}  // namespace hone::client::jobfile
