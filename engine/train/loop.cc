#include "engine/train/loop.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/cpu.h"
#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/train/checkpoints.h"
#include "engine/train/length.h"

namespace hone::engine::train {

checkpoint::RunState InitialState(const tasks::TrainingConfig& config,
                                  const tasks::DataInfo& info) {
  checkpoint::RunState state;
  state.seed = config.seed;
  state.scalars = {{"active_seconds", 0},
                   {"batch_size", static_cast<double>(config.batch_size)},
                   {"train_examples", static_cast<double>(info.train)}};
  const std::string sets = InstructionSets();
  state.arithmetic =
      absl::StrCat(config.threads, config.threads == 1 ? " thread, " : " threads, ",
                   config.compute == DType::kBf16 ? "bf16" : "f32", sets.empty() ? "" : ", ", sets);
  return state;
}

TrainingLoop::TrainingLoop(const LoopParts& parts, checkpoint::RunState state)
    : parts_(parts),
      place_(parts.world == nullptr ? Place() : parts.world->place()),
      observer_(place_.writes() ? parts.observer : deaf_),
      config_(parts.config),
      length_(LengthOf(parts.config, parts.info)),
      state_(std::move(state)),
      batches_(parts.data.splits.train, {.batch_size = parts.config.batch_size,
                                         .seed = parts.config.seed,
                                         .bucket_of = parts.task.RowBuckets(parts.data.dataset)}),
      task_state_(parts.task.NewState(parts.config)),
      filler_(parts.data.dataset, parts.task, task_state_.get()),
      artifacts_(place_.writes() ? tasks::ArtifactSink(config_.run_directory, parts.observer)
                                 : tasks::ArtifactSink()),
      monitor_(parts.programs),
      meter_(Clock::now(), parts.programs.updates().size()),
      mark_(Clock::now()),
      last_checkpoint_(mark_) {
  batches_.Seek({state_.epoch, state_.data_position});
  filler_.Augment(config_.augmentation, config_.seed);
  filler_.Share(config_.threads);
  active_seconds_ = state_.scalars["active_seconds"];
  step_batches_.reserve(static_cast<size_t>(std::max<int64_t>(config_.accumulate_batches, 1)));
  for (size_t u = 0; u < parts.programs.updates().size(); ++u) {
    const auto scalar = [&](absl::string_view name) { return state_.scalars[MetricName(u, name)]; };
    updates_.push_back(std::make_unique<RunningUpdate>(parts.programs.store(),
                                                       *parts.programs.updates()[u].optimizer,
                                                       config_.threads, parts.world));
    updates_.back()->epoch = {.loss = scalar("epoch_loss"),
                              .weight = scalar("epoch_weight"),
                              .correct = scalar("epoch_correct"),
                              .examples = static_cast<int64_t>(scalar("epoch_examples"))};
    // A checkpoint of a time when every update was made at every step does not say how many.
    const auto made = state_.scalars.find(MetricName(u, "updates"));
    updates_.back()->made =
        made == state_.scalars.end() ? state_.step : static_cast<int64_t>(made->second);
  }
}

std::string TrainingLoop::MetricName(size_t update, absl::string_view name) const {
  const std::string& of = parts_.programs.updates()[update].spec.name;
  return of.empty() ? std::string(name) : absl::StrCat(of, "_", name);
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
  while (!Finished() && !StoppedEarly()) {
    HONE_RETURN_IF_ERROR(Step());
    if (statistics_due_ &&
        std::ranges::all_of(updates_, [](const auto& update) { return update->measured; })) {
      EmitLayerStatistics();
    }
    bool improved = false;
    const int64_t best_before = state_.best.has_value() ? state_.best->step : -1;
    if (ended_epoch_) {
      HONE_RETURN_IF_ERROR(EndEpoch());
      improved = state_.best.has_value() && state_.best->step != best_before;
    }
    if (Finished() || StoppedEarly() || meter_.due(mark_, ended_epoch_)) {
      EmitMetrics();
    }
    HONE_RETURN_IF_ERROR(MaybeCheckpoint(ended_epoch_, improved));
    if (AskedToStop() && !Finished() && !StoppedEarly()) {
      HONE_RETURN_IF_ERROR(WriteCheckpoint(false));
      return EndReason::kCancelled;
    }
  }
  return Finished() ? EndReason::kCompleted : EndReason::kEarlyStop;
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
    std::ranges::for_each(updates_, [](auto& update) { update->measured = false; });
  }
  if (task_state_ != nullptr) {
    HONE_RETURN_IF_ERROR(task_state_->BeginStep({.step = step,
                                                 .examples = examples,
                                                 .programs = parts_.programs,
                                                 .artifacts = artifacts_}));
    parts_.programs.store().RefreshAll();
  }
  for (size_t u = 0; u < updates_.size(); ++u) {
    if (!Makes(u, step)) {
      continue;
    }
    HONE_RETURN_IF_ERROR(Update(u, step));
    const StepResult& result = updates_[u]->result;
    const tasks::Sums sums = {result.loss_sum, result.weight, result.correct, examples};
    updates_[u]->epoch.Add(sums);
    meter_.AddUpdate(u, sums);
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
  meter_.AddStep(examples, seconds);
  return absl::OkStatus();
}

bool TrainingLoop::Makes(size_t u, int64_t step) const {
  return parts_.programs.updates()[u].spec.due(step) &&
         (task_state_ == nullptr || task_state_->Makes(u));
}

absl::Status TrainingLoop::Update(size_t u, int64_t step) {
  RunningUpdate& update = *updates_[u];
  const bool measures = statistics_due_ && !update.measured;
  update.learning_rate = LearningRate(u);
  int64_t before = 0;  // examples of the step's batches before this one
  for (const data::Batch& batch : step_batches_) {
    const auto size = static_cast<int64_t>(batch.rows.size());
    const int64_t begin = place_.PartOf(size).first;
    const int64_t bucket = filler_.BucketOf(batch.rows);
    const auto fill = [&](const Program& program, int64_t first, int64_t count) {
      return filler_.Fill(tasks::Inputs(program, {count, bucket}),
                          {.rows = batch.rows.subspan(static_cast<size_t>(begin + first),
                                                      static_cast<size_t>(count)),
                           .first = before + begin + first,
                           .epoch = batch.begin.epoch});
    };
    HONE_ASSIGN_OR_RETURN(const Replicas* found, parts_.programs.training(u, {size, bucket}));
    const Replicas& replicas = *found;
    const bool last = &batch == &step_batches_.back();
    if (!last) {
      HONE_RETURN_IF_ERROR(update.step.Accumulate(replicas, ScalarsOf(u, batch, begin), fill));
    } else {
      const StepRequest request = {.scalars = ScalarsOf(u, batch, begin),
                                   .update_number = update.made + 1,
                                   .learning_rate = update.learning_rate,
                                   .clip_norm = config_.clip_norm,
                                   .clip_value = config_.clip_value,
                                   .layer_norms = measures,
                                   .stop = parts_.stop.load(std::memory_order_relaxed)};
      HONE_ASSIGN_OR_RETURN(update.result, update.step.Run(replicas, request, fill));
      if (!update.result.finite) {
        return absl::OutOfRangeError(absl::StrCat(
            "step ", step, ": the ",
            MetricName(u, std::isfinite(update.result.loss_sum) ? "gradient" : "loss"),
            " is not finite; the weights were left as they were. A smaller learning rate, "
            "clip_norm or normalised data may help"));
      }
    }
    if (config_.layer_statistics_every > 0) {
      // Of several ranks the first shard holds the sum of all.
      monitor_.ObserveUpdate(u, last && parts_.world != nullptr ? 1 : replicas.shards());
    }
    before += size;
  }
  ++update.made;
  update.measured = update.measured || measures;
  return absl::OkStatus();
}

absl::Status TrainingLoop::EndEpoch() {
  std::map<std::string, double> values;
  checkpoint::HistoryPoint point{
      .step = state_.step, .epoch = static_cast<double>(state_.epoch), .values = {}};
  for (size_t u = 0; u < updates_.size(); ++u) {
    AddUpdateMetrics(u, updates_[u]->epoch, point.values);
    updates_[u]->epoch = {};
  }
  if (parts_.info.validation > 0 || parts_.task.evaluates_without_rows()) {
    std::optional<double> loss;
    HONE_RETURN_IF_ERROR(Validate(values, loss));
    point.values.insert(values.begin(), values.end());
    if (loss.has_value()) {
      ObserveValidation(*loss);
    }
  }
  for (const auto& [name, value] : values) {
    of_epochs_[name] = value;
  }
  AddToHistory(std::move(point));
  return absl::OkStatus();
}

// Tiny data may have a million epochs: of a long history every second point is dropped.
void TrainingLoop::AddToHistory(checkpoint::HistoryPoint point) {
  constexpr size_t kMost = 4096;
  std::vector<checkpoint::HistoryPoint>& history = state_.history;
  history.push_back(std::move(point));
  if (history.size() == kMost) {
    for (size_t i = 0; i < kMost / 2; ++i) {
      history[i] = std::move(history[2 * i + 1]);  // the newest stays
    }
    history.resize(kMost / 2);
  }
}

absl::Status TrainingLoop::Validate(std::map<std::string, double>& values,
                                    std::optional<double>& loss) {
  const Clock::time_point begin = Clock::now();
  const auto progress = [this](double) { observer_.OnProgress("training", -1); };
  HONE_ASSIGN_OR_RETURN(const tasks::Evaluation evaluation,
                        parts_.task.Evaluate({.dataset = parts_.data.dataset,
                                              .info = parts_.info,
                                              .state = task_state_.get(),
                                              .programs = parts_.programs,
                                              .rows = parts_.data.splits.validation,
                                              .split = "validation",
                                              .step = state_.step,
                                              .artifacts = artifacts_,
                                              .progress = progress}));
  for (const auto& [name, value] : evaluation.metrics) {
    values[absl::StrCat("validation_", name)] = value;
  }
  if (const auto found = evaluation.metrics.find("loss"); found != evaluation.metrics.end()) {
    loss = found->second;
  }
  mark_ = Clock::now();
  validation_seconds_ = SecondsBetween(begin, mark_);
  return absl::OkStatus();
}

void TrainingLoop::ObserveValidation(double loss) {
  if (optim::ObserveValidationLoss(config_.schedule, loss, state_.plateau)) {
    observer_.OnLog(
        Severity::kInfo,
        absl::StrFormat("the validation loss does not fall: learning rate × %g from here",
                        state_.plateau.factor));
  }
  const double min_delta = config_.early_stopping ? config_.early_stopping->min_delta : 0;
  if (!std::isfinite(loss)) {
    observer_.OnLog(Severity::kWarning,
                    absl::StrCat("step ", state_.step,
                                 ": the validation loss is not finite; these weights are "
                                 "not taken for the best"));
  }
  const bool improved =
      std::isfinite(loss) && (!state_.best.has_value() || loss < state_.best->value - min_delta);
  if (improved) {
    state_.best = {.name = "validation_loss", .value = loss, .step = state_.step};
    state_.epochs_without_improvement = 0;
  } else {
    ++state_.epochs_without_improvement;
  }
}

bool TrainingLoop::StoppedEarly() const {
  return config_.early_stopping.has_value() &&
         state_.epochs_without_improvement >= config_.early_stopping->patience;
}

bool TrainingLoop::AskedToStop() const {
  if (parts_.world == nullptr) {
    return parts_.stop.load(std::memory_order_relaxed);
  }
  return std::ranges::any_of(updates_, [](const auto& update) { return update->result.stop; });
}

absl::Status TrainingLoop::MaybeCheckpoint(bool ends_epoch, bool improved) {
  const tasks::CheckpointPolicy& policy = config_.checkpoints;
  const double since = SecondsBetween(last_checkpoint_, mark_);
  // Where epochs are short, at some of their ends: checkpoints take a twentieth of the time at
  // most.
  const bool worth_it = since >= 20 * checkpoint_seconds_;
  const bool by_step =
      policy.every_steps > 0 ? state_.step % policy.every_steps == 0 : ends_epoch && worth_it;
  const bool by_time = policy.every_seconds > 0 && since >= policy.every_seconds;
  if (by_step || by_time || improved || Finished() || StoppedEarly()) {
    return WriteCheckpoint(improved);
  }
  return absl::OkStatus();
}

absl::Status TrainingLoop::WriteCheckpoint(bool best) {
  if (!place_.writes()) {
    return absl::OkStatus();
  }
  state_.scalars["active_seconds"] = active_seconds_;
  for (size_t u = 0; u < updates_.size(); ++u) {
    const tasks::Sums& epoch = updates_[u]->epoch;
    state_.scalars[MetricName(u, "epoch_loss")] = epoch.loss;
    state_.scalars[MetricName(u, "epoch_weight")] = epoch.weight;
    state_.scalars[MetricName(u, "epoch_correct")] = epoch.correct;
    state_.scalars[MetricName(u, "epoch_examples")] = static_cast<double>(epoch.examples);
    state_.scalars[MetricName(u, "updates")] = static_cast<double>(updates_[u]->made);
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

double TrainingLoop::LearningRate(size_t u) const {
  return optim::LearningRateOf(parts_.programs.updates()[u].options(config_)) *
         optim::LearningRateFactor(config_.schedule,
                                   {.step = state_.step,
                                    .total_steps = length_.total_steps,
                                    .steps_per_epoch = length_.steps_per_epoch},
                                   state_.plateau);
}

uint64_t SeedOfUpdate(uint64_t seed, size_t update) {
  if (update == 0) {
    return seed;
  }
  RandomStream stream(seed, "update", update);
  const uint64_t high = stream.NextBits();
  return high << 32 | stream.NextBits();
}

// Random numbers are keyed by the update and by the batch's place in the whole run.
RunScalars TrainingLoop::ScalarsOf(size_t u, const data::Batch& batch, int64_t first) const {
  const int64_t number = batch.begin.epoch * batches_.batches_per_epoch() + batch.number;
  return {.seed = SeedOfUpdate(config_.seed, u),
          .step = static_cast<uint64_t>(number),
          .first_example = first};
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
                  .total_steps = length_.total_steps,
                  .values = {}};
  const int64_t steps = std::max<int64_t>(meter_.steps(), 1);
  const double recent = meter_.seconds() / static_cast<double>(steps);
  const double step_time = recent > 0 ? (recent + step_seconds()) / 2 : step_seconds();
  const auto left = static_cast<double>(length_.total_steps - state_.step);
  metrics.eta_seconds =
      left * (step_time + validation_seconds_ / static_cast<double>(length_.steps_per_epoch));
  return metrics;
}

void TrainingLoop::AddUpdateMetrics(size_t u, const tasks::Sums& sums,
                                    std::map<std::string, double>& values) const {
  if (sums.examples == 0) {
    return;  // it was not made
  }
  std::map<std::string, double> own = {{"loss", sums.mean_loss()}};
  parts_.task.AddTrainingMetrics(sums, own);
  for (const auto& [name, value] : own) {
    values[MetricName(u, name)] = value;
  }
}

void TrainingLoop::EmitMetrics() {
  Metrics metrics = MetricsNow();
  metrics.values = std::exchange(of_epochs_, {});
  for (size_t u = 0; u < updates_.size(); ++u) {
    AddUpdateMetrics(u, meter_.sums(u), metrics.values);
    if (meter_.sums(u).examples > 0) {
      metrics.values[MetricName(u, "learning_rate")] = updates_[u]->learning_rate;
      metrics.values[MetricName(u, "gradient_norm")] = updates_[u]->result.gradient_norm;
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
      monitor_.Collect(state_.step, [this](size_t u) { return updates_[u]->result.weight; });
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
