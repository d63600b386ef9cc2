#include "server/jobs/resolve.h"

#include <initializer_list>

#include "server/jobs/reinforcement_learning.h"

namespace hone::server::jobs {
namespace {

// Sets a field of presence that was not given.
#define HONE_DEFAULT(message, field, value) \
  if (!(message).has_##field()) {           \
    (message).set_##field(value);           \
  }

constexpr float kValidation = 0.1f;  // with early stopping, and where texts alone are learned

void Resolve(v1::RatingOptions& ratings) {
  if (ratings.ids() == v1::RatingOptions::IDS_UNSPECIFIED) {
    ratings.set_ids(v1::RatingOptions::AUTOMATIC);
  }
  if (ratings.split() == v1::RatingOptions::SPLIT_UNSPECIFIED) {
    ratings.set_split(v1::RatingOptions::RANDOM);
  }
}

void Resolve(v1::Tokenizer& tokenizer) {
  switch (tokenizer.kind_case()) {
    case v1::Tokenizer::kCharacters:
      return;
    case v1::Tokenizer::kSentencepiece: {
      v1::Tokenizer::SentencePiece& pieces = *tokenizer.mutable_sentencepiece();
      if (pieces.model() == v1::Tokenizer::SentencePiece::MODEL_UNSPECIFIED) {
        pieces.set_model(v1::Tokenizer::SentencePiece::UNIGRAM);
      }
      HONE_DEFAULT(pieces, vocabulary, 8000);
      HONE_DEFAULT(pieces, character_coverage, 0.9995f);
      return;
    }
    case v1::Tokenizer::kWords:
    case v1::Tokenizer::KIND_NOT_SET: {
      v1::Tokenizer::Words& words = *tokenizer.mutable_words();
      HONE_DEFAULT(words, vocabulary, 10000);
      HONE_DEFAULT(words, min_count, 1);
      if (words.split() == v1::Tokenizer::Words::SPLIT_UNSPECIFIED) {
        words.set_split(v1::Tokenizer::Words::PUNCTUATION);
      }
      return;
    }
  }
}

void Resolve(v1::TextCleaning& cleaning) {
  if (cleaning.normalization() == v1::TextCleaning::NORMALIZATION_UNSPECIFIED) {
    cleaning.set_normalization(v1::TextCleaning::NONE);
  }
}

// Texts of a job that goes on from an earlier model: `keeps_tokens` where it has the earlier
// model's.
void Resolve(v1::TextOptions& text, bool keeps_tokens) {
  if (text.encoding() == v1::TextOptions::ENCODING_UNSPECIFIED) {
    text.set_encoding(v1::TextOptions::UTF8);
  }
  if (text.keep() == v1::TextOptions::KEEP_UNSPECIFIED) {
    text.set_keep(v1::TextOptions::FIRST);
  }
  if (keeps_tokens) {
    return;
  }
  Resolve(*text.mutable_cleaning());
  Resolve(*text.mutable_tokenizer());
}

void Resolve(v1::PairOptions& pairs) {
  if (pairs.encoding() == v1::TextOptions::ENCODING_UNSPECIFIED) {
    pairs.set_encoding(v1::TextOptions::UTF8);
  }
  if (pairs.keep() == v1::TextOptions::KEEP_UNSPECIFIED) {
    pairs.set_keep(v1::TextOptions::FIRST);
  }
  Resolve(*pairs.mutable_cleaning());
  Resolve(*pairs.mutable_source_tokenizer());
  Resolve(*pairs.mutable_target_tokenizer());
}

void Resolve(v1::SeriesOptions& series) {
  HONE_DEFAULT(series, horizon, 1);
  HONE_DEFAULT(series, step, 1);
  HONE_DEFAULT(series, period, 1);
  if (series.scaling() == v1::SeriesOptions::SCALING_UNSPECIFIED) {
    series.set_scaling(v1::SeriesOptions::STANDARD);
  }
  if (series.base() == v1::SeriesOptions::BASE_UNSPECIFIED) {
    series.set_base(v1::SeriesOptions::ZERO);
  }
}

void Resolve(v1::Optimizer& optimizer);

void Resolve(v1::ImageGeneration& task, const v1::Optimizer& optimizer) {
  HONE_DEFAULT(task, latent, 100);
  if (task.loss() == v1::ImageGeneration::LOSS_UNSPECIFIED) {
    task.set_loss(v1::ImageGeneration::NON_SATURATING);
  }
  HONE_DEFAULT(task, label_smoothing, 0);
  HONE_DEFAULT(task, instance_noise, 0);
  HONE_DEFAULT(task, discriminator_steps, 1);
  HONE_DEFAULT(task, clip_weights, 0.01f);
  HONE_DEFAULT(task, average_decay, 0.999f);
  HONE_DEFAULT(*task.mutable_evaluation(), drawings, 10000);
  for (v1::Optimizer* own :
       {task.mutable_generator_optimizer(), task.mutable_discriminator_optimizer()}) {
    if (own->kind_case() == v1::Optimizer::KIND_NOT_SET) {
      *own = optimizer;
    }
    Resolve(*own);
  }
}

void ResolveTask(v1::JobSpec& spec) {
  if (spec.has_regression()) {
    v1::Regression& task = *spec.mutable_regression();
    if (task.loss() == v1::Regression::LOSS_UNSPECIFIED) {
      task.set_loss(v1::Regression::MSE);
    }
    HONE_DEFAULT(task, huber_delta, 1);
  }
  if (spec.has_recommendation()) {
    v1::Recommendation& task = *spec.mutable_recommendation();
    if (task.feedback() == v1::Recommendation::FEEDBACK_UNSPECIFIED) {
      task.set_feedback(v1::Recommendation::EXPLICIT);
    }
    HONE_DEFAULT(task, negatives, 1);
  }
  if (spec.has_forecasting()) {
    v1::Forecasting& task = *spec.mutable_forecasting();
    if (task.loss() == v1::Forecasting::LOSS_UNSPECIFIED) {
      task.set_loss(v1::Forecasting::MSE);
    }
    HONE_DEFAULT(task, huber_delta, 1);
    Resolve(*spec.mutable_data()->mutable_series());
  }
  if (spec.has_recommendation() || spec.data().has_ratings()) {
    Resolve(*spec.mutable_data()->mutable_ratings());
  }
  if (spec.has_language_modeling()) {
    HONE_DEFAULT(*spec.mutable_language_modeling(), window, 128);
    if (spec.model().preset().has_gpt()) {
      HONE_DEFAULT(*spec.mutable_model()->mutable_preset()->mutable_gpt(), window,
                   spec.language_modeling().window());
    }
  }
  if (spec.has_preference_optimization()) {
    v1::PreferenceOptimization& task = *spec.mutable_preference_optimization();
    HONE_DEFAULT(task, beta, 0.1f);
    HONE_DEFAULT(task, window, 512);
    if (spec.model().preset().has_gpt()) {
      HONE_DEFAULT(*spec.mutable_model()->mutable_preset()->mutable_gpt(), window, task.window());
    }
  }
  if (spec.has_translation()) {
    v1::Translation& task = *spec.mutable_translation();
    HONE_DEFAULT(task, beams, 1);
    HONE_DEFAULT(task, length_penalty, 1);
    HONE_DEFAULT(task, longest, 100);
    HONE_DEFAULT(task, evaluation_sentences, 200);
    HONE_DEFAULT(task, attention_maps, 4);
    if (task.has_scheduled_sampling()) {
      v1::ScheduledSampling& sampling = *task.mutable_scheduled_sampling();
      HONE_DEFAULT(sampling, from, 0);
      HONE_DEFAULT(sampling, to, 0.25f);
      HONE_DEFAULT(sampling, steps, 10000);
    }
  }
  if (spec.has_text_embedding()) {
    v1::TextEmbedding& task = *spec.mutable_text_embedding();
    if (task.pooling() == v1::TextEmbedding::POOLING_UNSPECIFIED) {
      task.set_pooling(v1::TextEmbedding::MEAN);
    }
    HONE_DEFAULT(task, scale, 20);
  }
  if (spec.has_multi_label_classification()) {
    v1::MultiLabelClassification& task = *spec.mutable_multi_label_classification();
    if (task.separator().empty()) {
      task.set_separator(",");
    }
    HONE_DEFAULT(task, threshold, 0.5f);
  }
  if (spec.model().preset().has_transformer_encoder()) {
    v1::TransformerEncoder& encoder =
        *spec.mutable_model()->mutable_preset()->mutable_transformer_encoder();
    if (encoder.positions() == v1::TransformerEncoder::LEARNED) {
      const int64_t window = spec.masked_language_modeling().window();
      HONE_DEFAULT(encoder, length, window > 0 ? window : spec.data().text().max_tokens());
    }
  }
  if (spec.has_image_generation()) {
    Resolve(*spec.mutable_image_generation(), spec.training().optimizer());
  }
  if (spec.has_reinforcement_learning()) {
    ResolveReinforcementLearning(spec.training(), *spec.mutable_reinforcement_learning());
  }
}

void ResolveData(const v1::JobSpec& spec, v1::DataSpec& data) {
  // Nothing of the texts but themselves is learned.
  const bool of_texts = spec.has_language_modeling() || spec.has_masked_language_modeling() ||
                        spec.has_preference_optimization();
  const bool validates = spec.training().has_early_stopping() || of_texts || spec.has_translation();
  HONE_DEFAULT(data, validation_fraction, validates ? kValidation : 0);
  if (!data.has_fold()) {
    HONE_DEFAULT(data, test_fraction, of_texts ? 0 : spec.has_translation() ? 0.1f : 0.2f);
  }
  if (spec.has_image_generation()) {
    // From −1 to 1, as tanh.
    v1::ImageOptions& image = *data.mutable_image();
    if (image.mean().empty()) {
      image.add_mean(0.5f);
    }
    if (image.std().empty()) {
      image.add_std(0.5f);
    }
  }
  const bool keeps_tokens =
      spec.model().has_pretrained() && !data.text().has_cleaning() && !data.text().has_tokenizer();
  if (data.has_chat() || spec.has_preference_optimization()) {
    v1::ChatOptions& chat = *data.mutable_chat();
    if (chat.learn() == v1::ChatOptions::LEARN_UNSPECIFIED) {
      chat.set_learn(v1::ChatOptions::ANSWERS);
    }
  } else if (spec.has_language_modeling() && !keeps_tokens &&
             data.text().tokenizer().kind_case() == v1::Tokenizer::KIND_NOT_SET) {
    data.mutable_text()->mutable_tokenizer()->mutable_characters();
  }
  if (data.has_text() || (of_texts && !data.has_chat()) || spec.has_token_tagging() ||
      spec.has_text_embedding()) {
    Resolve(*data.mutable_text(), keeps_tokens);
  }
  if (data.has_pairs() || spec.has_translation()) {
    Resolve(*data.mutable_pairs());
  }
  v1::TableOptions& table = *data.mutable_table();
  HONE_DEFAULT(table, standardize, true);
  HONE_DEFAULT(table, standardize_target, true);
}

void Resolve(v1::Initializer& initializer) {
  if (initializer.kind() == v1::Initializer::KIND_UNSPECIFIED) {
    initializer.set_kind(v1::Initializer::GLOROT_UNIFORM);
  }
  HONE_DEFAULT(initializer, stddev, 0.05f);
}

template <typename Message>
void ResolveActivation(Message& layer) {
  if (layer.activation() == v1::Activation::ACTIVATION_UNSPECIFIED) {
    layer.set_activation(v1::Activation::LINEAR);
  }
}

template <typename Message>
void ResolvePadding(Message& layer) {
  if (layer.padding() == v1::Padding::PADDING_UNSPECIFIED) {
    layer.set_padding(v1::Padding::VALID);
  }
}

void Resolve(v1::Conv2d& conv) {
  HONE_DEFAULT(conv, stride, 1);
  HONE_DEFAULT(conv, dilation, 1);
  HONE_DEFAULT(conv, groups, 1);
  HONE_DEFAULT(conv, use_bias, true);
  ResolvePadding(conv);
  ResolveActivation(conv);
  Resolve(*conv.mutable_initializer());
}

void Resolve(v1::Pool2d& pool) {
  HONE_DEFAULT(pool, stride, pool.size());
  ResolvePadding(pool);
}

// Of a table, which starts NORMAL.
void ResolveTable(v1::Initializer& initializer) {
  if (initializer.kind() == v1::Initializer::KIND_UNSPECIFIED) {
    initializer.set_kind(v1::Initializer::NORMAL);
  }
  Resolve(initializer);
}

void Resolve(v1::Attention& attention) {
  HONE_DEFAULT(attention, kv_heads, attention.heads());
  HONE_DEFAULT(attention, rotary_base, 10000);
  HONE_DEFAULT(attention, use_bias, true);
  Resolve(*attention.mutable_initializer());
}

void Resolve(v1::Positions& positions) {
  if (positions.kind() == v1::Positions::KIND_UNSPECIFIED) {
    positions.set_kind(v1::Positions::LEARNED);
  }
  ResolveTable(*positions.mutable_initializer());
}

void Resolve(v1::Recurrent& recurrent) {
  HONE_DEFAULT(recurrent, layers, 1);
  Resolve(*recurrent.mutable_initializer());
}

void Resolve(v1::Layer& layer);

void Resolve(v1::Repeat& repeat) {
  if (repeat.name().empty()) {
    repeat.set_name("block");
  }
  for (v1::Layer& layer : *repeat.mutable_layers()) {
    Resolve(layer);
  }
}

void Resolve(v1::Layer& layer) {
  switch (layer.kind_case()) {
    case v1::Layer::kDense:
      HONE_DEFAULT(*layer.mutable_dense(), use_bias, true);
      ResolveActivation(*layer.mutable_dense());
      return Resolve(*layer.mutable_dense()->mutable_initializer());
    case v1::Layer::kConv2D:
      return Resolve(*layer.mutable_conv2d());
    case v1::Layer::kConv2DTranspose:
      return Resolve(*layer.mutable_conv2d_transpose());
    case v1::Layer::kUpsample2D:
      HONE_DEFAULT(*layer.mutable_upsample2d(), factor, 2);
      return;
    case v1::Layer::kMaxPool2D:
      return Resolve(*layer.mutable_max_pool2d());
    case v1::Layer::kAvgPool2D:
      return Resolve(*layer.mutable_avg_pool2d());
    case v1::Layer::kBatchNorm:
      HONE_DEFAULT(*layer.mutable_batch_norm(), momentum, 0.9f);
      HONE_DEFAULT(*layer.mutable_batch_norm(), epsilon, 1e-5f);
      return ResolveActivation(*layer.mutable_batch_norm());
    case v1::Layer::kLayerNorm:
      HONE_DEFAULT(*layer.mutable_layer_norm(), epsilon, 1e-5f);
      return;
    case v1::Layer::kActivation:
      HONE_DEFAULT(*layer.mutable_activation(), negative_slope, 0.2f);
      return;
    case v1::Layer::kAdd:
      return ResolveActivation(*layer.mutable_add());
    case v1::Layer::kEmbedding:
      return ResolveTable(*layer.mutable_embedding()->mutable_initializer());
    case v1::Layer::kLstm:
      return Resolve(*layer.mutable_lstm());
    case v1::Layer::kGru:
      HONE_DEFAULT(*layer.mutable_gru(), reset_after, true);
      return Resolve(*layer.mutable_gru());
    case v1::Layer::kSimpleRnn:
      return Resolve(*layer.mutable_simple_rnn());
    case v1::Layer::kSequencePool:
      if (layer.sequence_pool().kind() == v1::SequencePool::KIND_UNSPECIFIED) {
        layer.mutable_sequence_pool()->set_kind(v1::SequencePool::MEAN);
      }
      return;
    case v1::Layer::kConv1D:
      HONE_DEFAULT(*layer.mutable_conv1d(), use_bias, true);
      ResolveActivation(*layer.mutable_conv1d());
      return Resolve(*layer.mutable_conv1d()->mutable_initializer());
    case v1::Layer::kAttention:
      return Resolve(*layer.mutable_attention());
    case v1::Layer::kPositions:
      return Resolve(*layer.mutable_positions());
    case v1::Layer::kGlu:
      HONE_DEFAULT(*layer.mutable_glu(), use_bias, false);
      if (layer.glu().activation() == v1::Activation::ACTIVATION_UNSPECIFIED) {
        layer.mutable_glu()->set_activation(v1::Activation::SILU);
      }
      return Resolve(*layer.mutable_glu()->mutable_initializer());
    case v1::Layer::kRmsNorm:
      HONE_DEFAULT(*layer.mutable_rms_norm(), epsilon, 1e-6f);
      return;
    case v1::Layer::kRepeat:
      return Resolve(*layer.mutable_repeat());
    case v1::Layer::kDot:
    case v1::Layer::kGlobalAvgPool2D:
    case v1::Layer::kGlobalMaxPool2D:
    case v1::Layer::kDropout:
    case v1::Layer::kFlatten:
    case v1::Layer::kReshape:
    case v1::Layer::kConcat:
    case v1::Layer::KIND_NOT_SET:
      return;
  }
}

template <typename Numbers>
void ResolveNumbers(Numbers& numbers, std::initializer_list<int64_t> otherwise) {
  if (numbers.empty()) {
    numbers.Add(otherwise.begin(), otherwise.end());
  }
}

void Resolve(v1::Gpt& gpt) {
  HONE_DEFAULT(gpt, layers, 4);
  HONE_DEFAULT(gpt, heads, 4);
  HONE_DEFAULT(gpt, width, 128);
  HONE_DEFAULT(gpt, tied_embeddings, true);
  if (gpt.positions() == v1::Gpt::POSITIONS_UNSPECIFIED) {
    gpt.set_positions(v1::Gpt::LEARNED);
  }
}

void Resolve(v1::Seq2Seq& net) {
  if (net.cell() == v1::Seq2Seq::CELL_UNSPECIFIED) {
    net.set_cell(v1::Seq2Seq::GRU);
  }
  if (net.attention() == v1::Seq2Seq::ATTENTION_UNSPECIFIED) {
    net.set_attention(v1::Seq2Seq::BAHDANAU);
  }
  HONE_DEFAULT(net, layers, 1);
  HONE_DEFAULT(net, units, 256);
  HONE_DEFAULT(net, embedding, net.units());
  HONE_DEFAULT(net, dropout, 0.1f);
}

void Resolve(v1::TransformerTranslation& net) {
  HONE_DEFAULT(net, layers, 3);
  HONE_DEFAULT(net, heads, 8);
  HONE_DEFAULT(net, width, 256);
  HONE_DEFAULT(net, feed_forward, 4 * net.width());
  HONE_DEFAULT(net, dropout, 0.1f);
}

void Resolve(v1::TransformerEncoder& encoder) {
  using Encoder = v1::TransformerEncoder;
  HONE_DEFAULT(encoder, layers, 4);
  HONE_DEFAULT(encoder, heads, 4);
  HONE_DEFAULT(encoder, width, 128);
  HONE_DEFAULT(encoder, hidden, 4 * encoder.width());
  HONE_DEFAULT(encoder, epsilon, 1e-5f);
  HONE_DEFAULT(encoder, dropout, 0.1f);
  if (encoder.positions() == Encoder::POSITIONS_UNSPECIFIED) {
    encoder.set_positions(Encoder::LEARNED);
  }
  if (encoder.norm() == Encoder::NORM_UNSPECIFIED) {
    encoder.set_norm(Encoder::PRE);
  }
  if (encoder.activation() == Encoder::ACTIVATION_UNSPECIFIED) {
    encoder.set_activation(Encoder::GELU);
  }
  if (encoder.pooling() == Encoder::POOLING_UNSPECIFIED) {
    encoder.set_pooling(Encoder::MEAN);
  }
}

void Resolve(v1::Preset& preset) {
  switch (preset.kind_case()) {
    case v1::Preset::kGan:
      ResolveNumbers(*preset.mutable_gan()->mutable_generator_units(), {128, 128, 128});
      ResolveNumbers(*preset.mutable_gan()->mutable_discriminator_units(), {128, 128});
      return;
    case v1::Preset::kDcgan:
      ResolveNumbers(*preset.mutable_dcgan()->mutable_generator_filters(), {128, 64});
      ResolveNumbers(*preset.mutable_dcgan()->mutable_discriminator_filters(), {32, 64});
      return;
    case v1::Preset::kGpt:
      return Resolve(*preset.mutable_gpt());
    case v1::Preset::kSeq2Seq:
      return Resolve(*preset.mutable_seq2seq());
    case v1::Preset::kTransformerTranslation:
      return Resolve(*preset.mutable_transformer_translation());
    case v1::Preset::kTransformerEncoder:
      return Resolve(*preset.mutable_transformer_encoder());
    case v1::Preset::KIND_NOT_SET:
      return;
  }
}

void Resolve(v1::ModelSpec& model) {
  if (model.has_pretrained()) {
    HONE_DEFAULT(*model.mutable_pretrained(), drop_layers, model.layers_size() > 0 ? 1 : 0);
  }
  for (v1::Layer& layer : *model.mutable_layers()) {
    Resolve(layer);
  }
  for (v1::Network& network : *model.mutable_networks()) {
    for (v1::Layer& layer : *network.mutable_layers()) {
      Resolve(layer);
    }
    if (network.has_preset()) {
      Resolve(*network.mutable_preset());
    }
  }
  if (model.has_preset()) {
    Resolve(*model.mutable_preset());
  }
}

template <typename Adam>
void ResolveAdam(Adam& adam, float weight_decay) {
  HONE_DEFAULT(adam, learning_rate, 0.001f);
  HONE_DEFAULT(adam, beta1, 0.9f);
  HONE_DEFAULT(adam, beta2, 0.999f);
  HONE_DEFAULT(adam, epsilon, 1e-7f);
  HONE_DEFAULT(adam, weight_decay, weight_decay);
}

void Resolve(v1::Optimizer& optimizer) {
  switch (optimizer.kind_case()) {
    case v1::Optimizer::kSgd:
      HONE_DEFAULT(*optimizer.mutable_sgd(), learning_rate, 0.01f);
      HONE_DEFAULT(*optimizer.mutable_sgd(), momentum, 0);
      HONE_DEFAULT(*optimizer.mutable_sgd(), weight_decay, 0);
      return;
    case v1::Optimizer::kAdamw:
      return ResolveAdam(*optimizer.mutable_adamw(), 0.01f);
    case v1::Optimizer::kRmsprop:
      HONE_DEFAULT(*optimizer.mutable_rmsprop(), learning_rate, 0.001f);
      HONE_DEFAULT(*optimizer.mutable_rmsprop(), decay, 0.9f);
      HONE_DEFAULT(*optimizer.mutable_rmsprop(), epsilon, 1e-7f);
      HONE_DEFAULT(*optimizer.mutable_rmsprop(), momentum, 0);
      HONE_DEFAULT(*optimizer.mutable_rmsprop(), weight_decay, 0);
      return;
    case v1::Optimizer::kAdam:
    case v1::Optimizer::KIND_NOT_SET:
      return ResolveAdam(*optimizer.mutable_adam(), 0);
  }
}

void Resolve(v1::Schedule& schedule) {
  switch (schedule.kind_case()) {
    case v1::Schedule::KIND_NOT_SET:
    case v1::Schedule::kConstant:
      schedule.mutable_constant();
      return;
    case v1::Schedule::kStep:
      HONE_DEFAULT(*schedule.mutable_step(), factor, 0.1f);
      return;
    case v1::Schedule::kExponential:
      HONE_DEFAULT(*schedule.mutable_exponential(), factor_per_epoch, 0.95f);
      return;
    case v1::Schedule::kCosine:
      HONE_DEFAULT(*schedule.mutable_cosine(), final_factor, 0);
      return;
    case v1::Schedule::kLinear:
      HONE_DEFAULT(*schedule.mutable_linear(), final_factor, 0);
      return;
    case v1::Schedule::kOneCycle:
      HONE_DEFAULT(*schedule.mutable_one_cycle(), rising_share, 0.3f);
      return;
    case v1::Schedule::kPlateau:
      HONE_DEFAULT(*schedule.mutable_plateau(), factor, 0.1f);
      HONE_DEFAULT(*schedule.mutable_plateau(), patience, 5);
      HONE_DEFAULT(*schedule.mutable_plateau(), min_delta, 0);
      return;
  }
}

void Resolve(v1::TrainingSpec& training) {
  HONE_DEFAULT(training, batch_size, 32);
  Resolve(*training.mutable_optimizer());
  Resolve(*training.mutable_schedule());
  HONE_DEFAULT(training, seed, 1);
  if (training.precision() == v1::TrainingSpec::PRECISION_UNSPECIFIED) {
    training.set_precision(v1::TrainingSpec::F32);
  }
  if (training.recompute() == v1::TrainingSpec::RECOMPUTE_UNSPECIFIED) {
    training.set_recompute(v1::TrainingSpec::WHEN_NEEDED);
  }
  if (training.accumulate_batches() == 0) {
    training.set_accumulate_batches(1);
  }
  if (training.has_early_stopping()) {
    HONE_DEFAULT(*training.mutable_early_stopping(), min_delta, 0);
  }
  HONE_DEFAULT(*training.mutable_checkpoints(), every_seconds, 300);
  HONE_DEFAULT(*training.mutable_checkpoints(), keep_latest, 2);
  HONE_DEFAULT(training, cache_frozen, true);
  HONE_DEFAULT(training, layer_decay, 1);
  HONE_DEFAULT(training, layer_statistics_every, 50);
}

}  // namespace

v1::JobSpec Resolve(const v1::JobSpec& spec) {
  v1::JobSpec resolved = spec;
  if (resolved.has_evaluation()) {
    ResolveData(resolved, *resolved.mutable_data());
    HONE_DEFAULT(*resolved.mutable_evaluation(), seed, 1);
    HONE_DEFAULT(*resolved.mutable_evaluation(), batch_size, 32);
    return resolved;
  }
  Resolve(*resolved.mutable_model());
  Resolve(*resolved.mutable_training());
  ResolveTask(resolved);
  if (!resolved.has_reinforcement_learning()) {
    ResolveData(resolved, *resolved.mutable_data());
  }
  return resolved;
}

#undef HONE_DEFAULT

}  // namespace hone::server::jobs
