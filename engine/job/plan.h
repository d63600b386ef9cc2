#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/job/pretrained.h"
#include "engine/models/build.h"
#include "engine/tasks/config.h"
#include "engine/tasks/data_info.h"
#include "engine/train/programs.h"

namespace hone::engine {
class Replicas;
}

namespace hone::engine::tasks {
class Task;
}

namespace hone::engine::job {

// What a job is doing; where it fails, this and the status say why.
enum class Phase { kLoading, kPlanning, kTraining, kCheckpoint, kEvaluating, kPublishing };

// A job that comes before another one, which needs its model for its final evaluation.
struct HelperPlan {
  std::string display_name;
  int64_t parameters = 0;
  int64_t total_steps = 0;
  std::optional<double> seconds;  // of all of it
};

// What a job will cost, known before it runs.
struct Plan {
  std::string display_name;
  std::vector<models::LayerSummary> layers;
  int depth = 0;
  int64_t parameters = 0;
  int64_t trainable_parameters = 0;
  int64_t frozen_parameters = 0;
  int64_t buffer_values = 0;

  double forward_flops_per_example = 0;
  // Of what the compiled program really runs.
  double training_flops_per_example = 0;

  int64_t batch_size = 0;
  int64_t steps_per_epoch = 0;
  int64_t total_steps = 0;
  int64_t train_examples = 0;
  int64_t validation_examples = 0;
  int64_t test_examples = 0;
  // Of language models: tokens of the training part, and those of them that are learned.
  int64_t train_tokens = 0;
  int64_t learned_tokens = 0;

  int threads = 1;
  int shards = 1;
  std::string precision;
  bool recomputes = false;  // the backward pass computes parts of the forward pass again

  int64_t arena_bytes = 0;
  int64_t parameter_bytes = 0;  // values, gradients, those that add up over batches, packed copies
  int64_t optimizer_bytes = 0;
  int64_t dataset_bytes = 0;
  // What a frozen trunk gives for all examples (train/frozen_trunk.h): in memory, or in a file of
  // the run's folder where it is more than TrunkFeatures::kMemoryBytes. 0: there is none.
  int64_t trunk_bytes = 0;
  int64_t peak_memory_bytes = 0;  // of the whole process
  int64_t checkpoint_bytes = 0;

  std::optional<double> seconds;       // of the whole job
  std::optional<double> step_seconds;  // of one step

  std::optional<HelperPlan> helper;  // whose time and memory are a part of those above
};

// The programs of a run; `pretrained` is the job's and lends them its frozen weights.
// INVALID_ARGUMENT where job, data, task and an earlier model do not fit.
absl::StatusOr<std::unique_ptr<train::Programs>> CompileJob(
    const tasks::TrainingConfig& config, const tasks::DataInfo& info, const tasks::Task& task,
    const Pretrained& pretrained, const train::Place& place = {},
    train::Purpose purpose = train::Purpose::kTraining);

// Everything but the times. `programs` are compiled and not yet bound; the data set is in the
// memory of this process already, or not.
Plan MakePlan(const tasks::TrainingConfig& config, const tasks::DataInfo& info,
              const train::Programs& programs, bool data_in_memory);

// Of a batch, all shards together, as compiled.
double FlopsOf(const Replicas& replicas);

// Times steps and evaluation on made-up data for at most two seconds and fills `seconds` and
// `step_seconds`. Binds `programs`; their parameters are changed.
absl::Status Measure(const tasks::TrainingConfig& config, const tasks::DataInfo& info,
                     const tasks::Task& task, train::Programs& programs, Plan& plan);

// Adds what the helper job of the task costs (TaskEvaluation::HelperJob), where it needs one.
absl::Status AddHelper(const tasks::TrainingConfig& config, const tasks::Task& task, bool measure,
                       Phase* phase, Plan& plan);

// A plan without training anything: reads the data's headers, compiles, and with `measure` times
// some steps. `phase` says what it was doing when it failed.
absl::StatusOr<Plan> PlanJob(const tasks::TrainingConfig& config, bool measure, Phase* phase);

}  // namespace hone::engine::job
