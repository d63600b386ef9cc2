#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/train/config.h"
#include "engine/train/programs.h"

namespace hone::engine::train {

// "RUN/checkpoints"
std::string CheckpointRoot(const TrainingConfig& config);

// OUT_OF_RANGE names the first parameter, or optimizer state, that holds a NaN or an infinity.
absl::Status CheckFinite(const Programs& programs);

// Every parameter and buffer, in the store's order. Points into the store.
std::vector<checkpoint::TensorToWrite> ModelTensors(const ParameterStore& store);

// Writes the checkpoint of state.step and removes those that the policy does not keep. Nothing that
// is not finite is written: OUT_OF_RANGE.
absl::StatusOr<checkpoint::WrittenCheckpoint> SaveCheckpoint(const TrainingConfig& config,
                                                             const Programs& programs,
                                                             const checkpoint::RunState& state);

// Parameters and buffers from a file; INVALID_ARGUMENT where names or shapes are not the model's.
absl::Status ReadModel(const checkpoint::SafetensorsFile& file, ParameterStore& store);
// The same, and the optimizer's state.
absl::Status RestoreCheckpoint(const checkpoint::Checkpoint& checkpoint, Programs& programs);

// Bytes of one checkpoint on disk, but for the run state.
int64_t CheckpointBytes(const Programs& programs);

}  // namespace hone::engine::train
