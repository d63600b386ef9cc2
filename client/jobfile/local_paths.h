#pragma once

#include <google/protobuf/descriptor.h>

#include <string>

#include "absl/strings/string_view.h"

namespace hone::client::jobfile {

// The keys of a job file or sweep file that are places on this machine, beside those of
// hone.v1.JobSpec and hone.v1.SweepSpec: no server is told of them. "": not given.
struct LocalPaths {
  std::string data;        // `data.path`, a file or folder, instead of `data.dataset`
  std::string pretrained;  // `model.pretrained.path`, a folder, instead of `model.pretrained.model`
  // `image_generation.evaluation.path`, a folder, instead of
  // `image_generation.evaluation.classifier`
  std::string classifier;
  // `reinforcement_learning.maze.path`, a file, instead of `reinforcement_learning.maze.text`
  std::string maze;
  std::string job_file;  // of a sweep file, instead of `job`

  // The value of the key `name` in a map that fills a message of this kind; null: there is no such
  // key.
  std::string* Find(const google::protobuf::Descriptor& message, absl::string_view name) {
    if (name == "job_file") {
      return message.full_name() == "hone.v1.SweepSpec" ? &job_file : nullptr;
    }
    if (name != "path") {
      return nullptr;
    }
    return message.full_name() == "hone.v1.DataSpec"            ? &data
           : message.full_name() == "hone.v1.Pretrained"        ? &pretrained
           : message.full_name() == "hone.v1.DrawingEvaluation" ? &classifier
           : message.full_name() == "hone.v1.MazeWorld"         ? &maze
                                                                : nullptr;
  }
};

}  // namespace hone::client::jobfile
