#include "client/jobfile/one_of_two.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/jobfile/maze_file.h"

namespace hone::client::jobfile {

void MakeRoom(std::span<const std::string> overrides, absl::string_view before, v1::JobSpec& job,
              LocalPaths& paths) {
  for (const std::string& setting : overrides) {
    absl::string_view field = setting;
    if (!absl::ConsumePrefix(&field, before)) {
      continue;
    }
    if (absl::StartsWith(field, "training.epochs=")) {
      job.mutable_training()->clear_steps();
    } else if (absl::StartsWith(field, "training.steps=")) {
      job.mutable_training()->clear_epochs();
      job.mutable_training()->clear_episodes();
    } else if (absl::StartsWith(field, "training.episodes=")) {
      job.mutable_training()->clear_steps();
    } else if (absl::StartsWith(field, "data.dataset=")) {
      paths.data.clear();
    } else if (absl::StartsWith(field, "data.path=")) {
      job.mutable_data()->clear_dataset();
    } else if (absl::StartsWith(field, "model.pretrained.model=")) {
      paths.pretrained.clear();
    } else if (absl::StartsWith(field, "model.pretrained.path=")) {
      job.mutable_model()->mutable_pretrained()->clear_model();
    } else if (absl::StartsWith(field, "image_generation.evaluation.classifier=")) {
      paths.classifier.clear();
    } else if (absl::StartsWith(field, "image_generation.evaluation.path=")) {
      job.mutable_image_generation()->mutable_evaluation()->clear_classifier();
    }
    MakeRoomForMaze(field, job, paths);
  }
}

void CheckOneOfTwo(const v1::JobSpec& job, const LocalPaths& paths, absl::string_view origin,
                   absl::string_view before, Problems& problems) {
  if (!job.data().dataset().empty() && !paths.data.empty()) {
    problems.Add({.where = std::string(origin),
                  .field = absl::StrCat(before, "data"),
                  .what = "must have either `dataset` or `path`, got both"});
  }
  if (!job.model().pretrained().model().empty() && !paths.pretrained.empty()) {
    problems.Add({.where = std::string(origin),
                  .field = absl::StrCat(before, "model.pretrained"),
                  .what = "must have either `model` or `path`, got both"});
  }
  CheckOneMaze(job, paths, origin, before, problems);
  if (!job.image_generation().evaluation().classifier().empty() && !paths.classifier.empty()) {
    problems.Add({.where = std::string(origin),
                  .field = absl::StrCat(before, "image_generation.evaluation"),
                  .what = "must have either `classifier` or `path`, got both"});
  }
}

}  // namespace hone::client::jobfile
