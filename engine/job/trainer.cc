#include "engine/job/trainer.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "engine/base/cpu.h"
#include "engine/base/files.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/job/helper_job.h"
#include "engine/job/process_memory.h"
#include "engine/job/profile.h"
#include "engine/onednn/primitive.h"
#include "engine/tasks/model_file.h"
#include "engine/tasks/table.h"
#include "engine/train/checkpoints.h"
#include "engine/train/run_progress.h"
#include "engine/train/weight_average.h"

namespace hone::engine::job {
namespace {

// Metrics of the weights that a run begins with.
constexpr absl::string_view kStart = "start_";

// Numbers of the clock and the machine: not part of a model, which is the same wherever it is made.
bool IsOfTheMachine(absl::string_view name) {
  return name == "samples_per_second" || name == "tokens_per_second" || name == "wall_seconds" ||
         name == "peak_memory_bytes";
}

train::FitNumbers NumbersOf(const checkpoint::RunState& state, const tasks::DataInfo& info,
                            const tasks::Evaluation& evaluation, const std::string& split) {
  train::FitNumbers numbers;
  numbers.classes = info.classes();
  const auto find = [](const std::map<std::string, double>& values,
                       const std::string& name) -> std::optional<double> {
    const auto found = values.find(name);
    return found == values.end() ? std::nullopt : std::optional(found->second);
  };
  numbers.held_out_accuracy = find(evaluation.metrics, split + "_accuracy");
  numbers.r2 = find(evaluation.metrics, split + "_r2");
  if (!state.history.empty()) {
    numbers.training_accuracy = find(state.history.back().values, "accuracy");
    numbers.training_loss = find(state.history.back().values, "loss");
    numbers.validation_loss = find(state.history.back().values, "validation_loss");
  }
  if (state.best.has_value()) {
    numbers.best_validation_loss = state.best->value;
  }
  return numbers;
}

// Adds what this run has learned beside adapters to what an earlier one did.
void AddLearned(const ParameterStore& store, models::LoraDescription& lora) {
  for (ParameterId id = 0; id < store.size(); ++id) {
    const ParameterSpec& spec = store.spec(id);
    if (spec.role == ParameterRole::kTrainable && models::ProductOfFactor(spec.name).empty() &&
        std::ranges::find(lora.whole, spec.name) == lora.whole.end()) {
      lora.whole.push_back(spec.name);
    }
  }
}

}  // namespace

Trainer::Trainer(const tasks::TrainingConfig& config, const std::atomic<bool>& stop,
                 TrainingObserver& observer, train::World* world)
    : config_(config),
      stop_(stop),
      world_(world),
      place_(world == nullptr ? train::Place() : world->place()),
      deaf_(place_.writes() ? nullptr : std::make_unique<DeafTrainingObserver>()),
      observer_(place_.writes() ? observer : *deaf_) {}

Trainer::~Trainer() = default;

absl::StatusOr<train::EndReason> Trainer::Run() {
  absl::StatusOr<train::EndReason> end = RunJob();
  if (!end.ok() && world_ != nullptr) {
    train::StepReport report = {.step = step_, .sums = {}, .failure = end.status()};
    world_->Exchange(report).IgnoreError();  // is the failure, or one that came before
  }
  return end;
}

absl::StatusOr<train::EndReason> Trainer::RunJob() {
  std::optional<FileLock> lock;
  if (place_.writes()) {
    HONE_ASSIGN_OR_RETURN(FileLock taken, LockFolder());
    lock.emplace(std::move(taken));
  }
  const ScopedThreads threads(config_.threads);
  const std::unique_ptr<tasks::Task> task = tasks::MakeTask(config_.task);
  std::string helper_model;
  if (place_.writes()) {
    HONE_ASSIGN_OR_RETURN(const train::EndReason helped,
                          RunHelperJob(*task, config_, stop_, observer_, helper_model));
    if (helped == train::EndReason::kCancelled) {
      return helped;
    }
  }
  data::LoadOptions options = config_.data;
  options.sources.progress = [&](const std::string&, int64_t done, int64_t total) {
    observer_.OnProgress("loading",
                         total > 0 ? static_cast<double>(done) / static_cast<double>(total) : -1);
  };
  observer_.OnProgress("loading", -1);
  if (const int there = AvailableThreads(); config_.threads > there) {
    observer_.OnLog(
        train::Severity::kWarning,
        absl::StrCat("the job has ", config_.threads, " threads, this machine gives it ", there,
                     ": the weights will be the same, but it may take longer"));
  }
  HONE_ASSIGN_OR_RETURN(const data::LoadedData data, tasks::LoadExamples(options, config_, *task));
  const tasks::DataInfo info = tasks::InfoOf(data, *task, config_, task->evaluation_batch(config_));
  observer_.OnDataReport(data.report, info);

  phase_ = Phase::kPlanning;
  observer_.OnProgress("planning", -1);
  HONE_ASSIGN_OR_RETURN(const Pretrained pretrained, Pretrained::Open(config_.pretrained));
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<train::Programs> programs,
                        CompileJob(config_, info, *task, pretrained, place_));
  const ScopedThreads working(programs->threads());
  if (programs->recomputes() && config_.recompute == tasks::Recompute::kWhenNeeded) {
    observer_.OnLog(train::Severity::kInfo,
                    "memory is short: the backward pass computes parts of the forward pass again "
                    "instead of keeping them; the results are the same, a step takes longer");
  }
  Started started;
  started.plan = MakePlan(config_, info, *programs, /*data_in_memory=*/true);
  ReleaseFreeMemory();
  HONE_RETURN_IF_ERROR(programs->Bind());
  HONE_ASSIGN_OR_RETURN(checkpoint::RunState state,
                        StartOrResume(*programs, pretrained, info, data));
  started.resumed_from_step = state.step;
  started.engine = absl::StrCat(onednn::Description(), ", ", CpuDescription());
  observer_.OnStarted(started);

