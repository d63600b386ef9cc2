#include "engine/job/pretrained.h"

#include <algorithm>
#include <iterator>
#include <span>
#include <variant>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status.h"
#include "engine/huggingface/folder_files.h"
#include "engine/huggingface/head.h"
#include "engine/models/presets.h"
#include "engine/tasks/model_file.h"
#include "engine/tasks/q_learner.h"
#include "engine/tensor/token_rows.h"

namespace hone::engine::job {
namespace {

constexpr char kAll[] = "*";
// The head of texts' presets, which fine-tuning by adapters learns as a whole, as peft does.
constexpr char kClassifier[] = "classifier";

struct Earlier {
  tasks::ModelFile description;  // of a checkpoint: model, and preprocessing if that was asked for
  bool is_checkpoint = false;
  std::vector<models::LayerDescription> kept;  // of its list of layers
  std::vector<std::string> dropped;  // the names of the others, whose values are not taken
  std::vector<std::string> notes;    // on its tokens
  // Those of the job, which the description has then.
  std::optional<NewTokens> new_tokens;
};

// Null where a program cannot read the type in place.
std::optional<DType> DTypeOf(checkpoint::FileDType type) {
  return type == checkpoint::FileDType::kF32    ? std::optional(DType::kF32)
         : type == checkpoint::FileDType::kBf16 ? std::optional(DType::kBf16)
                                                : std::nullopt;
}

std::vector<std::string> NamesOf(std::span<const models::LayerDescription> layers) {
  std::vector<std::string> names;
  for (const models::LayerDescription& layer : layers) {
    names.push_back(layer.name);
  }
  return names;
}

// Of a checkpoint, which is a preset.
absl::StatusOr<Earlier> DescribeCheckpoint(const std::string& directory, bool with_tokens) {
  Earlier earlier;
  earlier.is_checkpoint = true;
  HONE_ASSIGN_OR_RETURN(earlier.description.model, huggingface::DescribeModel(directory));
  if (with_tokens) {
    data::Preprocessing& preprocessing = earlier.description.preprocessing;
    preprocessing.input = data::Preprocessing::Input::kText;
    HONE_ASSIGN_OR_RETURN(preprocessing.text, huggingface::ReadTokens(directory, &earlier.notes));
  }
  return earlier;
}

// Of a model as it was.
absl::StatusOr<Earlier> DescribeBefore(const tasks::PretrainedOptions& options, bool with_tokens) {
  if (huggingface::IsCheckpoint(options.directory)) {
    absl::StatusOr<Earlier> checkpoint = DescribeCheckpoint(options.directory, with_tokens);
    HONE_RETURN_IF_ERROR(Annotate(checkpoint.status(), "model.pretrained"));
    return checkpoint;
  }
  const absl::StatusOr<std::string> json = checkpoint::LoadModelJson(options.directory);
  HONE_RETURN_IF_ERROR(Annotate(json.status(), "model.pretrained"));
  Earlier earlier;
  HONE_ASSIGN_OR_RETURN(earlier.description, tasks::ModelFileFromJson(*json));
  if (std::holds_alternative<tasks::ReinforcementLearningOptions>(earlier.description.task)) {
    // It begins as a copy of the network that learns, into memory of its own.
    earlier.dropped.emplace_back(tasks::kTargetScope);
  }
  const std::vector<models::LayerDescription>& layers = earlier.description.model.layers;
  if (layers.empty()) {
    return earlier;
  }
  const auto count = static_cast<int64_t>(layers.size());
  if (options.drop_layers < 0 || options.drop_layers >= count) {
    return absl::InvalidArgumentError(absl::StrCat(
        "model.pretrained.drop_layers: must leave one of the earlier model's ", count, " layers (",
        absl::StrJoin(NamesOf(layers), ", "), "), got ", options.drop_layers));
  }
  const auto end = layers.end() - options.drop_layers;
  earlier.kept.assign(layers.begin(), end);
  std::ranges::move(NamesOf({end, layers.end()}), std::back_inserter(earlier.dropped));
  return earlier;
}

// What model.json tells, or config.json and the tokenizer's files of a checkpoint, with the job's
// new tokens; the weights are not read.
absl::StatusOr<Earlier> Describe(const tasks::PretrainedOptions& options,
                                 bool with_tokens = false) {
  const bool grows = !options.new_tokens.empty();
  HONE_ASSIGN_OR_RETURN(Earlier earlier, DescribeBefore(options, with_tokens || grows));
  if (grows) {
    HONE_ASSIGN_OR_RETURN(earlier.new_tokens,
                          NewTokens::Add(options.new_tokens, earlier.description));
    earlier.notes.push_back(earlier.new_tokens->Told());
  }
  return earlier;
}

std::vector<std::string> NamesIn(const checkpoint::SafetensorsFile& file) {
  std::vector<std::string> names;
  for (const checkpoint::FileTensor& tensor : file.tensors()) {
    names.push_back(tensor.name);
  }
  return names;
}

// Those of all parameters with values that a job begins with.
absl::StatusOr<std::vector<std::string>> Held(const tasks::PretrainedOptions& options,
                                              const Earlier& earlier,
                                              const std::vector<std::string>& all) {
  std::vector<bool> used(options.parameters.size());
  std::vector<std::string> held;
  for (const std::string& name : all) {
    const auto names = [&](const std::string& pattern) {
      return tasks::RuleNames({.parameters = pattern}, name);
    };
    bool taken = options.parameters.empty();
    for (size_t i = 0; i < options.parameters.size(); ++i) {
      const bool named = names(options.parameters[i]);
      used[i] = used[i] || named;
      taken = taken || named;
    }
    if (taken && std::ranges::none_of(earlier.dropped, names)) {
      held.push_back(name);
    }
  }
  const auto unused = std::ranges::find(used, false);
  if (unused != used.end()) {
    const auto i = static_cast<size_t>(unused - used.begin());
    return absl::InvalidArgumentError(absl::StrCat("model.pretrained.parameters[", i, "] (",
                                                   options.parameters[i],
                                                   "): names nothing in the earlier model"));
  }
  return held;
}

// The names of all parameters that the earlier model has values of.
absl::StatusOr<std::vector<std::string>> ParametersOf(const tasks::PretrainedOptions& options,
                                                      const Earlier& earlier) {
  if (earlier.is_checkpoint) {
    const absl::StatusOr<huggingface::Weights> weights =
        huggingface::Weights::Open(options.directory);
    HONE_RETURN_IF_ERROR(Annotate(weights.status(), "model.pretrained"));
    return weights->names();
  }
  HONE_ASSIGN_OR_RETURN(const checkpoint::SafetensorsFile file,
                        checkpoint::OpenModelTensors(options.directory));
  return NamesIn(file);
}

// The checkpoint's net for a job whose inputs are those of `own`.
absl::StatusOr<models::ModelDescription> OfCheckpoint(models::ModelDescription net,
                                                      const models::ModelDescription& own,
                                                      int64_t drop_layers) {
  if (!own.layers.empty() || !own.preset.name.empty() || !own.networks.empty()) {
    return absl::InvalidArgumentError(
        "model: a checkpoint brings its whole net, and a head that is new where it has none; "
        "`pretrained` must stand alone");
  }
  if (drop_layers > 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "model.pretrained.drop_layers: a checkpoint is no list of layers; must be 0, got ",
        drop_layers));
  }
  if (std::ranges::find(own.inputs, kSegmentsInput) != own.inputs.end()) {
    net.inputs.emplace_back(kSegmentsInput);
  }
  return models::WithNames(std::move(net));
}

