#include "engine/job/evaluator.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <span>
#include <tuple>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "engine/base/cpu.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/job/helper_job.h"
#include "engine/job/pretrained.h"
#include "engine/job/process_memory.h"
#include "engine/onednn/primitive.h"
#include "engine/tasks/model_file.h"
#include "engine/tasks/table.h"
#include "engine/train/meter.h"
#include "engine/train/programs.h"

namespace hone::engine::job {
namespace {

using Part = EvaluationConfig::Part;

// A model with what is needed to run it.
struct Opened {
  tasks::ModelFile file;
  tasks::TrainingConfig config;
  std::unique_ptr<tasks::Task> task;
};

// How a task's data are read; nothing where it has none.
std::optional<data::Task> DataTaskOf(const tasks::TaskOptions& task) {
  if (std::holds_alternative<tasks::RegressionOptions>(task)) {
    return data::Task::kRegression;
  }
  if (std::holds_alternative<tasks::RecommendationOptions>(task)) {
    return data::Task::kRecommendation;
  }
  if (std::holds_alternative<tasks::ForecastingOptions>(task)) {
    return data::Task::kForecasting;
  }
  if (std::holds_alternative<tasks::LanguageModelingOptions>(task) ||
      std::holds_alternative<tasks::MaskedLanguageModelingOptions>(task)) {
    return data::Task::kLanguageModeling;
  }
  if (std::holds_alternative<tasks::TranslationOptions>(task)) {
    return data::Task::kTranslation;
  }
  if (std::holds_alternative<tasks::TextEmbeddingOptions>(task)) {
    return data::Task::kTextPairs;
  }
  if (std::holds_alternative<tasks::TokenTaggingOptions>(task)) {
    return data::Task::kTokenTagging;
  }
  if (std::holds_alternative<tasks::MultiLabelClassificationOptions>(task)) {
    return data::Task::kMultiLabel;
  }
  if (std::holds_alternative<tasks::ReinforcementLearningOptions>(task)) {
    return std::nullopt;
  }
  return data::Task::kClassification;
}

absl::StatusOr<Opened> Open(const EvaluationConfig& config, size_t index) {
  const std::string& directory = config.models[index];
  Opened model;
  HONE_ASSIGN_OR_RETURN(const std::string json, checkpoint::LoadModelJson(directory));
  HONE_ASSIGN_OR_RETURN(model.file, tasks::ModelFileFromJson(json));
  const std::optional<data::Task> data_task = DataTaskOf(model.file.task);
  if (!data_task.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat(directory,
                     ": an agent cannot be evaluated on data: it acts in its environment, and its "
                     "training has evaluated it there"));
  }
  model.config.display_name = model.file.display_name;
  model.config.task = model.file.task;
  model.config.data = config.data;
  model.config.data.task = *data_task;
  model.config.data.as = std::make_shared<const data::Preprocessing>(model.file.preprocessing);
  if (model.file.preprocessing.text.has_value() && !config.data.text.has_value()) {
    model.config.data.text.emplace();
  }
  if (config.part == Part::kUnspecified) {
    model.config.data.test_fraction = 0;
  }
  model.config.pretrained.directory = directory;
  HONE_ASSIGN_OR_RETURN(model.config.model, WithPretrained(model.config.pretrained, {}));
  // So its weights are read where they lie, in the file.
  HONE_ASSIGN_OR_RETURN(model.config.parameter_rules, FreezeRules(model.config.pretrained, {"*"}));
  model.config.epochs = 1;
  model.config.batch_size = config.batch_size;
  model.config.threads = config.threads;
  model.config.layer_statistics_every = 0;
  model.config.run_directory = config.run_directory;
  model.task = tasks::MakeTask(model.config.task);
  return model;
}

absl::Status CheckPair(const Opened& first, const Opened& second) {
  if (first.task->name() != second.task->name()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the models cannot be compared: the first is one of ", first.task->name(),
                     ", the second of ", second.task->name()));
  }
  if (first.task->error_kind() == tasks::ErrorKind::kNone) {
    return absl::InvalidArgumentError(
        absl::StrCat("models of ", first.task->name(),
                     " cannot be compared example by example; evaluate each by itself"));
  }
  std::vector<std::string> a = first.file.preprocessing.class_names;
  std::vector<std::string> b = second.file.preprocessing.class_names;
  std::ranges::sort(a);
  std::ranges::sort(b);
  if (a != b) {
    return absl::InvalidArgumentError(
        absl::StrCat("the models cannot be compared: the first knows the classes ",
                     absl::StrJoin(a, ", "), ", the second ", absl::StrJoin(b, ", ")));
  }
  return absl::OkStatus();
}

