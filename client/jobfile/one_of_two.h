#pragma once

#include <span>
#include <string>

#include "absl/strings/string_view.h"
#include "client/jobfile/local_paths.h"
#include "client/jobfile/problems.h"
#include "hone/v1/job.pb.h"

// Fields of a job that exclude each other: how long it trains, and where its data, its earlier
// model, its classifier and its maze come from. `before` is what stands before the job's own
// fields: "" in a job file, "job." in a sweep file.
namespace hone::client::jobfile {

// What `overrides`, each a PATH=VALUE, set takes the place of what the file has instead of it. They
// are not applied.
void MakeRoom(std::span<const std::string> overrides, absl::string_view before, v1::JobSpec& job,
              LocalPaths& paths);

// Adds a problem for each source that the job has in both forms.
void CheckOneOfTwo(const v1::JobSpec& job, const LocalPaths& paths, absl::string_view origin,
                   absl::string_view before, Problems& problems);

}  // namespace hone::client::jobfile
