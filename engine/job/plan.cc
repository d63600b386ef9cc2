#include "engine/job/plan.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/job/process_memory.h"
#include "engine/tasks/table.h"
#include "engine/train/checkpoints.h"
#include "engine/train/length.h"
#include "engine/train/meter.h"
#include "engine/train/programs.h"

namespace hone::engine::job {
namespace {

// What a run adds that is not in a process that has only compiled: stacks, JIT code, events.
constexpr int64_t kRunBytes = int64_t{6} << 20;

// Of all updates of a mean step; where there are row buckets, the mean over their examples.
double FlopsPerExample(const tasks::TrainingConfig& config, const train::Programs& programs) {
  double flops = 0, examples = 0;
  for (const data::BucketRows& rows : programs.training_rows()) {
    examples += static_cast<double>(rows.rows);
  }
  for (const data::BucketRows& rows : programs.training_rows()) {
    const int64_t batch = std::min(config.batch_size, rows.rows);
    const double share = static_cast<double>(rows.rows) / examples;
    for (size_t u = 0; u < programs.updates().size(); ++u) {
      flops += share * FlopsOf(**programs.training(u, {batch, rows.bucket})) /
               static_cast<double>(batch * programs.updates()[u].spec.every);
    }
  }
  return flops;
}

// While it trains, or while the data are loaded, whichever needs more. A table has been read by now
// (Inspect reads it whole), so what that took is in the process's peak.
int64_t PeakBytes(const Plan& plan, const tasks::DataInfo& info, int64_t accumulated,
                  int64_t borrowed, bool data_in_memory) {
  const int64_t resident = ResidentMemoryBytes();
  const int64_t trunk = plan.trunk_bytes == 0 ? 0
                                              : train::TrunkFeatures::InMemory(plan.trunk_bytes) +
                                                    int64_t{sizeof(int32_t)} *
                                                        (info.train + info.validation + info.test);
  // What a task's state keeps is there twice while a checkpoint is written.
  const int64_t training = resident + plan.arena_bytes + accumulated + borrowed + trunk +
                           2 * info.kept_bytes + kRunBytes + (data_in_memory ? 0 : info.bytes);
  const int64_t programs = plan.parameter_bytes - accumulated + plan.optimizer_bytes;
  const int64_t loading = data_in_memory ? 0 : resident - programs + info.loading_bytes;
  return std::max({training, loading, PeakMemoryBytes()});
}

// That the examples are what is to be changed.
absl::Status CheckAugmentation(const tasks::TrainingConfig& config,
                               data::Preprocessing::Input input) {
  using Input = data::Preprocessing::Input;
  if (config.augmentation.any() && input == Input::kTable) {
    return absl::InvalidArgumentError(
        "data.image.augmentation: changes pictures, and the examples are rows of a table, which "
        "data.table.augmentation changes");
  }
  if (config.table_augmentation.any() && input != Input::kTable) {
    return absl::InvalidArgumentError(
        absl::StrCat("data.table.augmentation: changes rows of a table that have a target, and the "
                     "examples are ",
                     input == Input::kImage  ? "pictures, which data.image.augmentation changes"
                     : input == Input::kText ? "texts, which data.text.augmentation changes"
                                             : "others"));
  }
  return absl::OkStatus();
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

absl::StatusOr<std::unique_ptr<train::Programs>> CompileJob(
    const tasks::TrainingConfig& config, const tasks::DataInfo& info, const tasks::Task& task,
    const Pretrained& pretrained, const train::Place& place, train::Purpose purpose) {
  HONE_RETURN_IF_ERROR(train::CheckLength(config, info));
  HONE_RETURN_IF_ERROR(task.CheckData(info));
  HONE_RETURN_IF_ERROR(CheckAugmentation(config, info.preprocessing.input));
  if (!config.pretrained.directory.empty()) {
    HONE_RETURN_IF_ERROR(CheckPretrainedData(config.pretrained, info));
  }
  const auto lend = [&](ParameterStore& store) -> absl::Status {
    if (!config.pretrained.new_tokens.empty()) {
      HONE_RETURN_IF_ERROR(CheckTablesAreLearned(config.parameter_rules, store));
    }
    return pretrained.LendTo(store);
  };
  return train::Programs::Compile(config, info, task, lend, place, purpose);
}

Plan MakePlan(const tasks::TrainingConfig& config, const tasks::DataInfo& info,
              const train::Programs& programs, bool data_in_memory) {
  const train::Length length = train::LengthOf(config, info);
  const ParameterStore& store = programs.store();
  int64_t optimizer_bytes = 0;
  for (const train::CompiledUpdate& update : programs.updates()) {
    optimizer_bytes += update.optimizer->state_bytes();
  }
  Plan plan{.display_name = config.display_name,
            .layers = programs.layers(),
            .depth = programs.depth(),
            .training_flops_per_example = FlopsPerExample(config, programs),
            .batch_size = config.batch_size,
            .steps_per_epoch = length.steps_per_epoch,
            .total_steps = length.last_step,
            .train_examples = info.train,
            .validation_examples = info.validation,
            .test_examples = info.test,
            .train_tokens = info.train_tokens.read,
            .learned_tokens = info.train_tokens.learned,
            .threads = programs.threads(),
            .shards = std::max(store.shards(), 1),  // an evaluation has none
            .precision = config.compute == DType::kBf16 ? "bf16" : "f32",
            .recomputes = programs.recomputes(),
            .arena_bytes = programs.arena_bytes(),
            .parameter_bytes = store.SlabBytes(store.shards()) + store.packed_bytes() +
                               programs.accumulated_bytes(config),
            .optimizer_bytes = optimizer_bytes,
            .dataset_bytes = info.bytes,
            .trunk_bytes = programs.trunk() == nullptr ? 0 : programs.trunk()->bytes(),
            .checkpoint_bytes = train::CheckpointBytes(programs) + info.kept_bytes,
            .seconds = {},
            .step_seconds = {},
            .helper = {}};
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
  plan.peak_memory_bytes = PeakBytes(plan, info, programs.accumulated_bytes(config),
                                     store.borrowed_bytes(), data_in_memory);
  return plan;
}

namespace {

absl::StatusOr<Plan> PlanAlone(const tasks::TrainingConfig& config, const tasks::Task& task,
                               bool measure, Phase* phase) {
  *phase = Phase::kLoading;
  const train::Clock::time_point begin = train::Clock::now();
  HONE_ASSIGN_OR_RETURN(const tasks::DataInfo info, task.InspectExamples(config));
  *phase = Phase::kPlanning;
  HONE_ASSIGN_OR_RETURN(const Pretrained pretrained, Pretrained::Open(config.pretrained));
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<train::Programs> programs,
                        CompileJob(config, info, task, pretrained));
  const ScopedThreads working(programs->threads());
  Plan plan = MakePlan(config, info, *programs, /*data_in_memory=*/false);
  if (measure) {
    const double set_up_seconds = train::SecondsBetween(begin, train::Clock::now());
    HONE_RETURN_IF_ERROR(Measure(config, info, task, *programs, plan));
    *plan.seconds += set_up_seconds;
  }
  return plan;
}

}  // namespace

// They run one after the other, in the same process.
absl::Status AddHelper(const tasks::TrainingConfig& config, const tasks::Task& task, bool measure,
                       Phase* phase, Plan& plan) {
  HONE_ASSIGN_OR_RETURN(const std::optional<tasks::TrainingConfig> job, task.HelperJob(config));
  if (!job.has_value()) {
    return absl::OkStatus();
  }
  ReleaseFreeMemory();
  const absl::StatusOr<Plan> helper = PlanJob(*job, measure, phase);
  HONE_RETURN_IF_ERROR(Annotate(helper.status(), job->display_name));
  plan.helper = HelperPlan{.display_name = helper->display_name,
                           .parameters = helper->parameters,
                           .total_steps = helper->total_steps,
                           .seconds = helper->seconds};
  plan.peak_memory_bytes = std::max(plan.peak_memory_bytes, helper->peak_memory_bytes);
  if (plan.seconds.has_value() && helper->seconds.has_value()) {
    *plan.seconds += *helper->seconds;
  }
  return absl::OkStatus();
}

absl::StatusOr<Plan> PlanJob(const tasks::TrainingConfig& config, bool measure, Phase* phase) {
  const ScopedThreads threads(config.threads);
  const std::unique_ptr<tasks::Task> task = tasks::MakeTask(config.task);
  HONE_ASSIGN_OR_RETURN(Plan plan, PlanAlone(config, *task, measure, phase));
  HONE_RETURN_IF_ERROR(AddHelper(config, *task, measure, phase, plan));
  return plan;
}

}  // namespace hone::engine::job