// How two ways to make tokens differ: "its vocabulary has 8000 tokens, that of these texts 5120".
std::string Vocabularies(const data::TextPreprocessing& was, const data::TextPreprocessing& is,
                         absl::string_view what) {
  const int64_t before = was.tokenizer->size(), now = is.tokenizer->size();
  return before == now ? absl::StrCat("the vocabularies of both have ", now,
                                      " tokens, but not the same ones, or the ", what,
                                      " are cleaned differently")
                       : absl::StrCat("its vocabulary has ", before, " tokens, that of these ",
                                      what, " ", now);
}

// Of two translations: both sides must have the same tokens.
absl::Status CheckPairs(const data::Preprocessing& was, const data::Preprocessing& is) {
  const bool sources = !was.text->HasTokensOf(*is.text);
  if (!sources && was.target_text->HasTokensOf(*is.target_text)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("data.pairs: the pretrained model was made for other tokens (",
                   sources ? Vocabularies(*was.text, *is.text, "sources")
                           : Vocabularies(*was.target_text, *is.target_text, "targets"),
                   "); it goes on with the pairs, the data.pairs and the training.seed that it was "
                   "trained with; for others leave model.pretrained out"));
}

// The job's net, without what is said of adapters.
absl::StatusOr<models::ModelDescription> NetOf(const tasks::PretrainedOptions& options,
                                               const Earlier& earlier,
                                               const models::ModelDescription& own) {
  const models::ModelDescription& was = earlier.description.model;
  if (earlier.is_checkpoint) {
    return OfCheckpoint(was, own, options.drop_layers);
  }
  const bool goes_on = own.layers.empty() && own.preset.name.empty();
  if (was.layers.empty() && goes_on && options.drop_layers > 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "model.pretrained.drop_layers: the earlier model is no list of layers, but ",
        was.preset.name.empty() ? "networks" : absl::StrCat("the preset ", was.preset.name),
        "; must be 0, got ", options.drop_layers));
  }
  models::ModelDescription whole = own;
  if (!was.layers.empty() || goes_on) {
    whole.layers = earlier.kept;
    std::ranges::for_each(whole.layers, [](auto& layer) { layer.frozen = false; });
    whole.layers.insert(whole.layers.end(), own.layers.begin(), own.layers.end());
    whole.inputs = was.inputs;
    whole.preset = own.preset.name.empty() ? was.preset : own.preset;
    whole.networks = was.networks;
    for (const models::NetworkDescription& network : own.networks) {
      const auto place =
          std::ranges::find(whole.networks, network.name, &models::NetworkDescription::name);
      if (place != whole.networks.end()) {
        *place = network;
      } else {
        whole.networks.push_back(network);
      }
    }
  }
  return models::WithNames(std::move(whole));
}

