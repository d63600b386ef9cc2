#pragma once

#include <optional>

#include "absl/status/statusor.h"
#include "engine/graph/lowering.h"
#include "engine/kernels/tile_blocks.h"
#include "engine/onednn/primitive.h"
#include "engine/params/parameter_store.h"

namespace hone::engine {

// What a file holds is not copied whole into memory. A borrowed parameter is read in place by who
// takes it as it lies there, in its type and row major. For others it is packed once, as all are,
// while such copies take 16 MiB together; beyond that it is converted where it is read, into the
// arena, anew for each node. The bits are the same.
bool IsConvertedAtUse(const ParameterStore& store, ParameterId id, const onednn::MemoryDesc& wanted,
                      const onednn::MemoryDesc& seen_as);

// The store's copy of a parameter in the layout `wanted`; `seen_as` describes the parameter's own
// memory. Made if it is not there; the store keeps it up to date.
absl::StatusOr<void*> PackedCopy(ParameterStore& store, ParameterId id,
                                 const onednn::MemoryDesc& wanted,
                                 const onednn::MemoryDesc& seen_as);

// Where ours brings `seen_as` into `wanted`: a dense layer's weights into the blocks that AMX's
// tiles read, for which oneDNN's reorders take twice as long. nullopt for any other layouts.
std::optional<kernels::TileBlocks> AsTileBlocks(const onednn::MemoryDesc& wanted,
                                                const onednn::MemoryDesc& seen_as);

// The same in a layout of an op's own, which `key` names: as `pack` makes it.
absl::StatusOr<void*> PrivateCopy(ParameterStore& store, ParameterId id, absl::string_view key,
                                  int64_t bytes, const PackFunction& pack);

}  // namespace hone::engine
