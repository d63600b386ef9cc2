#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "engine/models/build.h"

// For the presets that translate: their inputs, found by their names (translation.h).
namespace hone::engine::models {

// Those that the part has not are not valid.
struct TranslationInputs {
  Value source_tokens = {}, source_offsets = {}, tokens = {}, offsets = {};
  Value places = {}, ancestors = {};
};

// INVALID_ARGUMENT where an input is missing or is none of the part's, and where the options lack
// what the part needs.
absl::StatusOr<TranslationInputs> TranslationInputsOf(const std::vector<NamedValue>& inputs,
                                                      const BuildOptions& build);

}  // namespace hone::engine::models
