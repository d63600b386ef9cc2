#include "engine/huggingface/adapter.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "engine/base/files.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/checkpoint/safetensors_header.h"

namespace hone::engine::huggingface {
namespace {

using checkpoint::FileDType;
using checkpoint::FileTensor;
using checkpoint::Shown;
using json = nlohmann::ordered_json;  // of patterns the first that fits counts

constexpr char kConfigFile[] = "adapter_config.json", kTensors[] = "adapter_model.safetensors";
constexpr int64_t kMostConfigBytes = 1 << 20;
constexpr size_t kMostComplaints = 20;
constexpr absl::string_view kRoot = "base_model.model.";
// Parts of our models that are no products, or that are learned as a whole.
constexpr absl::string_view kUnadapted[] = {"token_embedding", "positions", "token_types", "output",
                                            "classifier"};

// Keys of adapter_config.json that change the arithmetic: the values that are known. A key that is
// absent or null is as the first of them.
struct KnownKey {
  absl::string_view key;
  std::vector<json> values;
};
const std::vector<KnownKey>& KnownKeys() {
  static const auto* const kKeys = new std::vector<KnownKey>{
      {"bias", {"none"}},
      {"use_dora", {false}},
      {"lora_bias", {false}},
      {"use_qalora", {false}},
      {"layer_replication", {nullptr}},
      {"alora_invocation_tokens", {nullptr}},
      {"trainable_token_indices", {nullptr}},
      {"target_parameters", {nullptr, json::array()}},
      // Others begin with a base that they have changed.
      {"init_lora_weights", {true, false, "gaussian", "eva", "orthogonal"}},
  };
  return *kKeys;
}

bool Exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

absl::StatusOr<json> ReadJson(const std::string& directory) {
  const std::string path = absl::StrCat(directory, "/", kConfigFile);
  HONE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMostConfigBytes));
  json parsed = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": must be a JSON object"));
  }
  return parsed;
}

std::string Dumped(const json& value) {
  return CutUtf8(value.dump(-1, ' ', false, json::error_handler_t::replace), 80);
}

absl::Status Wrong(absl::string_view key, absl::string_view must, const json& got) {
  return absl::InvalidArgumentError(
      absl::StrCat(kConfigFile, ": `", key, "` must be ", must, ", got ", Dumped(got)));
}

absl::Status CheckKnown(const json& config) {
  if (const json type = config.value("peft_type", json()); type != "LORA") {
    return Wrong("peft_type", "\"LORA\", the only kind of adapter that is read here", type);
  }
  for (const KnownKey& known : KnownKeys()) {
    const json value = config.value(std::string(known.key), json());
    if (!value.is_null() && std::ranges::find(known.values, value) == known.values.end()) {
      return Wrong(known.key,
                   absl::StrJoin(
                       known.values, " or ",
                       [](std::string* out, const json& one) { absl::StrAppend(out, one.dump()); }),
                   value);
    }
  }
  return absl::OkStatus();
}

// rank_pattern or alpha_pattern: numbers by ends of modules' names, in the file's order.
using Pattern = std::vector<std::pair<std::string, double>>;

absl::StatusOr<Pattern> ReadPattern(const json& config, const char* key) {
  Pattern pattern;
  const json given = config.value(key, json());
  if (given.is_null()) {
    return pattern;
  }
  constexpr absl::string_view kMust =
      "an object of numbers above 0 by names of modules, without regular expressions";
  if (!given.is_object()) {
    return Wrong(key, kMust, given);
  }
  for (const auto& [module, value] : given.items()) {
    const double number = value.is_number() ? value.get<double>() : 0;
    if (!(number > 0 && number < 1e6) ||
        module.find_first_of("^$*+?()[]{}|\\") != std::string::npos) {
      return Wrong(key, kMust, given);
    }
    pattern.emplace_back(module, number);
  }
  return pattern;
}

// A number of adapter_config.json, or what peft has without it.
absl::StatusOr<double> ReadNumber(const json& config, const char* key, double otherwise) {
  const json value = config.value(key, json());
  if (value.is_null()) {
    return otherwise;
  }
  return value.is_number() ? absl::StatusOr<double>(value.get<double>())
                           : Wrong(key, "a number", value);
}

