#include "client/jobfile/job_file.h"

#include <filesystem>

#include "absl/strings/match.h"
#include "client/jobfile/document.h"
#include "client/jobfile/filler.h"
#include "client/jobfile/overrides.h"
#include "client/jobfile/problems.h"
#include "engine/base/files.h"
#include "engine/base/status.h"

namespace hone::client::jobfile {

namespace {

// What excludes each other: a length, a source. The one that is set on the command line takes the
// place of the file's.
void MakeRoom(std::span<const std::string> overrides, v1::JobSpec& spec) {
  for (const std::string& setting : overrides) {
    if (absl::StartsWith(setting, "training.epochs=")) {
      spec.mutable_training()->clear_steps();
    } else if (absl::StartsWith(setting, "training.steps=")) {
      spec.mutable_training()->clear_epochs();
    } else if (absl::StartsWith(setting, "data.dataset=")) {
      spec.mutable_data()->clear_path();
    } else if (absl::StartsWith(setting, "data.path=")) {
      spec.mutable_data()->clear_dataset();
    }
  }
}

}  // namespace

absl::StatusOr<v1::JobSpec> ParseJobFile(absl::string_view text, absl::string_view origin,
                                         std::span<const std::string> overrides) {
  HONE_ASSIGN_OR_RETURN(const Node root, ReadDocument(text, origin));
  v1::JobSpec spec;
  Problems problems;
  Filler(std::string(origin), /*fixed=*/false, problems).FillMessage(root, "", spec);
  MakeRoom(overrides, spec);
  for (const std::string& setting : overrides) {
    ApplyOverride(setting, spec, problems);
  }
  HONE_RETURN_IF_ERROR(problems.ToStatus());
  return spec;
}

absl::StatusOr<v1::JobSpec> LoadJobFile(const std::string& path,
                                        std::span<const std::string> overrides) {
  const absl::StatusOr<std::string> text = ReadFile(path, kMaxFileBytes);
  if (!text.ok()) {
    return absl::IsNotFound(text.status()) ? text.status()
                                           : absl::InvalidArgumentError(text.status().message());
  }
  HONE_ASSIGN_OR_RETURN(v1::JobSpec spec, ParseJobFile(*text, path, overrides));
  if (spec.display_name().empty()) {
    spec.set_display_name(std::filesystem::path(path).stem().string());
  }
  return spec;
}

}  // namespace hone::client::jobfile
