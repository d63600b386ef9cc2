#include <algorithm>
#include <numeric>
#include <utility>

#include "engine/base/status.h"
#include "engine/job/plan.h"
#include "engine/train/batch_filler.h"
#include "engine/train/meter.h"
#include "engine/train/programs.h"
#include "engine/train/train_step.h"

namespace hone::engine::job {
namespace {

constexpr double kStepSeconds = 1.2, kEvaluationSeconds = 0.5;
constexpr size_t kLeast = 3;  // times

// To write a checkpoint and sync it, beside its bytes.
constexpr double kCheckpointSeconds = 0.005;
constexpr double kCheckpointBytesPerSecond = 300e6;

double Median(std::vector<double>& values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

// What there is to time, on synthetic examples.
struct Trial {
  const tasks::TrainingConfig& config;
  train::Programs& programs;
  const train::BatchFiller& filler;
  int parts;                      // of a batch of the training
  tasks::TaskState* state;        // may be null
  std::span<const int32_t> rows;  // more than one batch
  int64_t batch;

  absl::Status Fill(const Program& program, int64_t bucket, int64_t first, int64_t count) const {
    return filler.Fill(
        tasks::Inputs(program, {count, bucket}),
        {.rows = rows.subspan(static_cast<size_t>(first), static_cast<size_t>(count)),
         .first = first});
  }
  tasks::BatchShape ShapeOf(int64_t size, int in_parts) const {
    return {size, filler.BucketOf(rows.first(static_cast<size_t>(size)), in_parts)};
  }
};

// Seconds of one batch through all updates, each for as much as it is made in a mean step, as the
// median of some; `flops` is what such a step computes.
absl::StatusOr<double> TimeStep(const Trial& trial, double& flops) {
  int64_t part_bucket = 0;  // of the running update's programs
  const auto fill = [&](const Program& program, int64_t first, int64_t count) {
    return trial.Fill(program, part_bucket, first, count);
  };
  std::vector<std::unique_ptr<train::TrainStep>> steps;
  for (train::CompiledUpdate& update : trial.programs.updates()) {
    steps.push_back(std::make_unique<train::TrainStep>(trial.programs.store(), *update.optimizer,
                                                       trial.programs.threads()));
  }
  std::vector<double> times;
  train::Clock::time_point before = train::Clock::now();
  const train::Clock::time_point begin = before;
  for (int64_t i = 1; times.size() < kLeast || train::SecondsBetween(begin, before) < kStepSeconds;
       ++i) {
    if (trial.state != nullptr) {
      HONE_RETURN_IF_ERROR(trial.state->BeginStep({.step = i,
                                                   .examples = trial.batch,
                                                   .programs = trial.programs,
                                                   .artifacts = tasks::ArtifactSink()}));
      trial.programs.store().RefreshAll();
    }
    const tasks::BatchShape shape = trial.ShapeOf(trial.batch, trial.parts);
    flops = 0;
    train::Clock::time_point now = train::Clock::now();
    double seconds = train::SecondsBetween(before, now);
    for (size_t u = 0; u < steps.size(); ++u) {
      const train::Clock::time_point update_begin = now;
      const auto every = static_cast<double>(trial.programs.updates()[u].spec.every);
      HONE_ASSIGN_OR_RETURN(const Replicas* replicas, trial.programs.training(u, shape));
      part_bucket = trial.programs.PartBucket(*replicas, shape.bucket);
      flops += FlopsOf(*replicas) / every;
      const train::StepRequest request = {
          .scalars = {.seed = trial.config.seed, .step = static_cast<uint64_t>(i)},
          .update_number = i,
          .learning_rate = 1e-6};
      HONE_RETURN_IF_ERROR(steps[u]->Run(*replicas, request, fill).status());
      now = train::Clock::now();
      seconds += train::SecondsBetween(update_begin, now) / every;
    }
    times.push_back(seconds);
    before = now;
    if (train::SecondsBetween(begin, before) > 2 * kStepSeconds) {
      break;
    }
  }
  if (times.size() > 1) {
    times.erase(times.begin());  // the first one touches its memory
  }
  return Median(times);
}

// Seconds of one batch of this shape, as the median of some; 0 where it has no program.
absl::StatusOr<double> TimeBatch(const Trial& trial, const tasks::BatchShape& shape,
                                 const absl::StatusOr<const Replicas*>& replicas) {
  if (!replicas.ok()) {
    return 0.0;
  }
  const auto fill = [&](const Program& program, int64_t first, int64_t count) {
    return trial.Fill(program, shape.bucket, first, count);
  };
  std::vector<double> times;
  const train::Clock::time_point begin = train::Clock::now();
  for (train::Clock::time_point before = begin;
       times.size() < kLeast || train::SecondsBetween(begin, before) < kEvaluationSeconds;) {
    HONE_RETURN_IF_ERROR(train::Evaluate(**replicas, {}, fill).status());
    const train::Clock::time_point now = train::Clock::now();
    times.push_back(train::SecondsBetween(before, now));
    before = now;
  }
  return Median(times);
}

// Seconds of a whole batch of evaluation, or of the part of it that lies behind the frozen trunk; 0
// where the bucket that is timed has none.
absl::StatusOr<double> TimeEvaluation(const Trial& trial, bool behind_trunk) {
  const tasks::BatchShape shape = trial.ShapeOf(trial.programs.evaluation_batch(), /*in_parts=*/1);
  return TimeBatch(
      trial, shape,
      behind_trunk ? trial.programs.trunk_evaluation(shape) : trial.programs.evaluation(shape));
}

// Seconds of all evaluations of a task whose state evaluates the training part before the first
// step, too: one shape is timed on examples made up for it, that which most of the arithmetic is
// of, and the others are to it as their arithmetic is.
absl::StatusOr<double> TimeEvaluatedShapes(const tasks::TrainingConfig& config,
                                           const tasks::DataInfo& info, const tasks::Task& task,
                                           double validations, train::Programs& programs) {
  tasks::BatchShape timed;
  double most = 0, timed_flops = 0, flops = 0;
  for (const auto& [shape, batches] :
       train::EvaluatedShapes(info, validations, task.evaluates_training_rows())) {
    HONE_ASSIGN_OR_RETURN(const Replicas* replicas, programs.evaluation(shape));
    const double of_batch = FlopsOf(*replicas);
    flops += batches * of_batch;
    if (batches * of_batch > most) {
      most = batches * of_batch;
      timed = shape;
      timed_flops = of_batch;
    }
  }
  if (most == 0) {
    return 0.0;
  }
  HONE_ASSIGN_OR_RETURN(const data::Dataset examples,
                        task.MakeUpExamples(config, info, timed.batch, timed.bucket));
  std::vector<int32_t> rows(static_cast<size_t>(timed.batch));
  std::iota(rows.begin(), rows.end(), 0);
  const train::BatchFiller filler(examples, task, /*state=*/nullptr);
  const Trial trial = {config, programs, filler, /*parts=*/1, nullptr, rows, timed.batch};
  HONE_ASSIGN_OR_RETURN(const double seconds, TimeBatch(trial, timed, programs.evaluation(timed)));
  return seconds * flops / timed_flops;
}

// Runs the frozen trunk, where there is one, over as many examples as a batch has, and lets the
// filler read what it gives. Seconds of running it over all examples of the job.
absl::StatusOr<double> TimeTrunk(const tasks::Task& task, const data::Dataset& examples,
                                 std::span<const int32_t> rows, int64_t batch,
                                 train::Programs& programs, train::BatchFiller& filler) {
  if (programs.trunk() == nullptr) {
    return 0.0;
  }
  const int64_t count = std::max(batch, programs.evaluation_batch());
  const train::Clock::time_point begin = train::Clock::now();
  HONE_RETURN_IF_ERROR(
      programs.KeepTrunkFeatures(task, {.dataset = examples,
                                        .training = rows.first(static_cast<size_t>(count)),
                                        .validation = {},
                                        .folder = "",
                                        .asked_to_end = [] { return false; }}));
  const double seconds = train::SecondsBetween(begin, train::Clock::now());
  filler.ReadTrunk(programs.trunk_features());
  const int64_t computed = (count + batch - 1) / batch * batch;
  return seconds * static_cast<double>(programs.trunk()->examples) / static_cast<double>(computed);
}

}  // namespace

absl::Status Measure(const tasks::TrainingConfig& config, const tasks::DataInfo& info,
                     const tasks::Task& task, train::Programs& programs, Plan& plan) {
  HONE_RETURN_IF_ERROR(programs.Bind());
  programs.store().Initialize(config.seed);
  programs.store().RefreshAll();
  const data::BucketRows& bucket =
      *std::ranges::max_element(programs.training_rows(), {}, &data::BucketRows::rows);
  const int64_t batch = std::min(config.batch_size, bucket.rows);
  // More than the caches hold of one batch, as in a real run.
  const int64_t count = std::max(batch, programs.evaluation_batch()) * 2;
  HONE_ASSIGN_OR_RETURN(const data::Dataset examples,
                        task.MakeUpExamples(config, info, count, bucket.bucket));
  std::vector<int32_t> rows(static_cast<size_t>(count));
  std::iota(rows.begin(), rows.end(), 0);
  const std::unique_ptr<tasks::TaskState> state = task.NewState(config);
  train::BatchFiller filler(examples, task, state.get());
  filler.Augment(config, info.preprocessing);
  filler.Share(programs.threads());
  HONE_ASSIGN_OR_RETURN(const double trunk_seconds,
                        TimeTrunk(task, examples, rows, batch, programs, filler));
  const Trial trial = {config, programs, filler, programs.parts(), state.get(), rows, batch};

  double flops = 0;
  HONE_ASSIGN_OR_RETURN(double step, TimeStep(trial, flops));
  if (programs.training_rows().size() > 1 && flops > 0) {
    // Steps of the other buckets are to this one as their arithmetic is.
    const int64_t steps = plan.steps_per_epoch * std::max<int64_t>(1, config.accumulate_batches);
    step *= plan.training_flops_per_example * static_cast<double>(info.train) /
            static_cast<double>(steps) / flops;
  }
  plan.step_seconds = step * static_cast<double>(std::max<int64_t>(1, config.accumulate_batches));
  const auto total = static_cast<double>(plan.total_steps);
  double seconds = *plan.step_seconds * total + trunk_seconds;

  const double epochs = total / static_cast<double>(plan.steps_per_epoch);
  const bool has_trunk = programs.trunk() != nullptr;
  const double validations = info.test > 0 ? epochs : epochs + 1;
  const double validated = validations * static_cast<double>(info.validation);
  const double whole = static_cast<double>(info.test) + (has_trunk ? 0 : validated);
  for (const auto& [examples_evaluated, behind_trunk] :
       {std::pair(whole, false), std::pair(has_trunk ? validated : 0.0, true)}) {
    if (!task.evaluates_training_rows() && examples_evaluated > 0 &&
        std::max(info.test, info.validation) >= programs.evaluation_batch()) {
      HONE_ASSIGN_OR_RETURN(const double evaluation, TimeEvaluation(trial, behind_trunk));
      seconds += evaluation * examples_evaluated / static_cast<double>(programs.evaluation_batch());
    }
  }
  if (task.evaluates_training_rows()) {
    HONE_ASSIGN_OR_RETURN(const double evaluations,
                          TimeEvaluatedShapes(config, info, task, validations, programs));
    seconds += evaluations;
  }
  const double checkpoint_seconds =
      kCheckpointSeconds + static_cast<double>(plan.checkpoint_bytes) / kCheckpointBytesPerSecond;
  seconds += checkpoint_seconds * (config.checkpoints.every_steps > 0
                                       ? total / static_cast<double>(config.checkpoints.every_steps)
                                       : epochs);
  plan.seconds = seconds;
  return absl::OkStatus();
}

}  // namespace hone::engine::job
