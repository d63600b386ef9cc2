#include <algorithm>
#include <map>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/utf8.h"
#include "server/jobs/job.h"
#include "server/jobs/names.h"
#include "server/jobs/validate.h"

namespace hone::server::jobs {
namespace {

constexpr int kMaxLayers = 2000;
constexpr int64_t kMaxUnits = 1'000'000;
constexpr int64_t kMaxWindow = 1024;
constexpr int64_t kMaxCopies = 1000;
constexpr int kMaxNesting = 4;
constexpr int64_t kMostPlaces = int64_t{1} << 31;

void CheckActivation(const std::string& path, v1::Activation::Kind activation,
                     FieldErrors& errors) {
  if (!v1::Activation::Kind_IsValid(activation)) {
    errors.Add(path, absl::StrCat("unknown activation number ", static_cast<int>(activation)));
  }
}

void CheckPadding(const std::string& path, v1::Padding::Kind padding, FieldErrors& errors) {
  if (!v1::Padding::Kind_IsValid(padding)) {
    errors.Add(path, "must be one of VALID, SAME");
  }
}

void CheckInitializer(const std::string& path, const v1::Initializer& initializer,
                      FieldErrors& errors) {
  if (!v1::Initializer::Kind_IsValid(initializer.kind())) {
    errors.Add(path + ".kind",
               absl::StrCat("unknown initializer number ", static_cast<int>(initializer.kind())));
  }
  if (initializer.has_stddev()) {
    errors.CheckFloat(path + ".stddev", initializer.stddev(), Above(0, 1e6));
  }
}

void CheckConv2d(const std::string& path, const v1::Conv2d& conv, FieldErrors& errors) {
  errors.CheckInt(path + ".filters", conv.filters(), 1, kMaxUnits);
  errors.CheckInt(path + ".kernel", conv.kernel(), 1, kMaxWindow);
  errors.CheckInt(path + ".stride", conv.has_stride() ? conv.stride() : 1, 1, kMaxWindow);
  errors.CheckInt(path + ".dilation", conv.has_dilation() ? conv.dilation() : 1, 1, kMaxWindow);
  const int64_t groups = conv.has_groups() ? conv.groups() : 1;
  errors.CheckInt(path + ".groups", groups, 1, kMaxUnits);
  if (groups > 0 && conv.filters() > 0 && conv.filters() % groups != 0) {
    errors.Add(path + ".groups",
               absl::StrCat("must divide filters=", conv.filters(), ", got ", groups));
  }
  CheckPadding(path + ".padding", conv.padding(), errors);
  CheckActivation(path + ".activation", conv.activation(), errors);
  CheckInitializer(path + ".initializer", conv.initializer(), errors);
}

void CheckPool2d(const std::string& path, const v1::Pool2d& pool, FieldErrors& errors) {
  errors.CheckInt(path + ".size", pool.size(), 1, kMaxWindow);
  if (pool.has_stride()) {
    errors.CheckInt(path + ".stride", pool.stride(), 1, kMaxWindow);
  }
  CheckPadding(path + ".padding", pool.padding(), errors);
}

void CheckReshape(const std::string& path, const v1::Reshape& reshape, FieldErrors& errors) {
  errors.CheckInt(path + ".shape", reshape.shape_size(), 1, 8);
  int open = 0;
  for (int i = 0; i < reshape.shape_size(); ++i) {
    open += reshape.shape(i) == -1 ? 1 : 0;
    if (reshape.shape(i) != -1) {
      errors.CheckInt(absl::StrCat(path, ".shape[", i, "]"), reshape.shape(i), 1, int64_t{1} << 31);
    }
  }
  if (open > 1) {
    errors.Add(path + ".shape", absl::StrCat("must have at most one -1, got ", open));
  }
}

void CheckNormalization(const std::string& path, bool has_epsilon, float epsilon,
                        FieldErrors& errors) {
  if (has_epsilon) {
    errors.CheckFloat(path + ".epsilon", epsilon, Above(0, 1));
  }
}

void CheckRecurrent(const std::string& path, const v1::Recurrent& recurrent, FieldErrors& errors) {
  errors.CheckInt(path + ".units", recurrent.units(), 1, kMaxUnits);
  errors.CheckInt(path + ".layers", recurrent.has_layers() ? recurrent.layers() : 1, 1, 100);
  errors.CheckFloat(path + ".dropout", recurrent.dropout(), UpTo(0, 1));
  CheckInitializer(path + ".initializer", recurrent.initializer(), errors);
}

// Of what is no GRU.
void CheckNoReset(const std::string& path, const v1::Recurrent& recurrent, FieldErrors& errors) {
  if (recurrent.has_reset_after()) {
    errors.Add(path + ".reset_after", "must not be given: only a gru has a reset");
  }
}

void CheckAttention(const std::string& path, const v1::Attention& attention, FieldErrors& errors) {
  errors.CheckInt(path + ".heads", attention.heads(), 1, 1024);
  if (attention.has_kv_heads()) {
    errors.CheckInt(path + ".kv_heads", attention.kv_heads(), 1, 1024);
  }
  errors.CheckInt(path + ".window", attention.window(), 0, int64_t{1} << 31);
  if (attention.window() > 0 && !attention.causal()) {
    errors.Add(path + ".window", "must be 0 where causal is false");
  }
  errors.CheckFloat(path + ".dropout", attention.dropout(), UpTo(0, 1));
  if (attention.has_rotary_base()) {
    errors.CheckFloat(path + ".rotary_base", attention.rotary_base(), Above(1, 1e9));
  }
  if (attention.rotary() && attention.alibi()) {
    errors.Add(path + ".alibi", "must be false where rotary is true");
  }
  CheckInitializer(path + ".initializer", attention.initializer(), errors);
}

void CheckPositions(const std::string& path, const v1::Positions& positions, FieldErrors& errors) {
  if (!v1::Positions::Kind_IsValid(positions.kind())) {
    errors.Add(path + ".kind", "must be one of LEARNED, SINUSOIDAL");
  } else if (positions.kind() != v1::Positions::SINUSOIDAL) {
    errors.CheckInt(path + ".length", positions.length(), 1, kMostPlaces);
  }
  CheckInitializer(path + ".initializer", positions.initializer(), errors);
}

void CheckKind(const std::string& at, const v1::Layer& layer, FieldErrors& errors) {
  switch (layer.kind_case()) {
    case v1::Layer::KIND_NOT_SET:
      errors.Add(at, "must have a kind, such as `dense`");
      return;
    case v1::Layer::kDense:
      errors.CheckInt(at + ".dense.units", layer.dense().units(), 1, kMaxUnits);
      CheckActivation(at + ".dense.activation", layer.dense().activation(), errors);
      CheckInitializer(at + ".dense.initializer", layer.dense().initializer(), errors);
      return;
    case v1::Layer::kConv2D:
      return CheckConv2d(at + ".conv2d", layer.conv2d(), errors);
    case v1::Layer::kConv2DTranspose:
      return CheckConv2d(at + ".conv2d_transpose", layer.conv2d_transpose(), errors);
    case v1::Layer::kUpsample2D:
      errors.CheckInt(at + ".upsample2d.factor",
                      layer.upsample2d().has_factor() ? layer.upsample2d().factor() : 2, 1, 64);
      return;
    case v1::Layer::kMaxPool2D:
      return CheckPool2d(at + ".max_pool2d", layer.max_pool2d(), errors);
    case v1::Layer::kAvgPool2D:
      return CheckPool2d(at + ".avg_pool2d", layer.avg_pool2d(), errors);
    case v1::Layer::kBatchNorm:
      errors.CheckFloat(at + ".batch_norm.momentum", layer.batch_norm().momentum(), UpTo(0, 1));
      CheckNormalization(at + ".batch_norm", layer.batch_norm().has_epsilon(),
                         layer.batch_norm().epsilon(), errors);
      CheckActivation(at + ".batch_norm.activation", layer.batch_norm().activation(), errors);
      return;
    case v1::Layer::kLayerNorm:
      CheckNormalization(at + ".layer_norm", layer.layer_norm().has_epsilon(),
                         layer.layer_norm().epsilon(), errors);
      return;
    case v1::Layer::kDropout:
      errors.CheckFloat(at + ".dropout.rate", layer.dropout().rate(), UpTo(0, 1));
      return;
    case v1::Layer::kActivation:
      CheckActivation(at + ".activation.function", layer.activation().function(), errors);
      if (layer.activation().function() == v1::Activation::ACTIVATION_UNSPECIFIED) {
        errors.Add(at + ".activation.function", "must be given, such as RELU");
      }
      errors.CheckFloat(at + ".activation.negative_slope", layer.activation().negative_slope(),
                        UpTo(0, 1));
      return;
    case v1::Layer::kReshape:
      return CheckReshape(at + ".reshape", layer.reshape(), errors);
    case v1::Layer::kAdd:
      return CheckActivation(at + ".add.activation", layer.add().activation(), errors);
    case v1::Layer::kEmbedding:
      errors.CheckInt(at + ".embedding.width", layer.embedding().width(), 1, kMaxUnits);
      errors.CheckInt(at + ".embedding.rows", layer.embedding().rows(), 0, int64_t{1} << 31);
      return CheckInitializer(at + ".embedding.initializer", layer.embedding().initializer(),
                              errors);
    case v1::Layer::kLstm:
      CheckNoReset(at + ".lstm", layer.lstm(), errors);
      return CheckRecurrent(at + ".lstm", layer.lstm(), errors);
    case v1::Layer::kGru:
      return CheckRecurrent(at + ".gru", layer.gru(), errors);
    case v1::Layer::kSimpleRnn:
      CheckNoReset(at + ".simple_rnn", layer.simple_rnn(), errors);
      return CheckRecurrent(at + ".simple_rnn", layer.simple_rnn(), errors);
    case v1::Layer::kSequencePool:
      if (!v1::SequencePool::Kind_IsValid(layer.sequence_pool().kind())) {
        errors.Add(at + ".sequence_pool.kind", "must be one of MEAN, MAX, FIRST, LAST");
      }
      return;
    case v1::Layer::kConv1D:
      errors.CheckInt(at + ".conv1d.filters", layer.conv1d().filters(), 1, kMaxUnits);
      errors.CheckInt(at + ".conv1d.kernel", layer.conv1d().kernel(), 1, 1024);
      CheckActivation(at + ".conv1d.activation", layer.conv1d().activation(), errors);
      return CheckInitializer(at + ".conv1d.initializer", layer.conv1d().initializer(), errors);
    case v1::Layer::kAttention:
      return CheckAttention(at + ".attention", layer.attention(), errors);
    case v1::Layer::kPositions:
      return CheckPositions(at + ".positions", layer.positions(), errors);
    case v1::Layer::kGlu:
      errors.CheckInt(at + ".glu.units", layer.glu().units(), 1, kMaxUnits);
      CheckActivation(at + ".glu.activation", layer.glu().activation(), errors);
      return CheckInitializer(at + ".glu.initializer", layer.glu().initializer(), errors);
    case v1::Layer::kRmsNorm:
      CheckNormalization(at + ".rms_norm", layer.rms_norm().has_epsilon(),
                         layer.rms_norm().epsilon(), errors);
      return;
    case v1::Layer::kGlobalAvgPool2D:
    case v1::Layer::kGlobalMaxPool2D:
    case v1::Layer::kFlatten:
    case v1::Layer::kConcat:
    case v1::Layer::kDot:
    case v1::Layer::kRepeat:  // CheckRepeat
      return;
  }
}

void CheckName(const std::string& at, const std::string& name,
               const std::vector<std::string>& inputs, FieldErrors& errors) {
  const bool fine = name.size() <= 64 &&
                    !absl::ascii_isdigit(static_cast<unsigned char>(name[0])) &&
                    std::all_of(name.begin(), name.end(),
                                [](unsigned char c) { return absl::ascii_isalnum(c) || c == '_'; });
  if (!fine) {
    errors.Add(at + ".name",
               absl::StrCat("must be at most 64 letters, digits or '_' and not begin with a digit, "
                            "got \"",
                            CutUtf8(name, 80), "\""));
  }
  if (std::ranges::find(inputs, name) != inputs.end()) {
    errors.Add(at + ".name", absl::StrCat("\"", name, "\" is ",
                                          name == "input" ? "the example itself" : "an input",
                                          "; choose another name"));
  }
}

// Layers are named before those that read them. Names that the job file leaves out are made later,
// by kind and number, and may be read too: so an unknown name is wrong only where it has no such
// form.
bool MayBeMadeName(const std::string& name) {
  const size_t cut = name.rfind('_');
  return cut != std::string::npos && cut + 1 < name.size() &&
         std::all_of(name.begin() + static_cast<std::ptrdiff_t>(cut) + 1, name.end(),
                     [](unsigned char c) { return absl::ascii_isdigit(c); });
}

void CheckInputs(const std::string& at, const v1::Layer& layer,
                 const std::vector<std::string>& model_inputs,
                 const absl::flat_hash_set<std::string>& known, FieldErrors& errors) {
  const bool joins = layer.has_add() || layer.has_concat() || layer.has_dot();
  if (layer.has_dot() && layer.inputs_size() > 2) {
    errors.Add(at + ".inputs", absl::StrCat("must name 2 layers, got ", layer.inputs_size()));
  }
  if (joins && layer.inputs_size() < 2) {
    errors.Add(at + ".inputs",
               absl::StrCat("must name at least 2 layers, got ", layer.inputs_size()));
  }
  if (!joins && layer.inputs_size() > 1) {
    errors.Add(at + ".inputs",
               absl::StrCat("must name at most 1 layer, got ", layer.inputs_size()));
  }
  for (int i = 0; i < layer.inputs_size(); ++i) {
    errors.CheckText(absl::StrCat(at, ".inputs[", i, "]"), layer.inputs(i), kMaxName);
    if (!known.contains(layer.inputs(i)) && !MayBeMadeName(layer.inputs(i))) {
      errors.Add(absl::StrCat(at, ".inputs[", i, "]"),
                 absl::StrCat("must be \"", absl::StrJoin(model_inputs, "\", \""),
                              "\" or the name of a layer above, got \"",
                              CutUtf8(layer.inputs(i), 80), "\""));
    }
  }
}

// How many layers there are when every `repeat` is written out; at most kMaxLayers + 1.
int64_t CountLayers(const google::protobuf::RepeatedPtrField<v1::Layer>& layers) {
  int64_t count = 0;
  for (const v1::Layer& layer : layers) {
    const int64_t copies =
        layer.has_repeat() ? std::clamp<int64_t>(layer.repeat().times(), 1, kMaxCopies) : 1;
    count += copies * (layer.has_repeat() ? CountLayers(layer.repeat().layers()) : 1);
    if (count > kMaxLayers) {
      return kMaxLayers + 1;
    }
  }
  return count;
}

// Layers of one list: of the model, or within a `repeat`.
class ListCheck {
 public:
  ListCheck(const std::vector<std::string>& inputs, bool open, FieldErrors& errors)
      : inputs_(inputs), open_(open), errors_(errors) {}