// The rows that are measured, and what their part is called.
std::pair<std::string, std::vector<int32_t>> RowsOf(Part part, const data::Splits& splits) {
  switch (part) {
    case Part::kTest:
      return {"test", splits.test};
    case Part::kValidation:
      return {"validation", splits.validation};
    case Part::kTrain:
      return {"train", splits.train};
    case Part::kUnspecified:
      if (!splits.test.empty()) {
        return {"test", splits.test};
      }
      break;
    case Part::kAll:
      break;
  }
  std::vector<int32_t> all = splits.train;
  all.insert(all.end(), splits.validation.begin(), splits.validation.end());
  all.insert(all.end(), splits.test.begin(), splits.test.end());
  std::ranges::sort(all);
  return {"all", std::move(all)};
}

// What programs for so many rows are compiled for.
tasks::DataInfo InfoFor(tasks::DataInfo info, int64_t rows) {
  info.train = std::max<int64_t>(rows, 1);
  info.validation = 0;
  info.test = rows;
  return info;
}

absl::StatusOr<std::unique_ptr<train::Programs>> Compile(const Opened& model,
                                                         const tasks::DataInfo& info,
                                                         const Pretrained& weights) {
  return CompileJob(model.config, info, *model.task, weights, {}, train::Purpose::kEvaluation);
}

// It trains for no step and writes no checkpoint.
Plan PlanOf(const Opened& model, const tasks::DataInfo& info, const train::Programs& programs,
            bool data_in_memory) {
  Plan plan = MakePlan(model.config, info, programs, data_in_memory);
  plan.total_steps = plan.checkpoint_bytes = 0;
  return plan;
}

struct Measured {
  tasks::Evaluation evaluation;
  std::vector<tasks::ExampleError> errors;  // ascending by row; empty where the task has none
};

struct Run {
  const EvaluationConfig& config;
  const std::atomic<bool>& stop;
  TrainingObserver& observer;
  Phase& phase;
  std::vector<int32_t> rows = {};  // those of the first model
  std::string split = {};
  int64_t size = 0;  // of the data set
};

