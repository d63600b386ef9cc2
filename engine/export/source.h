#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/huggingface/write_tensors.h"
#include "engine/tasks/model_file.h"

namespace hone::engine::exports {

// A model that shall be given away: what its file says, and its values. Adapters are added to the
// weights of their products, which are f32 then: most forms have no place for them.
class Source {
 public:
  // A published model's folder, or a checkpoint in Hugging Face's form. Errors of
  // checkpoint::LoadModel and tasks::ModelFileFromJson, or of huggingface::Weights::Open and
  // predict::CheckpointModel.
  static absl::StatusOr<Source> Open(const std::string& directory);

  const tasks::ModelFile& file() const { return merged_ != nullptr ? merged_file_ : file_; }
  const huggingface::ModelValues& values() const {
    return merged_ != nullptr ? *merged_ : *values_;
  }

  // The model has adapters; the same file and values with them beside the weights. Where it has
  // none, they are those above.
  bool has_adapters() const { return merged_ != nullptr; }
  const tasks::ModelFile& adapted_file() const { return file_; }
  const huggingface::ModelValues& adapted_values() const { return *values_; }

 private:
  Source(tasks::ModelFile file, std::unique_ptr<const huggingface::ModelValues> values);

  tasks::ModelFile file_;
  std::unique_ptr<const huggingface::ModelValues> values_;
  tasks::ModelFile merged_file_;
  std::unique_ptr<const huggingface::ModelValues> merged_;  // reads values_; null: no adapters
};

// The values of a checkpoint in Hugging Face's form. Errors of huggingface::Weights::Open.
absl::StatusOr<std::unique_ptr<const huggingface::ModelValues>> OpenCheckpointValues(
    const std::string& directory);

}  // namespace hone::engine::exports