  // `known`: what layers of the list may read, from outside.
  void Check(const std::string& path, const google::protobuf::RepeatedPtrField<v1::Layer>& layers,
             absl::flat_hash_set<std::string> known, int nesting) {
    absl::flat_hash_set<std::string> names;
    for (int i = 0; i < layers.size(); ++i) {
      const v1::Layer& layer = layers[i];
      const std::string at = absl::StrCat(path, "[", i, "]");
      if (open_) {
        // The earlier model's layers are known to the worker only.
        known.insert(layer.inputs().begin(), layer.inputs().end());
      }
      CheckInputs(at, layer, InputsOf(nesting), known, errors_);
      if (!layer.name().empty()) {
        CheckName(at, layer.name(), InputsOf(nesting), errors_);
        Take(at, layer.name(), nesting, names);
        known.insert(layer.name());
      }
      CheckKind(at, layer, errors_);
      if (layer.has_repeat()) {
        CheckRepeat(at, layer, known, names, nesting);
      }
    }
  }

 private:
  // What the first layers of a list read: within a repeat, what its copy reads.
  const std::vector<std::string>& InputsOf(int nesting) const {
    static const auto& within = *new std::vector<std::string>{"input"};
    return nesting == 0 ? inputs_ : within;
  }

  void Take(const std::string& at, const std::string& name, int nesting,
            absl::flat_hash_set<std::string>& names) {
    const std::vector<std::string>& inputs = InputsOf(nesting);
    if (std::ranges::find(inputs, name) == inputs.end() && !names.insert(name).second) {
      errors_.Add(at + ".name", absl::StrCat("\"", name, "\" is taken by a layer above"));
    }
  }

