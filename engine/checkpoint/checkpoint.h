#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/checkpoint/run_state.h"
#include "engine/checkpoint/safetensors.h"

// A checkpoint is a folder that appears whole or not at all:
//   step-00001234/model.safetensors      parameters and buffers
//                 optimizer.safetensors  optimizer state
//                 state.json             RunState
//                 section-replay.bin     one of its sections, where that is large
//                 manifest.json          {"version", "files": {name: {"bytes", "sha256"}}}
// The manifest names the other files. The folder is written as .tmp-… beside its place, every file
// fsynced, then renamed, then the root fsynced. One process writes to a root at a time.
namespace hone::engine::checkpoint {

struct CheckpointContents {
  RunState state = {};  // its step names the folder
  std::vector<TensorToWrite> model = {};
  std::map<std::string, std::string> model_metadata = {};
  std::vector<TensorToWrite> optimizer = {};  // such as {"conv1.weight/m", …}
};

struct WrittenCheckpoint {
  std::string directory;
  int64_t bytes = 0;
};

// Makes `root` if it is not there and removes what an interrupted write left. A checkpoint of the
// same step is replaced. RESOURCE_EXHAUSTED if there is no space; after any error the checkpoints
// that were there are still there.
absl::StatusOr<WrittenCheckpoint> WriteCheckpoint(const std::string& root,
                                                  const CheckpointContents& contents);

struct SkippedCheckpoint {
  std::string directory;
  absl::Status reason;
};

// A checkpoint whose manifest held: every file has the size and the SHA-256 it was written with.
struct Checkpoint {
  std::string directory;
  RunState state;
  SafetensorsFile model;
  SafetensorsFile optimizer;
  std::vector<SkippedCheckpoint> skipped;  // newer ones that are damaged, newest first
};

// DATA_LOSS names the file that is missing, short or changed; NOT_FOUND if there is no such folder.
absl::StatusOr<Checkpoint> LoadCheckpoint(const std::string& directory);

// The newest whole checkpoint under `root`. NOT_FOUND if there is none at all (or no root);
// DATA_LOSS, saying why for each, if there are some but none is whole.
absl::StatusOr<Checkpoint> LatestCheckpoint(const std::string& root);

// "ROOT/step-00001234"
std::string CheckpointDirectory(const std::string& root, int64_t step);
// Steps that have a folder, whole or not, ascending.
absl::StatusOr<std::vector<int64_t>> CheckpointSteps(const std::string& root);

struct Keep {
  int latest = 2;  // at least 1
  std::optional<int64_t> best_step = {};
  // Written by this process just now: its bytes were hashed on their way and are not read again.
  std::optional<int64_t> written_step = {};
};

// Removes all but the newest `latest` and the best one. Damaged ones do not count; they go too,
// unless nothing whole is left. Returns the folders removed.
absl::StatusOr<std::vector<std::string>> Prune(const std::string& root, const Keep& keep);

// A published model: model.safetensors, model.json (the caller's text: what rebuilds the graph) and
// manifest.json. Written like a checkpoint; an earlier one at the same place is replaced in one
// step. It holds no clock, host or attempt. Returns what was written as model.safetensors.
absl::StatusOr<WrittenFile> WriteModel(const std::string& directory,
                                       std::span<const TensorToWrite> tensors,
                                       const std::map<std::string, std::string>& metadata,
                                       const std::string& model_json);

struct Model {
  SafetensorsFile tensors;
  std::string tensors_sha256;  // of the whole file
  std::string model_json;
};
// DATA_LOSS, NOT_FOUND as LoadCheckpoint.
absl::StatusOr<Model> LoadModel(const std::string& directory);
// model.json alone; of the weights beside it only the size is looked at.
absl::StatusOr<std::string> LoadModelJson(const std::string& directory);
// model.safetensors alone, its header checked, its hash not. NOT_FOUND; errors of
// SafetensorsFile::Open.
absl::StatusOr<SafetensorsFile> OpenModelTensors(const std::string& directory);

}  // namespace hone::engine::checkpoint
