#pragma once

#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/models/build.h"

namespace hone::engine::models {

// A preset: a function that adds an architecture to the graph behind the inputs and returns its
// output. Its scopes say what it is made of: names of parameters, rows of the layer table. Options
// that it does not know are INVALID_ARGUMENT; a field of another type may throw
// nlohmann::json::exception.
using Preset = absl::StatusOr<Value> (*)(Graph& graph, const nlohmann::json& options,
                                         const std::vector<NamedValue>& inputs,
                                         const BuildOptions& build);

// The preset of a name, from the table in presets.cc. INVALID_ARGUMENT names those there are.
absl::StatusOr<Preset> FindPreset(absl::string_view name);

// "mlp": dense layers one after another, `layer.0` to `layer.N`, behind all inputs side by side.
//   {"units": [64, 10], "activation": "relu"}   the activation is of all layers but the last
absl::StatusOr<Value> Mlp(Graph& graph, const nlohmann::json& options,
                          const std::vector<NamedValue>& inputs, const BuildOptions& build);

}  // namespace hone::engine::models
