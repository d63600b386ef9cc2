#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/checkpoint/safetensors.h"

namespace hone::engine::huggingface {

// NOT_FOUND: there are no weights at `where`; where they are in pytorch_model.bin, `pickled`, it
// says how to convert them.
absl::Status NoWeights(absl::string_view where, bool pickled);

// The weights of a folder: model.safetensors, or the shards that model.safetensors.index.json names
// ({"metadata": {…}, "weight_map": {tensor: "model-00001-of-00002.safetensors"}}).
class TensorFiles {
 public:
  // NOT_FOUND where there are no weights: of pytorch_model.bin it says how to convert it.
  // INVALID_ARGUMENT names what the index says wrongly: a shard that is not there, or no plain name
  // of a file; a tensor that its shard does not have; one that the index does not name. Errors of
  // SafetensorsFile::Open.
  static absl::StatusOr<TensorFiles> Open(const std::string& directory);

  struct Place {
    size_t file = 0;
    checkpoint::FileTensor tensor;
  };
  // Every tensor, by its name in the files.
  const std::map<std::string, Place>& tensors() const { return tensors_; }
  const checkpoint::SafetensorsFile& file(size_t i) const { return files_[i]; }
  size_t files() const { return files_.size(); }
  // A further file. INVALID_ARGUMENT where a name is in another one, too.
  absl::Status Add(checkpoint::SafetensorsFile file);

 private:
  std::vector<checkpoint::SafetensorsFile> files_;
  std::map<std::string, Place> tensors_;
};

}  // namespace hone::engine::huggingface