absl::StatusOr<Measured> MeasureModel(Opened& model, size_t index, Run& run) {
  run.phase = Phase::kEvaluating;
  std::string helper_model;
  HONE_ASSIGN_OR_RETURN(
      const train::EndReason helped,
      RunHelperJob(*model.task, model.config, run.stop, run.observer, helper_model));
  if (helped == train::EndReason::kCancelled) {
    return absl::CancelledError("asked to end");
  }
  run.phase = Phase::kLoading;
  run.observer.OnProgress("loading", -1);
  HONE_ASSIGN_OR_RETURN(const data::LoadedData data,
                        tasks::LoadExamples(model.config.data, model.config, *model.task));
  const tasks::DataInfo counted = tasks::InfoOf(data, *model.task);
  if (index == 0) {
    run.observer.OnDataReport(data.report, counted);
    std::tie(run.split, run.rows) = RowsOf(run.config.part, data.splits);
    run.size = data.dataset.size();
    if (run.rows.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(data.report.source, ": has no ", run.split, " part to evaluate"));
    }
  } else if (data.dataset.size() != run.size) {
    return absl::InvalidArgumentError(absl::StrCat(data.report.source, ": the second model reads ",
                                                   data.dataset.size(), " examples, the first ",
                                                   run.size, ": they cannot be compared"));
  }
  run.phase = Phase::kPlanning;
  run.observer.OnProgress("planning", -1);
  tasks::DataInfo info = InfoFor(counted, static_cast<int64_t>(run.rows.size()));
  if (model.task->buckets(model.config).empty()) {
    info.train_shapes = info.test_shapes = tasks::ShapesInOrder(
        data.dataset, run.rows, *model.task, model.task->evaluation_batch(model.config));
    info.validation_shapes.clear();
  }
  HONE_ASSIGN_OR_RETURN(const Pretrained weights, Pretrained::Open(model.config.pretrained));
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<train::Programs> programs,
                        Compile(model, info, weights));
  if (index == 0) {
    Started started;
    started.plan = PlanOf(model, info, *programs, /*data_in_memory=*/true);
    started.plan.train_examples = started.plan.validation_examples = 0;
    started.plan.test_examples = static_cast<int64_t>(run.rows.size());
    started.engine = absl::StrCat(onednn::Description(), ", ", CpuDescription());
    run.observer.OnStarted(started);
  }
  HONE_RETURN_IF_ERROR(programs->Bind());
  ParameterStore& store = programs->store();
  store.Initialize(1, [&](ParameterId id) { return !weights.Holds(store.spec(id).name); });
  HONE_RETURN_IF_ERROR(weights.Load(store));
  store.RefreshAll();
  run.phase = Phase::kEvaluating;
  const auto progress = [&](double done) { run.observer.OnProgress("evaluating", done); };
  Measured measured;
  HONE_ASSIGN_OR_RETURN(measured.evaluation,
                        model.task->Evaluate({.dataset = data.dataset,
                                              .info = info,
                                              .state = nullptr,
                                              .programs = *programs,
                                              .rows = run.rows,
                                              .split = run.split,
                                              .artifacts = tasks::ArtifactSink(
                                                  run.config.run_directory, run.observer),
                                              .progress = progress,
                                              .final = true,
                                              .helper_model = helper_model,
                                              .threads = run.config.threads,
                                              .errors = &measured.errors}));
  std::map<std::string, double> named;
  for (const auto& [name, value] : measured.evaluation.metrics) {
    named[absl::StrCat("test_", name)] = value;
  }
  named.insert(measured.evaluation.own_metrics.begin(), measured.evaluation.own_metrics.end());
  measured.evaluation.metrics = std::move(named);
  measured.evaluation.split = run.split;
  for (const std::string& warning : measured.evaluation.warnings) {
    run.observer.OnLog(train::Severity::kWarning, warning);
  }
  if (!measured.evaluation.note.empty()) {
    const bool alone = run.config.models.size() == 1;
    run.observer.OnLog(train::Severity::kInfo, absl::StrCat(alone        ? ""
                                                            : index == 0 ? "the first model:\n"
                                                                         : "the second model:\n",
                                                            measured.evaluation.note));
  }
  std::ranges::sort(measured.errors, {}, &tasks::ExampleError::row);
  return measured;
}

// The 97.5 % quantile of Student's t. Source: Abramowitz, Stegun, "Handbook of Mathematical
// Functions", 26.7.5.
double StudentQuantile(double freedom) {
  const double z = 1.959963984540054, z3 = z * z * z, z5 = z3 * z * z;
  const double z7 = z5 * z * z;
  return z + (z3 + z) / (4 * freedom) + (5 * z5 + 16 * z3 + 3 * z) / (96 * freedom * freedom) +
         (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * freedom * freedom * freedom);
}

// Mean of paired differences and its 95 % interval.
void SetInterval(const std::vector<double>& differences, Comparison& comparison) {
  const auto n = static_cast<double>(differences.size());
  double mean = 0, squares = 0;
  for (const double d : differences) {
    mean += d / n;
  }
  for (const double d : differences) {
    squares += (d - mean) * (d - mean);
  }
  const double half = n > 1 ? StudentQuantile(n - 1) * std::sqrt(squares / (n - 1) / n) : 0;
  comparison.difference = mean;
  comparison.low = mean - half;
  comparison.high = mean + half;
}

Comparison Compare(tasks::ErrorKind kind, const Measured& first, const Measured& second) {
  Comparison comparison;
  comparison.other_metrics = second.evaluation.metrics;
  const bool classes = kind == tasks::ErrorKind::kWrong;
  std::vector<double> differences;
  for (size_t i = 0; i < first.errors.size(); ++i) {
    const double a = first.errors[i].value, b = second.errors[i].value;
    if (classes) {
      ++(a == 0 ? (b == 0 ? comparison.both_right : comparison.only_first)
                : (b == 0 ? comparison.only_second : comparison.both_wrong));
    }
    differences.push_back(classes ? b - a : a - b);
  }
  comparison.examples = static_cast<int64_t>(differences.size());
  SetInterval(differences, comparison);
  constexpr double kLevel = 0.05;
  bool differ = comparison.low > 0 || comparison.high < 0;
  if (classes) {
    comparison.p_value = McNemar(comparison.only_first, comparison.only_second);
    differ = *comparison.p_value < kLevel;
  }
  const bool first_is_better = classes ? comparison.difference > 0 : comparison.difference < 0;
  comparison.verdict =
      !differ ? "no difference that chance does not explain"
              : (first_is_better ? "the first model is better" : "the second model is better");
  return comparison;
}

}  // namespace

