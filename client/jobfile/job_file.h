#pragma once

#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/jobfile/local_paths.h"
#include "client/jobfile/problems.h"
#include "hone/v1/job.pb.h"

namespace hone::client::jobfile {

// A job file is hone.v1.JobSpec in proto3 JSON, written as YAML (JSON works too), with snake_case
// names, and the keys of LocalPaths.
struct JobFile {
  v1::JobSpec spec;
  LocalPaths paths;
};

// What only the engine or the server can judge (layers that fit, data that exists) is not judged
// here.
//
// INVALID_ARGUMENT lists everything that is wrong, one problem a line: `origin:line:column:
// field.path: what is wrong; what would be right`, or `--set field.path: …`.

// `overrides` are `PATH=VALUE`, applied in their order.
absl::StatusOr<JobFile> ParseJobFile(absl::string_view text, absl::string_view origin,
                                     std::span<const std::string> overrides = {});

// The same, with what is wrong in `problems` one by one; a text that is no document at all is in
// the status alone.
absl::StatusOr<JobFile> ParseJobFile(absl::string_view text, absl::string_view origin,
                                     std::span<const std::string> overrides, Problems& problems);

// From a file; a job without a display_name gets the file's name, without its ending, and the maze
// of `paths.maze` is then in the spec (TakeMaze). Also NOT_FOUND, and INVALID_ARGUMENT for what
// cannot be read.
absl::StatusOr<JobFile> LoadJobFile(const std::string& path,
                                    std::span<const std::string> overrides = {});

// As a person would write it; reads back as the same.
std::string PrintJobFile(const JobFile& file);

}  // namespace hone::client::jobfile