  void CheckRepeat(const std::string& at, const v1::Layer& layer,
                   absl::flat_hash_set<std::string>& known, absl::flat_hash_set<std::string>& names,
                   int nesting) {
    const v1::Repeat& repeat = layer.repeat();
    const std::string inside = at + ".repeat";
    errors_.CheckInt(inside + ".times", repeat.times(), 1, kMaxCopies);
    if (!layer.name().empty()) {
      errors_.Add(at + ".name", "must not be given: the copies are named by repeat.name");
    }
    const std::string name = repeat.name().empty() ? "block" : repeat.name();
    CheckName(inside, name, InputsOf(nesting), errors_);
    Take(inside, name, nesting, names);
    for (int64_t copy = 1; copy <= std::min(repeat.times(), kMaxCopies); ++copy) {
      Take(inside, absl::StrCat(name, "_", copy), nesting, names);
    }
    known.insert(name);
    if (repeat.layers().empty()) {
      errors_.Add(inside + ".layers", "must be 1 layer or more, got 0");
    }
    if (nesting == kMaxNesting) {
      errors_.Add(inside, absl::StrCat("must not be within ", kMaxNesting, " others"));
      return;
    }
    absl::flat_hash_set<std::string> within = known;
    within.insert("input");
    Check(inside + ".layers", repeat.layers(), within, nesting + 1);
  }

