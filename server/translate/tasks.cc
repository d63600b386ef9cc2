#include "server/translate/tasks.h"

#include "server/translate/as_written.h"
#include "server/translate/optimizer.h"
#include "server/translate/reinforcement_learning.h"

namespace hone::server::translate {
namespace {

namespace tasks = engine::tasks;

tasks::ImageGenerationOptions ToImageGeneration(const v1::ImageGeneration& in) {
  tasks::ImageGenerationOptions out;
  out.latent = Or(in.has_latent(), in.latent(), out.latent);
  switch (in.loss()) {
    case v1::ImageGeneration::LEAST_SQUARES:
      out.loss = engine::AdversarialKind::kLeastSquares;
      break;
    case v1::ImageGeneration::HINGE:
      out.loss = engine::AdversarialKind::kHinge;
      break;
    case v1::ImageGeneration::WASSERSTEIN:
      out.loss = engine::AdversarialKind::kWasserstein;
      break;
    default:
      out.loss = engine::AdversarialKind::kNonSaturating;
      break;
  }
  out.label_smoothing = in.label_smoothing();
  out.instance_noise = in.instance_noise();
  out.instance_noise_steps = in.instance_noise_steps();
  out.discriminator_steps =
      Or(in.has_discriminator_steps(), in.discriminator_steps(), out.discriminator_steps);
  if (in.has_clip_weights()) {
    out.clip_weights = AsWritten(in.clip_weights());
  }
  out.conditional = in.conditional();
  if (in.has_average_decay()) {
    out.average_decay = AsWritten(in.average_decay());
  }
  if (in.evaluation().has_drawings()) {
    out.evaluation_drawings = in.evaluation().drawings();
  }
  if (in.generator_optimizer().kind_case() != v1::Optimizer::KIND_NOT_SET) {
    out.generator_optimizer = ToOptimizer(in.generator_optimizer());
  }
  if (in.discriminator_optimizer().kind_case() != v1::Optimizer::KIND_NOT_SET) {
    out.discriminator_optimizer = ToOptimizer(in.discriminator_optimizer());
  }
  return out;
}

tasks::TranslationOptions ToTranslation(const v1::Translation& in) {
  tasks::TranslationOptions out;
  out.label_smoothing = in.label_smoothing();
  out.beams = Or(in.has_beams(), in.beams(), out.beams);
  if (in.has_length_penalty()) {
    out.length_penalty = AsWritten(in.length_penalty());
  }
  out.longest = Or(in.has_longest(), in.longest(), out.longest);
  out.evaluation_sentences =
      Or(in.has_evaluation_sentences(), in.evaluation_sentences(), out.evaluation_sentences);
  out.attention_maps = Or(in.has_attention_maps(), in.attention_maps(), out.attention_maps);
  if (in.has_scheduled_sampling()) {
    const v1::ScheduledSampling& sampling = in.scheduled_sampling();
    tasks::ScheduledSampling& to = out.sampling.emplace();
    if (sampling.has_from()) {
      to.from = AsWritten(sampling.from());
    }
    if (sampling.has_to()) {
      to.to = AsWritten(sampling.to());
    }
    to.steps = Or(sampling.has_steps(), sampling.steps(), to.steps);
  }
  return out;
}

tasks::Documents DocumentsOf(const v1::JobSpec& spec) {
  const bool packed = spec.language_modeling().documents() == v1::LanguageModeling::PACKED;
  if (spec.data().has_chat()) {
    return packed ? tasks::Documents::kPackedChats : tasks::Documents::kChats;
  }
  return packed ? tasks::Documents::kPacked : tasks::Documents::kJoined;
}

}  // namespace

int64_t WindowOf(const v1::JobSpec& spec) {
  if (spec.has_preference_optimization()) {
    const v1::PreferenceOptimization& task = spec.preference_optimization();
    return Or(task.has_window(), task.window(), tasks::PreferenceOptimizationOptions().window);
  }
  const v1::LanguageModeling& task = spec.language_modeling();
  return Or(task.has_window(), task.window(), tasks::LanguageModelingOptions().window);
}

absl::StatusOr<tasks::TaskOptions> ToTask(const v1::JobSpec& spec) {
  if (spec.has_reinforcement_learning()) {
    return ToReinforcementLearning(spec);
  }
  if (spec.has_image_generation()) {
    return ToImageGeneration(spec.image_generation());
  }
  if (spec.has_language_modeling()) {
    return tasks::LanguageModelingOptions{.window = WindowOf(spec),
                                          .z_loss = spec.language_modeling().z_loss(),
                                          .carry_state = spec.language_modeling().carry_state(),
                                          .documents = DocumentsOf(spec)};
  }
  if (spec.has_preference_optimization()) {
    const v1::PreferenceOptimization& task = spec.preference_optimization();
    tasks::PreferenceOptimizationOptions options = {.window = WindowOf(spec)};
    options.beta = Or(task.has_beta(), task.beta(), options.beta);
    return options;
  }
  if (spec.has_translation()) {
    return ToTranslation(spec.translation());
  }
  if (spec.has_masked_language_modeling()) {
    return tasks::MaskedLanguageModelingOptions{.window = spec.masked_language_modeling().window()};
  }
  if (spec.has_text_embedding()) {
    const v1::TextEmbedding& task = spec.text_embedding();
    tasks::TextEmbeddingOptions options;
    if (task.pooling() == v1::TextEmbedding::FIRST) {
      options.pooling = tasks::TextEmbeddingOptions::Pooling::kFirst;
    }
    options.scale = Or(task.has_scale(), task.scale(), options.scale);
    return options;
  }
  if (spec.has_token_tagging()) {
    return tasks::TokenTaggingOptions{};
  }
  if (spec.has_multi_label_classification()) {
    const v1::MultiLabelClassification& task = spec.multi_label_classification();
    tasks::MultiLabelClassificationOptions options;
    options.separator = Or(!task.separator().empty(), task.separator(), options.separator);
    options.threshold = Or(task.has_threshold(), task.threshold(), options.threshold);
    return options;
  }
  if (spec.has_regression()) {
    const v1::Regression& task = spec.regression();
    tasks::RegressionOptions options;
    options.loss = task.loss() == v1::Regression::MAE     ? tasks::RegressionOptions::Loss::kMae
                   : task.loss() == v1::Regression::HUBER ? tasks::RegressionOptions::Loss::kHuber
                                                          : tasks::RegressionOptions::Loss::kMse;
    options.huber_delta = task.has_huber_delta() ? task.huber_delta() : 1;
    return options;
  }
  if (spec.has_forecasting()) {
    const v1::Forecasting& task = spec.forecasting();
    tasks::ForecastingOptions options;
    options.loss = task.loss() == v1::Forecasting::MAE     ? tasks::RegressionOptions::Loss::kMae
                   : task.loss() == v1::Forecasting::HUBER ? tasks::RegressionOptions::Loss::kHuber
                                                           : tasks::RegressionOptions::Loss::kMse;
    options.huber_delta = task.has_huber_delta() ? task.huber_delta() : 1;
    return options;
  }
  if (spec.has_recommendation()) {
    const v1::Recommendation& task = spec.recommendation();
    using Feedback = tasks::RecommendationOptions::Feedback;
    return tasks::RecommendationOptions{.feedback = task.feedback() == v1::Recommendation::IMPLICIT
                                                        ? Feedback::kImplicit
                                                        : Feedback::kExplicit,
                                        .negatives = task.has_negatives() ? task.negatives() : 1};
  }
  const v1::Classification& task = spec.classification();
  return tasks::ClassificationOptions{
      .label_smoothing = task.label_smoothing(),
      .class_weights = {task.class_weights().begin(), task.class_weights().end()},
      .binary = task.binary()};
}

}  // namespace hone::server::translate