  phase_ = Phase::kTraining;
  const train::LoopParts parts{config_, data, info, *task, *programs, stop_, observer_, world_};
  if (state.step == 0) {
    HONE_RETURN_IF_ERROR(EvaluateStart(parts, state));
  }
  train::TrainingLoop loop(parts, std::move(state));
  const absl::StatusOr<train::EndReason> end = loop.Run();
  step_ = loop.state().step;
  if (!end.ok()) {
    phase_ = loop.checkpoint_failed() ? Phase::kCheckpoint : phase_;
    step_ += end.status().code() == absl::StatusCode::kOutOfRange ? 1 : 0;
    return end.status();
  }
  if (*end == train::EndReason::kCancelled || !place_.writes()) {
    return end;
  }
  phase_ = Phase::kEvaluating;
  HONE_RETURN_IF_ERROR(RestoreBest(loop.state(), *programs));
  if (config_.average_decay > 0) {
    train::WeightAverage(programs->store()).Exchange();
  }
  HONE_ASSIGN_OR_RETURN(const tasks::Evaluation evaluation, Evaluate(parts, loop, helper_model));
  phase_ = Phase::kPublishing;
  HONE_RETURN_IF_ERROR(Publish(parts, evaluation));
  observer_.OnEvaluation(evaluation);
  if (config_.profile) {
    HONE_ASSIGN_OR_RETURN(const std::string table, ProfileTraining(parts));
    observer_.OnLog(train::Severity::kInfo, table);
  }
  return end;
}

absl::StatusOr<FileLock> Trainer::LockFolder() const {
  // A worker whose parent has died takes a moment to go.
  constexpr int kTries = 60;
  std::error_code error;
  std::filesystem::create_directories(config_.run_directory, error);
  int tries = 0;
  absl::StatusOr<FileLock> lock = FileLock::Take(absl::StrCat(config_.run_directory, "/lock"), [&] {
    return ++tries < kTries && !stop_.load(std::memory_order_relaxed);
  });
  if (absl::IsUnavailable(lock.status()) && tries > 0) {
    return absl::UnavailableError(absl::StrCat(
        config_.run_directory, " is in use: another process trains in it; wait for its end"));
  }
  return lock;
}

absl::Status Trainer::Start(train::Programs& programs, const Pretrained& pretrained) const {
  ParameterStore& store = programs.store();
  store.Initialize(config_.seed,
                   [&](ParameterId id) { return !pretrained.Holds(store.spec(id).name); });
  HONE_RETURN_IF_ERROR(pretrained.Load(store));
  if (config_.average_decay > 0) {
    train::WeightAverage(store).Begin();
  }
  store.RefreshAll();
  return absl::OkStatus();
}