// "query" and "attention.query" are ends of "block_1.attention.query".
bool HasEnd(absl::string_view name, absl::string_view end) {
  return absl::ConsumeSuffix(&name, end) && (name.empty() || name.back() == '.');
}

// What the tensors are read with.
struct Settings {
  models::LoraDescription lora;
  Pattern ranks, alphas;

  models::LoraModule Of(absl::string_view module) const {
    const auto found = [&](const Pattern& pattern, double otherwise) {
      for (const auto& [name, value] : pattern) {
        // peft's names have the prefix that `module` is without.
        if (HasEnd(module, name) || HasEnd(name, module)) {
          return value;
        }
      }
      return otherwise;
    };
    return {.rank = static_cast<int64_t>(found(ranks, static_cast<double>(lora.rank))),
            .alpha = found(alphas, lora.alpha)};
  }
};

absl::StatusOr<Settings> ReadSettings(const json& config) {
  HONE_RETURN_IF_ERROR(CheckKnown(config));
  Settings settings;
  HONE_ASSIGN_OR_RETURN(const double rank, ReadNumber(config, "r", 8));
  if (!(rank >= 1 && rank <= 4096)) {
    return Wrong("r", "between 1 and 4096", config.value("r", json()));
  }
  settings.lora.rank = static_cast<int64_t>(rank);
  HONE_ASSIGN_OR_RETURN(settings.lora.alpha, ReadNumber(config, "lora_alpha", 8));
  HONE_ASSIGN_OR_RETURN(const double dropout, ReadNumber(config, "lora_dropout", 0));
  settings.lora.dropout = static_cast<float>(dropout);
  const json rslora = config.value("use_rslora", json());
  if (!rslora.is_null() && !rslora.is_boolean()) {
    return Wrong("use_rslora", "true or false", rslora);
  }
  settings.lora.rslora = rslora.is_boolean() && rslora.get<bool>();
  HONE_ASSIGN_OR_RETURN(settings.ranks, ReadPattern(config, "rank_pattern"));
  HONE_ASSIGN_OR_RETURN(settings.alphas, ReadPattern(config, "alpha_pattern"));
  settings.lora.targets.clear();
  return settings;
}

// Finds the parameters of each tensor and gathers what is wrong.
class Matcher {
 public:
  Matcher(const Config& base, const Settings& settings, Adapter& out)
      : base_(base),
        settings_(settings),
        transposed_(base.options.value("transposed", false)),
        out_(out) {}

  absl::Status Match() {
    NameModules();
    for (const FileTensor& tensor : out_.file.tensors()) {
      Take(tensor);
    }
    for (const auto& [module, factors] : factors_) {
      Pair(module, factors);
    }
    if (complaints_ == 0 && out_.lora.targets.empty()) {
      Complain("there is no adapter");
    }
    return Told();
  }

 private:
  // A rule for one block.
  struct Module {
    const ModuleRule* rule = nullptr;
    std::string ours;
  };
  struct Factors {
    const FileTensor* a = nullptr;
    const FileTensor* b = nullptr;
  };

  template <typename... Words>
  void Complain(const Words&... words) {
    if (++complaints_ <= kMostComplaints) {
      first_.push_back(absl::StrCat(words...));
    }
  }

  absl::Status Told() const {
    if (complaints_ == 0) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(absl::StrCat(
        kTensors,
        ": the adapter does not fit its base, or is not known here: ", absl::StrJoin(first_, "; "),
        complaints_ > first_.size() ? absl::StrCat("; and ", complaints_ - first_.size(), " more")
                                    : ""));
  }

  void NameModules() {
    for (const ModuleRule& rule : base_.family->modules) {
      for (int64_t block = 0; block < BlocksOf(rule.theirs, base_.sizes); ++block) {
        modules_[OfBlock(rule.theirs, block)].push_back({&rule, OfBlock(rule.ours, block)});
      }
    }
  }

