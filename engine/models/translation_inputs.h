#pragma once

#include <functional>
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

// The logits of the decoder, which `decode` makes of the tokens that it reads: once, or twice where
// the build samples.
Value DecodeTokens(Graph& graph, const TranslationInputs& inputs, const BuildOptions& build,
                   const std::function<Value(Value tokens)>& decode);

}  // namespace hone::engine::models
