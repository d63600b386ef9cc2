#include "engine/train/loop.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/optim/schedule.h"
#include "engine/train/checkpoints.h"
#include "engine/train/same_job.h"
#include "engine/train/weight_average.h"

namespace hone::engine::train {

TrainingLoop::TrainingLoop(const LoopParts& parts, checkpoint::RunState state)
    : parts_(parts),
      place_(parts.world == nullptr ? Place() : parts.world->place()),
      observer_(place_.writes() ? parts.observer : deaf_),
      config_(parts.config),
      length_(LengthOf(parts.config, parts.info)),
      state_(std::move(state)),
      batches_(parts.data.splits.train,
               tasks::TrainingBatches(parts.data.dataset, parts.task, parts.config)),
      task_state_(parts.task.NewState(parts.config)),
      filler_(parts.data.dataset, parts.task, task_state_.get()),
      artifacts_(place_.writes() ? tasks::ArtifactSink(config_.run_directory, parts.observer)
                                 : tasks::ArtifactSink()),
      monitor_(parts.programs),
      meter_(Clock::now(), parts.programs.updates().size()),
      mark_(Clock::now()),
      last_checkpoint_(mark_) {
  batches_.Seek({state_.epoch, state_.data_position});
  filler_.Augment(config_, parts.data.preprocessing);
  filler_.Share(parts.programs.threads());
  active_seconds_ = state_.scalars["active_seconds"];
  step_batches_.reserve(static_cast<size_t>(std::max<int64_t>(config_.accumulate_batches, 1)));
  const UpdateParts of_updates = {config_,  parts.task,  parts.programs,   filler_,
                                  monitor_, parts.world, task_state_.get()};
  for (size_t u = 0; u < parts.programs.updates().size(); ++u) {
    updates_.push_back(std::make_unique<RunningUpdate>(of_updates, u, state_));
  }
}

absl::StatusOr<EndReason> TrainingLoop::Run() {
  absl::StatusOr<EndReason> end = Train();
  if (!end.ok() && parts_.world != nullptr) {
    StepReport report = {.step = state_.step, .sums = {}, .failure = end.status()};
    parts_.world->Exchange(report).IgnoreError();  // is the failure
  }
  return end;
}

absl::StatusOr<EndReason> TrainingLoop::Train() {
  if (task_state_ != nullptr && state_.step > 0) {
    HONE_RETURN_IF_ERROR(task_state_->Restore(state_));
  }
  if (parts_.world != nullptr) {
    StepReport report = {
        .step = state_.step,
        .sums = {},
        .failure = {},
        .job = PartsOf(config_, parts_.task, parts_.data, parts_.programs.store())};
    HONE_RETURN_IF_ERROR(parts_.world->Exchange(report));
  }
  if (!Ends()) {
    const absl::Status begun = Begin();
    if (absl::IsCancelled(begun)) {
      return EndReason::kCancelled;
    }
    HONE_RETURN_IF_ERROR(begun);
  }
  while (!Ends()) {
    HONE_RETURN_IF_ERROR(Step());
    if (statistics_due_ &&
        std::ranges::none_of(updates_, [](const auto& update) { return update->wants_norms(); })) {
      EmitLayerStatistics();
    }
    bool improved = false;
    // The last weights are judged wherever in an epoch they come to be: those that were not cannot
    // be the best. A run that stops before its length leaves that to the one that goes on.
    const bool last = Finished() && length_.last_step == length_.total_steps;
    if (ended_epoch_ || (last && parts_.info.validation > 0)) {
      HONE_ASSIGN_OR_RETURN(improved, EndEpoch());
    }
    if (Ends() || meter_.due(mark_, ended_epoch_)) {
      EmitMetrics();
    }
    HONE_RETURN_IF_ERROR(MaybeCheckpoint(improved));
    if (AskedToStop() && !Ends()) {
      HONE_RETURN_IF_ERROR(WriteCheckpoint(false));
      return EndReason::kCancelled;
    }
  }
  return Finished() ? EndReason::kCompleted : EndReason::kEarlyStop;
}

absl::Status TrainingLoop::Begin() {
  HONE_RETURN_IF_ERROR(KeepTrunkFeatures());
  if (task_state_ == nullptr || state_.step > 0) {
    return absl::OkStatus();
  }
  const auto asked_to_end = [this] {
    observer_.OnProgress("training", -1);
    // Ranks end together, after a step.
    return parts_.world == nullptr && parts_.stop.load(std::memory_order_relaxed);
  };
  const auto log = [this](const std::string& text) { observer_.OnLog(Severity::kInfo, text); };
  HONE_RETURN_IF_ERROR(task_state_->Begin({.dataset = parts_.data.dataset,
                                           .splits = parts_.data.splits,
                                           .info = parts_.info,
                                           .programs = parts_.programs,
                                           .artifacts = artifacts_,
                                           .asked_to_end = asked_to_end,
                                           .log = log}));
  mark_ = Clock::now();
  return absl::OkStatus();
}

absl::Status TrainingLoop::KeepTrunkFeatures() {
  const FrozenTrunk* const trunk = parts_.programs.trunk();
  if (trunk == nullptr) {
    return absl::OkStatus();
  }
  const bool in_memory = TrunkFeatures::InMemory(trunk->bytes()) > 0;
  observer_.OnLog(Severity::kInfo,
                  absl::StrCat("the frozen layers, up to ", trunk->layer, ", are run once: what ",
                               "they give for ", trunk->examples, " examples is kept, ",
                               (trunk->bytes() >> 20) + 1, " MiB ",
                               in_memory ? "of memory" : "in a file of the run's folder"));
  const auto asked_to_end = [this] {
    observer_.OnProgress("training", -1);
    return parts_.stop.load(std::memory_order_relaxed);
  };
  HONE_RETURN_IF_ERROR(Annotate(
      parts_.programs.KeepTrunkFeatures(parts_.task, {.dataset = parts_.data.dataset,
                                                      .training = parts_.data.splits.train,
                                                      .validation = parts_.data.splits.validation,
                                                      .folder = config_.run_directory,
                                                      .asked_to_end = asked_to_end}),
      "training.cache_frozen"));
  filler_.ReadTrunk(parts_.programs.trunk_features());
  mark_ = Clock::now();
  return absl::OkStatus();
}

// One batch, or several whose gradients are added up, never across an epoch's end; for each update
// of the task that is made at this step the same.
absl::Status TrainingLoop::Step() {
  step_batches_.clear();
  int64_t examples = 0;
  do {
    step_batches_.push_back(batches_.Next());
    examples += static_cast<int64_t>(step_batches_.back().rows.size());
  } while (static_cast<int64_t>(step_batches_.size()) < config_.accumulate_batches &&
           !step_batches_.back().ends_epoch());
  const int64_t step = state_.step + 1;
  const int64_t every = config_.layer_statistics_every;
  if (every > 0 && step % every == 0) {
    // They wait for the updates that are not made at this step.
    statistics_due_ = true;
    std::ranges::for_each(updates_, [](auto& update) { update->WantNorms(); });
  }
  if (task_state_ != nullptr) {
    HONE_RETURN_IF_ERROR(task_state_->BeginStep({.step = step,
                                                 .examples = examples,
                                                 .programs = parts_.programs,
                                                 .artifacts = artifacts_}));
    parts_.programs.store().RefreshAll();
  }
  const UpdateRequest request = {.step = step,
                                 .batches = step_batches_,
                                 .batches_per_epoch = batches_.batches_per_epoch(),
                                 .learning_rate_factor = LearningRateFactor(),
                                 .stop = parts_.stop.load(std::memory_order_relaxed)};
  for (size_t u = 0; u < updates_.size(); ++u) {
    if (Makes(u, step)) {
      HONE_ASSIGN_OR_RETURN(const tasks::Sums sums, updates_[u]->Make(request));
      meter_.AddUpdate(u, sums);
    }
  }
  const data::Batch& last = step_batches_.back();
  state_.step = step;
  state_.epoch = last.end.epoch;
  state_.data_position = last.end.next;
  ended_epoch_ = last.ends_epoch();
  const Clock::time_point now = Clock::now();
  const double seconds = SecondsBetween(mark_, now);
  mark_ = now;
  active_seconds_ += seconds;
  for (const data::Batch& batch : step_batches_) {
    tokens_ += parts_.task.CountTokens(parts_.data.dataset, batch.rows).read;
  }
  seconds_of_tokens_ += seconds;
  meter_.AddStep(examples, seconds);
  return absl::OkStatus();
}

bool TrainingLoop::Makes(size_t u, int64_t step) const {
  return parts_.programs.updates()[u].spec.due(step) &&
         (task_state_ == nullptr || task_state_->Makes(u));
}

double TrainingLoop::LearningRateFactor() const {
  return optim::LearningRateFactor(config_.schedule,
                                   {.step = state_.step,
                                    .total_steps = length_.total_steps,
                                    .steps_per_epoch = length_.steps_per_epoch},
                                   state_.plateau);
}

absl::StatusOr<bool> TrainingLoop::EndEpoch() {
  std::map<std::string, double> values;
  checkpoint::HistoryPoint point{
      .step = state_.step,
      .epoch = static_cast<double>(samples()) / static_cast<double>(parts_.info.train),
      .values = {}};
  for (const auto& update : updates_) {
    update->AddMetrics(update->EndEpoch(), point.values);
  }
  bool improved = false;
  if (parts_.info.validation > 0 || parts_.task.evaluates_without_rows()) {
    std::optional<Criterion> criterion;
    HONE_RETURN_IF_ERROR(Validate(values, criterion));
    point.values.insert(values.begin(), values.end());
    if (criterion.has_value()) {
      improved = ObserveValidation(config_, *criterion, state_, observer_);
    }
  }
  for (const auto& [name, value] : values) {
    of_epochs_[name] = value;
  }
  AddToHistory(std::move(point), state_);
  return improved;
}

absl::Status TrainingLoop::Validate(std::map<std::string, double>& values,
                                    std::optional<Criterion>& criterion) {
  const Clock::time_point begin = Clock::now();
  const auto progress = [this](double) { observer_.OnProgress("training", -1); };
  WeightAverage average(parts_.programs.store());
  if (config_.average_decay > 0) {
    average.Exchange();
  }
  absl::StatusOr<tasks::Evaluation> evaluated =
      parts_.task.Evaluate({.dataset = parts_.data.dataset,
                            .info = parts_.info,
                            .state = task_state_.get(),
                            .programs = parts_.programs,
                            .rows = parts_.data.splits.validation,
                            .split = "validation",
                            .step = state_.step,
                            .artifacts = artifacts_,
                            .progress = progress});
  if (config_.average_decay > 0) {
    average.Exchange();
  }
  HONE_ASSIGN_OR_RETURN(const tasks::Evaluation evaluation, std::move(evaluated));
  for (const auto& [name, value] : evaluation.metrics) {
    values[absl::StrCat("validation_", name)] = value;
  }
  values.insert(evaluation.own_metrics.begin(), evaluation.own_metrics.end());
  for (const std::string& warning : evaluation.warnings) {
    observer_.OnLog(Severity::kWarning, warning);
  }
  const std::string by = evaluation.best_by.empty() ? "loss" : evaluation.best_by;
  if (const auto found = evaluation.metrics.find(by); found != evaluation.metrics.end()) {
    criterion = {.name = absl::StrCat("validation_", by),
                 .value = found->second,
                 .rises = !evaluation.best_by.empty()};
  }
  if (!evaluation.note.empty()) {
    observer_.OnLog(Severity::kInfo, evaluation.note);
  }
  mark_ = Clock::now();
  validation_seconds_ = SecondsBetween(begin, mark_);
  return absl::OkStatus();
}

bool TrainingLoop::Ends() const { return Finished() || StoppedEarly(config_, state_); }

bool TrainingLoop::AskedToStop() const {
  if (parts_.world == nullptr) {
    return parts_.stop.load(std::memory_order_relaxed);
  }
  return std::ranges::any_of(updates_, [](const auto& update) { return update->result().stop; });
}

absl::Status TrainingLoop::MaybeCheckpoint(bool improved) {
  const tasks::CheckpointPolicy& policy = config_.checkpoints;
  const double since = SecondsBetween(last_checkpoint_, mark_);
  // Where epochs are short, at some of their ends: checkpoints take a twentieth of the time at
  // most.
  const bool worth_it = since >= 20 * checkpoint_seconds_;
  const bool by_step =
      policy.every_steps > 0 ? state_.step % policy.every_steps == 0 : ended_epoch_ && worth_it;
  const bool by_time = policy.every_seconds > 0 && since >= policy.every_seconds;
  if (by_step || by_time || improved || Ends()) {
    return WriteCheckpoint(improved);
  }
  return absl::OkStatus();
}

absl::Status TrainingLoop::WriteCheckpoint(bool best) {
  if (!place_.writes()) {
    return absl::OkStatus();
  }
  state_.scalars["active_seconds"] = active_seconds_;
  for (const auto& update : updates_) {
    update->Save(state_);
  }
  if (task_state_ != nullptr) {
    task_state_->Save(state_);
  }
  const Clock::time_point begin = Clock::now();
  absl::StatusOr<checkpoint::WrittenCheckpoint> written =
      SaveCheckpoint(config_, parts_.programs, state_);
  if (!written.ok()) {
    checkpoint_failed_ = !absl::IsOutOfRange(written.status());
    return Annotate(written.status(), absl::StrCat("step ", state_.step, ": no checkpoint"));
  }
  mark_ = Clock::now();
  last_checkpoint_ = mark_;
  checkpoint_seconds_ = SecondsBetween(begin, mark_);
  const std::string path = written->directory.substr(config_.run_directory.size() + 1);
  observer_.OnCheckpoint({.step = state_.step,
                          .path = path,
                          .bytes = written->bytes,
                          .seconds = checkpoint_seconds_,
                          .best = best});
  return absl::OkStatus();
}

int64_t TrainingLoop::samples() const {
  return state_.epoch * parts_.info.train + state_.data_position;
}

double TrainingLoop::step_seconds() const {
  return state_.step > 0 ? active_seconds_ / static_cast<double>(state_.step) : 0;
}

Metrics TrainingLoop::MetricsNow() {
  Metrics metrics{.step = state_.step,
                  .epoch = static_cast<double>(samples()) / static_cast<double>(parts_.info.train),
                  .samples = samples(),
                  .active_seconds = active_seconds_,
                  .total_steps = length_.last_step,
                  .values = {}};
  const int64_t steps = std::max<int64_t>(meter_.steps(), 1);
  const double recent = meter_.seconds() / static_cast<double>(steps);
  const double step_time = recent > 0 ? (recent + step_seconds()) / 2 : step_seconds();
  const auto left = static_cast<double>(length_.last_step - state_.step);
  metrics.eta_seconds =
      left * (step_time + validation_seconds_ / static_cast<double>(length_.steps_per_epoch));
  return metrics;
}

void TrainingLoop::EmitMetrics() {
  Metrics metrics = MetricsNow();
  metrics.values = std::exchange(of_epochs_, {});
  for (size_t u = 0; u < updates_.size(); ++u) {
    const RunningUpdate& update = *updates_[u];
    update.AddMetrics(meter_.sums(u), metrics.values);
    if (meter_.sums(u).examples > 0) {
      metrics.values[update.MetricName("learning_rate")] = update.learning_rate();
      metrics.values[update.MetricName("gradient_norm")] = update.result().gradient_norm;
    }
  }
  if (task_state_ != nullptr) {
    task_state_->AddMetrics(metrics.values);
  }
  metrics.values["samples_per_second"] = meter_.samples_per_second();
  observer_.OnMetrics(metrics);
  mark_ = Clock::now();
  meter_.Restart(mark_, ended_epoch_);
}

void TrainingLoop::EmitLayerStatistics() {
  const LayerStatistics statistics =
      monitor_.Collect(state_.step, [this](size_t u) { return updates_[u]->result().weight; });
  statistics_due_ = false;
  observer_.OnLayerStatistics(statistics);
  for (size_t u = 0; u < updates_.size(); ++u) {
    for (const char* verdict : {"vanishing", "exploding", "dead"}) {
      const std::string text =
          DescribeFresh(statistics, monitor_.fresh(u), monitor_.last(u), verdict);
      if (!text.empty()) {
        observer_.OnLog(Severity::kWarning, text);
      }
    }
  }
  mark_ = Clock::now();
}

}  // namespace hone::engine::train
