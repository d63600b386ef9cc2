#include "server/translate/job.h"

#include <algorithm>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/cpu.h"
#include "engine/base/status.h"
#include "engine/job/pretrained.h"
#include "engine/models/translation.h"
#include "engine/tensor/token_rows.h"
#include "server/translate/as_written.h"
#include "server/translate/reinforcement_learning.h"

namespace hone::server::translate {
namespace {

namespace job = engine::job;
namespace tasks = engine::tasks;
namespace optim = engine::optim;
namespace data = engine::data;

// A share such as 0.1f as the double that a person wrote: 0.1.
double Precise(float value) { return std::stod(std::to_string(value)); }

template <typename T, typename U>
T Or(bool has, U value, T otherwise) {
  return has ? static_cast<T>(value) : otherwise;
}

optim::OptimizerOptions ToOptimizer(const v1::Optimizer& in);

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

// Tokens that a language model sees at once.
int64_t WindowOf(const v1::JobSpec& spec) {
  if (spec.has_preference_optimization()) {
    const v1::PreferenceOptimization& task = spec.preference_optimization();
    return Or(task.has_window(), task.window(), tasks::PreferenceOptimizationOptions().window);
  }
  const v1::LanguageModeling& task = spec.language_modeling();
  return Or(task.has_window(), task.window(), tasks::LanguageModelingOptions().window);
}

tasks::Documents DocumentsOf(const v1::JobSpec& spec) {
  const bool packed = spec.language_modeling().documents() == v1::LanguageModeling::PACKED;
  if (spec.data().has_chat()) {
    return packed ? tasks::Documents::kPackedChats : tasks::Documents::kChats;
  }
  return packed ? tasks::Documents::kPacked : tasks::Documents::kJoined;
}

// The job learns from texts, whether it says how they are read or not.
bool ReadsTexts(const v1::JobSpec& spec) {
  return spec.data().has_text() || spec.has_language_modeling() ||
         spec.has_preference_optimization() || spec.has_masked_language_modeling() ||
         spec.has_text_embedding() || spec.has_token_tagging() ||
         spec.has_multi_label_classification();
}

// Nothing of the texts but themselves is learned: a part of them validates where nobody says
// otherwise.
bool LearnsTexts(const v1::JobSpec& spec) {
  return spec.has_language_modeling() || spec.has_masked_language_modeling() ||
         spec.has_preference_optimization();
}

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

data::RatingOptions ToRatingOptions(const v1::RatingOptions& in) {
  using Ids = data::RatingOptions::Ids;
  using Split = data::RatingOptions::Split;
  data::RatingOptions out{.user = in.user(),
                          .item = in.item(),
                          .rating = in.rating(),
                          .time = in.time(),
                          .name = in.name()};
  out.ids = in.ids() == v1::RatingOptions::NUMBERS ? Ids::kNumbers
            : in.ids() == v1::RatingOptions::TEXT  ? Ids::kText
                                                   : Ids::kAutomatic;
  out.split = in.split() == v1::RatingOptions::BY_TIME         ? Split::kByTime
              : in.split() == v1::RatingOptions::LEAVE_ONE_OUT ? Split::kLeaveOneOut
                                                               : Split::kRandom;
  if (in.at_least() != 0) {
    out.at_least = AsWritten(in.at_least());
  }
  return out;
}

data::SeriesOptions ToSeriesOptions(const v1::SeriesOptions& in) {
  using Scaling = data::SeriesOptions::Scaling;
  using Base = data::SeriesOptions::Base;
  data::SeriesOptions out{.target = in.target(), .time = in.time(), .window = in.window()};
  out.columns.assign(in.columns().begin(), in.columns().end());
  out.horizon = Or(in.has_horizon(), in.horizon(), out.horizon);
  out.step = Or(in.has_step(), in.step(), out.step);
  out.period = Or(in.has_period(), in.period(), out.period);
  out.scaling = in.scaling() == v1::SeriesOptions::LOG_STANDARD ? Scaling::kLogStandard
                : in.scaling() == v1::SeriesOptions::UNSCALED   ? Scaling::kUnscaled
                                                                : Scaling::kStandard;
  out.base = in.base() == v1::SeriesOptions::LAST       ? Base::kLast
             : in.base() == v1::SeriesOptions::SEASONAL ? Base::kSeasonal
                                                        : Base::kZero;
  return out;
}

engine::text::TokenizerOptions ToTokenizer(const v1::Tokenizer& in) {
  namespace text = engine::text;
  if (in.has_characters()) {
    return text::CharacterTokens();
  }
  if (in.has_sentencepiece()) {
    const v1::Tokenizer::SentencePiece& pieces = in.sentencepiece();
    text::SentencePieceTokens out;
    out.algorithm = pieces.model() == v1::Tokenizer::SentencePiece::BPE
                        ? text::SentencePieceTokens::Algorithm::kBpe
                        : text::SentencePieceTokens::Algorithm::kUnigram;
    out.vocabulary = Or(pieces.has_vocabulary(), pieces.vocabulary(), out.vocabulary);
    out.character_coverage = Or(pieces.has_character_coverage(),
                                AsWritten(pieces.character_coverage()), out.character_coverage);
    out.byte_fallback = pieces.byte_fallback();
    return out;
  }
  const v1::Tokenizer::Words& words = in.words();
  text::WordTokens out;
  out.vocabulary = Or(words.has_vocabulary(), words.vocabulary(), out.vocabulary);
  out.min_count = Or(words.has_min_count(), words.min_count(), out.min_count);
  out.split = words.split() == v1::Tokenizer::Words::SPACES ? text::WordSplit::kSpaces
                                                            : text::WordSplit::kPunctuation;
  return out;
}

engine::text::CleaningOptions ToCleaning(const v1::TextCleaning& in) {
  using engine::text::Normalization;
  return {.html = in.html(),
          .normalization = in.normalization() == v1::TextCleaning::NFC    ? Normalization::kNfc
                           : in.normalization() == v1::TextCleaning::NFKC ? Normalization::kNfkc
                                                                          : Normalization::kNone,
          .lower_case = in.lower_case(),
          .control_characters = in.control_characters(),
          .white_space = in.white_space()};
}

data::TextOptions::Encoding ToEncoding(v1::TextOptions::Encoding in) {
  return in == v1::TextOptions::LATIN1 ? data::TextOptions::Encoding::kLatin1
                                       : data::TextOptions::Encoding::kUtf8;
}

data::TextOptions::Keep ToKeep(v1::TextOptions::Keep in) {
  return in == v1::TextOptions::LONGEST ? data::TextOptions::Keep::kLongest
                                        : data::TextOptions::Keep::kFirst;
}

data::TextAugmentation ToAugmentation(const v1::TextAugmentation& in) {
  return {.character_noise = in.character_noise(),
          .word_dropout = in.word_dropout(),
          .unknown = in.unknown(),
          .swap = in.swap()};
}

data::TextOptions ToTextOptions(const v1::TextOptions& in) {
  data::TextOptions out;
  out.columns.assign(in.columns().begin(), in.columns().end());
  out.encoding = ToEncoding(in.encoding());
  out.cleaning = ToCleaning(in.cleaning());
  out.min_characters = in.min_characters();
  out.max_characters = in.max_characters();
  out.near_copies = AsWritten(in.near_copies());
  out.keep = ToKeep(in.keep());
  out.tokenizer = ToTokenizer(in.tokenizer());
  out.max_tokens = in.max_tokens();
  out.second_columns.assign(in.second_columns().begin(), in.second_columns().end());
  out.negative_columns.assign(in.negative_columns().begin(), in.negative_columns().end());
  out.augmentation = ToAugmentation(in.augmentation());
  return out;
}

data::PairOptions ToPairOptions(const v1::PairOptions& in) {
  return {.source = in.source(),
          .target = in.target(),
          .encoding = ToEncoding(in.encoding()),
          .cleaning = ToCleaning(in.cleaning()),
          .drop_empty = in.drop_empty(),
          .max_source_tokens = in.max_source_tokens(),
          .max_target_tokens = in.max_target_tokens(),
          .first = in.first(),
          .source_tokenizer = ToTokenizer(in.source_tokenizer()),
          .target_tokenizer = ToTokenizer(in.target_tokenizer()),
          .near_copies = AsWritten(in.near_copies()),
          .keep = ToKeep(in.keep()),
          .augmentation = ToAugmentation(in.augmentation())};
}

data::ChatOptions ToChatOptions(const v1::ChatOptions& in) {
  using Kind = engine::text::ChatTemplate::Kind;
  data::ChatOptions out;
  switch (in.template_()) {
    case v1::ChatOptions::CHATML:
      out.kind = Kind::kChatMl;
      break;
    case v1::ChatOptions::LLAMA3:
      out.kind = Kind::kLlama3;
      break;
    case v1::ChatOptions::ALPACA:
      out.kind = Kind::kAlpaca;
      break;
    case v1::ChatOptions::PLAIN:
      out.kind = Kind::kPlain;
      break;
    default:
      break;
  }
  if (in.has_system()) {
    out.system = in.system();
  }
  out.learn_all = in.learn() == v1::ChatOptions::ALL;
  out.max_tokens = in.max_tokens();
  return out;
}

data::LoadOptions ToLoadOptions(const v1::WorkerRequest& request) {
  // With early stopping, of texts of which nothing else is learned, and of pairs; the test part of
  // these, too.
  constexpr double kValidation = 0.1, kTranslationTest = 0.1;
  const v1::JobSpec& spec = request.spec();
  const v1::DataSpec& in = spec.data();
  data::LoadOptions options;
  options.dataset = in.dataset();
  if (!request.dataset_path().empty()) {
    options.dataset.clear();
    options.path = request.dataset_path();
  }
  options.sources.mirror_dir = request.data_mirror();
  options.sources.cache_dir = request.cache_directory();
  options.stream.folder = request.run_directory();
  options.task = spec.has_regression()                   ? data::Task::kRegression
                 : spec.has_recommendation()             ? data::Task::kRecommendation
                 : spec.has_forecasting()                ? data::Task::kForecasting
                 : LearnsTexts(spec)                     ? data::Task::kLanguageModeling
                 : spec.has_translation()                ? data::Task::kTranslation
                 : spec.has_text_embedding()             ? data::Task::kTextPairs
                 : spec.has_token_tagging()              ? data::Task::kTokenTagging
                 : spec.has_multi_label_classification() ? data::Task::kMultiLabel
                                                         : data::Task::kClassification;
  options.seed = spec.training().has_seed() ? spec.training().seed() : 1;
  const bool validates =
      spec.training().has_early_stopping() || LearnsTexts(spec) || spec.has_translation();
  options.validation_fraction = in.has_validation_fraction() ? Precise(in.validation_fraction())
                                : validates                  ? kValidation
                                                             : 0;
  if (in.has_test_fraction()) {
    options.test_fraction = Precise(in.test_fraction());
  } else if (LearnsTexts(spec)) {
    options.test_fraction = 0;
  } else if (spec.has_translation()) {
    options.test_fraction = kTranslationTest;
  }
  options.fold_count = in.fold().count();
  options.fold_index = in.fold().index();
  options.deduplicate = in.deduplicate();
  options.classes.assign(in.classes().begin(), in.classes().end());
  options.limit = in.limit();
  options.height = in.image().height();
  options.width = in.image().width();
  options.channels = in.image().channels();
  options.pixel_mean.assign(in.image().mean().begin(), in.image().mean().end());
  options.pixel_std.assign(in.image().std().begin(), in.image().std().end());
  if (spec.has_image_generation()) {
    // From −1 to 1, as the generator's tanh.
    constexpr float kMiddle = 0.5f;
    for (std::vector<float>* numbers : {&options.pixel_mean, &options.pixel_std}) {
      if (numbers->empty()) {
        numbers->push_back(kMiddle);
      }
    }
  }
  const v1::TableOptions& table = in.table();
  options.target = table.target();
  options.standardize = Or(table.has_standardize(), table.standardize(), true);
  options.standardize_target = Or(table.has_standardize_target(), table.standardize_target(), true);
  options.ignore.assign(table.ignore().begin(), table.ignore().end());
  options.ratings = ToRatingOptions(in.ratings());
  options.series = ToSeriesOptions(in.series());
  options.pairs = ToPairOptions(in.pairs());
  if (in.has_chat() || spec.has_preference_optimization()) {
    options.chat = ToChatOptions(in.chat());
  }
  if (ReadsTexts(spec)) {
    options.text = ToTextOptions(in.text());
    options.target = in.text().label();
    if (spec.has_language_modeling() &&
        in.text().tokenizer().kind_case() == v1::Tokenizer::KIND_NOT_SET) {
      options.text->tokenizer = engine::text::CharacterTokens();
    }
  }
  return options;
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
      .parameters = {in.parameters().begin(), in.parameters().end()}};
  if (in.has_lora()) {
    options.lora = ToLora(in.lora());
  }
  return options;
}

data::Augmentation ToAugmentation(const v1::Augmentation& in) {
  return {.shift = in.shift(),
          .horizontal_flip = in.horizontal_flip(),
          .rotate_degrees = in.rotate_degrees(),
          .crop_padding = in.crop_padding(),
          .erase_probability = in.erase_probability(),
          .brightness = in.brightness(),
          .contrast = in.contrast()};
}

data::TableAugmentation ToAugmentation(const v1::TableAugmentation& in) {
  return {.noise = in.noise(), .cell_dropout = in.cell_dropout()};
}

// Sets `out` where the job file has the field.
#define HONE_TAKE(message, field, out)          \
  if ((message).has_##field()) {                \
    (out).field = AsWritten((message).field()); \
  }

optim::OptimizerOptions ToOptimizer(const v1::Optimizer& in) {
  if (in.has_sgd()) {
    optim::Sgd out;
    HONE_TAKE(in.sgd(), learning_rate, out);
    HONE_TAKE(in.sgd(), momentum, out);
    HONE_TAKE(in.sgd(), weight_decay, out);
    out.nesterov = in.sgd().nesterov();
    return out;
  }
  if (in.has_adamw()) {
    optim::AdamW out;
    HONE_TAKE(in.adamw(), learning_rate, out);
    HONE_TAKE(in.adamw(), beta1, out);
    HONE_TAKE(in.adamw(), beta2, out);
    HONE_TAKE(in.adamw(), epsilon, out);
    HONE_TAKE(in.adamw(), weight_decay, out);
    out.lazy = in.adamw().lazy();
    return out;
  }
  if (in.has_rmsprop()) {
    optim::RmsProp out;
    HONE_TAKE(in.rmsprop(), learning_rate, out);
    HONE_TAKE(in.rmsprop(), decay, out);
    HONE_TAKE(in.rmsprop(), epsilon, out);
    HONE_TAKE(in.rmsprop(), momentum, out);
    HONE_TAKE(in.rmsprop(), weight_decay, out);
    out.centered = in.rmsprop().centered();
    return out;
  }
  optim::Adam out;
  HONE_TAKE(in.adam(), learning_rate, out);
  HONE_TAKE(in.adam(), beta1, out);
  HONE_TAKE(in.adam(), beta2, out);
  HONE_TAKE(in.adam(), epsilon, out);
  HONE_TAKE(in.adam(), weight_decay, out);
  out.lazy = in.adam().lazy();
  return out;
}

optim::Schedule ToSchedule(const v1::Schedule& in) {
  optim::Schedule out{.warmup_steps = in.warmup_steps(), .kind = optim::ConstantRate{}};
  if (in.has_step()) {
    optim::StepDecay step{.every_epochs = in.step().every_epochs()};
    HONE_TAKE(in.step(), factor, step);
    out.kind = step;
  } else if (in.has_exponential()) {
    optim::ExponentialDecay exponential;
    HONE_TAKE(in.exponential(), factor_per_epoch, exponential);
    out.kind = exponential;
  } else if (in.has_cosine()) {
    optim::CosineDecay cosine;
    HONE_TAKE(in.cosine(), final_factor, cosine);
    out.kind = cosine;
  } else if (in.has_linear()) {
    optim::LinearDecay linear;
    HONE_TAKE(in.linear(), final_factor, linear);
    out.kind = linear;
  } else if (in.has_one_cycle()) {
    optim::OneCycle cycle;
    HONE_TAKE(in.one_cycle(), rising_share, cycle);
    out.kind = cycle;
  } else if (in.has_plateau()) {
    optim::Plateau plateau;
    HONE_TAKE(in.plateau(), factor, plateau);
    HONE_TAKE(in.plateau(), patience, plateau);
    HONE_TAKE(in.plateau(), min_delta, plateau);
    out.kind = plateau;
  }
  return out;
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

#undef HONE_TAKE

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
