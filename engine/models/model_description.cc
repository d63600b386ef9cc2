#include "engine/models/model_description.h"

#include <algorithm>
#include <map>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status.h"
#include "engine/tensor/token_rows.h"

namespace hone::engine::models {
namespace {

struct Names {
  absl::string_view operator()(const layers::DenseOptions&) const { return "dense"; }
  absl::string_view operator()(const layers::Conv2dOptions&) const { return "conv2d"; }
  absl::string_view operator()(const Conv2dTranspose&) const { return "conv2d_transpose"; }
  absl::string_view operator()(const Upsample2d&) const { return "upsample2d"; }
  absl::string_view operator()(const MaxPool2d&) const { return "max_pool2d"; }
  absl::string_view operator()(const AvgPool2d&) const { return "avg_pool2d"; }
  absl::string_view operator()(const GlobalAvgPool2d&) const { return "global_avg_pool2d"; }
  absl::string_view operator()(const GlobalMaxPool2d&) const { return "global_max_pool2d"; }
  absl::string_view operator()(const BatchNorm&) const { return "batch_norm"; }
  absl::string_view operator()(const LayerNorm&) const { return "layer_norm"; }
  absl::string_view operator()(const Dropout&) const { return "dropout"; }
  absl::string_view operator()(const Activation&) const { return "activation"; }
  absl::string_view operator()(const Flatten&) const { return "flatten"; }
  absl::string_view operator()(const Reshape&) const { return "reshape"; }
  absl::string_view operator()(const Add&) const { return "add"; }
  absl::string_view operator()(const Concat&) const { return "concat"; }
  absl::string_view operator()(const layers::EmbeddingOptions&) const { return "embedding"; }
  absl::string_view operator()(const Dot&) const { return "dot"; }
  absl::string_view operator()(const SimpleRnn&) const { return "simple_rnn"; }
  absl::string_view operator()(const Lstm&) const { return "lstm"; }
  absl::string_view operator()(const Gru&) const { return "gru"; }
  absl::string_view operator()(const layers::SequencePoolOptions&) const { return "sequence_pool"; }
  absl::string_view operator()(const layers::AttentionOptions&) const { return "attention"; }
  absl::string_view operator()(const layers::PositionsOptions&) const { return "positions"; }
  absl::string_view operator()(const RmsNorm&) const { return "rms_norm"; }
  absl::string_view operator()(const layers::Conv1dOptions&) const { return "conv1d"; }
  absl::string_view operator()(const layers::GluOptions&) const { return "glu"; }
};

// Inputs name layers above, one of them, or two and more for layers that join. `inputs` are those
// of the network that layers read.
absl::Status CheckInputs(const LayerDescription& layer, const std::vector<std::string>& inputs,
                         const absl::flat_hash_set<std::string>& above) {
  if (std::holds_alternative<Dot>(layer.kind) && layer.inputs.size() != 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("inputs must name 2 layers, got ", layer.inputs.size()));
  }
  const bool joins = std::holds_alternative<Add>(layer.kind) ||
                     std::holds_alternative<Concat>(layer.kind) ||
                     std::holds_alternative<Dot>(layer.kind);
  if (joins ? layer.inputs.size() < 2 : layer.inputs.size() > 1) {
    return absl::InvalidArgumentError(absl::StrCat("inputs must name at ",
                                                   joins ? "least 2 layers" : "most 1 layer",
                                                   ", got ", layer.inputs.size()));
  }
  // Segments are read by their name alone.
  const auto choices = std::ranges::count_if(
      inputs, [](const std::string& input) { return input != kSegmentsInput; });
  if (layer.inputs.empty() && above.size() == inputs.size() && choices > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("the network has several inputs; inputs must say which one: ",
                     absl::StrJoin(inputs, ", ")));
  }
  for (const std::string& input : layer.inputs) {
    if (!above.contains(input)) {
      return absl::InvalidArgumentError(
          absl::StrCat("inputs must be \"", absl::StrJoin(inputs, "\", \""),
                       "\" or the names of layers above, got \"", input, "\""));
    }
  }
  return absl::OkStatus();
}

// `where` is "model" or "model.networks[0] (generator)".
absl::Status NameLayers(const std::string& where, const std::vector<std::string>& inputs,
                        const PresetDescription& preset, std::vector<LayerDescription>& layers) {
  if (!preset.name.empty() && !layers.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": must have either layers or a preset, got both"));
  }
  if (preset.name.empty() && layers.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ".layers: must have at least 1 layer, got 0"));
  }
  std::vector<std::string> read = inputs;
  std::erase(read, kOffsetsInput);
  const absl::flat_hash_set<std::string> names(inputs.begin(), inputs.end());
  if (read.empty() || names.size() != inputs.size() || names.contains("")) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ".inputs: must be 1 or more names, each once"));
  }
  absl::flat_hash_set<std::string> above(read.begin(), read.end());
  std::map<absl::string_view, int> counts;
  for (size_t i = 0; i < layers.size(); ++i) {
    LayerDescription& layer = layers[i];
    // Counts named layers too, so that a name says which layer of its kind it is.
    const int number = ++counts[NameOf(layer.kind)];
    if (layer.name.empty()) {
      layer.name = absl::StrCat(NameOf(layer.kind), "_", number);
    }
    const std::string at = absl::StrCat(layer.PlaceIn(where, i), " (", layer.name, "): ");
    if (const absl::Status status = CheckInputs(layer, read, above); !status.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(at, status.message()));
    }
    if (names.contains(layer.name) || !above.insert(layer.name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(at, "the name is taken by a layer above; names must be unique"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::string_view NameOf(const LayerKind& kind) { return std::visit(Names{}, kind); }

std::string LayerDescription::PlaceIn(const std::string& where, size_t index) const {
  return place.empty() ? absl::StrCat(where, ".layers[", index, "]") : absl::StrCat(where, place);
}

absl::StatusOr<ModelDescription> WithNames(ModelDescription description) {
  if (!description.layers.empty() || !description.preset.name.empty() ||
      description.networks.empty()) {
    HONE_RETURN_IF_ERROR(
        NameLayers("model", description.inputs, description.preset, description.layers));
  }
  absl::flat_hash_set<std::string> taken;
  for (const LayerDescription& layer : description.layers) {
    taken.insert(layer.name);
  }
  for (size_t i = 0; i < description.networks.size(); ++i) {
    NetworkDescription& network = description.networks[i];
    const std::string where = absl::StrCat("model.networks[", i, "] (", network.name, ")");
    if (network.name.empty() || !taken.insert(network.name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ": must have a name that no other network or layer has"));
    }
    HONE_RETURN_IF_ERROR(NameLayers(where, network.inputs, network.preset, network.layers));
  }
  return description;
}

}  // namespace hone::engine::models
