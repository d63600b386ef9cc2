#include "engine/models/presets.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status.h"
#include "engine/layers/dense.h"
#include "engine/ops/concat.h"

namespace hone::engine::models {
namespace {

struct NamedPreset {
  absl::string_view name;
  Preset preset;
};
// The preset table: one line for each.
constexpr NamedPreset kPresets[] = {
    {"dcgan_discriminator", DcganDiscriminator},
    {"dcgan_generator", DcganGenerator},
    {"gan_discriminator", GanDiscriminator},
    {"gan_generator", GanGenerator},
    {"gpt", Gpt},
    {"mlp", Mlp},
    {"seq2seq", Seq2Seq},
    {"transformer_translation", TransformerTranslation},
    {"transformer_encoder", TransformerEncoder},
};

absl::StatusOr<ActivationKind> ActivationOf(const std::string& name) {
  for (int kind = 0; kind <= static_cast<int>(ActivationKind::kSoftmax); ++kind) {
    if (NameOf(static_cast<ActivationKind>(kind)) == name) {
      return static_cast<ActivationKind>(kind);
    }
  }
  return absl::InvalidArgumentError(absl::StrCat("`activation` cannot be \"", name, "\""));
}

}  // namespace

absl::StatusOr<Preset> FindPreset(absl::string_view name) {
  const auto found = std::ranges::find(kPresets, name, &NamedPreset::name);
  if (found != std::end(kPresets)) {
    return found->preset;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("no preset is called \"", name, "\"; there are: ",
                   absl::StrJoin(kPresets, ", ", [](std::string* out, const NamedPreset& preset) {
                     absl::StrAppend(out, preset.name);
                   })));
}

bool HasRowsOfTokens(absl::string_view parameter) {
  return parameter == "token_embedding.weight" || parameter == "output.weight" ||
         parameter == "output.bias";
}

absl::StatusOr<Value> Mlp(Graph& graph, const nlohmann::json& options,
                          const std::vector<NamedValue>& inputs, const BuildOptions&) {
  for (const auto& [key, value] : options.items()) {
    if (key != "units" && key != "activation") {
      return absl::InvalidArgumentError(absl::StrCat("`", key, "` is not known"));
    }
  }
  const auto units = options.at("units").get<std::vector<int64_t>>();
  HONE_ASSIGN_OR_RETURN(const ActivationKind activation,
                        ActivationOf(options.value("activation", "relu")));
  std::vector<Value> values;
  std::ranges::transform(inputs, std::back_inserter(values), &NamedValue::value);
  Value x = values.size() == 1 ? values[0] : engine::Concat(graph, values);
  const Graph::Scope scope(graph, "layer");
  for (size_t i = 0; i < units.size(); ++i) {
    layers::DenseOptions dense;
    dense.name = absl::StrCat(i);
    dense.units = units[i];
    dense.activation = i + 1 < units.size() ? activation : ActivationKind::kNone;
    x = layers::Dense(graph, x, dense);
  }
  return x;
}

}  // namespace hone::engine::models
