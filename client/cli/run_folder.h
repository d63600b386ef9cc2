#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace hone::client::cli {

// The file with the job, kept in a run's folder for --resume; that of a sweep.
inline constexpr char kJobFile[] = "job.yaml";
inline constexpr char kSweepFile[] = "sweep.yaml";

// Makes hone-runs/<name>-<number>, the first number that is free.
absl::StatusOr<std::string> MakeRunDirectory(const std::string& display_name);

// A folder of the user's choice: made where it is missing. ALREADY_EXISTS where it holds an earlier
// run, which has the file `kept`.
absl::Status UseRunDirectory(const std::string& path, const std::string& kept);

}  // namespace hone::client::cli
