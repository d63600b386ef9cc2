#pragma once

#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "client/jobfile/local_paths.h"
#include "hone/v1/sweep.pb.h"

namespace hone::client::jobfile {

// A sweep file is hone.v1.SweepSpec in YAML, as a job file is a JobSpec; instead of `job` it may
// have `job_file`, a job file beside it.
struct SweepFile {
  v1::SweepSpec spec;  // with the job
  LocalPaths paths;    // of the job
};

// Errors as of LoadJobFile. `overrides` are `PATH=VALUE` over the sweep: `job.training.epochs=1`,
// `random.trials=5`. A sweep without a display_name gets the file's name, without its ending.
absl::StatusOr<SweepFile> LoadSweepFile(const std::string& path,
                                        std::span<const std::string> overrides = {});

// As a person would write it; reads back as the same.
std::string PrintSweepFile(const SweepFile& file);

}  // namespace hone::client::jobfile
