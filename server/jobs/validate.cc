#include "server/jobs/validate.h"

#include <algorithm>
#include <limits>
#include <tuple>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/utf8.h"
#include "server/jobs/job.h"
#include "server/jobs/names.h"
#include "server/jobs/reinforcement_learning.h"
#include "server/jobs/validate_texts.h"

namespace hone::server::jobs {
namespace {

constexpr float kMaxFloat = std::numeric_limits<float>::max();
constexpr int64_t kMaxSteps = 1'000'000'000;
constexpr size_t kMaxSpec = size_t{1} << 20;
constexpr int kMaxClasses = 100'000;

void CheckOptimizer(const std::string& path, const v1::Optimizer& optimizer, FieldErrors& errors);

void CheckImageGeneration(const v1::JobSpec& spec, FieldErrors& errors) {
  const v1::ImageGeneration& task = spec.image_generation();
  const std::string at = "image_generation";
  if (task.has_latent()) {
    errors.CheckInt(at + ".latent", task.latent(), 1, 65536);
  }
  if (!v1::ImageGeneration::Loss_IsValid(task.loss())) {
    errors.Add(at + ".loss", "must be one of NON_SATURATING, LEAST_SQUARES, HINGE, WASSERSTEIN");
  }
  errors.CheckFloat(at + ".label_smoothing", task.label_smoothing(), UpTo(0, 1));
  const bool smooths =
      task.loss() != v1::ImageGeneration::HINGE && task.loss() != v1::ImageGeneration::WASSERSTEIN;
  if (task.label_smoothing() > 0 && !smooths) {
    errors.Add(at + ".label_smoothing",
               "must be 0 with HINGE and WASSERSTEIN, which have no labels");
  }
  errors.CheckFloat(at + ".instance_noise", task.instance_noise(), Closed(0, 10));
  errors.CheckInt(at + ".instance_noise_steps", task.instance_noise_steps(), 0, kMaxSteps);
  if (task.has_discriminator_steps()) {
    errors.CheckInt(at + ".discriminator_steps", task.discriminator_steps(), 1, 1000);
  }
  if (task.has_clip_weights()) {
    errors.CheckFloat(at + ".clip_weights", task.clip_weights(), Above(0, 1e6));
  }
  errors.CheckFloat(at + ".average_decay", task.average_decay(), UpTo(0, 1));
  const std::string& classifier = task.evaluation().classifier();
  if (!classifier.empty() && !ModelId(classifier).ok()) {
    errors.Add(at + ".evaluation.classifier",
               absl::StrCat("must be models/<id>, got \"", CutUtf8(classifier, 80), "\""));
  }
  if (task.evaluation().drawings() != 0) {
    errors.CheckInt(at + ".evaluation.drawings", task.evaluation().drawings(), 2, 1'000'000);
  }
  CheckOptimizer(at + ".generator_optimizer", task.generator_optimizer(), errors);
  CheckOptimizer(at + ".discriminator_optimizer", task.discriminator_optimizer(), errors);
  if (spec.training().has_early_stopping()) {
    errors.Add("training.early_stopping",
               "must not be given: two networks that play against each other have no validation "
               "loss that falls");
  }
  if (spec.training().schedule().has_plateau()) {
    errors.Add("training.schedule.plateau",
               "must not be given: there is no validation loss that falls");
  }
}

void CheckTask(const v1::JobSpec& spec, FieldErrors& errors) {
  switch (spec.task_case()) {
    case v1::JobSpec::TASK_NOT_SET:
      errors.Add("task",
                 "must be given: one of classification, multi_label_classification, regression, "
                 "token_tagging, text_embedding, language_modeling, preference_optimization, "
                 "masked_language_modeling, translation, forecasting, image_generation, "
                 "recommendation, reinforcement_learning");
      return;
    case v1::JobSpec::kClassification: {
      const v1::Classification& task = spec.classification();
      errors.CheckFloat("classification.label_smoothing", task.label_smoothing(), UpTo(0, 1));
      for (int i = 0; i < task.class_weights_size(); ++i) {
        errors.CheckFloat(absl::StrCat("classification.class_weights[", i, "]"),
                          task.class_weights(i), Above(0, 1e6));
      }
      if (task.binary() && task.label_smoothing() > 0) {
        errors.Add("classification.label_smoothing",
                   "must be 0 when classification.binary is true");
      }
      return;
    }
    case v1::JobSpec::kRecommendation: {
      const v1::Recommendation& task = spec.recommendation();
      if (!v1::Recommendation::Feedback_IsValid(task.feedback())) {
        errors.Add("recommendation.feedback", "must be one of EXPLICIT, IMPLICIT");
      }
      if (task.has_negatives()) {
        errors.CheckInt("recommendation.negatives", task.negatives(), 1, 1000);
      }
      return;
    }
    case v1::JobSpec::kRegression: {
      const v1::Regression& task = spec.regression();
      if (!v1::Regression::Loss_IsValid(task.loss())) {
        errors.Add("regression.loss", "must be one of MSE, MAE, HUBER");
      }
      if (task.has_huber_delta()) {
        errors.CheckFloat("regression.huber_delta", task.huber_delta(), Above(0, 1e9));
      }
      return;
    }
    case v1::JobSpec::kForecasting: {
      const v1::Forecasting& task = spec.forecasting();
      if (!v1::Forecasting::Loss_IsValid(task.loss())) {
        errors.Add("forecasting.loss", "must be one of MSE, MAE, HUBER");
      }
      if (task.has_huber_delta()) {
        errors.CheckFloat("forecasting.huber_delta", task.huber_delta(), Above(0, 1e9));
      }
      return;
    }
    case v1::JobSpec::kLanguageModeling:
    case v1::JobSpec::kPreferenceOptimization:
    case v1::JobSpec::kTranslation:
    case v1::JobSpec::kMaskedLanguageModeling:
    case v1::JobSpec::kTextEmbedding:
    case v1::JobSpec::kTokenTagging:
    case v1::JobSpec::kMultiLabelClassification:
      return CheckTaskOfTexts(spec, errors);
    case v1::JobSpec::kReinforcementLearning:
      return CheckReinforcementLearning(spec, errors);
    case v1::JobSpec::kImageGeneration:
      return CheckImageGeneration(spec, errors);
  }
}

void CheckRatings(const v1::JobSpec& spec, FieldErrors& errors) {
  const v1::RatingOptions& ratings = spec.data().ratings();
  for (const auto& [path, column] : {std::pair{"data.ratings.user", &ratings.user()},
                                     std::pair{"data.ratings.item", &ratings.item()},
                                     std::pair{"data.ratings.rating", &ratings.rating()},
                                     std::pair{"data.ratings.time", &ratings.time()},
                                     std::pair{"data.ratings.name", &ratings.name()}}) {
    errors.CheckText(path, *column, kMaxColumn);
  }
  if (!v1::RatingOptions::Ids_IsValid(ratings.ids())) {
    errors.Add("data.ratings.ids", "must be one of AUTOMATIC, TEXT, NUMBERS");
  }
  if (!v1::RatingOptions::Split_IsValid(ratings.split())) {
    errors.Add("data.ratings.split", "must be one of RANDOM, BY_TIME, LEAVE_ONE_OUT");
  }
  errors.CheckFloat("data.ratings.at_least", ratings.at_least(), Closed(-1e30f, 1e30f));
  if (spec.data().has_fold() && ratings.split() > v1::RatingOptions::RANDOM) {
    errors.Add("data.fold", "divides the ratings at random: data.ratings.split must be RANDOM");
  }
  if (spec.data().has_ratings() && !spec.has_recommendation() && !spec.has_evaluation()) {
    errors.Add("data.ratings", "is read by the task recommendation alone");
  }
}

void CheckSeries(const v1::JobSpec& spec, FieldErrors& errors) {
  constexpr int64_t kMostPoints = 1 << 20;
  const v1::SeriesOptions& series = spec.data().series();
  const std::string at = "data.series";
  errors.CheckText(at + ".target", series.target(), kMaxColumn);
  CheckNames(at + ".columns", series.columns(), kMaxColumns, kMaxColumn, errors);
  errors.CheckText(at + ".time", series.time(), kMaxColumn);
  // The model that is evaluated has a window of its own.
  if (spec.has_forecasting() || series.window() != 0) {
    errors.CheckInt(at + ".window", series.window(), 1, kMostPoints);
  }
  for (const auto& [field, given, points] :
       {std::tuple(".horizon", series.has_horizon(), series.horizon()),
        std::tuple(".step", series.has_step(), series.step()),
        std::tuple(".period", series.has_period(), series.period())}) {
    if (given) {
      errors.CheckInt(at + field, points, 1, kMostPoints);
    }
  }
  if (!v1::SeriesOptions::Scaling_IsValid(series.scaling())) {
    errors.Add(at + ".scaling", "must be one of STANDARD, LOG_STANDARD, UNSCALED");
  }
  if (!v1::SeriesOptions::Base_IsValid(series.base())) {
    errors.Add(at + ".base", "must be one of ZERO, LAST, SEASONAL");
  }
  if (series.base() == v1::SeriesOptions::SEASONAL && series.period() < 2) {
    errors.Add(at + ".base", "SEASONAL needs data.series.period above 1, the points of a season");
  }
  if (spec.data().has_series() && !spec.has_forecasting() && !spec.has_evaluation()) {
    errors.Add(at, "is read by the task forecasting alone");
  }
  for (const auto& [field, given] : {std::pair("data.fold", spec.data().has_fold()),
                                     std::pair("data.limit", spec.data().limit() != 0),
                                     std::pair("data.deduplicate", spec.data().deduplicate())}) {
    if (given && spec.has_forecasting()) {
      errors.Add(field, "must not be given: a series is divided in the order of time, whole");
    }
  }
}

void CheckImage(const v1::ImageOptions& image, FieldErrors& errors) {
  // 0: as the first picture has it.
  errors.CheckInt("data.image.height", image.height(), 0, 4096);
  errors.CheckInt("data.image.width", image.width(), 0, 4096);
  if (image.channels() != 0 && image.channels() != 1 && image.channels() != 3) {
    errors.Add("data.image.channels", absl::StrCat("must be 1 or 3, got ", image.channels()));
  }
  for (const auto& [path, list, range] :
       {std::tuple{"data.image.mean", &image.mean(), Closed(-100, 100)},
        std::tuple{"data.image.std", &image.std(), Above(0, 100)}}) {
    if (list->size() > 3 || list->size() == 2) {
      errors.Add(path, absl::StrCat("must have 1 or 3 values, got ", list->size()));
    }
    for (int i = 0; i < list->size(); ++i) {
      errors.CheckFloat(absl::StrCat(path, "[", i, "]"), list->Get(i), range);
    }
  }
  const v1::Augmentation& change = image.augmentation();
  errors.CheckFloat("data.image.augmentation.shift", change.shift(), UpTo(0, 1));
  errors.CheckFloat("data.image.augmentation.rotate_degrees", change.rotate_degrees(),
                    Closed(0, 180));
  errors.CheckInt("data.image.augmentation.crop_padding", change.crop_padding(), 0, 256);
  errors.CheckFloat("data.image.augmentation.erase_probability", change.erase_probability(),
                    Closed(0, 1));
  errors.CheckFloat("data.image.augmentation.brightness", change.brightness(), UpTo(0, 1));
  errors.CheckFloat("data.image.augmentation.contrast", change.contrast(), UpTo(0, 1));
}

void CheckTableAugmentation(const v1::TableOptions& table, FieldErrors& errors) {
  const v1::TableAugmentation& change = table.augmentation();
  errors.CheckFloat("data.table.augmentation.noise", change.noise(), Closed(0, 10));
  errors.CheckFloat("data.table.augmentation.cell_dropout", change.cell_dropout(), UpTo(0, 1));
  if (change.noise() > 0 && table.has_standardize() && !table.standardize()) {
    errors.Add(
        "data.table.augmentation.noise",
        "must not be given with data.table.standardize: false, since it counts deviations of "
        "a column, which are measured only to standardize it");
  }
}

void CheckDatasetName(const std::string& name, FieldErrors& errors) {
  if (!IsDatasetName(name)) {
    errors.Add("data.dataset",
               absl::StrCat("must be 1 to 64 letters, digits, '-', '_' or '.', got \"",
                            CutUtf8(name, 80), "\""));
  }
}

void CheckData(const v1::JobSpec& spec, const Limits& limits, FieldErrors& errors) {
  const v1::DataSpec& data = spec.data();
  if (!data.dataset().empty()) {
    CheckDatasetName(data.dataset(), errors);
  } else if (!limits.has_data) {
    errors.Add("data.dataset", "must be given");
  }
  errors.CheckFloat("data.validation_fraction", data.validation_fraction(), UpTo(0, 1));
  errors.CheckFloat("data.test_fraction", data.test_fraction(), UpTo(0, 1));
  if (data.validation_fraction() + data.test_fraction() >= 1) {
    errors.Add("data", "validation_fraction and test_fraction must be less than 1 together");
  }
  errors.CheckInt("data.limit", data.limit(), 0, int64_t{1} << 40);
  if (data.has_fold()) {
    errors.CheckInt("data.fold.count", data.fold().count(), 2, 1000);
    errors.CheckInt("data.fold.index", data.fold().index(), 1,
                    std::max<int64_t>(data.fold().count(), 2));
    if (data.has_test_fraction()) {
      errors.Add("data.test_fraction", "must not be given with data.fold, which is the test part");
    }
  }
  CheckImage(data.image(), errors);
  CheckRatings(spec, errors);
  CheckDataOfTexts(spec, errors);
  CheckSeries(spec, errors);
  CheckNames("data.classes", data.classes(), kMaxClasses, kMaxName, errors);
  errors.CheckText("data.table.target", data.table().target(), kMaxColumn);
  CheckNames("data.table.ignore", data.table().ignore(), kMaxColumns, kMaxColumn, errors);
  CheckTableAugmentation(data.table(), errors);
}

// The fields that every kind of optimizer has under the same names.
template <typename Kind>
void CheckCommon(const std::string& path, const Kind& kind, FieldErrors& errors) {
  if (kind.has_learning_rate()) {
    errors.CheckFloat(path + ".learning_rate", kind.learning_rate(), Above(0, 1e9));
  }
  if (kind.has_weight_decay()) {
    errors.CheckFloat(path + ".weight_decay", kind.weight_decay(), Closed(0, 1e6));
  }
}

template <typename Kind>
void CheckAdam(const std::string& path, const Kind& adam, FieldErrors& errors) {
  CheckCommon(path, adam, errors);
  errors.CheckFloat(path + ".beta1", adam.has_beta1() ? adam.beta1() : 0.9f, UpTo(0, 1));
  errors.CheckFloat(path + ".beta2", adam.has_beta2() ? adam.beta2() : 0.999f, UpTo(0, 1));
  errors.CheckFloat(path + ".epsilon", adam.has_epsilon() ? adam.epsilon() : 1e-7f, Above(0, 1));
}

void CheckOptimizer(const std::string& path, const v1::Optimizer& optimizer, FieldErrors& errors) {
  switch (optimizer.kind_case()) {
    case v1::Optimizer::KIND_NOT_SET:
      return;
    case v1::Optimizer::kSgd:
      CheckCommon(path + ".sgd", optimizer.sgd(), errors);
      errors.CheckFloat(path + ".sgd.momentum", optimizer.sgd().momentum(), UpTo(0, 1));
      if (optimizer.sgd().nesterov() && optimizer.sgd().momentum() == 0) {
        errors.Add(path + ".sgd.nesterov", "needs a momentum greater than 0");
      }
      return;
    case v1::Optimizer::kAdam:
      return CheckAdam(path + ".adam", optimizer.adam(), errors);
    case v1::Optimizer::kAdamw:
      return CheckAdam(path + ".adamw", optimizer.adamw(), errors);
    case v1::Optimizer::kRmsprop: {
      const v1::RmsProp& rmsprop = optimizer.rmsprop();
      CheckCommon(path + ".rmsprop", rmsprop, errors);
      errors.CheckFloat(path + ".rmsprop.decay", rmsprop.decay(), UpTo(0, 1));
      errors.CheckFloat(path + ".rmsprop.momentum", rmsprop.momentum(), UpTo(0, 1));
      errors.CheckFloat(path + ".rmsprop.epsilon",
                        rmsprop.has_epsilon() ? rmsprop.epsilon() : 1e-7f, Above(0, 1));
      return;
    }
  }
}

void CheckSchedule(const v1::JobSpec& spec, bool validates, FieldErrors& errors) {
  const v1::Schedule& schedule = spec.training().schedule();
  const std::string path = "training.schedule";
  errors.CheckInt(path + ".warmup_steps", schedule.warmup_steps(), 0, kMaxSteps);
  if (schedule.has_step()) {
    errors.CheckInt(path + ".step.every_epochs", schedule.step().every_epochs(), 1, 1'000'000);
    if (schedule.step().has_factor()) {
      errors.CheckFloat(path + ".step.factor", schedule.step().factor(), Above(0, 1));
    }
  }
  if (schedule.has_exponential() && schedule.exponential().has_factor_per_epoch()) {
    errors.CheckFloat(path + ".exponential.factor_per_epoch",
                      schedule.exponential().factor_per_epoch(), Above(0, 1));
  }
  errors.CheckFloat(path + ".cosine.final_factor", schedule.cosine().final_factor(), Closed(0, 1));
  errors.CheckFloat(path + ".linear.final_factor", schedule.linear().final_factor(), Closed(0, 1));
  if (schedule.one_cycle().has_rising_share()) {
    errors.CheckFloat(path + ".one_cycle.rising_share", schedule.one_cycle().rising_share(),
                      {0, 1, true, true});
  }
  if (schedule.has_plateau()) {
    if (!validates) {
      errors.Add(path + ".plateau", "needs validation data: data.validation_fraction above 0");
    }
    if (schedule.plateau().has_factor()) {
      errors.CheckFloat(path + ".plateau.factor", schedule.plateau().factor(), {0, 1, true, true});
    }
    if (schedule.plateau().has_patience()) {
      errors.CheckInt(path + ".plateau.patience", schedule.plateau().patience(), 1, 1'000'000);
    }
    errors.CheckFloat(path + ".plateau.min_delta", schedule.plateau().min_delta(),
                      Closed(0, kMaxFloat));
  }
}

void CheckStops(const v1::JobSpec& spec, FieldErrors& errors) {
  const v1::TrainingSpec& training = spec.training();
  if (training.has_early_stopping()) {
    errors.CheckInt("training.early_stopping.patience", training.early_stopping().patience(), 1,
                    1'000'000);
    errors.CheckFloat("training.early_stopping.min_delta", training.early_stopping().min_delta(),
                      Closed(0, kMaxFloat));
    if (spec.data().has_validation_fraction() && spec.data().validation_fraction() == 0) {
      errors.Add("training.early_stopping",
                 "needs validation data: data.validation_fraction above 0, or not given");
    }
  }
  const v1::Checkpoints& checkpoints = training.checkpoints();
  errors.CheckInt("training.checkpoints.every_steps", checkpoints.every_steps(), 0, kMaxSteps);
  errors.CheckFloat("training.checkpoints.every_seconds", checkpoints.every_seconds(),
                    Closed(0, 1e6));
  if (checkpoints.has_keep_latest()) {
    errors.CheckInt("training.checkpoints.keep_latest", checkpoints.keep_latest(), 1, 1000);
  }
}

void CheckRules(const v1::TrainingSpec& training, FieldErrors& errors) {
  constexpr int kMost = 1000;
  if (training.parameter_rules_size() > kMost) {
    errors.Add("training.parameter_rules", absl::StrCat("must be at most ", kMost, " rules, got ",
                                                        training.parameter_rules_size()));
    return;
  }
  for (int i = 0; i < training.parameter_rules_size(); ++i) {
    const v1::ParameterRule& rule = training.parameter_rules(i);
    const std::string at = absl::StrCat("training.parameter_rules[", i, "]");
    if (rule.parameters().empty() || rule.parameters().size() > 1024) {
      errors.Add(absl::StrCat(at, ".parameters"), "must have 1 to 1024 characters");
    }
    if (!rule.has_freeze() && !rule.has_learning_rate_factor() && !rule.has_weight_decay() &&
        !rule.has_freeze_until_step()) {
      errors.Add(
          at, "must say `freeze`, `freeze_until_step`, `learning_rate_factor` or `weight_decay`");
    }
    errors.CheckInt(absl::StrCat(at, ".freeze_until_step"), rule.freeze_until_step(), 0, kMaxSteps);
    errors.CheckFloat(absl::StrCat(at, ".learning_rate_factor"), rule.learning_rate_factor(),
                      Closed(0, 1e6));
    errors.CheckFloat(absl::StrCat(at, ".weight_decay"), rule.weight_decay(), Closed(0, 1e6));
  }
}

void CheckLength(const v1::TrainingSpec& training, FieldErrors& errors) {
  errors.CheckInt("training.epochs", training.epochs(), 0, 1'000'000);
  errors.CheckInt("training.steps", training.steps(), 0, kMaxSteps);
  if (training.epochs() == 0 && training.steps() == 0) {
    errors.Add("training", "must have `epochs` or `steps`, at least 1");
  } else if (training.epochs() != 0 && training.steps() != 0) {
    errors.Add("training", "must have either `epochs` or `steps`, got both");
  }
  if (training.epochs() + training.steps() > 0) {
    errors.CheckInt("training.stop_after", training.stop_after(), 0,
                    std::max(training.epochs(), training.steps()));
  }
  if (training.episodes() != 0) {
    errors.Add("training.episodes", "must not be given: only reinforcement learning has episodes");
  }
}

void CheckTraining(const v1::JobSpec& spec, const Limits& limits, FieldErrors& errors) {
  const v1::TrainingSpec& training = spec.training();
  const bool acts = spec.has_reinforcement_learning();
  if (!acts) {
    CheckLength(training, errors);
  }
  if (training.has_batch_size()) {
    errors.CheckInt("training.batch_size", training.batch_size(), 1, 65536);
  }
  CheckOptimizer("training.optimizer", training.optimizer(), errors);
  // An agent is always evaluated; a model of texts themselves, and what translates, where nobody
  // says otherwise.
  const bool of_texts =
      spec.has_language_modeling() || spec.has_masked_language_modeling() || spec.has_translation();
  const bool validates = spec.data().validation_fraction() > 0 || training.has_early_stopping() ||
                         (of_texts && !spec.data().has_validation_fraction());
  CheckSchedule(spec, validates || acts, errors);
  if (!v1::TrainingSpec::Precision_IsValid(training.precision())) {
    errors.Add("training.precision", "must be one of F32, BF16");
  } else if (training.precision() == v1::TrainingSpec::BF16 && !limits.bf16) {
    errors.Add("training.precision", "must be F32 here: this processor has no AVX512-BF16");
  }
  if (!v1::TrainingSpec::Recompute_IsValid(training.recompute())) {
    errors.Add("training.recompute", "must be one of WHEN_NEEDED, NEVER, ALWAYS");
  }
  // 0: what one job is given.
  errors.CheckInt("training.threads", training.threads(), 0, limits.max_threads);
  errors.CheckFloat("training.clip_norm", training.clip_norm(), Closed(0, kMaxFloat));
  errors.CheckFloat("training.clip_value", training.clip_value(), Closed(0, kMaxFloat));
  errors.CheckInt("training.accumulate_batches", training.accumulate_batches(), 0, 65536);
  CheckStops(spec, errors);
  CheckNames("training.weight_decay_exclude", training.weight_decay_exclude(), 2000, kMaxName,
             errors);
  CheckRules(training, errors);
  if (training.has_layer_decay()) {
    errors.CheckFloat("training.layer_decay", training.layer_decay(), Above(0, 1));
    if (training.layer_decay() != 1 && (acts || spec.has_image_generation())) {
      errors.Add("training.layer_decay",
                 "must be 1 here: layers are counted through one network, and there are several");
    }
  }
  errors.CheckFloat("training.average_decay", training.average_decay(), UpTo(0, 1));
  if (training.average_decay() > 0 && (acts || spec.has_image_generation())) {
    errors.Add("training.average_decay",
               "must be 0 here: image generation has its own, and agents learn by themselves");
  }
  errors.CheckFloat("training.neftune_alpha", training.neftune_alpha(), Closed(0, 1e6));
  errors.CheckInt("training.layer_statistics_every", training.layer_statistics_every(), 0,
                  kMaxSteps);
}

// What the first layers read.
std::vector<std::string> InputsOf(const v1::JobSpec& spec) {
  if (spec.has_recommendation()) {
    return {"user", "item"};
  }
  if (spec.has_forecasting()) {
    return {"points"};
  }
  if (spec.data().text().second_columns_size() > 0 && !spec.has_text_embedding()) {
    return {"tokens", "segments"};
  }
  if (spec.data().has_text() || spec.has_language_modeling() ||
      spec.has_preference_optimization() || spec.has_masked_language_modeling() ||
      spec.has_token_tagging() || spec.has_text_embedding()) {
    return {"tokens"};
  }
  return {"input"};
}

void CheckNoise(const v1::JobSpec& spec, FieldErrors& errors) {
  const bool of_texts = InputsOf(spec).front() == "tokens";
  if (spec.training().neftune_alpha() > 0 && !of_texts) {
    errors.Add("training.neftune_alpha",
               "must be 0: the noise is on tokens, and no texts are read");
  }
}

void CheckEvaluation(const v1::JobSpec& spec, const Limits& limits, FieldErrors& errors) {
  const v1::ModelEvaluation& evaluation = spec.evaluation();
  for (const auto& [field, given] :
       {std::pair("task", spec.task_case() != v1::JobSpec::TASK_NOT_SET),
        std::pair("model", spec.has_model()), std::pair("training", spec.has_training()),
        std::pair("data.image", spec.data().has_image()),
        std::pair("data.classes", !spec.data().classes().empty()),
        std::pair("data.limit", spec.data().limit() != 0)}) {
    if (given) {
      errors.Add(field, "must not be given with evaluation: the model decides it");
    }
  }
  if (evaluation.model().empty() && !limits.has_model) {
    errors.Add("evaluation.model", "must be given");
  }
  for (const auto& [field, name] : {std::pair("evaluation.model", &evaluation.model()),
                                    std::pair("evaluation.against", &evaluation.against())}) {
    if (!name->empty() && !ModelId(*name).ok()) {
      errors.Add(field, absl::StrCat("must be models/<id>, got \"", CutUtf8(*name, 80), "\""));
    }
  }
  if (!v1::ModelEvaluation::Part_IsValid(evaluation.part())) {
    errors.Add("evaluation.part", "must be one of TEST, VALIDATION, TRAIN, ALL");
  }
  if (evaluation.part() == v1::ModelEvaluation::VALIDATION &&
      spec.data().validation_fraction() == 0) {
    errors.Add("evaluation.part", "VALIDATION needs data.validation_fraction above 0");
  }
  if (evaluation.has_batch_size()) {
    errors.CheckInt("evaluation.batch_size", evaluation.batch_size(), 1, 65536);
  }
  errors.CheckInt("evaluation.threads", evaluation.threads(), 0, limits.max_threads);
}

}  // namespace

FieldErrors CheckAttributes(const v1::JobSpec& spec) {
  FieldErrors errors;
  errors.CheckText("display_name", spec.display_name(), 128);
  errors.CheckInt("priority", spec.priority(), -100, 100);
  errors.CheckFloat("deadline_seconds", spec.deadline_seconds(), Closed(0, 1e9));
  if (spec.labels_size() > 64) {
    errors.Add("labels", absl::StrCat("must be at most 64, got ", spec.labels_size()));
  }
  for (const auto& [key, value] : spec.labels()) {
    errors.CheckText("labels", key, 64);
    if (absl::StrContains(key, '=')) {
      errors.Add("labels", "must not have '=' in a key");
    }
    errors.CheckText("labels", value, 256);
  }
  return errors;
}

FieldErrors CheckSpec(const v1::JobSpec& spec, const Limits& limits) {
  if (const size_t bytes = spec.ByteSizeLong(); bytes > kMaxSpec) {
    FieldErrors errors;
    errors.Add("spec", absl::StrCat("must be at most ", kMaxSpec, " bytes, got ", bytes));
    return errors;
  }
  FieldErrors errors = CheckAttributes(spec);
  if (spec.has_evaluation()) {
    CheckData(spec, limits, errors);
    CheckEvaluation(spec, limits, errors);
    return errors;
  }
  CheckTask(spec, errors);
  if (!spec.has_reinforcement_learning()) {
    CheckData(spec, limits, errors);
  } else if (limits.has_data || !spec.data().dataset().empty()) {
    errors.Add("data", "must not be given: an agent learns from its environment");
  }
  CheckModel(spec, InputsOf(spec), limits.has_model, errors);
  CheckTraining(spec, limits, errors);
  CheckNoise(spec, errors);
  return errors;
}

bool IsDatasetName(absl::string_view name) {
  return !name.empty() && name.size() <= 64 && name.front() != '.' && name.front() != '-' &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
         });
}

absl::Status Validate(const v1::JobSpec& spec, const Limits& limits) {
  return CheckSpec(spec, limits).ToStatus();
}

}  // namespace hone::server::jobs
