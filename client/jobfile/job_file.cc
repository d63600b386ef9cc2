#include "client/jobfile/job_file.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/jobfile/document.h"
#include "client/jobfile/filler.h"
#include "client/jobfile/maze_file.h"
#include "client/jobfile/overrides.h"
#include "client/jobfile/print.h"
#include "client/jobfile/problems.h"
#include "engine/base/files.h"
#include "engine/base/status.h"

namespace hone::client::jobfile {

namespace {

// What excludes each other: a length, a source. The one that is set on the command line takes the
// place of the file's.
void MakeRoom(std::span<const std::string> overrides, JobFile& file) {
  v1::JobSpec& spec = file.spec;
  for (const std::string& setting : overrides) {
    if (absl::StartsWith(setting, "training.epochs=")) {
      spec.mutable_training()->clear_steps();
    } else if (absl::StartsWith(setting, "training.steps=")) {
      spec.mutable_training()->clear_epochs();
      spec.mutable_training()->clear_episodes();
    } else if (absl::StartsWith(setting, "training.episodes=")) {
      spec.mutable_training()->clear_steps();
    } else if (absl::StartsWith(setting, "data.dataset=")) {
      file.paths.data.clear();
    } else if (absl::StartsWith(setting, "data.path=")) {
      spec.mutable_data()->clear_dataset();
    } else if (absl::StartsWith(setting, "model.pretrained.model=")) {
      file.paths.pretrained.clear();
    } else if (absl::StartsWith(setting, "model.pretrained.path=")) {
      spec.mutable_model()->mutable_pretrained()->clear_model();
    } else if (absl::StartsWith(setting, "image_generation.evaluation.classifier=")) {
      file.paths.classifier.clear();
    } else if (absl::StartsWith(setting, "image_generation.evaluation.path=")) {
      spec.mutable_image_generation()->mutable_evaluation()->clear_classifier();
    }
    MakeRoomForMaze(setting, "", spec, file.paths);
  }
}

void CheckOneOfTwo(const JobFile& file, absl::string_view origin, Problems& problems) {
  if (!file.spec.data().dataset().empty() && !file.paths.data.empty()) {
    problems.Add({.where = std::string(origin),
                  .field = "data",
                  .what = "must have either `dataset` or `path`, got both"});
  }
  if (!file.spec.model().pretrained().model().empty() && !file.paths.pretrained.empty()) {
    problems.Add({.where = std::string(origin),
                  .field = "model.pretrained",
                  .what = "must have either `model` or `path`, got both"});
  }
  CheckOneMaze(file.spec, file.paths, origin, "", problems);
  if (!file.spec.image_generation().evaluation().classifier().empty() &&
      !file.paths.classifier.empty()) {
    problems.Add({.where = std::string(origin),
                  .field = "image_generation.evaluation",
                  .what = "must have either `classifier` or `path`, got both"});
  }
}

}  // namespace

absl::StatusOr<JobFile> ParseJobFile(absl::string_view text, absl::string_view origin,
                                     std::span<const std::string> overrides) {
  HONE_ASSIGN_OR_RETURN(const Node root, ReadDocument(text, origin));
  if (std::ranges::find(root.keys, "axes", &Node::text) != root.keys.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat(origin, ": is a sweep file, since it has `axes`: `hone sweep` takes it"));
  }
  JobFile file;
  Problems problems;
  Filler(std::string(origin), /*fixed=*/false, file.paths, problems)
      .FillMessage(root, "", file.spec);
  MakeRoom(overrides, file);
  for (const std::string& setting : overrides) {
    ApplyOverride(setting, file.spec, file.paths, problems);
  }
  CheckOneOfTwo(file, origin, problems);
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