double McNemar(int64_t b, int64_t c) {
  constexpr int64_t kExactBelow = 25;
  const int64_t n = b + c;
  if (n == 0) {
    return 1;
  }
  if (n >= kExactBelow) {
    const double distance = std::max(0.0, std::abs(static_cast<double>(b - c)) - 1);
    return std::erfc(std::sqrt(distance * distance / static_cast<double>(n) / 2));
  }
  // 2 · P(X ≤ min(b, c)) for X binomial of n and 1/2.
  double term = std::pow(0.5, static_cast<double>(n)), sum = 0;
  for (int64_t k = 0; k <= std::min(b, c); ++k) {
    sum += term;
    term *= static_cast<double>(n - k) / static_cast<double>(k + 1);
  }
  return std::min(1.0, 2 * sum);
}

absl::StatusOr<EvaluationResult> Evaluate(const EvaluationConfig& config,
                                          const std::atomic<bool>& stop, TrainingObserver& observer,
                                          Phase& phase) {
  phase = Phase::kLoading;
  const train::Clock::time_point begin = train::Clock::now();
  const ScopedThreads threads(config.threads);
  std::vector<Opened> models;
  for (size_t i = 0; i < config.models.size(); ++i) {
    HONE_ASSIGN_OR_RETURN(Opened model, Open(config, i));
    models.push_back(std::move(model));
  }
  if (models.empty() || models.size() > 2) {
    return absl::InvalidArgumentError("an evaluation has one model or two");
  }
  if (models.size() == 2) {
    HONE_RETURN_IF_ERROR(CheckPair(models[0], models[1]));
  }
  Run run{config, stop, observer, phase};
  std::vector<Measured> measured;
  for (size_t i = 0; i < models.size(); ++i) {
    if (stop.load(std::memory_order_relaxed)) {
      return absl::CancelledError("asked to end");
    }
    HONE_ASSIGN_OR_RETURN(Measured one, MeasureModel(models[i], i, run));
    measured.push_back(std::move(one));
  }
  EvaluationResult result{.evaluation = measured[0].evaluation, .comparison = {}};
  if (measured.size() == 2) {
    result.comparison = Compare(models[0].task->error_kind(), measured[0], measured[1]);
  }
  result.evaluation.metrics["wall_seconds"] = train::SecondsBetween(begin, train::Clock::now());
  result.evaluation.metrics["peak_memory_bytes"] = static_cast<double>(PeakMemoryBytes());
  return result;
}

absl::StatusOr<Plan> PlanEvaluation(const EvaluationConfig& config, Phase& phase) {
  phase = Phase::kLoading;
  const ScopedThreads threads(config.threads);
  std::optional<Plan> plan;
  for (size_t i = 0; i < config.models.size(); ++i) {
    HONE_ASSIGN_OR_RETURN(const Opened model, Open(config, i));
    HONE_ASSIGN_OR_RETURN(const tasks::DataInfo counted, model.task->InspectExamples(model.config));
    phase = Phase::kPlanning;
    const tasks::DataInfo info =
        InfoFor(counted, counted.train + counted.validation + counted.test);
    HONE_ASSIGN_OR_RETURN(const Pretrained weights, Pretrained::Open(model.config.pretrained));
    HONE_ASSIGN_OR_RETURN(const std::unique_ptr<train::Programs> programs,
                          Compile(model, info, weights));
    Plan one = PlanOf(model, info, *programs, /*data_in_memory=*/false);
    one.train_examples = counted.train;
    one.validation_examples = counted.validation;
    one.test_examples = counted.test;
    HONE_RETURN_IF_ERROR(AddHelper(model.config, *model.task, /*measure=*/false, &phase, one));
    if (!plan.has_value()) {
      plan = std::move(one);
    } else {
      plan->peak_memory_bytes = std::max(plan->peak_memory_bytes, one.peak_memory_bytes);
    }
  }
  if (!plan.has_value()) {
    return absl::InvalidArgumentError("an evaluation has one model or two");
  }
  return *std::move(plan);
}

}  // namespace hone::engine::job
