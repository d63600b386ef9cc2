#pragma once

#include "engine/checkpoint/run_state.h"
#include "engine/tasks/config.h"
#include "engine/tasks/data_info.h"
#include "engine/train/observer.h"

// What a run remembers of its epochs, and what follows from it.
namespace hone::engine::train {

// The run state of a job that has not begun.
checkpoint::RunState InitialState(const tasks::TrainingConfig& config, const tasks::DataInfo& info);

// Behind the others. Tiny data may have a million epochs: of a long history every second point is
// dropped, never the newest.
void AddToHistory(checkpoint::HistoryPoint point, checkpoint::RunState& state);

// The validation loss of the epoch that has just ended: what the schedule, the best checkpoint and
// early stopping go by. True if it is the best so far, by min_delta at least; one that is not
// finite never is, and the observer is told.
bool ObserveValidation(const tasks::TrainingConfig& config, double loss,
                       checkpoint::RunState& state, LoopObserver& observer);

// Early stopping is on and its patience is over.
bool StoppedEarly(const tasks::TrainingConfig& config, const checkpoint::RunState& state);

}  // namespace hone::engine::train