// A file may have lost a network that its description still has, such as the discriminator of a
// generator that only draws. Nothing of it can be gone on with.
absl::Status CheckNetworks(const tasks::PretrainedOptions& options, const Earlier& earlier,
                           const models::ModelDescription& own) {
  const std::vector<models::NetworkDescription>& networks = earlier.description.model.networks;
  if (networks.empty() || !own.layers.empty() || !own.preset.name.empty() ||
      !options.parameters.empty()) {
    return absl::OkStatus();
  }
  HONE_ASSIGN_OR_RETURN(const std::vector<std::string> all, ParametersOf(options, earlier));
  for (const models::NetworkDescription& network : networks) {
    const std::string prefix = absl::StrCat(network.name, ".");
    const bool replaced =
        std::ranges::find(own.networks, network.name, &models::NetworkDescription::name) !=
        own.networks.end();
    if (!replaced && std::ranges::none_of(all, [&](const std::string& name) {
          return absl::StartsWith(name, prefix);
        })) {
      return absl::InvalidArgumentError(absl::StrCat(
          "model.pretrained: the earlier model has no weights of its network ", network.name,
          ", so that it cannot be trained on; one that is described in model.networks begins "
          "anew"));
    }
  }
  return absl::OkStatus();
}

// The adapters that the net has: the job's, which go on from those of the earlier model.
absl::StatusOr<std::optional<models::LoraDescription>> AdaptersOf(
    const tasks::PretrainedOptions& options, const Earlier& earlier) {
  const std::optional<models::LoraDescription>& was = earlier.description.model.lora;
  if (!options.lora.has_value()) {
    return was;
  }
  const tasks::LoraOptions& wanted = *options.lora;
  models::LoraDescription lora = was.value_or(models::LoraDescription());
  lora.rank = wanted.rank.value_or(lora.rank);
  lora.alpha = wanted.alpha.value_or(lora.alpha);
  lora.rslora = wanted.rslora.value_or(lora.rslora);
  lora.dropout = wanted.dropout;
  if (!wanted.targets.empty()) {
    lora.targets = wanted.targets;
  }
  HONE_RETURN_IF_ERROR(Annotate(models::CheckLora(lora), "model.pretrained.lora"));
  if (was.has_value()) {
    models::LoraDescription same = lora;
    same.dropout = was->dropout;
    if (!(same == *was)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "model.pretrained.lora: the earlier model has adapters of rank ", was->rank, ", alpha ",
          was->alpha, " and targets ", absl::StrJoin(was->targets, ", "),
          ", which are gone on with; leave rank, alpha, rslora and targets out, or give the same"));
    }
    return lora;
  }
  if (earlier.is_checkpoint) {
    HONE_ASSIGN_OR_RETURN(const std::vector<std::vector<std::string>> ours,
                          huggingface::OurProducts(options.directory, lora.targets));
    const std::vector<std::string> targets = std::move(lora.targets);
    lora.targets.clear();
    for (size_t i = 0; i < targets.size(); ++i) {
      for (const std::string& product : ours[i]) {
        lora.targets.push_back(product);
        lora.said.emplace(product, absl::StrCat("targets[", i, "] (", targets[i], ")"));
      }
    }
  }
  return lora;
}

