#pragma once

#include "absl/status/statusor.h"
#include "engine/onednn/primitive.h"
#include "engine/params/parameter_store.h"

namespace hone::engine {

// The store's copy of a parameter in the layout `wanted`; `seen_as` describes the parameter's own
// memory. Made if it is not there; the store keeps it up to date.
absl::StatusOr<void*> PackedCopy(ParameterStore& store, ParameterId id,
                                 const onednn::MemoryDesc& wanted,
                                 const onednn::MemoryDesc& seen_as);

}  // namespace hone::engine
