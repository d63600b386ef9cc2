#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "engine/checkpoint/safetensors.h"
#include "engine/huggingface/config.h"
#include "engine/huggingface/write_tensors.h"
#include "engine/models/lora.h"

namespace hone::engine::huggingface {

struct WrittenAdapter {
  // adapter_config.json, in which the caller says `base_model_name_or_path`.
  nlohmann::ordered_json config;
  checkpoint::WrittenFile tensors;
};

// Writes adapter_model.safetensors as adapter.h reads it, in f32: the factors of `lora`'s products
// and, as saved modules, those that hold a parameter of lora.whole, by the names of the family.
// Products that are one module there, such as GPT-2's three, become one adapter of all their ranks.
// INVALID_ARGUMENT names values that the family has no module for, or a factor of another shape
// than its rank says; UNIMPLEMENTED a part of a module that was learned as a whole.
absl::StatusOr<WrittenAdapter> WriteAdapter(const Config& base, const models::LoraDescription& lora,
                                            const ModelValues& values, WrittenHead head,
                                            const std::string& path);

}  // namespace hone::engine::huggingface
