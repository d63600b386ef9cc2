#pragma once

#include <atomic>
#include <string>

#include "absl/status/statusor.h"
#include "engine/job/observer.h"
#include "engine/tasks/task.h"
#include "engine/train/loop.h"

namespace hone::engine::job {

// Runs the job whose model the task's final evaluation needs (TaskEvaluation::HelperJob) in the
// folder helper/ of the run of `config`, or finds that an earlier attempt has done so.
// `model_directory` becomes the folder of its model, "" where the task needs none. The observer is
// told how far it is and what it came to. kCancelled: `stop` was set. Errors of Trainer::Run, with
// the helper's name.
absl::StatusOr<train::EndReason> RunHelperJob(const tasks::Task& task,
                                              const tasks::TrainingConfig& config,
                                              const std::atomic<bool>& stop,
                                              TrainingObserver& observer,
                                              std::string& model_directory);

}  // namespace hone::engine::job