absl::StatusOr<checkpoint::RunState> Trainer::StartOrResume(train::Programs& programs,
                                                            const Pretrained& pretrained,
                                                            const tasks::DataInfo& info,
                                                            const data::LoadedData& data) {
  checkpoint::RunState initial = train::InitialState(config_, info);
  initial.data_fingerprint = data.fingerprint;
  if (!config_.resume) {
    HONE_RETURN_IF_ERROR(Start(programs, pretrained));
    return initial;
  }
  HONE_RETURN_IF_ERROR(train::CheckNoneIsMissing(config_));
  absl::StatusOr<checkpoint::Checkpoint> latest =
      checkpoint::LatestCheckpoint(train::CheckpointRoot(config_));
  if (absl::IsNotFound(latest.status())) {
    observer_.OnLog(train::Severity::kInfo,
                    "there is no checkpoint yet: the run starts from the beginning");
    HONE_RETURN_IF_ERROR(Start(programs, pretrained));
    return initial;
  }
  HONE_RETURN_IF_ERROR(latest.status());
  for (const checkpoint::SkippedCheckpoint& skipped : latest->skipped) {
    observer_.OnLog(
        train::Severity::kWarning,
        absl::StrCat("a newer checkpoint is damaged and was skipped: ", skipped.reason.message()));
  }
  for (const char* name : {"batch_size", "train_examples"}) {
    const double was = latest->state.scalars[name], is = initial.scalars.at(name);
    if (was != is || latest->state.seed != config_.seed) {
      return absl::InvalidArgumentError(absl::StrCat(
          latest->directory, ": the checkpoint is of another job: ", name, "=", was,
          " and seed=", latest->state.seed, " there, ", is, " and ", config_.seed, " here"));
    }
  }
  if (!latest->state.data_fingerprint.empty() &&
      latest->state.data_fingerprint != data.fingerprint) {
    const std::string what = absl::StrCat(
        latest->directory, ": the run began with other data than it finds now (",
        data.report.source, "): fingerprint ", latest->state.data_fingerprint, " there, ",
        data.fingerprint, " here. Give it its own data again, or begin a new run");
    // Generated digits stand in for what cannot be downloaded now: later it may be.
    return data.report.format == "generated" ? absl::UnavailableError(what)
                                             : absl::InvalidArgumentError(what);
  }
  if (!latest->state.arithmetic.empty() && latest->state.arithmetic != initial.arithmetic) {
    observer_.OnLog(train::Severity::kWarning,
                    absl::StrCat("the run began with ", latest->state.arithmetic,
                                 " and goes on with ", initial.arithmetic,
                                 ": its numbers will not be, to the last bit, those of a run that "
                                 "was left alone"));
  }
  // What no file keeps starts anew; all else comes from the checkpoint.
  ParameterStore& store = programs.store();
  store.Initialize(config_.seed, [&](ParameterId id) {
    return store.spec(id).role == ParameterRole::kTransient;
  });
  HONE_RETURN_IF_ERROR(train::RestoreCheckpoint(*latest, programs));
  return latest->state;
}

absl::Status Trainer::RestoreBest(const checkpoint::RunState& state, train::Programs& programs) {
  if (!state.best.has_value() || state.best->step == state.step) {
    return absl::OkStatus();
  }
  const absl::StatusOr<checkpoint::Checkpoint> best = checkpoint::LoadCheckpoint(
      checkpoint::CheckpointDirectory(train::CheckpointRoot(config_), state.best->step));
  if (!best.ok()) {
    observer_.OnLog(train::Severity::kWarning,
                    absl::StrCat("the weights at the end are kept: those of step ",
                                 state.best->step, ", which were the best by ", state.best->name,
                                 ", cannot be read: ", best.status().message()));
    return absl::OkStatus();
  }
  HONE_RETURN_IF_ERROR(tasks::ReadModel(best->model, programs.store()));
  observer_.OnLog(
      train::Severity::kInfo,
      absl::StrFormat("the weights of step %d are kept: their %s of %.5g is the %s",
                      state.best->step, absl::StrReplaceAll(state.best->name, {{"_", " "}}),
                      state.best->value,
                      state.best->name == "validation_loss" ? "lowest" : "highest"));
  return absl::OkStatus();
}

absl::Status Trainer::EvaluateStart(const train::LoopParts& parts, checkpoint::RunState& state) {
  const bool test = parts.info.test > 0;
  if (!parts.task.evaluates_the_start() || (!test && parts.info.validation == 0)) {
    return absl::OkStatus();
  }
  const data::Splits& splits = parts.data.splits;
  const auto progress = [&](double done) { observer_.OnProgress("evaluating", done); };
  HONE_ASSIGN_OR_RETURN(
      const tasks::Evaluation start,
      parts.task.Evaluate({.dataset = parts.data.dataset,
                           .info = parts.info,
                           .state = nullptr,
                           .programs = parts.programs,
                           .rows = test ? splits.test : splits.validation,
                           .split = test ? "test" : "validation",
                           .artifacts = tasks::ArtifactSink(config_.run_directory, observer_),
                           .progress = progress,
                           .final = true,
                           .threads = config_.threads}));
  std::string told;
  for (const auto* metrics : {&start.own_metrics, &start.metrics}) {
    for (const auto& [name, value] : *metrics) {
      state.scalars[absl::StrCat(kStart, name)] = value;
      absl::StrAppendFormat(&told, "%s %s %.4g", told.empty() ? "" : ",",
                            absl::StrReplaceAll(name, {{"_", " "}}), value);
    }
  }
  observer_.OnLog(train::Severity::kInfo, absl::StrCat("before the training:", told));
  return absl::OkStatus();
}

