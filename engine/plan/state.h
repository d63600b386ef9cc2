#pragma once

#include "absl/status/status.h"
#include "engine/plan/passes.h"

namespace hone::engine {

// A buffer that takes a copy of itself with parts changed (Op::changed_input: a key/value cache
// that grows by a row) is changed in place. What reads it as it was is put before the change. Where
// that cannot be, the plan would have to copy the state in every step: FAILED_PRECONDITION with the
// name of the reader in the way. A buffer that is updated twice keeps its copies.
absl::Status OrderReadersOfState(PlanGraph& plan);

}  // namespace hone::engine
