#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/layers/conv2d.h"
#include "engine/layers/dense.h"
#include "engine/layers/embedding.h"
#include "engine/layers/glu.h"
#include "engine/layers/sequences.h"
#include "engine/models/lora.h"

namespace hone::engine::models {

// The kinds of layers that have no options of their own in layers/.
struct GlobalAvgPool2d {};
struct GlobalMaxPool2d {};
struct BatchNorm {
  float momentum = 0.9f;  // share of the old running value kept at a step
  float epsilon = 1e-5f;
  ActivationKind activation = ActivationKind::kNone;
};
struct LayerNorm {
  float epsilon = 1e-5f;
};
struct RmsNorm {
  float epsilon = 1e-6f;
};
struct Dropout {
  float rate = 0;  // share of the values set to zero, [0, 1)
};
struct Activation {
  ActivationKind function = ActivationKind::kRelu;
  float negative_slope = 0.2f;  // leaky ReLU's
};
struct Flatten {};
struct Reshape {
  std::vector<int64_t> shape;  // of one example; one extent may be -1
};
// The sum of its inputs, then the activation. An extent of 1 is repeated to the other's.
struct Add {
  ActivationKind activation = ActivationKind::kNone;
};
// Its inputs one after another along the first dimension of an example.
struct Concat {};
// The scalar product of its two inputs, which have one shape: of vectors a single number.
struct Dot {};
struct Conv2dTranspose : layers::Conv2dOptions {};
// Each place of a picture becomes a square of so many places to either side.
struct Upsample2d {
  int64_t factor = 2;
};
struct MaxPool2d : layers::Pool2dOptions {};
struct AvgPool2d : layers::Pool2dOptions {};
struct SimpleRnn : layers::RecurrentOptions {};
struct Lstm : layers::RecurrentOptions {};
struct Gru : layers::RecurrentOptions {};

using LayerKind =
    std::variant<layers::DenseOptions, layers::Conv2dOptions, Conv2dTranspose, Upsample2d,
                 MaxPool2d, AvgPool2d, GlobalAvgPool2d, GlobalMaxPool2d, BatchNorm, LayerNorm,
                 Dropout, Activation, Flatten, Reshape, Add, Concat, layers::EmbeddingOptions, Dot,
                 SimpleRnn, Lstm, Gru, layers::SequencePoolOptions, layers::AttentionOptions,
                 layers::PositionsOptions, RmsNorm, layers::Conv1dOptions, layers::GluOptions>;

// As a job file spells them: "dense", "conv2d", ….
absl::string_view NameOf(const LayerKind& kind);

// One layer of a model. The names inside `kind` are not used: the layer's own is.
struct LayerDescription {
  std::string name;                 // unique; "": the kind and its number, such as "conv2d_1"
  std::vector<std::string> inputs;  // names of layers above, or of inputs; empty: the layer before
  bool frozen = false;
  LayerKind kind;
  // Where it stands in the model's description, for errors: ".layers[3].repeat.layers[0]". Empty:
  // the place in this list.
  std::string place = {};

  // That place, of the layer at this index of the model or network `where`: "model.layers[3]".
  std::string PlaceIn(const std::string& where, size_t index) const;
};

// An architecture that a function builds (presets.h), instead of a list of layers.
struct PresetDescription {
  std::string name;            // "mlp"; "": none
  std::string options = "{}";  // a JSON object
};

// A network with a name, beside others of the model: "generator", "policy". Its layers and their
// parameters are named behind it: "generator.dense_1.weight".
struct NetworkDescription {
  std::string name;
  std::vector<LayerDescription> layers = {};
  std::vector<std::string> inputs = {"input"};
  PresetDescription preset = {};
};

// What a model is made of: enough to build it again. Layers or a preset behind its inputs, networks
// with names, or both. A model whose inputs are "tokens" and "offsets" (tensor/token_rows.h) is one
// of sequences: layers read the tokens, and those that need the offsets have them unasked. Of pairs
// of texts there are "segments", too.
struct ModelDescription {
  std::vector<LayerDescription> layers = {};
  std::vector<std::string> inputs = {"input"};
  std::vector<NetworkDescription> networks = {};
  PresetDescription preset = {};
  // Products of any of these have adapters beside their weights.
  std::optional<LoraDescription> lora = {};
};

// Gives every layer without a name its own, and checks that names are unique and that inputs name
// layers above, or inputs of the network. INVALID_ARGUMENT: "model.layers[3] (conv2d_2): …",
// "model.networks[0] (generator).layers[3] (conv2d_2): …".
absl::StatusOr<ModelDescription> WithNames(ModelDescription description);

nlohmann::json ToJson(const ModelDescription& description);
// INVALID_ARGUMENT names the layer and the field that is missing, unknown or of another type.
absl::StatusOr<ModelDescription> ModelDescriptionFromJson(const nlohmann::json& json);

}  // namespace hone::engine::models
