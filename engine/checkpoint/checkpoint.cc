#include "engine/checkpoint/checkpoint.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "engine/base/files.h"
#include "engine/base/status.h"
#include "engine/checkpoint/manifest.h"

namespace hone::engine::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr char kModelFile[] = "model.safetensors";
constexpr char kOptimizerFile[] = "optimizer.safetensors";
constexpr char kStateFile[] = "state.json";
constexpr char kModelJson[] = "model.json";
constexpr const char* kCheckpointFiles[] = {kModelFile, kOptimizerFile, kStateFile};
constexpr const char* kModelFiles[] = {kModelFile, kModelJson};
constexpr char kSectionPrefix[] = "section-";
constexpr char kSectionSuffix[] = ".bin";
constexpr char kStepPrefix[] = "step-";
constexpr char kTemporaryPrefix[] = ".tmp-";

// What is larger has a file of its own instead of a place in the state's JSON.
constexpr size_t kLargestInState = 16 << 10;

std::string FolderName(int64_t step) { return absl::StrFormat("%s%08d", kStepPrefix, step); }

std::string Join(const std::string& directory, absl::string_view name) {
  return absl::StrCat(directory, "/", name);
}

// NOT_FOUND if there is no such folder.
absl::StatusOr<std::vector<std::string>> Entries(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  if (error) {
    return ErrnoStatus(error.value(), absl::StrCat("cannot list ", directory));
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status RemoveFolder(const std::string& directory) {
  std::error_code error;
  fs::remove_all(directory, error);
  return error ? ErrnoStatus(error.value(), absl::StrCat("cannot remove ", directory))
               : absl::OkStatus();
}

// Only one process writes to a root, so what is temporary there is a write that was interrupted.
absl::Status RemoveTemporaries(const std::string& root) {
  const absl::StatusOr<std::vector<std::string>> names = Entries(root);
  if (absl::IsNotFound(names.status())) {
    return absl::OkStatus();
  }
  HONE_RETURN_IF_ERROR(names.status());
  for (const std::string& name : *names) {
    if (absl::StartsWith(name, kTemporaryPrefix)) {
      HONE_RETURN_IF_ERROR(RemoveFolder(Join(root, name)));
    }
  }
  return absl::OkStatus();
}

// A reason to take the checkpoint before this one, rather than to stop: nothing will make this one
// whole again.
bool IsDamage(const absl::Status& status) {
  return absl::IsDataLoss(status) || absl::IsUnavailable(status);
}

// Removes a folder so that a crash half-way does not leave a damaged checkpoint under its name.
absl::Status Discard(const std::string& root, const std::string& directory) {
  const std::string doomed =
      Join(root, absl::StrCat(kTemporaryPrefix, fs::path(directory).filename().string()));
  HONE_RETURN_IF_ERROR(RemoveFolder(doomed));
  std::error_code error;
  fs::rename(directory, doomed, error);
  if (error) {
    return ErrnoStatus(error.value(), absl::StrCat("cannot remove ", directory));
  }
  return RemoveFolder(doomed);
}

}  // namespace

std::string CheckpointDirectory(const std::string& root, int64_t step) {
  return Join(root, FolderName(step));
}

absl::StatusOr<std::vector<int64_t>> CheckpointSteps(const std::string& root) {
  HONE_ASSIGN_OR_RETURN(const std::vector<std::string> names, Entries(root));
  std::vector<int64_t> steps;
  for (const std::string& name : names) {
    int64_t step = 0;
    if (absl::StartsWith(name, kStepPrefix) &&
        absl::SimpleAtoi(name.substr(sizeof(kStepPrefix) - 1), &step) && step >= 0 &&
        name == FolderName(step)) {
      steps.push_back(step);
    }
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

absl::StatusOr<WrittenCheckpoint> WriteCheckpoint(const std::string& root,
                                                  const CheckpointContents& contents) {
  if (contents.state.step < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("a checkpoint's step must be at least 0, got ", contents.state.step));
  }
  HONE_RETURN_IF_ERROR(RemoveTemporaries(root));
  const std::string name = FolderName(contents.state.step);
  HONE_ASSIGN_OR_RETURN(FolderWriter folder,
                        FolderWriter::Create(Join(root, absl::StrCat(kTemporaryPrefix, name))));
  HONE_RETURN_IF_ERROR(folder.AddTensors(kModelFile, contents.model, contents.model_metadata));
  HONE_RETURN_IF_ERROR(folder.AddTensors(kOptimizerFile, contents.optimizer, {}));
  HONE_RETURN_IF_ERROR(folder.AddText(kStateFile, ToJson(contents.state, kLargestInState)));
  for (const auto& [section, bytes] : contents.state.sections) {
    if (bytes.size() > kLargestInState) {
      HONE_RETURN_IF_ERROR(
          folder.AddText(absl::StrCat(kSectionPrefix, section, kSectionSuffix), bytes));
    }
  }
  WrittenCheckpoint written{.directory = Join(root, name)};
  HONE_ASSIGN_OR_RETURN(written.bytes, std::move(folder).Publish(written.directory));
  return written;
}

absl::StatusOr<Checkpoint> LoadCheckpoint(const std::string& directory) {
  HONE_RETURN_IF_ERROR(CheckContents(directory, kCheckpointFiles));
  Checkpoint checkpoint;
  checkpoint.directory = directory;
  HONE_ASSIGN_OR_RETURN(checkpoint.model, SafetensorsFile::Open(Join(directory, kModelFile)));
  HONE_ASSIGN_OR_RETURN(checkpoint.optimizer,
                        SafetensorsFile::Open(Join(directory, kOptimizerFile)));
  const std::string path = Join(directory, kStateFile);
  HONE_ASSIGN_OR_RETURN(const std::string json, ReadFile(path));
  absl::StatusOr<RunState> state = RunStateFromJson(json);
  HONE_RETURN_IF_ERROR(Annotate(state.status(), path));
  checkpoint.state = *std::move(state);
  HONE_ASSIGN_OR_RETURN(const auto files, ReadManifest(directory));
  for (const auto& [file, unused] : files) {
    absl::string_view section = file;
    if (absl::ConsumePrefix(&section, kSectionPrefix) &&
        absl::ConsumeSuffix(&section, kSectionSuffix)) {
      HONE_ASSIGN_OR_RETURN(checkpoint.state.sections[std::string(section)],
                            ReadFile(Join(directory, file)));
    }
  }
  return checkpoint;
}

absl::StatusOr<Checkpoint> LatestCheckpoint(const std::string& root) {
  HONE_ASSIGN_OR_RETURN(const std::vector<int64_t> steps, CheckpointSteps(root));
  if (steps.empty()) {
    return absl::NotFoundError(absl::StrCat("no checkpoint in ", root));
  }
  std::vector<SkippedCheckpoint> skipped;
  std::string reasons;
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    const std::string directory = CheckpointDirectory(root, *step);
    absl::StatusOr<Checkpoint> checkpoint = LoadCheckpoint(directory);
    if (checkpoint.ok()) {
      checkpoint->skipped = std::move(skipped);
      return checkpoint;
    }
    if (!IsDamage(checkpoint.status())) {
      return checkpoint.status();
    }
    absl::StrAppend(&reasons, "; ", checkpoint.status().message());
    skipped.push_back({directory, checkpoint.status()});
  }
  return absl::DataLossError(
      absl::StrCat("none of the ", steps.size(), " checkpoints in ", root, " is whole", reasons));
}

absl::StatusOr<std::vector<std::string>> Prune(const std::string& root, const Keep& keep) {
  if (keep.latest < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("at least 1 checkpoint must be kept, got ", keep.latest));
  }
  HONE_ASSIGN_OR_RETURN(std::vector<int64_t> steps, CheckpointSteps(root));
  std::reverse(steps.begin(), steps.end());
  std::vector<std::string> doomed, kept;
  for (const int64_t step : steps) {
    const std::string directory = CheckpointDirectory(root, step);
    const bool whole = CheckSizes(directory).ok();
    const bool wanted = static_cast<int>(kept.size()) < keep.latest || step == keep.best_step;
    (whole && wanted ? kept : doomed).push_back(directory);
  }
  // Sizes were enough to choose by; before anything goes, one that stays must hold to its last
  // byte.
  const std::string written =
      keep.written_step.has_value() ? CheckpointDirectory(root, *keep.written_step) : "";
  const bool safe = doomed.empty() || std::ranges::find(kept, written) != kept.end() ||
                    std::any_of(kept.begin(), kept.end(), [](const std::string& directory) {
                      return CheckContents(directory, kCheckpointFiles).ok();
                    });
  if (!safe) {
    return std::vector<std::string>();
  }
  for (const std::string& directory : doomed) {
    HONE_RETURN_IF_ERROR(Discard(root, directory));
  }
  return doomed;
}