// What is frozen where adapters are learned.
void AddRulesOfAdapters(const std::vector<std::string>& held,
                        std::vector<tasks::ParameterRule>& rules) {
  const auto add = [&](const std::string& parameters, bool freeze) {
    rules.push_back({.parameters = parameters,
                     .freeze = freeze,
                     .field = "model.pretrained.lora",
                     .may_name_none = true});
  };
  for (const std::string& name : held) {
    if (models::ProductOfFactor(name).empty()) {
      add(name, true);
    }
  }
  add(kClassifier, false);
}

// Layers that are learned as a whole have no adapters: the last one, those behind the `kept` ones
// of a list, and what of heads and networks is new, none of whose parameters is `held`.
void ExceptHeads(models::ModelDescription& whole, size_t kept,
                 const std::vector<std::string>& held) {
  std::vector<std::string>& except = whole.lora->except;
  const auto add = [&](const std::string& layer) {
    if (std::ranges::find(except, layer) == except.end()) {
      except.push_back(layer);
    }
  };
  add(std::string(kClassifier));
  add("output");
  if (!whole.layers.empty()) {
    for (size_t i = std::min(kept, whole.layers.size() - 1); i < whole.layers.size(); ++i) {
      add(whole.layers[i].name);
    }
  }
  const auto add_new = [&](const std::string& part) {
    if (std::ranges::none_of(held, [&](const std::string& name) {
          return absl::StartsWith(name, absl::StrCat(part, "."));
        })) {
      add(part);
    }
  };
  for (const char* of_preset : {"pooler", "transform"}) {
    if (!whole.preset.name.empty()) {
      add_new(of_preset);
    }
  }
  for (const models::NetworkDescription& network : whole.networks) {
    add_new(network.name);
    for (const models::LayerDescription& layer : network.layers) {
      add_new(absl::StrCat(network.name, ".", layer.name));
    }
  }
}

}  // namespace

absl::StatusOr<models::ModelDescription> WithPretrained(const tasks::PretrainedOptions& options,
                                                        const models::ModelDescription& own) {
  HONE_ASSIGN_OR_RETURN(const Earlier earlier, Describe(options));
  HONE_ASSIGN_OR_RETURN(models::ModelDescription whole, NetOf(options, earlier, own));
  HONE_RETURN_IF_ERROR(CheckNetworks(options, earlier, own));
  HONE_ASSIGN_OR_RETURN(whole.lora, AdaptersOf(options, earlier));
  if (whole.lora.has_value()) {
    HONE_ASSIGN_OR_RETURN(const std::vector<std::string> all, ParametersOf(options, earlier));
    HONE_ASSIGN_OR_RETURN(const std::vector<std::string> held, Held(options, earlier, all));
    ExceptHeads(whole, earlier.kept.size(), held);
  }
  return whole;
}

