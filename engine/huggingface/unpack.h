#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace hone::engine::huggingface {

// Whether a file of this name, relative to the checkpoint's folder, is a part of it: weights as
// safetensors, what describes them and the tokenizer (.json, .txt, .model, .jinja), README.md and
// LICENSE; of a folder in it .json alone. Weights in other forms, pictures and the like are none,
// nor are model.json and manifest.json, which make a folder a model of ours.
bool IsFileOfCheckpoint(absl::string_view name);

// Writes the checkpoint that a tar archive, plain or gzip, holds into the folder `directory`, which
// exists and is empty, so that it outlives a crash. The checkpoint's folder is where the archive
// has its outermost config.json or adapter_config.json; only files of the checkpoint are written,
// and of an adapter (adapter.h) those of the checkpoint in its folder `base`, if its base does not
// lie beside it. INVALID_ARGUMENT: there is none, or there are several such folders; the archive's
// files have more than most_bytes together; a file is there twice, is a folder, too, or has a name
// of more than 255 bytes; there are no weights that can be read, or an adapter's alone, without its
// base, or with one that is an adapter, too; errors of data::ForEachFileToUnpack.
// RESOURCE_EXHAUSTED: of the disk no more than disk_floor_bytes are free, which is looked at again
// whenever 64 MiB were written. Otherwise those of base/files.h.
absl::Status Unpack(const std::string& archive, const std::string& directory, int64_t most_bytes,
                    int64_t disk_floor_bytes = 0);

}  // namespace hone::engine::huggingface
