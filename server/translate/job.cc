#include "server/translate/job.h"

#include <algorithm>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/cpu.h"
#include "engine/base/status.h"
#include "engine/job/pretrained.h"
#include "engine/models/translation.h"
#include "engine/tensor/token_rows.h"
#include "server/translate/as_written.h"
#include "server/translate/data.h"
#include "server/translate/optimizer.h"
#include "server/translate/tasks.h"

namespace hone::server::translate {
namespace {

namespace job = engine::job;
namespace tasks = engine::tasks;
namespace optim = engine::optim;

// What a preset does not say and the rest of the job does.
void CompletePreset(const v1::JobSpec& spec, v1::ModelSpec& model) {
  if (model.preset().has_gpt() && !model.preset().gpt().has_window()) {
    model.mutable_preset()->mutable_gpt()->set_window(WindowOf(spec));
  }
  if (model.preset().has_transformer_encoder() &&
      !model.preset().transformer_encoder().has_length()) {
    const int64_t window = spec.masked_language_modeling().window();
    model.mutable_preset()->mutable_transformer_encoder()->set_length(
        window > 0 ? window : spec.data().text().max_tokens());
  }
}

tasks::LoraOptions ToLora(const v1::Lora& in) {
  tasks::LoraOptions lora = {.dropout = in.dropout(),
                             .targets = {in.targets().begin(), in.targets().end()}};
  if (in.has_rank()) {
    lora.rank = in.rank();
  }
  if (in.has_alpha()) {
    lora.alpha = AsWritten(in.alpha());
  }
  if (in.has_rslora()) {
    lora.rslora = in.rslora();
  }
  return lora;
}

tasks::PretrainedOptions ToPretrained(const v1::WorkerRequest& request) {
  const v1::ModelSpec& model = request.spec().model();
  const v1::Pretrained& in = model.pretrained();
  tasks::PretrainedOptions options = {
      .directory = request.model_directory(),
      .drop_layers = in.has_drop_layers() ? in.drop_layers() : (model.layers_size() > 0 ? 1 : 0),
      .parameters = {in.parameters().begin(), in.parameters().end()},
      .new_tokens = {in.new_tokens().begin(), in.new_tokens().end()}};
  if (in.has_lora()) {
    options.lora = ToLora(in.lora());
  }
  return options;
}

tasks::Recompute ToRecompute(v1::TrainingSpec::Recompute in) {
  switch (in) {
    case v1::TrainingSpec::NEVER:
      return tasks::Recompute::kNever;
    case v1::TrainingSpec::ALWAYS:
      return tasks::Recompute::kAlways;
    default:
      return tasks::Recompute::kWhenNeeded;
  }
}

void SetTraining(const v1::TrainingSpec& in, tasks::TrainingConfig& config) {
  config.epochs = in.epochs();
  config.steps = in.steps();
  config.stop_after = in.stop_after();
  config.batch_size = Or(in.has_batch_size(), in.batch_size(), config.batch_size);
  config.optimizer = ToOptimizer(in.optimizer());
  config.schedule = ToSchedule(in.schedule());
  config.seed = Or(in.has_seed(), in.seed(), config.seed);
  config.compute =
      in.precision() == v1::TrainingSpec::BF16 ? engine::DType::kBf16 : engine::DType::kF32;
  config.recompute = ToRecompute(in.recompute());
  config.cache_frozen = Or(in.has_cache_frozen(), in.cache_frozen(), config.cache_frozen);
  config.clip_norm = in.clip_norm();
  config.clip_value = in.clip_value();
  config.accumulate_batches = std::max<int64_t>(1, in.accumulate_batches());
  if (in.has_early_stopping()) {
    config.early_stopping = {.patience = in.early_stopping().patience(),
                             .min_delta = in.early_stopping().min_delta()};
  }
  const v1::Checkpoints& checkpoints = in.checkpoints();
  config.checkpoints.every_steps = checkpoints.every_steps();
  if (checkpoints.has_every_seconds()) {
    config.checkpoints.every_seconds = Precise(checkpoints.every_seconds());
  }
  config.checkpoints.keep_latest =
      Or(checkpoints.has_keep_latest(), checkpoints.keep_latest(), config.checkpoints.keep_latest);
  if (in.has_layer_decay()) {
    config.layer_decay = AsWritten(in.layer_decay());
  }
  config.neftune_alpha = in.neftune_alpha();
  config.average_decay = AsWritten(in.average_decay());
  config.layer_statistics_every = Or(in.has_layer_statistics_every(), in.layer_statistics_every(),
                                     config.layer_statistics_every);
}

// The short forms first, so that the job's own rules count where both say something.
absl::StatusOr<std::vector<tasks::ParameterRule>> ToRules(
    const v1::JobSpec& spec, const tasks::PretrainedOptions& pretrained) {
  const auto& freeze = spec.model().pretrained().freeze();
  HONE_ASSIGN_OR_RETURN(std::vector<tasks::ParameterRule> rules,
                        job::FreezeRules(pretrained, {freeze.begin(), freeze.end()}));
  const v1::TrainingSpec& training = spec.training();
  for (int i = 0; i < training.weight_decay_exclude_size(); ++i) {
    rules.push_back({.parameters = training.weight_decay_exclude(i),
                     .weight_decay = 0,
                     .field = absl::StrCat("training.weight_decay_exclude[", i, "]")});
  }
  for (int i = 0; i < training.parameter_rules_size(); ++i) {
    const v1::ParameterRule& rule = training.parameter_rules(i);
    tasks::ParameterRule& out = rules.emplace_back();
    out.parameters = rule.parameters();
    out.field = absl::StrCat("training.parameter_rules[", i, "]");
    HONE_TAKE(rule, freeze, out);
    HONE_TAKE(rule, learning_rate_factor, out);
    HONE_TAKE(rule, weight_decay, out);
    if (rule.has_freeze_until_step()) {
      out.freeze_until_step = rule.freeze_until_step();
    }
  }
  return rules;
}

job::EvaluationConfig::Part ToPart(v1::ModelEvaluation::Part part) {
  using Part = job::EvaluationConfig::Part;
  switch (part) {
    case v1::ModelEvaluation::TEST:
      return Part::kTest;
    case v1::ModelEvaluation::VALIDATION:
      return Part::kValidation;
    case v1::ModelEvaluation::TRAIN:
      return Part::kTrain;
    case v1::ModelEvaluation::ALL:
      return Part::kAll;
    default:
      return Part::kUnspecified;
  }
}

}  // namespace

job::EvaluationConfig ToEvaluationConfig(const v1::WorkerRequest& request) {
  const v1::ModelEvaluation& evaluation = request.spec().evaluation();
  job::EvaluationConfig config;
  config.models = {request.model_directory()};
  if (!request.other_model_directory().empty()) {
    config.models.push_back(request.other_model_directory());
  }
  config.data = ToLoadOptions(request);
  config.data.seed = evaluation.has_seed() ? evaluation.seed() : 1;
  config.part = ToPart(evaluation.part());
  config.batch_size = Or(evaluation.has_batch_size(), evaluation.batch_size(), config.batch_size);
  config.threads = request.threads() > 0      ? request.threads()
                   : evaluation.threads() > 0 ? static_cast<int>(evaluation.threads())
                                              : AvailableThreads();
  config.run_directory = request.run_directory();
  return config;
}

absl::StatusOr<tasks::TrainingConfig> ToTrainingConfig(const v1::WorkerRequest& request) {
  const v1::JobSpec& spec = request.spec();
  tasks::TrainingConfig config;
  config.display_name = spec.display_name();
  HONE_ASSIGN_OR_RETURN(config.task, ToTask(spec));
  if (auto* drawing = std::get_if<tasks::ImageGenerationOptions>(&config.task)) {
    drawing->classifier_directory = request.classifier_directory();
  }
  config.data = ToLoadOptions(request);
  config.augmentation = ToAugmentation(spec.data().image().augmentation());
  config.table_augmentation = ToAugmentation(spec.data().table().augmentation());
  v1::ModelSpec model = spec.model();
  CompletePreset(spec, model);
  HONE_ASSIGN_OR_RETURN(engine::models::ModelDescription layers, ToModelDescription(model));
  if (spec.has_recommendation()) {
    layers.inputs = {"user", "item"};
  }
  if (spec.has_forecasting()) {
    layers.inputs = {std::string(tasks::kPointsInput), std::string(engine::kOffsetsInput)};
  }
  if (ReadsTexts(spec)) {
    layers.inputs = {std::string(engine::kTokensInput), std::string(engine::kOffsetsInput)};
    if (spec.data().text().second_columns_size() > 0 && !spec.has_text_embedding()) {
      layers.inputs.emplace_back(engine::kSegmentsInput);
    }
  }
  if (spec.has_translation()) {
    layers.inputs = {std::string(engine::models::kSourceTokensInput),
                     std::string(engine::models::kSourceOffsetsInput),
                     std::string(engine::kTokensInput), std::string(engine::kOffsetsInput)};
  }
  if (spec.model().has_pretrained()) {
    config.pretrained = ToPretrained(request);
    HONE_ASSIGN_OR_RETURN(config.model, job::WithPretrained(config.pretrained, layers));
    const v1::TextOptions& text = spec.data().text();
    if (ReadsTexts(spec) && !text.has_cleaning() && !text.has_tokenizer()) {
      HONE_ASSIGN_OR_RETURN(
          config.data.text->like,
          job::PretrainedTokens(config.pretrained, &config.data.text->like_notes));
    }
    if (spec.has_classification() || spec.has_multi_label_classification() ||
        spec.has_token_tagging()) {
      HONE_ASSIGN_OR_RETURN(config.data.head_classes, job::PretrainedClasses(config.pretrained));
    }
  } else {
    HONE_ASSIGN_OR_RETURN(config.model, engine::models::WithNames(layers));
  }
  SetTraining(spec.training(), config);
  if (auto* agent = std::get_if<tasks::ReinforcementLearningOptions>(&config.task)) {
    if (agent->policy.has_value()) {
      agent->policy->minibatch = config.batch_size;
    }
    config.steps = tasks::LoopSteps(*agent);
    config.stop_after = tasks::LoopStepsFor(*agent, config.stop_after);
  }
  HONE_ASSIGN_OR_RETURN(config.parameter_rules, ToRules(spec, config.pretrained));
  config.threads = request.threads() > 0           ? request.threads()
                   : spec.training().threads() > 0 ? static_cast<int>(spec.training().threads())
                                                   : AvailableThreads();
  config.one_thread_if_small = true;
  config.run_directory = request.run_directory();
  config.resume = request.resume();
  config.known_checkpoint = request.checkpoint_step();
  config.profile = request.profile();
  HONE_RETURN_IF_ERROR(Annotate(optim::Validate(config.optimizer), "training"));
  HONE_RETURN_IF_ERROR(Annotate(optim::Validate(config.schedule), "training"));
  if (const auto* drawing = std::get_if<tasks::ImageGenerationOptions>(&config.task)) {
    for (const auto& own : {drawing->generator_optimizer, drawing->discriminator_optimizer}) {
      if (own.has_value()) {
        HONE_RETURN_IF_ERROR(Annotate(optim::Validate(*own), "image_generation"));
      }
    }
  }
  return config;
}

}  // namespace hone::server::translate