absl::StatusOr<std::vector<tasks::ParameterRule>> FreezeRules(
    const tasks::PretrainedOptions& options, const std::vector<std::string>& freeze) {
  std::vector<tasks::ParameterRule> rules;
  if (freeze.empty() && !options.lora.has_value()) {
    return rules;
  }
  HONE_ASSIGN_OR_RETURN(const Earlier earlier, DescribeBefore(options, /*with_tokens=*/false));
  HONE_ASSIGN_OR_RETURN(const std::vector<std::string> all, ParametersOf(options, earlier));
  HONE_ASSIGN_OR_RETURN(const std::vector<std::string> held, Held(options, earlier, all));
  std::vector<std::string> all_frozen = held;
  if (!options.new_tokens.empty()) {
    std::erase_if(all_frozen, models::HasRowsOfTokens);
  }
  if (options.lora.has_value()) {
    AddRulesOfAdapters(all_frozen, rules);
  }
  const std::vector<std::string> kept = NamesOf(earlier.kept);
  for (size_t i = 0; i < freeze.size(); ++i) {
    const std::string field = absl::StrCat("model.pretrained.freeze[", i, "]");
    const auto add = [&](const std::string& parameters, bool may_name_none) {
      rules.push_back({.parameters = parameters,
                       .freeze = true,
                       .field = field,
                       .may_name_none = may_name_none});
    };
    if (freeze[i] == kAll) {
      // The job's own model may have only some of them.
      std::ranges::for_each(all_frozen, [&](const std::string& name) { add(name, true); });
      continue;
    }
    add(freeze[i], false);
    const auto named = [&](const std::string& name) { return RuleNames(rules.back(), name); };
    if (std::ranges::any_of(held, named)) {
      continue;
    }
    if (std::ranges::find(kept, freeze[i]) != kept.end()) {
      rules.back().may_name_none = true;  // a layer without weights
      continue;
    }
    const std::string layers =
        kept.empty() ? "" : absl::StrCat("; those kept are: ", absl::StrJoin(kept, ", "));
    return absl::InvalidArgumentError(absl::StrCat(field, ": no layer is called ", freeze[i],
                                                   layers,
                                                   "; nor does it name a parameter that is kept"));
  }
  return rules;
}

absl::StatusOr<std::vector<std::string>> PretrainedClasses(
    const tasks::PretrainedOptions& options) {
  constexpr char kHead[] = "classifier.weight";
  if (!huggingface::IsCheckpoint(options.directory)) {
    return std::vector<std::string>();
  }
  const absl::StatusOr<huggingface::Weights> weights =
      huggingface::Weights::Open(options.directory);
  HONE_RETURN_IF_ERROR(Annotate(weights.status(), "model.pretrained"));
  if (!weights->Holds(kHead)) {
    return std::vector<std::string>();
  }
  absl::StatusOr<huggingface::Head> head =
      huggingface::ReadHead(options.directory, weights->shape(kHead)[0]);
  HONE_RETURN_IF_ERROR(Annotate(head.status(), "model.pretrained"));
  return head->named ? std::move(head->names) : std::vector<std::string>();
}

absl::StatusOr<std::shared_ptr<const data::TextPreprocessing>> PretrainedTokens(
    const tasks::PretrainedOptions& options, std::vector<std::string>* notes) {
  HONE_ASSIGN_OR_RETURN(const Earlier earlier, Describe(options, /*with_tokens=*/true));
  if (notes != nullptr) {
    notes->insert(notes->end(), earlier.notes.begin(), earlier.notes.end());
  }
  const std::optional<data::TextPreprocessing>& text = earlier.description.preprocessing.text;
  return text.has_value() ? std::make_shared<const data::TextPreprocessing>(*text) : nullptr;
}

