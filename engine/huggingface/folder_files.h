#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace hone::engine::huggingface {

// Whether ReadFilesBesideWeights looks for a file of this name, relative to the folder.
bool IsFileBesideWeights(absl::string_view name);

// The text of config.json and of the other small files of a checkpoint's folder that are there, by
// name: how tokens are made and used, how texts are written, what sentence-transformers does with
// the rows. Neither weights nor the vocabulary. Of an adapter (adapter.h) they are those of its
// base, and where it has a tokenizer.json of its own those that belong to that. INVALID_ARGUMENT
// for one of more than 4 MiB, or that is no UTF-8; errors of BaseOf.
absl::StatusOr<std::map<std::string, std::string>> ReadFilesBesideWeights(
    const std::string& directory);

}  // namespace hone::engine::huggingface