absl::StatusOr<WrittenFile> WriteModel(const std::string& directory,
                                       std::span<const TensorToWrite> tensors,
                                       const std::map<std::string, std::string>& metadata,
                                       const std::string& model_json) {
  const fs::path place(directory);
  const std::string name = absl::StrCat(kTemporaryPrefix, place.filename().string());
  HONE_ASSIGN_OR_RETURN(FolderWriter folder,
                        FolderWriter::Create((place.parent_path() / name).string()));
  HONE_RETURN_IF_ERROR(folder.AddTensors(kModelFile, tensors, metadata));
  HONE_RETURN_IF_ERROR(folder.AddText(kModelJson, model_json));
  const WrittenFile written = folder.file(kModelFile);
  HONE_RETURN_IF_ERROR(std::move(folder).Publish(directory).status());
  return written;
}

absl::StatusOr<Model> LoadModel(const std::string& directory) {
  HONE_RETURN_IF_ERROR(CheckContents(directory, kModelFiles));
  Model model;
  HONE_ASSIGN_OR_RETURN(const auto files, ReadManifest(directory));
  model.tensors_sha256 = files.at(kModelFile).sha256;
  HONE_ASSIGN_OR_RETURN(model.tensors, SafetensorsFile::Open(Join(directory, kModelFile)));
  HONE_ASSIGN_OR_RETURN(model.model_json, ReadFile(Join(directory, kModelJson)));
  return model;
}

absl::StatusOr<std::string> LoadModelJson(const std::string& directory) {
  constexpr const char* kAlone[] = {kModelJson};
  HONE_RETURN_IF_ERROR(CheckContentsOf(directory, kAlone));
  return ReadFile(Join(directory, kModelJson));
}

absl::StatusOr<SafetensorsFile> OpenModelTensors(const std::string& directory) {
  return SafetensorsFile::Open(Join(directory, kModelFile));
}

}  // namespace hone::engine::checkpoint