  void Take(const FileTensor& tensor) {
    absl::string_view name = tensor.name;
    if (!absl::ConsumePrefix(&name, kRoot)) {
      return Complain(Shown(tensor.name), " must begin with ", kRoot);
    }
    for (const absl::string_view prefix : base_.family->prefixes) {
      if (absl::ConsumePrefix(&name, prefix)) {
        break;
      }
    }
    if (tensor.dtype != FileDType::kF32 && tensor.dtype != FileDType::kBf16 &&
        tensor.dtype != FileDType::kF16) {
      return Complain(Shown(tensor.name), " must be of F32, BF16 or F16, got ",
                      NameOf(tensor.dtype));
    }
    if (absl::ConsumeSuffix(&name, ".lora_A.weight")) {
      factors_[std::string(name)].a = &tensor;
    } else if (absl::ConsumeSuffix(&name, ".lora_B.weight")) {
      factors_[std::string(name)].b = &tensor;
    } else {
      TakeWhole(name, tensor);
    }
  }

  // Of a module that was saved as it is.
  void TakeWhole(absl::string_view name, const FileTensor& tensor) {
    const bool bias = absl::ConsumeSuffix(&name, ".bias");
    const bool weight = !bias && absl::ConsumeSuffix(&name, ".weight");
    const auto found = modules_.find(std::string(name));
    if (!(bias || weight) || found == modules_.end()) {
      return Complain(Shown(tensor.name), " is of no part of a ", base_.family->model_type,
                      " model that is known here");
    }
    const auto& [rule, ours] = found->second.front();
    const absl::string_view shape = bias ? rule->bias : rule->weight;
    if (shape.empty() || (rule->part != Part::kAll && rule->part != Part::kTransposed)) {
      return Complain(Shown(tensor.name), " cannot be replaced by an adapter's");
    }
    const Shape wanted = WantedShape(shape, base_.sizes);
    if (!Fits(tensor.shape, wanted)) {
      return Complain(Shown(tensor.name), " must be ", Extents(wanted), ", got ",
                      tensor.shape.ToString());
    }
    const bool turned = weight && rule->part == Part::kTransposed;
    AdapterParameter parameter = {.ours = absl::StrCat(ours, bias ? ".bias" : ".weight"),
                                  .tensor = tensor,
                                  .shape = tensor.shape,
                                  .stride = tensor.shape.back(),
                                  .transposed = turned};
    if (turned) {
      parameter.shape = {tensor.shape[1], tensor.shape[0]};
    }
    out_.lora.whole.push_back(parameter.ours);
    out_.parameters.push_back(std::move(parameter));
  }

  void Pair(const std::string& module, const Factors& factors) {
    if (factors.a == nullptr || factors.b == nullptr) {
      return Complain(Shown(module), " has lora_", factors.a != nullptr ? "A" : "B",
                      " without the other factor");
    }
    const auto found = modules_.find(module);
    if (found == modules_.end()) {
      return Complain(Shown(module), " is no module of a ", base_.family->model_type,
                      " model that is known here");
    }
    const ModuleRule& rule = *found->second.front().rule;
    if (!IsAdaptable(rule)) {
      return Complain(Shown(module), " can have no adapter here");
    }
    const Shape weight = WantedShape(rule.weight, base_.sizes);
    const models::LoraModule wanted = settings_.Of(module);
    const Shape a = {wanted.rank, weight[transposed_ ? 1 : 0]};
    const Shape b = {weight[transposed_ ? 0 : 1], wanted.rank};
    for (const auto& [tensor, shape] : {std::pair(factors.a, a), std::pair(factors.b, b)}) {
      if (!Fits(tensor->shape, shape)) {
        return Complain(Shown(tensor->name), " must be ", Extents(shape), ", got ",
                        tensor->shape.ToString());
      }
    }
    for (const Module& part : found->second) {
      AddFactors(part, factors, wanted);
    }
  }

