#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/tasks/config.h"
#include "engine/train/programs.h"

namespace hone::engine::train {

// "RUN/checkpoints"
std::string CheckpointRoot(const tasks::TrainingConfig& config);

// OUT_OF_RANGE names the first parameter, or optimizer state, that holds a NaN or an infinity.
absl::Status CheckFinite(const Programs& programs);

// Writes the checkpoint of state.step and removes those that the policy does not keep. Nothing that
// is not finite is written: OUT_OF_RANGE.
absl::StatusOr<checkpoint::WrittenCheckpoint> SaveCheckpoint(const tasks::TrainingConfig& config,
                                                             const Programs& programs,
                                                             const checkpoint::RunState& state);

// Parameters, buffers and the optimizers' state from a checkpoint; INVALID_ARGUMENT where names or
// shapes are not the model's.
absl::Status RestoreCheckpoint(const checkpoint::Checkpoint& checkpoint, Programs& programs);

// DATA_LOSS: the run is known to have written a checkpoint, and none so new is there any more. One
// that is there and damaged is not missed: LatestCheckpoint tells of it.
absl::Status CheckNoneIsMissing(const tasks::TrainingConfig& config);

// Bytes of one checkpoint on disk, but for the run state.
int64_t CheckpointBytes(const Programs& programs);

}  // namespace hone::engine::train
