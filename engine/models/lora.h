#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/graph/graph.h"

// Low-rank adaptation of a model (layers/product.h): which of its products have adapters.
namespace hone::engine::models {

inline constexpr absl::string_view kAllLinear = "all-linear";

// Rank and scale of one product's adapter.
struct LoraModule {
  int64_t rank = 0;
  double alpha = 0;
};

struct LoraDescription {
  int64_t rank = 8;
  double alpha = 8;     // what an adapter adds is multiplied by alpha / rank
  bool rslora = false;  // by alpha / √rank (Kalajdzievski, 2023)
  float dropout = 0;    // of what adapters read, while they are trained
  // The products that have one: their names ("block_1.attention.query"), what these end with behind
  // a dot ("query"), globs over whole names, in which * stands for dots, too; or "all-linear".
  std::vector<std::string> targets = {"query", "value"};
  // Layers, or products, that have none in any case: those that are new, and the last one.
  std::vector<std::string> except = {};
  // Products by their names whose adapters have another rank or alpha.
  std::map<std::string, LoraModule> own = {};
  // Of a published model: the parameters that were learned as they are, beside the adapters.
  std::vector<std::string> whole = {};
  // How a job says targets, for errors, where its list is another one: "block_*.attention.query" is
  // its "targets[0] (q_proj)". It is not kept in files, and descriptions that differ in it are
  // equal.
  std::map<std::string, std::string> said = {};

  double ScaleOf(const LoraModule& module) const;
  // The rank and alpha of this product's adapter, where it has one.
  LoraModule ModuleOf(absl::string_view product) const;
};

bool operator==(const LoraDescription& a, const LoraDescription& b);

// INVALID_ARGUMENT: "rank: must be between 1 and 4096, got 0".
absl::Status CheckLora(const LoraDescription& lora);

nlohmann::json ToJson(const LoraDescription& lora);
// Throws nlohmann::json::exception.
LoraDescription LoraFromJson(const nlohmann::json& json);

// Adapters of the products that a graph adds while this lives.
class AdaptedGraph {
 public:
  // `lora` may be null; it and the graph outlive this. The model's names begin behind the scope
  // that the graph stands in: those of a copy of it, such as a target network, are the model's own.
  AdaptedGraph(Graph& graph, const LoraDescription* lora, bool training);
  ~AdaptedGraph();
  AdaptedGraph(const AdaptedGraph&) = delete;
  AdaptedGraph& operator=(const AdaptedGraph&) = delete;

  // INVALID_ARGUMENT: "targets[0] (qery): names no product; there are: …".
  absl::Status CheckTargets() const;

 private:
  std::optional<LowRank> Adapt(absl::string_view path);

  Graph& graph_;
  const LoraDescription* lora_;
  const bool training_;
  const std::string outer_;            // what paths begin with and the model's names do not
  std::vector<bool> used_;             // by target
  std::vector<std::string> products_;  // that might have had one
};

// "block_1.attention.query" of "block_1.attention.query.lora_A.weight" and of that of lora_B; empty
// for what is no factor of an adapter.
absl::string_view ProductOfFactor(absl::string_view parameter);
std::string FactorA(absl::string_view product);
std::string FactorB(absl::string_view product);

// weight += scale · (B · A)ᵀ, the weight [in, units]; or scale · B · A where it is [units, in], if
// `transposed`. In f32, summed in double; a [rank, in], b [units, rank].
void AddLowRank(std::span<const float> a, std::span<const float> b, int64_t rank, double scale,
                bool transposed, std::span<float> weight);

}  // namespace hone::engine::models
