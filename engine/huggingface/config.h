#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "engine/huggingface/family.h"

namespace hone::engine::huggingface {

// What config.json says.
struct Config {
  const Family* family = nullptr;
  Sizes sizes = {};
  nlohmann::json options = {};  // of the family's preset
};

// INVALID_ARGUMENT names all keys that are wrong at once: "config.json: `hidden_act` must be one of
// gelu, relu, got \"swish\"". A key that neither the family nor the list of those without effect on
// the arithmetic knows is an error, unless it is null: the checkpoint would answer differently
// here.
absl::StatusOr<Config> ParseConfig(absl::string_view json);

// Of DIRECTORY/config.json; errors of ReadFile, too.
absl::StatusOr<Config> ReadConfig(const std::string& directory);

}  // namespace hone::engine::huggingface
