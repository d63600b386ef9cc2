#include "engine/train/job_plan.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/train/checkpoints.h"
#include "engine/train/meter.h"
#include "engine/train/process_memory.h"
#include "engine/train/programs.h"

namespace hone::engine::train {
namespace {

// What a run adds that is not in a process that has only compiled: stacks, JIT code, events.
constexpr int64_t kRunBytes = int64_t{6} << 20;

// Of all updates of a step; where there are row buckets, the mean over their examples.
double FlopsPerExample(const TrainingConfig& config, const DataInfo& info,
                       const Programs& programs) {
  double flops = 0;
  for (const data::BucketRows& rows : programs.training_rows()) {
    const int64_t batch = std::min(config.batch_size, rows.rows);
    const double share = static_cast<double>(rows.rows) / static_cast<double>(info.train);
    for (size_t u = 0; u < programs.updates().size(); ++u) {
      flops += share * FlopsOf(**programs.training(u, {batch, rows.bucket})) /
               static_cast<double>(batch);
    }
  }
  return flops;
}

// While it trains, or while the data are loaded, whichever needs more. A table has been read by now
// (Inspect reads it whole), so what that took is in the process's peak.
int64_t PeakBytes(const Plan& plan, const DataInfo& info, int64_t accumulated,
                  bool data_in_memory) {
  const int64_t resident = ResidentMemoryBytes();
  const int64_t training =
      resident + plan.arena_bytes + accumulated + kRunBytes + (data_in_memory ? 0 : info.bytes);
  const int64_t programs = plan.parameter_bytes - accumulated + plan.optimizer_bytes;
  const int64_t loading = data_in_memory ? 0 : resident - programs + info.loading_bytes;
  return std::max({training, loading, PeakMemoryBytes()});
}

}  // namespace

double FlopsOf(const Replicas& replicas) {
  double flops = 0;
  for (int k = 0; k < replicas.shards(); ++k) {
    for (const Program::Step& step : replicas.program(k).steps()) {
      flops += step.cost.flops;
    }
  }
  return flops;
}

Length LengthOf(const TrainingConfig& config, const DataInfo& info) {
  const data::BucketRows all = {.rows = info.train};
  const std::span<const data::BucketRows> rows =
      info.train_buckets.empty() ? std::span(&all, 1) : std::span(info.train_buckets);
  const int64_t batches = data::BatchesPerEpoch(rows, config.batch_size);
  const int64_t together = std::max<int64_t>(config.accumulate_batches, 1);
  Length length;
  length.steps_per_epoch = (batches + together - 1) / together;
  length.total_steps = config.steps > 0 ? config.steps : config.epochs * length.steps_per_epoch;
  return length;
}

absl::Status CheckLength(const TrainingConfig& config, const DataInfo& info) {
  const Length length = LengthOf(config, info);
  const bool plateau = std::holds_alternative<optim::Plateau>(config.schedule.kind);
  if ((!plateau && !config.early_stopping) || length.total_steps >= length.steps_per_epoch) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "training.steps: must be at least ", length.steps_per_epoch, ", one epoch, with ",
      plateau ? "schedule.plateau" : "early_stopping",
      ": the validation loss is measured at the ends of epochs; got ", length.total_steps));
}

Plan MakePlan(const TrainingConfig& config, const DataInfo& info, const Programs& programs,
              bool data_in_memory) {
  const Length length = LengthOf(config, info);
  const ParameterStore& store = programs.store();
  int64_t optimizer_bytes = 0;
  for (const CompiledUpdate& update : programs.updates()) {
    optimizer_bytes += update.optimizer->state_bytes();
  }
  Plan plan{.display_name = config.display_name,
            .layers = programs.layers(),
            .depth = programs.depth(),
            .training_flops_per_example = FlopsPerExample(config, info, programs),
            .batch_size = config.batch_size,
            .steps_per_epoch = length.steps_per_epoch,
            .total_steps = length.total_steps,
            .train_examples = info.train,
            .validation_examples = info.validation,
            .test_examples = info.test,
            .threads = config.threads,
            .shards = store.shards(),
            .precision = config.compute == DType::kBf16 ? "bf16" : "f32",
            .arena_bytes = programs.arena_bytes(),
            .parameter_bytes = store.SlabBytes(store.shards()) + store.packed_bytes() +
                               programs.accumulated_bytes(config),
            .optimizer_bytes = optimizer_bytes,
            .dataset_bytes = info.bytes,
            .checkpoint_bytes = CheckpointBytes(programs),
            .seconds = {},
            .step_seconds = {}};
  for (ParameterId id = 0; id < store.size(); ++id) {
    const int64_t elements = store.spec(id).shape.elements();
    switch (store.spec(id).role) {
      case ParameterRole::kTrainable:
        plan.trainable_parameters += elements;
        break;
      case ParameterRole::kFrozen:
        plan.frozen_parameters += elements;
        break;
      case ParameterRole::kBuffer:
      case ParameterRole::kTransient:
        plan.buffer_values += elements;
        break;
    }
  }
  plan.parameters = plan.trainable_parameters + plan.frozen_parameters;
  for (const models::LayerSummary& layer : plan.layers) {
    plan.forward_flops_per_example += layer.forward_flops;
  }
  plan.peak_memory_bytes =
      PeakBytes(plan, info, programs.accumulated_bytes(config), data_in_memory);
  return plan;
}

absl::StatusOr<Plan> PlanJob(const TrainingConfig& config, bool measure, Phase* phase) {
  *phase = Phase::kLoading;
  const Clock::time_point begin = Clock::now();
  const ScopedThreads threads(config.threads);
  const std::unique_ptr<Task> task = MakeTask(config.task);
  HONE_ASSIGN_OR_RETURN(const DataInfo info, task->InspectExamples(config));
  *phase = Phase::kPlanning;
  HONE_RETURN_IF_ERROR(CheckLength(config, info));
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<Programs> programs,
                        Programs::Compile(config, info, *task));
  Plan plan = MakePlan(config, info, *programs, /*data_in_memory=*/false);
  if (measure) {
    const double set_up_seconds = SecondsBetween(begin, Clock::now());
    HONE_RETURN_IF_ERROR(Measure(config, info, *task, *programs, plan));
    *plan.seconds += set_up_seconds;
  }
  return plan;
}

}  // namespace hone::engine::train