  const std::vector<std::string>& inputs_;  // of the network
  const bool open_;                         // layers may be read that are not in the spec
  FieldErrors& errors_;
};

void CheckLora(const v1::Lora& lora, FieldErrors& errors) {
  constexpr char kField[] = "model.pretrained.lora";
  constexpr int kMostTargets = 1000;
  constexpr int64_t kMostRank = 4096;
  if (lora.has_rank()) {
    errors.CheckInt(absl::StrCat(kField, ".rank"), lora.rank(), 1, kMostRank);
  }
  if (lora.has_alpha()) {
    errors.CheckFloat(absl::StrCat(kField, ".alpha"), lora.alpha(), Above(0, 1e6));
  }
  errors.CheckFloat(absl::StrCat(kField, ".dropout"), lora.dropout(), UpTo(0, 1));
  if (lora.targets_size() > kMostTargets) {
    errors.Add(absl::StrCat(kField, ".targets"),
               absl::StrCat("must be at most ", kMostTargets, " names, got ", lora.targets_size()));
    return;
  }
  for (int i = 0; i < lora.targets_size(); ++i) {
    if (lora.targets(i).empty() || lora.targets(i).size() > 1024) {
      errors.Add(absl::StrCat(kField, ".targets[", i, "]"), "must have 1 to 1024 characters");
    }
  }
}

// What the tokenizer says of them is told when the job begins.
void CheckNewTokens(const v1::JobSpec& spec, FieldErrors& errors) {
  const google::protobuf::RepeatedPtrField<std::string>& tokens =
      spec.model().pretrained().new_tokens();
  constexpr char kField[] = "model.pretrained.new_tokens";
  constexpr int kMostTokens = 4096;
  constexpr size_t kLongest = 1024;
  if (tokens.empty()) {
    return;
  }
  if (tokens.size() > kMostTokens) {
    errors.Add(kField,
               absl::StrCat("must be at most ", kMostTokens, " tokens, got ", tokens.size()));
    return;
  }
  if (spec.data().text().has_cleaning() || spec.data().text().has_tokenizer()) {
    errors.Add(kField,
               "are added to the earlier model's tokenizer, so that data.text must have neither "
               "`cleaning` nor `tokenizer`");
  }
  std::map<absl::string_view, int> places;
  for (int i = 0; i < tokens.size(); ++i) {
    const std::string at = absl::StrCat(kField, "[", i, "]");
    if (tokens[i].empty() || tokens[i].size() > kLongest) {
      errors.Add(at, absl::StrCat("must have 1 to ", kLongest, " bytes"));
    } else if (const auto [first, is_new] = places.emplace(tokens[i], i); !is_new) {
      errors.Add(at, absl::StrCat("is there twice, as new_tokens[", first->second, "], too"));
    }
  }
}

void CheckPretrained(const v1::Pretrained& pretrained, bool has_model, FieldErrors& errors) {
  constexpr char kField[] = "model.pretrained";
  if (pretrained.model().empty() && !has_model) {
    errors.Add(kField, "must have `model`");
  }
  if (!pretrained.model().empty() && !ModelId(pretrained.model()).ok()) {
    errors.Add(absl::StrCat(kField, ".model"),
               absl::StrCat("must be models/<id>, got \"", CutUtf8(pretrained.model(), 80), "\""));
  }
  errors.CheckInt(absl::StrCat(kField, ".drop_layers"), pretrained.drop_layers(), 0, kMaxLayers);
  if (pretrained.has_lora()) {
    CheckLora(pretrained.lora(), errors);
  }
  if (pretrained.freeze_size() > kMaxLayers) {
    errors.Add(
        absl::StrCat(kField, ".freeze"),
        absl::StrCat("must be at most ", kMaxLayers, " names, got ", pretrained.freeze_size()));
    return;
  }
  for (int i = 0; i < pretrained.freeze_size(); ++i) {
    errors.CheckText(absl::StrCat(kField, ".freeze[", i, "]"), pretrained.freeze(i), kMaxName);
  }
  constexpr int kMostPatterns = 1000;
  if (pretrained.parameters_size() > kMostPatterns) {
    errors.Add(absl::StrCat(kField, ".parameters"),
               absl::StrCat("must be at most ", kMostPatterns, " patterns, got ",
                            pretrained.parameters_size()));
    return;
  }
  for (int i = 0; i < pretrained.parameters_size(); ++i) {
    if (pretrained.parameters(i).empty() || pretrained.parameters(i).size() > 1024) {
      errors.Add(absl::StrCat(kField, ".parameters[", i, "]"), "must have 1 to 1024 characters");
    }
  }
}

// `where` is "model", or a network's place.
void CheckLayers(const std::string& where,
                 const google::protobuf::RepeatedPtrField<v1::Layer>& layers,
                 const std::vector<std::string>& inputs, bool has_earlier, FieldErrors& errors) {
  const std::string at = where + ".layers";
  if (CountLayers(layers) > kMaxLayers) {
    errors.Add(at,
               absl::StrCat("must be at most ", kMaxLayers, " layers with all copies, got more"));
  }
  ListCheck(inputs, has_earlier, errors).Check(at, layers, {inputs.begin(), inputs.end()}, 0);
}

void CheckSizes(const std::string& at, const google::protobuf::RepeatedField<int64_t>& sizes,
                int most, FieldErrors& errors) {
  if (sizes.size() > most) {
    errors.Add(at, absl::StrCat("must be at most ", most, " numbers, got ", sizes.size()));
  }
  for (int i = 0; i < sizes.size(); ++i) {
    errors.CheckInt(absl::StrCat(at, "[", i, "]"), sizes[i], 1, kMaxUnits);
  }
}

void CheckPreset(const std::string& at, const v1::Preset& preset, FieldErrors& errors) {
  constexpr int kMostDense = 1000, kMostHalves = 12;
  switch (preset.kind_case()) {
    case v1::Preset::KIND_NOT_SET:
      errors.Add(at, "must be one of gan, dcgan");
      return;
    case v1::Preset::kGan:
      CheckSizes(at + ".gan.generator_units", preset.gan().generator_units(), kMostDense, errors);
      CheckSizes(at + ".gan.discriminator_units", preset.gan().discriminator_units(), kMostDense,
                 errors);
      return;
    case v1::Preset::kDcgan:
      CheckSizes(at + ".dcgan.generator_filters", preset.dcgan().generator_filters(), kMostHalves,
                 errors);
      CheckSizes(at + ".dcgan.discriminator_filters", preset.dcgan().discriminator_filters(),
                 kMostHalves, errors);
      return;
    case v1::Preset::kGpt:
      errors.Add(at, "must be one of gan, dcgan: gpt is for language_modeling");
      return;
    case v1::Preset::kSeq2Seq:
    case v1::Preset::kTransformerTranslation:
      errors.Add(at,
                 "must be one of gan, dcgan: seq2seq and transformer_translation are for "
                 "translation");
      return;
    case v1::Preset::kTransformerEncoder:
      errors.Add(at, "must be one of gan, dcgan: transformer_encoder is for texts");
      return;
  }
}

// The tokens, or points, of a sequence where the job says how many there are; else 1.
int64_t WindowOf(const v1::JobSpec& spec) {
  const v1::LanguageModeling& writes = spec.language_modeling();
  const v1::PreferenceOptimization& prefers = spec.preference_optimization();
  const int64_t window =
      spec.has_language_modeling()         ? (writes.has_window() ? writes.window() : 128)
      : spec.has_preference_optimization() ? (prefers.has_window() ? prefers.window() : 512)
      : spec.has_forecasting()             ? spec.data().series().window()
                                           : 1;
  return std::clamp<int64_t>(window, 1, kMostPlaces);
}

// The preset of a language model.
void CheckGpt(const v1::JobSpec& spec, FieldErrors& errors) {
  const std::string at = "model.preset.gpt";
  const v1::Preset& preset = spec.model().preset();
  if (!preset.has_gpt()) {
    errors.Add("model.preset", "must be gpt for language_modeling and preference_optimization");
    return;
  }
  const v1::Gpt& gpt = preset.gpt();
  const int64_t heads = gpt.has_heads() ? gpt.heads() : 4;
  const int64_t width = gpt.has_width() ? gpt.width() : 128;
  errors.CheckInt(at + ".layers", gpt.has_layers() ? gpt.layers() : 4, 1, 1000);
  errors.CheckInt(at + ".heads", heads, 1, 1024);
  errors.CheckInt(at + ".width", width, 1, kMaxUnits);
  if (heads > 0 && width > 0 && width % heads != 0) {
    errors.Add(at + ".heads", absl::StrCat("must divide width=", width, ", got ", heads));
  }
  if (gpt.has_window()) {
    constexpr int64_t kMost = int64_t{1} << 20;
    const bool learned =
        gpt.positions() == v1::Gpt::POSITIONS_UNSPECIFIED || gpt.positions() == v1::Gpt::LEARNED;
    // Each token of a window has a learned place of its own.
    const int64_t least = learned ? WindowOf(spec) : 1;
    errors.CheckInt(at + ".window", gpt.window(), std::clamp<int64_t>(least, 1, kMost), kMost);
  }
  errors.CheckFloat(at + ".dropout", gpt.dropout(), UpTo(0, 1));
  if (!v1::Gpt::Positions_IsValid(gpt.positions())) {
    errors.Add(at + ".positions", "must be one of LEARNED, SINUSOIDAL, ROTARY");
  }
}

void CheckSeq2Seq(const std::string& at, const v1::Seq2Seq& net, FieldErrors& errors) {
  if (!v1::Seq2Seq::Cell_IsValid(net.cell())) {
    errors.Add(at + ".cell", "must be one of GRU, LSTM");
  }
  if (!v1::Seq2Seq::Attention_IsValid(net.attention())) {
    errors.Add(at + ".attention", "must be one of BAHDANAU, LUONG");
  }
  errors.CheckInt(at + ".layers", net.has_layers() ? net.layers() : 1, 1, 1000);
  if (net.input_feeding() && net.attention() != v1::Seq2Seq::LUONG) {
    errors.Add(at + ".input_feeding", "must be false unless attention is LUONG");
  } else if (net.input_feeding() && net.layers() > 1) {
    errors.Add(at + ".input_feeding",
               absl::StrCat("must be false with several layers, got ", net.layers(), " layers"));
  }
  errors.CheckInt(at + ".units", net.has_units() ? net.units() : 1, 1, kMaxUnits);
  errors.CheckInt(at + ".embedding", net.has_embedding() ? net.embedding() : 1, 1, kMaxUnits);
  errors.CheckFloat(at + ".dropout", net.dropout(), UpTo(0, 1));
}

void CheckTransformerTranslation(const std::string& at, const v1::TransformerTranslation& net,
                                 FieldErrors& errors) {
  const int64_t heads = net.has_heads() ? net.heads() : 8;
  const int64_t width = net.has_width() ? net.width() : 256;
  errors.CheckInt(at + ".layers", net.has_layers() ? net.layers() : 3, 1, 1000);
  errors.CheckInt(at + ".heads", heads, 1, 1024);
  errors.CheckInt(at + ".width", width, 1, kMaxUnits);
  if (heads > 0 && width > 0 && width % heads != 0) {
    errors.Add(at + ".heads", absl::StrCat("must divide width=", width, ", got ", heads));
  }
  errors.CheckInt(at + ".feed_forward", net.has_feed_forward() ? net.feed_forward() : 1, 1,
                  kMaxUnits);
  errors.CheckFloat(at + ".dropout", net.dropout(), UpTo(0, 1));
}

// The preset of a model that translates.
void CheckTranslation(const v1::ModelSpec& model, FieldErrors& errors) {
  const std::string at = "model.preset";
  if (model.layers_size() > 0 || model.networks_size() > 0) {
    errors.Add("model", "must have a `preset` alone for translation");
  }
  switch (model.preset().kind_case()) {
    case v1::Preset::kSeq2Seq:
      return CheckSeq2Seq(at + ".seq2seq", model.preset().seq2seq(), errors);
    case v1::Preset::kTransformerTranslation:
      return CheckTransformerTranslation(at + ".transformer_translation",
                                         model.preset().transformer_translation(), errors);
    default:
      errors.Add(at, "must be one of seq2seq, transformer_translation for translation");
  }
}

// The tasks that it is for.
bool MayBeEncoder(const v1::JobSpec& spec) {
  return spec.has_masked_language_modeling() || spec.has_text_embedding() ||
         spec.has_token_tagging() || spec.has_multi_label_classification() ||
         (spec.data().has_text() && (spec.has_classification() || spec.has_regression()));
}

void CheckEncoder(const v1::JobSpec& spec, FieldErrors& errors) {
  using Encoder = v1::TransformerEncoder;
  const std::string at = "model.preset.transformer_encoder";
  const v1::Preset& preset = spec.model().preset();
  if (!preset.has_transformer_encoder()) {
    errors.Add("model.preset", "must be transformer_encoder for this task");
    return;
  }
  // Of masked words they are refused as such.
  if (spec.data().text().second_columns_size() > 0 && !spec.has_masked_language_modeling() &&
      !spec.has_text_embedding()) {
    errors.Add("data.text.second_columns",
               "must not be given with transformer_encoder, which reads single texts");
  }
  const Encoder& encoder = preset.transformer_encoder();
  const int64_t heads = encoder.has_heads() ? encoder.heads() : 4;
  const int64_t width = encoder.has_width() ? encoder.width() : 128;
  errors.CheckInt(at + ".layers", encoder.has_layers() ? encoder.layers() : 4, 1, 1000);
  errors.CheckInt(at + ".heads", heads, 1, 1024);
  errors.CheckInt(at + ".width", width, 1, kMaxUnits);
  if (heads > 0 && width > 0 && width % heads != 0) {
    errors.Add(at + ".heads", absl::StrCat("must divide width=", width, ", got ", heads));
  }
  if (encoder.has_hidden()) {
    errors.CheckInt(at + ".hidden", encoder.hidden(), 1, kMaxUnits);
  }
  if (!Encoder::Positions_IsValid(encoder.positions())) {
    errors.Add(at + ".positions", "must be one of LEARNED, SINUSOIDAL, ROTARY");
  } else if (encoder.positions() < Encoder::SINUSOIDAL) {
    // Each token that a text may have has a learned place of its own.
    constexpr int64_t kMost = int64_t{1} << 20;
    const int64_t window = spec.masked_language_modeling().window();
    const int64_t longest = window > 0 ? window : spec.data().text().max_tokens();
    if (encoder.has_length()) {
      errors.CheckInt(at + ".length", encoder.length(), std::clamp<int64_t>(longest, 1, kMost),
                      kMost);
    } else if (longest < 1) {
      errors.Add(at + ".length",
                 "must be given with LEARNED positions, or data.text.max_tokens: how many tokens "
                 "the longest text may have");
    }
  }
  if (!Encoder::Norm_IsValid(encoder.norm())) {
    errors.Add(at + ".norm", "must be one of PRE, POST");
  }
  if (encoder.has_epsilon()) {
    errors.CheckFloat(at + ".epsilon", encoder.epsilon(), Above(0, 1));
  }
  if (!Encoder::Activation_IsValid(encoder.activation())) {
    errors.Add(at + ".activation", "must be one of GELU, RELU");
  }
  errors.CheckFloat(at + ".dropout", encoder.dropout(), UpTo(0, 1));
  if (!Encoder::Pooling_IsValid(encoder.pooling())) {
    errors.Add(at + ".pooling", "must be one of MEAN, MAX, FIRST");
  }
}

void CheckNetworks(const v1::ModelSpec& model, FieldErrors& errors) {
  constexpr int kMaxNetworks = 16;
  if (model.networks_size() > kMaxNetworks) {
    errors.Add("model.networks", absl::StrCat("must be at most ", kMaxNetworks, " networks, got ",
                                              model.networks_size()));
    return;
  }
  absl::flat_hash_set<std::string> names;
  for (int i = 0; i < model.networks_size(); ++i) {
    const v1::Network& network = model.networks(i);
    const std::string at = absl::StrCat("model.networks[", i, "]");
    if (network.name().empty()) {
      errors.Add(at + ".name", "must be given, such as \"generator\"");
    } else {
      CheckName(at, network.name(), {"input"}, errors);
      if (!names.insert(network.name()).second) {
        errors.Add(at + ".name", absl::StrCat("\"", network.name(), "\" is taken by one above"));
      }
    }
    if (network.has_preset()) {
      if (network.layers_size() > 0) {
        errors.Add(at, "must have either `layers` or `preset`, got both");
      }
      CheckPreset(at + ".preset", network.preset(), errors);
    } else if (network.layers_size() < 1 || network.layers_size() > kMaxLayers) {
      errors.Add(at + ".layers",
                 absl::StrCat("must be 1 to ", kMaxLayers, " layers, got ", network.layers_size()));
    } else {
      CheckLayers(at, network.layers(), {"input"}, false, errors);
    }
  }
}

// Learned positions where sequences have so many tokens, or points.
void CheckPlaces(const std::string& at, const google::protobuf::RepeatedPtrField<v1::Layer>& layers,
                 int64_t window, FieldErrors& errors) {
  for (int i = 0; i < layers.size(); ++i) {
    const std::string layer = absl::StrCat(at, "[", i, "]");
    const v1::Positions& positions = layers[i].positions();
    // CheckPositions names those below 1.
    if (layers[i].has_positions() && positions.kind() != v1::Positions::SINUSOIDAL &&
        positions.length() >= 1) {
      errors.CheckInt(layer + ".positions.length", positions.length(), window, kMostPlaces);
    }
    CheckPlaces(layer + ".repeat.layers", layers[i].repeat().layers(), window, errors);
  }
}

}  // namespace

void CheckModel(const v1::JobSpec& spec, const std::vector<std::string>& inputs, bool has_model,
                FieldErrors& errors) {
  const v1::ModelSpec& model = spec.model();
  if (model.has_pretrained()) {
    CheckPretrained(model.pretrained(), has_model, errors);
    CheckNewTokens(spec, errors);
  }
  if (spec.has_image_generation()) {
    if (model.pretrained().has_lora()) {
      errors.Add("model.pretrained.lora",
                 "must not be there: the mean of the generator's weights has no adapters");
    }
    if (model.layers_size() > 0 || model.has_preset() == (model.networks_size() > 0)) {
      errors.Add("model",
                 "must have either `preset` or `networks`, a generator and a discriminator, and no "
                 "`layers`");
    }
    if (model.has_preset()) {
      CheckPreset("model.preset", model.preset(), errors);
    }
    return CheckNetworks(model, errors);
  }
  if (spec.reinforcement_learning().has_ppo()) {
    if (model.layers_size() > 0 || model.has_preset() ||
        (model.networks_size() == 0 && !model.has_pretrained())) {
      errors.Add("model",
                 "must have `networks`, a policy and a value, and neither `layers` nor `preset`");
    }
    return CheckNetworks(model, errors);
  }
  // A model that goes on from an earlier one has its preset.
  if (spec.has_translation() && (model.has_preset() || !model.has_pretrained())) {
    return CheckTranslation(model, errors);
  }
  const bool writes = spec.has_language_modeling() || spec.has_preference_optimization();
  if (writes && model.has_preset() && model.networks_size() == 0) {
    if (model.layers_size() > 0) {
      errors.Add("model", "must have either `layers` or `preset`, got both");
    }
    return CheckGpt(spec, errors);
  }
  if (MayBeEncoder(spec) && model.has_preset() && model.networks_size() == 0) {
    if (model.layers_size() > 0) {
      errors.Add("model", "must have either `layers` or `preset`, got both");
    }
    return CheckEncoder(spec, errors);
  }
  if (model.has_preset() || model.networks_size() > 0) {
    errors.Add(model.has_preset() ? "model.preset" : "model.networks",
               "this task has one network: give `layers`");
    return;
  }
  const int least = model.has_pretrained() ? 0 : 1;
  if (model.layers_size() < least || model.layers_size() > kMaxLayers) {
    errors.Add("model.layers", absl::StrCat("must be ", least, " to ", kMaxLayers, " layers, got ",
                                            model.layers_size()));
    return;
  }
  CheckLayers("model", model.layers(), inputs, model.has_pretrained(), errors);
  CheckPlaces("model.layers", model.layers(), WindowOf(spec), errors);
}

}  // namespace hone::server::jobs
