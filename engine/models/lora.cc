#include "engine/models/lora.h"

#include <fnmatch.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

namespace hone::engine::models {
namespace {

constexpr int64_t kMostRank = 4096;
constexpr absl::string_view kA = ".lora_A.weight", kB = ".lora_B.weight";

bool Names(const std::string& target, absl::string_view product) {
  if (target == kAllLinear) {
    return true;
  }
  if (target.find_first_of("*?[") != std::string::npos) {
    return fnmatch(target.c_str(), std::string(product).c_str(), FNM_NOESCAPE) == 0;
  }
  return !target.empty() && absl::ConsumeSuffix(&product, target) &&
         (product.empty() || product.back() == '.');
}

bool IsIn(absl::string_view product, const std::string& layer) {
  return absl::ConsumePrefix(&product, layer) && (product.empty() || product.front() == '.');
}

}  // namespace

double LoraDescription::ScaleOf(const LoraModule& module) const {
  const auto of = static_cast<double>(module.rank);
  return module.alpha / (rslora ? std::sqrt(of) : of);
}

LoraModule LoraDescription::ModuleOf(absl::string_view product) const {
  const auto found = own.find(std::string(product));
  return found == own.end() ? LoraModule{rank, alpha} : found->second;
}

bool operator==(const LoraDescription& a, const LoraDescription& b) {
  return ToJson(a) == ToJson(b);
}

absl::Status CheckLora(const LoraDescription& lora) {
  const auto check = [](absl::string_view where, const LoraModule& module) {
    if (module.rank < 1 || module.rank > kMostRank) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, "rank: must be between 1 and ", kMostRank, ", got ", module.rank));
    }
    if (!(std::isfinite(module.alpha) && module.alpha > 0)) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, "alpha: must be above 0, got ", module.alpha));
    }
    return absl::OkStatus();
  };
  absl::Status status = check("", {lora.rank, lora.alpha});
  for (const auto& [product, module] : lora.own) {
    if (status.ok()) {
      status = check(absl::StrCat(product, ": "), module);
    }
  }
  if (status.ok() && !(lora.dropout >= 0 && lora.dropout < 1)) {
    status = absl::InvalidArgumentError(
        absl::StrCat("dropout: must be at least 0 and below 1, got ", lora.dropout));
  }
  if (status.ok() && lora.targets.empty()) {
    status = absl::InvalidArgumentError("targets: must name at least 1 product, got 0");
  }
  return status;
}

nlohmann::json ToJson(const LoraDescription& lora) {
  nlohmann::json out = {{"rank", lora.rank},       {"alpha", lora.alpha},
                        {"rslora", lora.rslora},   {"dropout", lora.dropout},
                        {"targets", lora.targets}, {"except", lora.except}};
  for (const auto& [product, module] : lora.own) {
    out["own"][product] = {{"rank", module.rank}, {"alpha", module.alpha}};
  }
  if (!lora.whole.empty()) {
    out["whole"] = lora.whole;
  }
  return out;
}

LoraDescription LoraFromJson(const nlohmann::json& json) {
  LoraDescription lora;
  json.at("rank").get_to(lora.rank);
  json.at("alpha").get_to(lora.alpha);
  json.at("rslora").get_to(lora.rslora);
  json.at("dropout").get_to(lora.dropout);
  json.at("targets").get_to(lora.targets);
  json.at("except").get_to(lora.except);
  if (const auto own = json.find("own"); own != json.end()) {
    for (const auto& [product, module] : own->items()) {
      lora.own[product] = {.rank = module.at("rank").get<int64_t>(),
                           .alpha = module.at("alpha").get<double>()};
    }
  }
  if (const auto whole = json.find("whole"); whole != json.end()) {
    whole->get_to(lora.whole);
  }
  return lora;
}

AdaptedGraph::AdaptedGraph(Graph& graph, const LoraDescription* lora, bool training)
    : graph_(graph),
      lora_(lora),
      training_(training),
      outer_(graph.scope().empty() ? "" : absl::StrCat(graph.scope(), ".")) {
  if (lora_ != nullptr) {
    used_.resize(lora_->targets.size());
    graph_.Adapt([this](absl::string_view product) { return Adapt(product); });
  }
}

AdaptedGraph::~AdaptedGraph() {
  if (lora_ != nullptr) {
    graph_.Adapt({});
  }
}

std::optional<LowRank> AdaptedGraph::Adapt(absl::string_view path) {
  const absl::string_view product = absl::StripPrefix(path, outer_);
  if (std::ranges::any_of(lora_->except,
                          [&](const std::string& layer) { return IsIn(product, layer); })) {
    return std::nullopt;
  }
  products_.emplace_back(product);
  bool named = false;
  for (size_t i = 0; i < lora_->targets.size(); ++i) {
    const bool by_this = Names(lora_->targets[i], product);
    used_[i] = used_[i] || by_this;
    named = named || by_this;
  }
  if (!named) {
    return std::nullopt;
  }
  const LoraModule module = lora_->ModuleOf(product);
  return LowRank{.rank = module.rank,
                 .scale = lora_->ScaleOf(module),
                 .dropout = training_ ? lora_->dropout : 0};
}

absl::Status AdaptedGraph::CheckTargets() const {
  constexpr size_t kShown = 20;
  const auto unused = std::ranges::find(used_, false);
  if (unused == used_.end()) {
    return absl::OkStatus();
  }
  const auto i = static_cast<size_t>(unused - used_.begin());
  const auto said = lora_->said.find(lora_->targets[i]);
  const std::string target = said != lora_->said.end()
                                 ? said->second
                                 : absl::StrCat("targets[", i, "] (", lora_->targets[i], ")");
  const size_t shown = std::min(products_.size(), kShown);
  return absl::InvalidArgumentError(absl::StrCat(
      target, ": names no product that may have an adapter; ",
      products_.empty() ? "the model has none" : "there are: ",
      absl::StrJoin(std::span(products_).first(shown), ", "),
      products_.size() > shown ? absl::StrCat(" and ", products_.size() - shown, " more") : ""));
}

absl::string_view ProductOfFactor(absl::string_view parameter) {
  return absl::ConsumeSuffix(&parameter, kA) || absl::ConsumeSuffix(&parameter, kB)
             ? parameter
             : absl::string_view();
}

std::string FactorA(absl::string_view product) { return absl::StrCat(product, kA); }

std::string FactorB(absl::string_view product) { return absl::StrCat(product, kB); }

void AddLowRank(std::span<const float> a, std::span<const float> b, int64_t rank, double scale,
                bool transposed, std::span<float> weight) {
  const auto in = static_cast<int64_t>(a.size()) / rank;
  const auto units = static_cast<int64_t>(b.size()) / rank;
  for (int64_t unit = 0; unit < units; ++unit) {
    for (int64_t i = 0; i < in; ++i) {
      double sum = 0;
      for (int64_t r = 0; r < rank; ++r) {
        sum += double{b[static_cast<size_t>(unit * rank + r)]} *
               double{a[static_cast<size_t>(r * in + i)]};
      }
      float& to = weight[static_cast<size_t>(transposed ? unit * in + i : i * units + unit)];
      to = static_cast<float>(double{to} + scale * sum);
    }
  }
}

}  // namespace hone::engine::models