  // Of a module that is several products here, each has all of A and its rows of B.
  void AddFactors(const Module& part, const Factors& factors, const models::LoraModule& module) {
    out_.lora.targets.push_back(part.ours);
    if (module.rank != settings_.lora.rank || module.alpha != settings_.lora.alpha) {
      out_.lora.own[part.ours] = module;
    }
    out_.parameters.push_back({.ours = models::FactorA(part.ours),
                               .tensor = *factors.a,
                               .shape = factors.a->shape,
                               .stride = factors.a->shape[1]});
    AdapterParameter b = {.ours = models::FactorB(part.ours),
                          .tensor = *factors.b,
                          .shape = factors.b->shape,
                          .stride = module.rank};
    if (part.rule->part != Part::kAll) {
      b.shape[0] /= 3;
      const auto third = static_cast<int64_t>(part.rule->part) - static_cast<int64_t>(Part::kQuery);
      b.first = third * b.shape[0] * module.rank;
    }
    out_.parameters.push_back(std::move(b));
  }

  const Config& base_;
  const Settings& settings_;
  const bool transposed_;  // the base's weights are [out, in]
  Adapter& out_;
  std::map<std::string, std::vector<Module>> modules_;  // by their names, without prefix
  std::map<std::string, Factors> factors_;
  std::vector<std::string> first_;
  size_t complaints_ = 0;
};

}  // namespace

bool IsAdapter(const std::string& directory) {
  return Exists(absl::StrCat(directory, "/", kConfigFile)) &&
         !Exists(absl::StrCat(directory, "/model.json"));
}

absl::StatusOr<std::string> BaseOf(const std::string& directory) {
  absl::StatusOr<json> config = ReadJson(directory);
  HONE_RETURN_IF_ERROR(config.status());
  const json named = config->value("base_model_name_or_path", json());
  const std::string name = named.is_string() ? named.get<std::string>() : "";
  std::vector<std::string> places = {directory, absl::StrCat(directory, "/", kBaseFolder)};
  if (!name.empty() && !absl::StrContains(name, '\0')) {
    places.push_back(absl::StartsWith(name, "/") ? name : absl::StrCat(directory, "/", name));
  }
  for (const std::string& place : places) {
    // A config.json may lie beside an adapter that brings no base.
    const bool is_base = place != directory || Exists(absl::StrCat(place, "/model.safetensors")) ||
                         Exists(absl::StrCat(place, "/model.safetensors.index.json"));
    if (is_base && Exists(absl::StrCat(place, "/config.json"))) {
      return place;
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(
      directory, "/", kConfigFile, ": `base_model_name_or_path` is ", Dumped(named),
      ", and no folder there has a config.json; write the path of the base's folder, or put a link "
      "to it, called `base`, into the adapter's folder"));
}

absl::StatusOr<std::string> FolderOfNet(const std::string& directory) {
  return IsAdapter(directory) ? BaseOf(directory) : directory;
}

absl::StatusOr<std::string> TaskTypeOf(const std::string& directory) {
  HONE_ASSIGN_OR_RETURN(const json config, ReadJson(directory));
  const json type = config.value("task_type", json());
  return type.is_string() ? type.get<std::string>() : "";
}

absl::StatusOr<nlohmann::json> LabelsOf(const std::string& directory) {
  HONE_ASSIGN_OR_RETURN(const json config, ReadJson(directory));
  return nlohmann::json(config.value("id2label", json()));
}

bool IsAdaptable(const ModuleRule& rule) {
  return absl::StrContains(rule.weight, ' ') && rule.part != Part::kPlaces &&
         rule.part != Part::kTransposed &&
         std::ranges::find(kUnadapted, rule.ours) == std::end(kUnadapted);
}

absl::StatusOr<Adapter> ReadAdapter(const std::string& directory, const Config& base) {
  HONE_ASSIGN_OR_RETURN(const json config, ReadJson(directory));
  const absl::StatusOr<Settings> settings = ReadSettings(config);
  HONE_RETURN_IF_ERROR(Annotate(settings.status(), directory));
  Adapter adapter;
  HONE_ASSIGN_OR_RETURN(adapter.file,
                        checkpoint::SafetensorsFile::Open(absl::StrCat(directory, "/", kTensors)));
  adapter.lora = settings->lora;
  HONE_RETURN_IF_ERROR(Annotate(Matcher(base, *settings, adapter).Match(), directory));
  HONE_RETURN_IF_ERROR(
      Annotate(models::CheckLora(adapter.lora), absl::StrCat(directory, "/", kConfigFile)));
  return adapter;
}

}  // namespace hone::engine::huggingface