absl::StatusOr<tasks::Evaluation> Trainer::Evaluate(const train::LoopParts& parts,
                                                    const train::TrainingLoop& loop,
                                                    const std::string& helper_model) {
  const bool test = parts.info.test > 0;
  // Nothing is held out of what a task evaluates without rows: its last evaluation is the test.
  const bool held_out = test || parts.info.validation > 0;
  const bool without_rows = !held_out && parts.task.evaluates_without_rows();
  const std::string split = test || without_rows ? "test" : "validation";
  const data::Splits& splits = parts.data.splits;
  tasks::Evaluation result;
  result.split = split;
  if (held_out || without_rows) {
    const auto progress = [&](double done) { observer_.OnProgress("evaluating", done); };
    HONE_ASSIGN_OR_RETURN(
        result,
        parts.task.Evaluate({.dataset = parts.data.dataset,
                             .info = parts.info,
                             .state = loop.task_state(),
                             .programs = parts.programs,
                             .rows = test ? splits.test : splits.validation,
                             .split = split,
                             .step = loop.state().step,
                             .artifacts = tasks::ArtifactSink(config_.run_directory, observer_),
                             .progress = progress,
                             .final = true,
                             .helper_model = helper_model,
                             .threads = config_.threads}));
    std::map<std::string, double> named;
    for (const auto& [name, value] : result.metrics) {
      named[held_out ? absl::StrCat(split, "_", name) : name] = value;
    }
    named.insert(result.own_metrics.begin(), result.own_metrics.end());
    result.metrics = std::move(named);
    for (const std::string& warning : result.warnings) {
      observer_.OnLog(train::Severity::kWarning, warning);
    }
    result.split = split;
    if (!result.note.empty()) {
      observer_.OnLog(train::Severity::kInfo, result.note);
    }
  }
  const train::FitVerdict fit = train::JudgeFit(NumbersOf(loop.state(), parts.info, result, split));
  result.fit_verdict = fit.verdict;
  result.fit_reason = fit.reason;
  if (!loop.state().history.empty()) {
    for (const auto& [name, value] : loop.state().history.back().values) {
      result.metrics.try_emplace(name, value);
    }
  }
  for (const auto& [name, value] : loop.state().scalars) {
    if (absl::StartsWith(name, kStart)) {
      result.metrics[name] = value;
    }
  }
  result.metrics["samples_per_second"] =
      loop.active_seconds() > 0 ? static_cast<double>(loop.samples()) / loop.active_seconds() : 0;
  if (loop.tokens_per_second() > 0) {
    result.metrics["tokens_per_second"] = loop.tokens_per_second();
  }
  result.metrics["wall_seconds"] = train::SecondsBetween(begin_, train::Clock::now());
  result.metrics["peak_memory_bytes"] = static_cast<double>(PeakMemoryBytes());
  return result;
}

absl::Status Trainer::Publish(const train::LoopParts& parts, const tasks::Evaluation& evaluation) {
  HONE_RETURN_IF_ERROR(train::CheckFinite(parts.programs));
  HONE_ASSIGN_OR_RETURN(models::ModelDescription named, models::WithNames(config_.model));
  tasks::ModelFile file{.display_name = config_.display_name,
                        .task = parts.task.saved_as().value_or(config_.task),
                        .model = std::move(named),
                        .preprocessing = parts.info.preprocessing,
                        .metrics = {}};
  if (file.model.lora.has_value()) {
    AddLearned(parts.programs.store(), *file.model.lora);
  }
  HONE_ASSIGN_OR_RETURN(file.checkpoint_files, CheckpointFiles(config_.pretrained, file.model));
  for (const auto& [name, value] : evaluation.metrics) {
    if (!IsOfTheMachine(name)) {
      file.metrics[name] = value;
    }
  }
  const std::string directory = absl::StrCat(config_.run_directory, "/model");
  const std::string json = ToJson(file);
  std::vector<checkpoint::TensorToWrite> tensors = tasks::ModelTensors(parts.programs.store());
  if (config_.average_decay > 0) {
    std::erase_if(tensors, [](const checkpoint::TensorToWrite& tensor) {
      return train::WeightAverage::Holds(tensor.name);
    });
  }
  HONE_ASSIGN_OR_RETURN(const checkpoint::WrittenFile written,
                        checkpoint::WriteModel(directory, tensors, {{"producer", "hone"}}, json));
  observer_.OnArtifact({.kind = "model",
                        .path = "model",
                        .bytes = written.bytes + static_cast<int64_t>(json.size()),
                        .sha256 = written.sha256});
  return absl::OkStatus();
}

}  // namespace hone::engine::job
