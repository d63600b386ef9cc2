#include "client/jobfile/job_file.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "client/jobfile/document.h"
#include "client/jobfile/filler.h"
#include "client/jobfile/maze_file.h"
#include "client/jobfile/one_of_two.h"
#include "client/jobfile/overrides.h"
#include "client/jobfile/print.h"
#include "client/jobfile/problems.h"
#include "engine/base/files.h"
#include "engine/base/status.h"

namespace hone::client::jobfile {

absl::StatusOr<JobFile> ParseJobFile(absl::string_view text, absl::string_view origin,
                                     std::span<const std::string> overrides) {
  Problems problems;
  return ParseJobFile(text, origin, overrides, problems);
}

absl::StatusOr<JobFile> ParseJobFile(absl::string_view text, absl::string_view origin,
                                     std::span<const std::string> overrides, Problems& problems) {
  HONE_ASSIGN_OR_RETURN(const Node root, ReadDocument(text, origin));
  if (std::ranges::find(root.keys, "axes", &Node::text) != root.keys.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat(origin, ": is a sweep file, since it has `axes`: `hone sweep` takes it"));
  }
  JobFile file;
  Filler(std::string(origin), /*fixed=*/false, file.paths, problems)
      .FillMessage(root, "", file.spec);
  MakeRoom(overrides, "", file.spec, file.paths);
  for (const std::string& setting : overrides) {
    ApplyOverride(setting, file.spec, file.paths, problems);
  }
  CheckOneOfTwo(file.spec, file.paths, origin, "", problems);
  HONE_RETURN_IF_ERROR(problems.ToStatus());
  return file;
}

absl::StatusOr<JobFile> LoadJobFile(const std::string& path,
                                    std::span<const std::string> overrides) {
  const absl::StatusOr<std::string> text = ReadFile(path, kMaxFileBytes);
  if (!text.ok()) {
    return absl::IsNotFound(text.status()) ? text.status()
                                           : absl::InvalidArgumentError(text.status().message());
  }
  HONE_ASSIGN_OR_RETURN(JobFile file, ParseJobFile(*text, path, overrides));
  HONE_RETURN_IF_ERROR(TakeMaze(file.paths, file.spec));
  if (file.spec.display_name().empty()) {
    file.spec.set_display_name(std::filesystem::path(path).stem().string());
  }
  return file;
}

std::string PrintJobFile(const JobFile& file) { return PrintYaml(file.spec, file.paths); }

}  // namespace hone::client::jobfile
