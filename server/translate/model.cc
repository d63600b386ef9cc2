#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "server/translate/job.h"

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

layers::EmbeddingOptions ToEmbedding(const v1::Embedding& embedding) {
  layers::EmbeddingOptions result{.rows = embedding.rows(), .width = embedding.width()};
  if (embedding.initializer().kind() != v1::Initializer::KIND_UNSPECIFIED) {
    result.initializer = ToInitializer(embedding.initializer());
  } else if (embedding.initializer().has_stddev()) {
    result.initializer.stddev = embedding.initializer().stddev();
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
    case v1::Layer::KIND_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("must have a kind, such as `dense`");
}

}  // namespace

absl::StatusOr<models::ModelDescription> ToModelDescription(const v1::ModelSpec& model) {
  models::ModelDescription description;
  for (int i = 0; i < model.layers_size(); ++i) {
    const v1::Layer& layer = model.layers(i);
    absl::StatusOr<models::LayerKind> kind = ToKind(layer);
    if (!kind.ok()) {
      return Annotate(kind.status(), absl::StrCat("model.layers[", i, "]"));
    }
    description.layers.push_back({.name = layer.name(),
                                  .inputs = {layer.inputs().begin(), layer.inputs().end()},
                                  .frozen = layer.frozen(),
                                  .kind = *std::move(kind)});
  }
  return description;
}

}  // namespace hone::server::translate
