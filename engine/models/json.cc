#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/models/model_description.h"

namespace hone::engine::models {
namespace {

using nlohmann::json;

constexpr std::pair<Initializer::Kind, const char*> kInitializers[] = {
    {Initializer::Kind::kZeros, "zeros"},
    {Initializer::Kind::kOnes, "ones"},
    {Initializer::Kind::kGlorotUniform, "glorot_uniform"},
    {Initializer::Kind::kGlorotNormal, "glorot_normal"},
    {Initializer::Kind::kKaimingUniform, "kaiming_uniform"},
    {Initializer::Kind::kKaimingNormal, "kaiming_normal"},
    {Initializer::Kind::kNormal, "normal"},
    {Initializer::Kind::kOrthogonal, "orthogonal"},
};

constexpr std::pair<SegmentPoolKind, const char*> kSequencePools[] = {
    {SegmentPoolKind::kMean, "mean"},
    {SegmentPoolKind::kMax, "max"},
    {SegmentPoolKind::kFirst, "first"},
    {SegmentPoolKind::kLast, "last"},
};
constexpr std::pair<layers::PositionsOptions::Kind, const char*> kPositions[] = {
    {layers::PositionsOptions::Kind::kLearned, "learned"},
    {layers::PositionsOptions::Kind::kSinusoidal, "sinusoidal"},
};

// Goes over a layer's fields in one order, to write them or to read them: a kind's fields stand in
// one place.
class Writer {
 public:
  explicit Writer(json& out) : out_(out) {}

  // One that models may be without: then it is as it stands.
  template <typename T>
  void LaterField(const char* name, const T& value) {
    out_[name] = value;
  }
  template <typename T>
  void Field(const char* name, const T& value) {
    out_[name] = value;
  }
  void Field(const char* name, const ActivationKind& value) {
    out_[name] = std::string(NameOf(value));
  }
  void Field(const char* name, const layers::Padding& value) {
    out_[name] = value == layers::Padding::kSame ? "same" : "valid";
  }
  void Field(const char* name, const SegmentPoolKind& value) { Named(name, value, kSequencePools); }
  void Field(const char* name, const layers::PositionsOptions::Kind& value) {
    Named(name, value, kPositions);
  }
  void Field(const char* name, const layers::WeightInitializer& value) {
    for (const auto& [kind, text] : kInitializers) {
      if (kind == value.kind) {
        out_[name] = json{{"kind", text}, {"stddev", value.stddev}};
      }
    }
  }

 private:
  template <typename Kind, size_t n>
  void Named(const char* name, Kind value, const std::pair<Kind, const char*> (&names)[n]) {
    for (const auto& [kind, text] : names) {
      if (kind == value) {
        out_[name] = text;
      }
    }
  }

  json& out_;
};

class Reader {
 public:
  explicit Reader(const json& in) : in_(in) {}

  template <typename T>
  void LaterField(const char* name, T& value) {
    known_.insert(name);
    value = in_.value(name, value);
  }
  template <typename T>
  void Field(const char* name, T& value) {
    known_.insert(name);
    value = in_.at(name).get<T>();
  }
  void Field(const char* name, ActivationKind& value) {
    known_.insert(name);
    const auto text = in_.at(name).get<std::string>();
    for (int kind = 0; kind <= static_cast<int>(ActivationKind::kSoftmax); ++kind) {
      if (NameOf(static_cast<ActivationKind>(kind)) == text) {
        value = static_cast<ActivationKind>(kind);
        return;
      }
    }
    Wrong(name, text);
  }
  void Field(const char* name, layers::Padding& value) {
    known_.insert(name);
    const auto text = in_.at(name).get<std::string>();
    if (text != "same" && text != "valid") {
      Wrong(name, text);
    }
    value = text == "same" ? layers::Padding::kSame : layers::Padding::kValid;
  }
  void Field(const char* name, SegmentPoolKind& value) { Named(name, value, kSequencePools); }
  void Field(const char* name, layers::PositionsOptions::Kind& value) {
    Named(name, value, kPositions);
  }
  void Field(const char* name, layers::WeightInitializer& value) {
    known_.insert(name);
    const auto text = in_.at(name).at("kind").get<std::string>();
    value.stddev = in_.at(name).at("stddev").get<float>();
    for (const auto& [kind, known] : kInitializers) {
      if (known == text) {
        value.kind = kind;
        return;
      }
    }
    Wrong(name, text);
  }

  // The first key that is no field, or that no field took as it is.
  std::string problem() const {
    if (!problem_.empty()) {
      return problem_;
    }
    for (const auto& [key, value] : in_.items()) {
      if (!known_.contains(key)) {
        return absl::StrCat("`", key, "` is not known");
      }
    }
    return "";
  }

