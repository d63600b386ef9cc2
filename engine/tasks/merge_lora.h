#pragma once

#include <string>

#include "absl/status/status.h"

namespace hone::engine::tasks {

// Writes the published model of `from` to the folder `to` with its adapters in its weights:
// W + scale · B · A, summed in double and kept in f32. Weights without an adapter keep their bits
// and their type, so that the answers are the same but for rounding. FAILED_PRECONDITION where the
// model has no adapters. Errors of checkpoint::LoadModel and WriteModel.
absl::Status MergeLora(const std::string& from, const std::string& to);

}  // namespace hone::engine::tasks