absl::StatusOr<std::map<std::string, std::string>> CheckpointFiles(
    const tasks::PretrainedOptions& options, const models::ModelDescription& model) {
  if (options.directory.empty()) {
    return std::map<std::string, std::string>();
  }
  HONE_ASSIGN_OR_RETURN(Earlier earlier, Describe(options));
  std::map<std::string, std::string> files;
  const models::PresetDescription& was = earlier.description.model.preset;
  if (earlier.is_checkpoint) {
    HONE_ASSIGN_OR_RETURN(files, huggingface::ReadFilesBesideWeights(options.directory));
  } else if (was.name == model.preset.name && was.options == model.preset.options) {
    files = std::move(earlier.description.checkpoint_files);
  }
  if (earlier.new_tokens.has_value()) {
    earlier.new_tokens->Describe(files);
  }
  return files;
}

absl::Status CheckPretrainedData(const tasks::PretrainedOptions& options,
                                 const tasks::DataInfo& info) {
  HONE_ASSIGN_OR_RETURN(const Earlier earlier, Describe(options, /*with_tokens=*/true));
  const data::Preprocessing& was = earlier.description.preprocessing;
  using Input = data::Preprocessing::Input;
  if (was.input == Input::kOwn || info.preprocessing.input == Input::kOwn) {
    return absl::OkStatus();  // what these need of each other, their parameters' shapes say
  }
  if (info.preprocessing.text.has_value() && !was.text.has_value()) {
    return absl::InvalidArgumentError(
        "model.pretrained: the model reads no texts: it has no vocabulary that these could have");
  }
  if (was.features() != info.features) {
    return absl::InvalidArgumentError(
        absl::StrCat("model.pretrained: the model was made for examples of ",
                     was.features().ToString(), ", these are ", info.features.ToString()));
  }
  const data::Preprocessing& is = info.preprocessing;
  if (was.target_text.has_value() != is.target_text.has_value()) {
    return absl::InvalidArgumentError(
        was.target_text.has_value()
            ? "model.pretrained: the model translates; only a translation can go on from it"
            : "model.pretrained: the model does not translate; a translation cannot go on from it");
  }
  if (is.target_text.has_value()) {
    HONE_RETURN_IF_ERROR(CheckPairs(was, is));
  } else if (was.text.has_value() && !was.text->HasTokensOf(*is.text)) {
    return absl::InvalidArgumentError(
        absl::StrCat("data.text: the pretrained model was made for other tokens (",
                     Vocabularies(*was.text, *is.text, "texts"),
                     "); without data.text.cleaning and data.text.tokenizer its own are used"));
  }
  if (was.pixel_scale != is.pixel_scale || was.pixel_mean != is.pixel_mean ||
      was.pixel_std != is.pixel_std) {
    return absl::InvalidArgumentError(absl::StrCat(
        "data.image: the pretrained model's pixels had mean [", absl::StrJoin(was.pixel_mean, ", "),
        "] and std [", absl::StrJoin(was.pixel_std, ", "), "]; give the same"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Pretrained> Pretrained::Open(const tasks::PretrainedOptions& options) {
  Pretrained pretrained;
  if (options.directory.empty()) {
    return pretrained;
  }
  HONE_ASSIGN_OR_RETURN(const Earlier earlier, Describe(options));
  std::vector<std::string> all;
  if (earlier.is_checkpoint) {
    absl::StatusOr<huggingface::Weights> weights = huggingface::Weights::Open(options.directory);
    HONE_RETURN_IF_ERROR(Annotate(weights.status(), "model.pretrained"));
    pretrained.checkpoint_ = *std::move(weights);
    all = pretrained.checkpoint_->names();
  } else {
    absl::StatusOr<checkpoint::Model> files = checkpoint::LoadModel(options.directory);
    HONE_RETURN_IF_ERROR(Annotate(files.status(), "model.pretrained"));
    pretrained.files_ = *std::move(files);
    all = NamesIn(pretrained.files_->tensors);
  }
  HONE_ASSIGN_OR_RETURN(const std::vector<std::string> held, Held(options, earlier, all));
  pretrained.held_.insert(held.begin(), held.end());
  pretrained.new_tokens_ = earlier.new_tokens;
  return pretrained;
}

absl::Status Pretrained::LendTo(ParameterStore& store) const {
  return checkpoint_.has_value() ? LendTo(store, *checkpoint_)
         : files_.has_value()    ? LendTo(store, *files_)
                                 : absl::OkStatus();
}

absl::Status Pretrained::LendTo(ParameterStore& store, const huggingface::Weights& weights) const {
  for (ParameterId id = 0; id < store.size(); ++id) {
    const ParameterSpec& spec = store.spec(id);
    if (spec.role != ParameterRole::kFrozen || !Holds(spec.name) ||
        weights.shape(spec.name) != spec.shape) {
      continue;  // Load says what is wrong with a shape
    }
    HONE_ASSIGN_OR_RETURN(std::optional<BorrowedValues> values, weights.InPlace(spec.name));
    if (values.has_value()) {
      HONE_RETURN_IF_ERROR(store.Borrow(id, *std::move(values)));
    }
  }
  return absl::OkStatus();
}

absl::Status Pretrained::LendTo(ParameterStore& store, const checkpoint::Model& model) const {
  std::shared_ptr<const std::byte> mapped;
  for (ParameterId id = 0; id < store.size(); ++id) {
    const ParameterSpec& spec = store.spec(id);
    if (spec.role != ParameterRole::kFrozen || !Holds(spec.name)) {
      continue;
    }
    HONE_ASSIGN_OR_RETURN(const checkpoint::FileTensor* tensor, model.tensors.Find(spec.name));
    const std::optional<DType> dtype = DTypeOf(tensor->dtype);
    if (tensor->shape != spec.shape || !dtype.has_value() ||
        tensor->begin % checkpoint::SizeOf(tensor->dtype) != 0) {
      continue;  // Load says what is wrong with a shape
    }
    if (mapped == nullptr) {
      HONE_ASSIGN_OR_RETURN(mapped, model.tensors.Map());
    }
    HONE_RETURN_IF_ERROR(store.Borrow(id, {.dtype = *dtype,
                                           .data = mapped.get() + tensor->begin,
                                           .memory = mapped,
                                           .sha256 = model.tensors_sha256,
                                           .path = model.tensors.path()}));
  }
  return absl::OkStatus();
}

absl::Status Pretrained::Load(ParameterStore& store) const {
  for (ParameterId id = 0; id < store.size(); ++id) {
    if (Holds(store.spec(id).name) && store.borrowed(id) == nullptr) {
      HONE_RETURN_IF_ERROR(Annotate(Read(store, id), "model.pretrained"));
    }
  }
  store.MarkChanged();
  return absl::OkStatus();
}

absl::Status Pretrained::Read(ParameterStore& store, ParameterId id) const {
  const ParameterSpec& spec = store.spec(id);
  if (new_tokens_.has_value() && models::HasRowsOfTokens(spec.name)) {
    HONE_ASSIGN_OR_RETURN(const Table was, ReadTable(spec.name));
    HONE_ASSIGN_OR_RETURN(const Table is, new_tokens_->WithRows(spec.name, was));
    if (is.shape != spec.shape) {
      return absl::InvalidArgumentError(absl::StrCat(
          spec.name, ": the earlier model's has the shape ", was.shape.ToString(),
          ", with new tokens ", is.shape.ToString(), "; this job needs ", spec.shape.ToString()));
    }
    store.mutable_values(id).CopyFrom(is.values);
    return absl::OkStatus();
  }
  return checkpoint_.has_value() ? checkpoint_->ReadInto(store, id)
                                 : tasks::ReadParameter(files_->tensors, spec.name, store, id);
}

absl::StatusOr<Table> Pretrained::ReadTable(const std::string& name) const {
  Table table;
  if (checkpoint_.has_value()) {
    table.shape = checkpoint_->shape(name);
    table.values.resize(static_cast<size_t>(table.shape.elements()));
    HONE_RETURN_IF_ERROR(checkpoint_->Read(name, table.values));
    return table;
  }
  HONE_ASSIGN_OR_RETURN(const checkpoint::FileTensor* tensor, files_->tensors.Find(name));
  table.shape = tensor->shape;
  table.values.resize(static_cast<size_t>(table.shape.elements()));
  HONE_RETURN_IF_ERROR(files_->tensors.Read(*tensor, table.values));
  return table;
}

}  // namespace hone::engine::job