 private:
  template <typename Kind, size_t n>
  void Named(const char* name, Kind& value, const std::pair<Kind, const char*> (&names)[n]) {
    known_.insert(name);
    const auto text = in_.at(name).get<std::string>();
    for (const auto& [kind, known] : names) {
      if (known == text) {
        value = kind;
        return;
      }
    }
    Wrong(name, text);
  }
  void Wrong(const char* name, const std::string& text) {
    problem_ = absl::StrCat("`", name, "` cannot be \"", text, "\"");
  }

  const json& in_;
  std::set<std::string> known_;
  std::string problem_;
};

template <typename Archive, typename T>
void Fields(Archive& a, T& kind) {
  using Kind = std::remove_const_t<T>;
  if constexpr (std::is_same_v<Kind, layers::DenseOptions>) {
    a.Field("units", kind.units);
    a.Field("activation", kind.activation);
    a.Field("use_bias", kind.use_bias);
    a.Field("initializer", kind.initializer);
  } else if constexpr (std::is_base_of_v<layers::Conv2dOptions, Kind>) {
    a.Field("filters", kind.filters);
    a.Field("kernel", kind.kernel);
    a.Field("stride", kind.stride);
    a.Field("padding", kind.padding);
    a.Field("dilation", kind.dilation);
    a.Field("groups", kind.groups);
    a.Field("activation", kind.activation);
    a.Field("use_bias", kind.use_bias);
    a.Field("initializer", kind.initializer);
  } else if constexpr (std::is_same_v<Kind, Upsample2d>) {
    a.Field("factor", kind.factor);
  } else if constexpr (std::is_base_of_v<layers::Pool2dOptions, Kind>) {
    a.Field("size", kind.size);
    a.Field("stride", kind.stride);
    a.Field("padding", kind.padding);
  } else if constexpr (std::is_same_v<Kind, BatchNorm>) {
    a.Field("momentum", kind.momentum);
    a.Field("epsilon", kind.epsilon);
    a.Field("activation", kind.activation);
  } else if constexpr (std::is_same_v<Kind, LayerNorm>) {
    a.Field("epsilon", kind.epsilon);
  } else if constexpr (std::is_same_v<Kind, Dropout>) {
    a.Field("rate", kind.rate);
  } else if constexpr (std::is_same_v<Kind, Activation>) {
    a.Field("function", kind.function);
    a.Field("negative_slope", kind.negative_slope);
  } else if constexpr (std::is_same_v<Kind, Reshape>) {
    a.Field("shape", kind.shape);
  } else if constexpr (std::is_same_v<Kind, Add>) {
    a.Field("activation", kind.activation);
  } else if constexpr (std::is_same_v<Kind, layers::EmbeddingOptions>) {
    a.Field("rows", kind.rows);
    a.Field("width", kind.width);
    a.Field("initializer", kind.initializer);
  } else if constexpr (std::is_base_of_v<layers::RecurrentOptions, Kind>) {
    a.Field("units", kind.units);
    a.Field("layers", kind.layers);
    a.Field("bidirectional", kind.bidirectional);
    a.Field("return_sequences", kind.return_sequences);
    a.Field("dropout", kind.dropout);
    a.Field("initializer", kind.initializer);
    if constexpr (std::is_same_v<Kind, Gru>) {
      a.LaterField("reset_after", kind.reset_after);
    }
  } else if constexpr (std::is_same_v<Kind, layers::SequencePoolOptions>) {
    a.Field("kind", kind.kind);
  } else if constexpr (std::is_same_v<Kind, layers::AttentionOptions>) {
    a.Field("heads", kind.heads);
    a.Field("kv_heads", kind.kv_heads);
    a.Field("causal", kind.causal);
    a.Field("window", kind.window);
    a.Field("dropout", kind.dropout);
    a.Field("rotary", kind.rotary);
    a.Field("rotary_base", kind.rotary_base);
    a.LaterField("alibi", kind.alibi);
    a.Field("use_bias", kind.use_bias);
    a.Field("initializer", kind.initializer);
  } else if constexpr (std::is_same_v<Kind, layers::PositionsOptions>) {
    a.Field("kind", kind.kind);
    a.Field("length", kind.length);
    a.Field("initializer", kind.initializer);
  } else if constexpr (std::is_same_v<Kind, layers::Conv1dOptions>) {
    a.Field("filters", kind.filters);
    a.Field("kernel", kind.kernel);
    a.Field("causal", kind.causal);
    a.Field("activation", kind.activation);
    a.Field("use_bias", kind.use_bias);
    a.Field("initializer", kind.initializer);
  } else if constexpr (std::is_same_v<Kind, layers::GluOptions>) {
    a.Field("units", kind.units);
    a.Field("activation", kind.activation);
    a.Field("use_bias", kind.use_bias);
    a.Field("initializer", kind.initializer);
  } else if constexpr (std::is_same_v<Kind, RmsNorm>) {
    a.Field("epsilon", kind.epsilon);
  }
}

template <size_t... I>
std::vector<LayerKind> AllKinds(std::index_sequence<I...>) {
  return {LayerKind(std::in_place_index<I>)...};
}

absl::StatusOr<LayerDescription> LayerFromJson(const json& in) {
  LayerDescription layer;
  std::string problem = "has no kind that is known";
  layer.name = in.at("name").get<std::string>();
  layer.inputs = in.at("inputs").get<std::vector<std::string>>();
  layer.frozen = in.at("frozen").get<bool>();
  for (LayerKind kind : AllKinds(std::make_index_sequence<std::variant_size_v<LayerKind>>())) {
    if (const auto found = in.find(std::string(NameOf(kind))); found != in.end()) {
      Reader reader(*found);
      std::visit([&](auto& fields) { Fields(reader, fields); }, kind);
      problem = reader.problem();
      layer.kind = std::move(kind);
    }
  }
  if (!problem.empty()) {
    return absl::InvalidArgumentError(problem);
  }
  return layer;
}

constexpr char kOnlyInput[] = "input";

// Adds "layers" and, where there is one, "preset"; "inputs" where they are others than the one that
// there is without.
template <typename Network>
void WriteNetwork(const Network& network, json& to) {
  json out = json::array();
  for (const LayerDescription& layer : network.layers) {
    json fields = json::object();
    Writer writer(fields);
    std::visit([&](const auto& kind) { Fields(writer, kind); }, layer.kind);
    out.push_back({{"name", layer.name},
                   {"inputs", layer.inputs},
                   {"frozen", layer.frozen},
                   {std::string(NameOf(layer.kind)), std::move(fields)}});
  }
  to["layers"] = std::move(out);
  if (network.inputs != std::vector<std::string>{kOnlyInput}) {
    to["inputs"] = network.inputs;
  }
  if (!network.preset.name.empty()) {
    to["preset"] = {{"name", network.preset.name},
                    {"options", json::parse(network.preset.options)}};
  }
}

template <typename Network>
absl::Status ReadNetwork(const json& in, const std::string& where, Network& network) {
  size_t index = 0;
  try {
    network.inputs = in.value("inputs", std::vector<std::string>{kOnlyInput});
    if (const auto preset = in.find("preset"); preset != in.end()) {
      network.preset.name = preset->at("name").template get<std::string>();
      network.preset.options = preset->at("options").dump();
    }
    for (const json& entry : in.at("layers")) {
      absl::StatusOr<LayerDescription> layer = LayerFromJson(entry);
      if (!layer.ok()) {
        return absl::InvalidArgumentError(
            absl::StrCat(where, "layers[", index, "]: ", layer.status().message()));
      }
      network.layers.push_back(*std::move(layer));
      ++index;
    }
  } catch (const json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(where, "layers[", index, "]: ", error.what()));
  }
  return absl::OkStatus();
}

}  // namespace

