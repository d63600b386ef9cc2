#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "engine/data/preprocessing.h"
#include "engine/models/build.h"
#include "engine/tasks/graphs.h"

namespace hone::engine::tasks {

// The model of a task that foretells tokens, as result.model, in result's graph: logits [rows,
// vocabulary] for each row of tokens; of texts that are written (options.new_tokens), for each
// text; where options.places are there, for each of these rows. `inputs` are tokens, then offsets;
// `window` is what the model sees at once at most.
//
// INVALID_ARGUMENT where a layer looks at tokens behind its own, which are what it shall foretell,
// or the model does not give a number for each token of the vocabulary; errors of
// models::BuildModel.
absl::Status AddCausalModel(const models::ModelDescription& model,
                            const data::Preprocessing& preprocessing, int64_t window,
                            const std::vector<models::NamedValue>& inputs,
                            models::BuildOptions options, TaskGraph& result);

}  // namespace hone::engine::tasks
