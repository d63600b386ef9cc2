#include "client/jobfile/sweep_file.h"

#include <filesystem>

#include "client/jobfile/document.h"
#include "client/jobfile/filler.h"
#include "client/jobfile/job_file.h"
#include "client/jobfile/maze_file.h"
#include "client/jobfile/one_of_two.h"
#include "client/jobfile/overrides.h"
#include "client/jobfile/print.h"
#include "client/jobfile/problems.h"
#include "engine/base/files.h"
#include "engine/base/status.h"

namespace hone::client::jobfile {

absl::StatusOr<SweepFile> LoadSweepFile(const std::string& path,
                                        std::span<const std::string> overrides) {
  const absl::StatusOr<std::string> text = ReadFile(path, kMaxFileBytes);
  if (!text.ok()) {
    return absl::IsNotFound(text.status()) ? text.status()
                                           : absl::InvalidArgumentError(text.status().message());
  }
  HONE_ASSIGN_OR_RETURN(const Node root, ReadDocument(*text, path));
  SweepFile file;
  Problems problems;
  Filler(path, /*fixed=*/false, file.paths, problems).FillMessage(root, "", file.spec);
  if (file.spec.has_job() && !file.paths.job_file.empty()) {
    problems.Add({.where = path, .field = "job", .what = "must have either `job` or `job_file`"});
  }
  HONE_RETURN_IF_ERROR(problems.ToStatus());
  if (!file.paths.job_file.empty()) {
    const std::filesystem::path beside =
        std::filesystem::path(path).parent_path() / file.paths.job_file;
    HONE_ASSIGN_OR_RETURN(JobFile job, LoadJobFile(beside.string()));
    *file.spec.mutable_job() = std::move(job.spec);
    file.paths = std::move(job.paths);
  }
  MakeRoom(overrides, "job.", *file.spec.mutable_job(), file.paths);
  for (const std::string& setting : overrides) {
    ApplyOverride(setting, file.spec, file.paths, problems);
  }
  CheckOneOfTwo(file.spec.job(), file.paths, path, "job.", problems);
  HONE_RETURN_IF_ERROR(problems.ToStatus());
  HONE_RETURN_IF_ERROR(TakeMaze(file.paths, *file.spec.mutable_job()));
  if (file.spec.display_name().empty()) {
    file.spec.set_display_name(std::filesystem::path(path).stem().string());
  }
  return file;
}

std::string PrintSweepFile(const SweepFile& file) { return PrintYaml(file.spec, file.paths); }

}  // namespace hone::client::jobfile
