#pragma once

#include <string>

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

// What the schedule, the best checkpoint and early stopping go by.
struct Criterion {
  std::string name;  // "validation_loss"
  double value = 0;
  bool rises = false;  // the higher the better
};

// The criterion of the epoch that has just ended. True if it is the best so far, by min_delta at
// least; one that is not finite never is, and the observer is told.
bool ObserveValidation(const tasks::TrainingConfig& config, const Criterion& criterion,
                       checkpoint::RunState& state, LoopObserver& observer);

// Early stopping is on and its patience is over.
bool StoppedEarly(const tasks::TrainingConfig& config, const checkpoint::RunState& state);

}  // namespace hone::engine::train
