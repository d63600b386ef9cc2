#pragma once

#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hone/v1/job.pb.h"

namespace hone::client::jobfile {

// A job file is hone.v1.JobSpec in proto3 JSON, written as YAML (JSON works too), with snake_case
// names. What only the engine or the server can judge (layers that fit, data that exists) is not
// judged here.
//
// INVALID_ARGUMENT lists everything that is wrong, one problem a line: `origin:line:column:
// field.path: what is wrong; what would be right`, or `--set field.path: …`.

// `overrides` are `PATH=VALUE`, applied in their order.
absl::StatusOr<v1::JobSpec> ParseJobFile(absl::string_view text, absl::string_view origin,
                                         std::span<const std::string> overrides = {});

// From a file; a job without a display_name gets the file's name, without its ending. Also
// NOT_FOUND, and INVALID_ARGUMENT for what cannot be read.
absl::StatusOr<v1::JobSpec> LoadJobFile(const std::string& path,
                                        std::span<const std::string> overrides = {});

}  // namespace hone::client::jobfile
