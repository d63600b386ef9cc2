#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "server/translate/job.h"
#include "server/translate/repeat.h"

namespace hone::server::translate {
namespace {

using engine::ActivationKind;
namespace models = engine::models;
namespace layers = engine::layers;

ActivationKind ToActivation(v1::Activation::Kind activation) {
  switch (activation) {
    case v1::Activation::RELU:
      return ActivationKind::kRelu;
    case v1::Activation::LEAKY_RELU:
      return ActivationKind::kLeakyRelu;
    case v1::Activation::GELU:
      return ActivationKind::kGelu;
    case v1::Activation::GELU_TANH:
      return ActivationKind::kGeluTanh;
    case v1::Activation::TANH:
      return ActivationKind::kTanh;
    case v1::Activation::SIGMOID:
      return ActivationKind::kSigmoid;
    case v1::Activation::SILU:
      return ActivationKind::kSilu;
    case v1::Activation::SOFTMAX:
      return ActivationKind::kSoftmax;
    default:
      return ActivationKind::kNone;
  }
}

layers::Padding ToPadding(v1::Padding::Kind padding) {
  return padding == v1::Padding::SAME ? layers::Padding::kSame : layers::Padding::kValid;
}

layers::WeightInitializer ToInitializer(const v1::Initializer& initializer) {
  using Kind = engine::Initializer::Kind;
  layers::WeightInitializer result;
  if (initializer.has_stddev()) {
    result.stddev = initializer.stddev();
  }
  switch (initializer.kind()) {
    case v1::Initializer::GLOROT_NORMAL:
      result.kind = Kind::kGlorotNormal;
      break;
    case v1::Initializer::KAIMING_UNIFORM:
      result.kind = Kind::kKaimingUniform;
      break;
    case v1::Initializer::KAIMING_NORMAL:
      result.kind = Kind::kKaimingNormal;
      break;
    case v1::Initializer::NORMAL:
      result.kind = Kind::kNormal;
      break;
    case v1::Initializer::ZEROS:
      result.kind = Kind::kZeros;
      break;
    case v1::Initializer::ORTHOGONAL:
      result.kind = Kind::kOrthogonal;
      break;
    default:
      result.kind = Kind::kGlorotUniform;
      break;
  }
  return result;
}

layers::DenseOptions ToDense(const v1::Dense& dense) {
  return {.name = "",
          .units = dense.units(),
          .activation = ToActivation(dense.activation()),
          .use_bias = !dense.has_use_bias() || dense.use_bias(),
          .initializer = ToInitializer(dense.initializer())};
}

layers::Conv2dOptions ToConv2d(const v1::Conv2d& conv) {
  return {.name = "",
          .filters = conv.filters(),
          .kernel = conv.kernel(),
          .stride = conv.has_stride() ? conv.stride() : 1,
          .padding = ToPadding(conv.padding()),
          .dilation = conv.has_dilation() ? conv.dilation() : 1,
          .groups = conv.has_groups() ? conv.groups() : 1,
          .activation = ToActivation(conv.activation()),
          .use_bias = !conv.has_use_bias() || conv.use_bias(),
          .initializer = ToInitializer(conv.initializer())};
}

template <typename Pool>
Pool ToPool(const v1::Pool2d& pool) {
  return {{.name = "",
           .size = pool.size(),
           .stride = pool.has_stride() ? pool.stride() : 0,
           .padding = ToPadding(pool.padding())}};
}

// NORMAL where none is given.
layers::WeightInitializer ToTableInitializer(v1::Initializer initializer) {
  if (initializer.kind() == v1::Initializer::KIND_UNSPECIFIED) {
    initializer.set_kind(v1::Initializer::NORMAL);
  }
  return ToInitializer(initializer);
}

layers::EmbeddingOptions ToEmbedding(const v1::Embedding& embedding) {
  return {.rows = embedding.rows(),
          .width = embedding.width(),
          .initializer = ToTableInitializer(embedding.initializer())};
}

template <typename Layer>
Layer ToRecurrent(const v1::Recurrent& recurrent) {
  return {{.units = recurrent.units(),
           .layers = recurrent.has_layers() ? recurrent.layers() : 1,
           .bidirectional = recurrent.bidirectional(),
           .return_sequences = recurrent.return_sequences(),
           .dropout = recurrent.dropout(),
           .initializer = ToInitializer(recurrent.initializer()),
           .reset_after = !recurrent.has_reset_after() || recurrent.reset_after()}};
}

layers::SequencePoolOptions ToSequencePool(const v1::SequencePool& pool) {
  using engine::SegmentPoolKind;
  switch (pool.kind()) {
    case v1::SequencePool::MAX:
      return {.kind = SegmentPoolKind::kMax};
    case v1::SequencePool::FIRST:
      return {.kind = SegmentPoolKind::kFirst};
    case v1::SequencePool::LAST:
      return {.kind = SegmentPoolKind::kLast};
    default:
      return {.kind = SegmentPoolKind::kMean};
  }
}

layers::Conv1dOptions ToConv1d(const v1::Conv1d& conv) {
  return {.filters = conv.filters(),
          .kernel = conv.kernel(),
          .causal = conv.causal(),
          .activation = ToActivation(conv.activation()),
          .use_bias = !conv.has_use_bias() || conv.use_bias(),
          .initializer = ToInitializer(conv.initializer())};
}

layers::AttentionOptions ToAttention(const v1::Attention& attention) {
  return {.heads = attention.heads(),
          .kv_heads = attention.has_kv_heads() ? attention.kv_heads() : attention.heads(),
          .causal = attention.causal(),
          .window = attention.window(),
          .dropout = attention.dropout(),
          .rotary = attention.rotary(),
          .rotary_base = attention.has_rotary_base() ? attention.rotary_base() : 10000,
          .alibi = attention.alibi(),
          .use_bias = !attention.has_use_bias() || attention.use_bias(),
          .initializer = ToInitializer(attention.initializer())};
}

layers::GluOptions ToGlu(const v1::Glu& glu) {
  return {.units = glu.units(),
          .activation = glu.activation() == v1::Activation::ACTIVATION_UNSPECIFIED
                            ? engine::ActivationKind::kSilu
                            : ToActivation(glu.activation()),
          .use_bias = glu.use_bias(),
          .initializer = ToInitializer(glu.initializer())};
}

layers::PositionsOptions ToPositions(const v1::Positions& positions) {
  using Kind = layers::PositionsOptions::Kind;
  return {
      .kind = positions.kind() == v1::Positions::SINUSOIDAL ? Kind::kSinusoidal : Kind::kLearned,
      .length = positions.length(),
      .initializer = ToTableInitializer(positions.initializer())};
}

models::RmsNorm ToRmsNorm(const v1::RmsNorm& norm) {
  models::RmsNorm result;
  if (norm.has_epsilon()) {
    result.epsilon = norm.epsilon();
  }
  return result;
}

models::BatchNorm ToBatchNorm(const v1::BatchNorm& norm) {
  models::BatchNorm result{.activation = ToActivation(norm.activation())};
  if (norm.has_momentum()) {
    result.momentum = norm.momentum();
  }
  if (norm.has_epsilon()) {
    result.epsilon = norm.epsilon();
  }
  return result;
}

models::LayerNorm ToLayerNorm(const v1::LayerNorm& norm) {
  models::LayerNorm result;
  if (norm.has_epsilon()) {
    result.epsilon = norm.epsilon();
  }
  return result;
}

models::Activation ToActivationLayer(const v1::ActivationLayer& layer) {
  models::Activation result{.function = ToActivation(layer.function())};
  if (layer.has_negative_slope()) {
    result.negative_slope = layer.negative_slope();
  }
  return result;
}

absl::StatusOr<models::LayerKind> ToKind(const v1::Layer& layer) {
  switch (layer.kind_case()) {
    case v1::Layer::kDense:
      return ToDense(layer.dense());
    case v1::Layer::kConv2D:
      return ToConv2d(layer.conv2d());
    case v1::Layer::kConv2DTranspose:
      return models::Conv2dTranspose{ToConv2d(layer.conv2d_transpose())};
    case v1::Layer::kUpsample2D:
      return models::Upsample2d{layer.upsample2d().has_factor() ? layer.upsample2d().factor() : 2};
    case v1::Layer::kMaxPool2D:
      return ToPool<models::MaxPool2d>(layer.max_pool2d());
    case v1::Layer::kAvgPool2D:
      return ToPool<models::AvgPool2d>(layer.avg_pool2d());
    case v1::Layer::kGlobalAvgPool2D:
      return models::GlobalAvgPool2d{};
    case v1::Layer::kGlobalMaxPool2D:
      return models::GlobalMaxPool2d{};
    case v1::Layer::kBatchNorm:
      return ToBatchNorm(layer.batch_norm());
    case v1::Layer::kLayerNorm:
      return ToLayerNorm(layer.layer_norm());
    case v1::Layer::kDropout:
      return models::Dropout{layer.dropout().rate()};
    case v1::Layer::kActivation:
      return ToActivationLayer(layer.activation());
    case v1::Layer::kFlatten:
      return models::Flatten{};
    case v1::Layer::kReshape:
      return models::Reshape{{layer.reshape().shape().begin(), layer.reshape().shape().end()}};
    case v1::Layer::kAdd:
      return models::Add{ToActivation(layer.add().activation())};
    case v1::Layer::kConcat:
      return models::Concat{};
    case v1::Layer::kEmbedding:
      return ToEmbedding(layer.embedding());
    case v1::Layer::kDot:
      return models::Dot{};
    case v1::Layer::kLstm:
      return ToRecurrent<models::Lstm>(layer.lstm());
    case v1::Layer::kGru:
      return ToRecurrent<models::Gru>(layer.gru());
    case v1::Layer::kSimpleRnn:
      return ToRecurrent<models::SimpleRnn>(layer.simple_rnn());
    case v1::Layer::kSequencePool:
      return ToSequencePool(layer.sequence_pool());
    case v1::Layer::kConv1D:
      return ToConv1d(layer.conv1d());
    case v1::Layer::kAttention:
      return ToAttention(layer.attention());
    case v1::Layer::kPositions:
      return ToPositions(layer.positions());
    case v1::Layer::kRmsNorm:
      return ToRmsNorm(layer.rms_norm());
    case v1::Layer::kGlu:
      return ToGlu(layer.glu());
    case v1::Layer::kRepeat:  // expanded before
    case v1::Layer::KIND_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("must have a kind, such as `dense`");
}

absl::StatusOr<std::vector<models::LayerDescription>> ToLayers(
    const google::protobuf::RepeatedPtrField<v1::Layer>& given, const std::string& where,
    bool behind_others) {
  const absl::StatusOr<std::vector<ExpandedLayer>> from = ExpandRepeats(given, behind_others);
  HONE_RETURN_IF_ERROR(Annotate(from.status(), where));
  std::vector<models::LayerDescription> layers;
  for (const auto& [layer, place] : *from) {
    absl::StatusOr<models::LayerKind> kind = ToKind(layer);
    if (!kind.ok()) {
      return Annotate(kind.status(), where + place);
    }
    layers.push_back({.name = layer.name(),
                      .inputs = {layer.inputs().begin(), layer.inputs().end()},
                      .frozen = layer.frozen(),
                      .kind = *std::move(kind),
                      .place = place});
  }
  return layers;
}

// `numbers` as JSON under this name, where there are any.
void SetNumbers(const char* name, const google::protobuf::RepeatedField<int64_t>& numbers,
                nlohmann::json& options) {
  if (!numbers.empty()) {
    options[name] = std::vector<int64_t>(numbers.begin(), numbers.end());
  }
}

// The part of a preset that is the network of this name.
absl::StatusOr<models::PresetDescription> PresetOf(const v1::Preset& preset,
                                                   const std::string& network) {
  if (network != "generator" && network != "discriminator") {
    return absl::InvalidArgumentError(absl::StrCat(
        "model.networks (", network, "): a preset has a generator and a discriminator"));
  }
  const bool generator = network == "generator";
  nlohmann::json options = nlohmann::json::object();
  std::string name;
  if (preset.has_dcgan()) {
    name = "dcgan_";
    SetNumbers(
        "filters",
        generator ? preset.dcgan().generator_filters() : preset.dcgan().discriminator_filters(),
        options);
    if (generator) {
      options["batch_norm"] = preset.dcgan().batch_norm();
    }
  } else {
    name = "gan_";
    SetNumbers("units",
               generator ? preset.gan().generator_units() : preset.gan().discriminator_units(),
               options);
  }
  return models::PresetDescription{.name = name + network, .options = options.dump()};
}

constexpr float kTranslationDropout = 0.1f;

models::PresetDescription GptOf(const v1::Gpt& gpt) {
  const nlohmann::json options = {
      {"layers", gpt.has_layers() ? gpt.layers() : 4},
      {"heads", gpt.has_heads() ? gpt.heads() : 4},
      {"width", gpt.has_width() ? gpt.width() : 128},
      {"window", gpt.window()},
      {"dropout", gpt.dropout()},
      {"positions", gpt.positions() == v1::Gpt::SINUSOIDAL ? "sinusoidal"
                    : gpt.positions() == v1::Gpt::ROTARY   ? "rotary"
                                                           : "learned"},
      {"tied_embeddings", !gpt.has_tied_embeddings() || gpt.tied_embeddings()},
      {"use_bias", gpt.use_bias()}};
  return {.name = "gpt", .options = options.dump()};
}

models::PresetDescription Seq2SeqOf(const v1::Seq2Seq& net) {
  const int64_t units = net.has_units() ? net.units() : 256;
  const nlohmann::json options = {
      {"cell", net.cell() == v1::Seq2Seq::LSTM ? "lstm" : "gru"},
      {"layers", net.has_layers() ? net.layers() : 1},
      {"units", units},
      {"embedding", net.has_embedding() ? net.embedding() : units},
      {"attention", net.attention() == v1::Seq2Seq::LUONG ? "luong" : "bahdanau"},
      {"dropout", net.has_dropout() ? net.dropout() : kTranslationDropout},
      {"bidirectional", net.bidirectional()},
      {"input_feeding", net.input_feeding()}};
  return {.name = "seq2seq", .options = options.dump()};
}

models::PresetDescription TransformerTranslationOf(const v1::TransformerTranslation& net) {
  const int64_t width = net.has_width() ? net.width() : 256;
  const nlohmann::json options = {
      {"layers", net.has_layers() ? net.layers() : 3},
      {"heads", net.has_heads() ? net.heads() : 8},
      {"width", width},
      {"feed_forward", net.has_feed_forward() ? net.feed_forward() : 4 * width},
      {"dropout", net.has_dropout() ? net.dropout() : kTranslationDropout},
      {"norm_first", net.norm_first()},
      {"tied_embeddings", net.tied_embeddings()}};
  return {.name = "transformer_translation", .options = options.dump()};
}

models::PresetDescription EncoderOf(const v1::TransformerEncoder& encoder) {
  using Encoder = v1::TransformerEncoder;
  const int64_t width = encoder.has_width() ? encoder.width() : 128;
  const nlohmann::json options = {
      {"layers", encoder.has_layers() ? encoder.layers() : 4},
      {"heads", encoder.has_heads() ? encoder.heads() : 4},
      {"width", width},
      {"hidden", encoder.has_hidden() ? encoder.hidden() : 4 * width},
      {"length", encoder.length()},
      {"positions", encoder.positions() == Encoder::SINUSOIDAL ? "sinusoidal"
                    : encoder.positions() == Encoder::ROTARY   ? "rotary"
                                                               : "learned"},
      {"norm", encoder.norm() == Encoder::POST ? "post" : "pre"},
      {"embedding_norm", encoder.embedding_norm()},
      {"epsilon", encoder.has_epsilon() ? encoder.epsilon() : 1e-5f},
      {"activation", encoder.activation() == Encoder::RELU ? "relu" : "gelu"},
      {"dropout", encoder.has_dropout() ? encoder.dropout() : 0.1f},
      {"pooling", encoder.pooling() == Encoder::MAX     ? "max"
                  : encoder.pooling() == Encoder::FIRST ? "first"
                                                        : "mean"},
      {"pooler", encoder.pooler()}};
  return {.name = "transformer_encoder", .options = options.dump()};
}

}  // namespace

absl::StatusOr<models::ModelDescription> ToModelDescription(const v1::ModelSpec& model) {
  models::ModelDescription description;
  HONE_ASSIGN_OR_RETURN(description.layers,
                        ToLayers(model.layers(), "model", model.has_pretrained()));
  for (int i = 0; i < model.networks_size(); ++i) {
    const v1::Network& network = model.networks(i);
    models::NetworkDescription& to = description.networks.emplace_back();
    to.name = network.name();
    HONE_ASSIGN_OR_RETURN(
        to.layers, ToLayers(network.layers(), absl::StrCat("model.networks[", i, "]"), false));
    if (network.has_preset()) {
      HONE_ASSIGN_OR_RETURN(to.preset, PresetOf(network.preset(), network.name()));
    }
  }
  if (model.preset().has_gpt()) {
    description.preset = GptOf(model.preset().gpt());
  } else if (model.preset().has_seq2seq()) {
    description.preset = Seq2SeqOf(model.preset().seq2seq());
  } else if (model.preset().has_transformer_translation()) {
    description.preset = TransformerTranslationOf(model.preset().transformer_translation());
  } else if (model.preset().has_transformer_encoder()) {
    description.preset = EncoderOf(model.preset().transformer_encoder());
  } else if (model.has_preset()) {
    for (const char* name : {"generator", "discriminator"}) {
      models::NetworkDescription& to = description.networks.emplace_back();
      to.name = name;
      HONE_ASSIGN_OR_RETURN(to.preset, PresetOf(model.preset(), name));
    }
  }
  return description;
}

}  // namespace hone::server::translate