json ToJson(const ModelDescription& description) {
  json out = json::object();
  WriteNetwork(description, out);
  for (const NetworkDescription& network : description.networks) {
    json one = {{"name", network.name}};
    WriteNetwork(network, one);
    out["networks"].push_back(std::move(one));
  }
  if (description.lora.has_value()) {
    out["lora"] = ToJson(*description.lora);
  }
  return out;
}

absl::StatusOr<ModelDescription> ModelDescriptionFromJson(const json& in) {
  ModelDescription description;
  HONE_RETURN_IF_ERROR(ReadNetwork(in, "", description));
  try {
    for (const json& entry : in.value("networks", json::array())) {
      NetworkDescription& network = description.networks.emplace_back();
      network.name = entry.at("name").get<std::string>();
      HONE_RETURN_IF_ERROR(ReadNetwork(entry, absl::StrCat(network.name, "."), network));
    }
  } catch (const json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat("networks: ", error.what()));
  }
  try {
    if (const auto lora = in.find("lora"); lora != in.end()) {
      description.lora = LoraFromJson(*lora);
      HONE_RETURN_IF_ERROR(Annotate(CheckLora(*description.lora), "lora"));
    }
  } catch (const json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat("lora: ", error.what()));
  }
  return WithNames(std::move(description));
}

}  // namespace hone::engine::models
