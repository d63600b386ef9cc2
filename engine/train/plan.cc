#include "engine/train/plan.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/train/checkpoints.h"
#include "engine/train/evaluation.h"
#include "engine/train/meter.h"
#include "engine/train/process_memory.h"
#include "engine/train/programs.h"
#include "engine/train/train_step.h"

namespace hone::engine::train {
namespace {

// What a run adds that is not in a process that has only compiled: stacks, JIT code, events.
constexpr int64_t kRunBytes = int64_t{6} << 20;

// To write a checkpoint and sync it, beside its bytes.
constexpr double kCheckpointSeconds = 0.005;
constexpr double kCheckpointBytesPerSecond = 300e6;

double FlopsOf(const Replicas& replicas) {
  double flops = 0;
  for (int k = 0; k < replicas.shards(); ++k) {
    for (const Program::Step& step : replicas.program(k).steps()) {
      flops += step.cost.flops;
    }
  }
  return flops;
}

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

double Median(std::vector<double>& values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

}  // namespace

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

absl::Status Measure(const TrainingConfig& config, const DataInfo& info, const Task& task,
                     Programs& programs, Plan& plan) {
  constexpr double kStepSeconds = 1.2, kEvaluationSeconds = 0.5;
  constexpr size_t kLeast = 3;
  HONE_RETURN_IF_ERROR(programs.Bind());
  programs.store().Initialize(config.seed);
  programs.store().RefreshAll();
  const data::BucketRows& bucket = programs.training_rows().back();
  const int64_t batch = std::min(config.batch_size, bucket.rows);
  // More than the caches hold of one batch, as in a real run.
  const int64_t count = std::max(batch, programs.evaluation_batch()) * 2;
  HONE_ASSIGN_OR_RETURN(const data::Dataset examples,
                        task.MakeUpExamples(config, info, count, bucket.bucket));
  std::vector<int32_t> rows(static_cast<size_t>(count));
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i] = static_cast<int32_t>(i);
  }
  const std::unique_ptr<TaskState> state = task.NewState(config);
  BatchFiller filler(examples, task, state.get());
  filler.Augment(config.augmentation, config.seed);
  filler.Share(config.threads);
  const auto fill = [&](const Program& program, int64_t first, int64_t n) {
    filler.Fill(program, {.rows = std::span(rows).subspan(static_cast<size_t>(first),
                                                          static_cast<size_t>(n)),
                          .first = first});
  };
  std::vector<std::unique_ptr<TrainStep>> steps;
  for (CompiledUpdate& update : programs.updates()) {
    steps.push_back(
        std::make_unique<TrainStep>(programs.store(), *update.optimizer, config.threads));
  }
  std::vector<double> times;
  BatchShape timed;
  Clock::time_point before = Clock::now();
  const Clock::time_point begin = before;
  for (int64_t i = 1; times.size() < kLeast || SecondsBetween(begin, before) < kStepSeconds; ++i) {
    if (state != nullptr) {
      HONE_RETURN_IF_ERROR(state->BeginStep(
          {.step = i, .examples = batch, .programs = programs, .artifacts = ArtifactSink()}));
      programs.store().RefreshAll();
    }
    timed = {batch, filler.BucketOf(std::span(rows).first(static_cast<size_t>(batch)))};
    for (size_t u = 0; u < steps.size(); ++u) {
      HONE_ASSIGN_OR_RETURN(const Replicas* replicas, programs.training(u, timed));
      HONE_RETURN_IF_ERROR(
          steps[u]
              ->Run(*replicas,
                    {.scalars = {.seed = config.seed, .step = static_cast<uint64_t>(i)},
                     .update_number = i,
                     .learning_rate = 1e-6},
                    fill)
              .status());
    }
    const Clock::time_point now = Clock::now();
    times.push_back(SecondsBetween(before, now));
    before = now;
    if (SecondsBetween(begin, before) > 2 * kStepSeconds) {
      break;
    }
  }
  if (times.size() > 1) {
    times.erase(times.begin());  // the first one touches its memory
  }
  // Timed in one bucket; the others' steps are to it as their arithmetic is.
  double flops = 0;
  for (size_t u = 0; u < steps.size(); ++u) {
    HONE_ASSIGN_OR_RETURN(const Replicas* replicas, programs.training(u, timed));
    flops += FlopsOf(*replicas) / static_cast<double>(batch);
  }
  const bool several = programs.training_rows().size() > 1 && flops > 0;
  plan.step_seconds = Median(times) * (several ? plan.training_flops_per_example / flops : 1) *
                      static_cast<double>(std::max<int64_t>(1, config.accumulate_batches));
  const auto total = static_cast<double>(plan.total_steps);
  double seconds = *plan.step_seconds * total;

  const double epochs = total / static_cast<double>(plan.steps_per_epoch);
  const double evaluated = epochs * static_cast<double>(info.validation) +
                           static_cast<double>(info.test > 0 ? info.test : info.validation);
  const int64_t evaluation_batch =
      std::min(programs.evaluation_batch(), std::max(info.test, info.validation));
  const BatchShape evaluation = {evaluation_batch,
                                 filler.BucketOf(std::span(rows).first(
                                     static_cast<size_t>(std::max<int64_t>(evaluation_batch, 1))))};
  // The bucket that was timed may have no whole batch held out.
  const absl::StatusOr<const Replicas*> replicas = programs.evaluation(evaluation);
  if (evaluated > 0 && replicas.ok() &&
      std::max(info.test, info.validation) >= programs.evaluation_batch()) {
    times.clear();
    const Clock::time_point start = Clock::now();
    for (before = start;
         times.size() < kLeast || SecondsBetween(start, before) < kEvaluationSeconds;) {
      HONE_RETURN_IF_ERROR(Evaluate(**replicas, {}, fill).status());
      const Clock::time_point now = Clock::now();
      times.push_back(SecondsBetween(before, now));
      before = now;
    }
    seconds += Median(times) * evaluated / static_cast<double>(evaluation_batch);
  }
  const double checkpoint_seconds =
      kCheckpointSeconds + static_cast<double>(plan.checkpoint_bytes) / kCheckpointBytesPerSecond;
  seconds += checkpoint_seconds * (config.checkpoints.every_steps > 0
                                       ? total / static_cast<double>(config.checkpoints.every_steps)
                                       : epochs);
  plan.seconds = seconds;
  return absl::OkStatus();
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
