#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/checkpoint/safetensors.h"
#include "engine/huggingface/config.h"
#include "engine/models/lora.h"

// Adapters in folders as the Python package peft writes them: adapter_config.json beside
// adapter_model.safetensors, with `base_model.model.MODULE.lora_A.weight` [rank, in] and
// `.lora_B.weight` [out, rank] for each module that has one, and whole modules that were saved.
namespace hone::engine::huggingface {

// The folder in an adapter's folder that its base may lie in.
inline constexpr char kBaseFolder[] = "base";

bool IsAdapter(const std::string& directory);

// A parameter of ours in the adapter's file: row r is the elements from first + r · stride on.
struct AdapterParameter {
  std::string ours;
  checkpoint::FileTensor tensor;
  Shape shape = {};
  int64_t first = 0;
  int64_t stride = 0;
  bool transposed = false;  // rows and columns change places
};

struct Adapter {
  checkpoint::SafetensorsFile file;
  models::LoraDescription lora;
  std::vector<AdapterParameter> parameters;
};

// The folder of the checkpoint that the adapter stands on: the same one where it has a config.json
// and weights of its own, `base` in it, or that which `base_model_name_or_path` says, from the root
// or from the adapter's folder on. What came with the adapter is before what it names, so that one
// of strangers reads nothing else. INVALID_ARGUMENT says how to name it where there is none.
absl::StatusOr<std::string> BaseOf(const std::string& directory);

// Where the net is described: of an adapter the folder of its base, else the folder itself.
absl::StatusOr<std::string> FolderOfNet(const std::string& directory);

// An adapter's `task_type`, such as "TOKEN_CLS"; "" where it says none. INVALID_ARGUMENT and errors
// of ReadFile where there is no adapter_config.json that is an object.
absl::StatusOr<std::string> TaskTypeOf(const std::string& directory);

// An adapter's `id2label`; null where it has none, as peft itself writes none. Errors as TaskTypeOf
// has them.
absl::StatusOr<nlohmann::json> LabelsOf(const std::string& directory);

// The module is a product that can have an adapter here: no table, and not learned as a whole.
bool IsAdaptable(const ModuleRule& rule);

// The adapter for a base of that configuration. INVALID_ARGUMENT names what of adapter_config.json
// is not known here (another `peft_type`, `use_dora`, a base that was changed at the start), and
// every tensor that is of no module of the base, has no partner or another shape than the base
// needs. Errors of SafetensorsFile::Open.
absl::StatusOr<Adapter> ReadAdapter(const std::string& directory, const Config& base);

}  // namespace hone::engine::huggingface
