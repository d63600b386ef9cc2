#pragma once

#include "engine/data/load.h"
#include "engine/params/parameter_store.h"
#include "engine/tasks/config.h"
#include "engine/tasks/task.h"
#include "engine/train/world.h"

namespace hone::engine::train {

// What the ranks of a world must have alike so that their weights stay the same: the model, the
// task, the data, the values that the store holds now and whatever of the options a step depends
// on, threads and instruction sets among them. What is long is a hash.
JobParts PartsOf(const tasks::TrainingConfig& config, const tasks::Task& task,
                 const data::LoadedData& data, const ParameterStore& store);

}  // namespace hone::engine::train
