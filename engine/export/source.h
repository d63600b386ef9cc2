#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/huggingface/write_tensors.h"
#include "engine/tasks/model_file.h"

namespace hone::engine::exports {

// A model that shall be given away: what its file says, and its values.
class Source {
 public:
  // A published model's folder, or a checkpoint in Hugging Face's form. Errors of
  // checkpoint::LoadModel and tasks::ModelFileFromJson, or of huggingface::Weights::Open and
  // predict::CheckpointModel.
  static absl::StatusOr<Source> Open(const std::string& directory);

  const tasks::ModelFile& file() const { return file_; }
  const huggingface::ModelValues& values() const { return *values_; }

 private:
  Source(tasks::ModelFile file, std::unique_ptr<const huggingface::ModelValues> values)
      : file_(std::move(file)), values_(std::move(values)) {}

  tasks::ModelFile file_;
  std::unique_ptr<const huggingface::ModelValues> values_;
};

// The values of a checkpoint in Hugging Face's form. Errors of huggingface::Weights::Open.
absl::StatusOr<std::unique_ptr<const huggingface::ModelValues>> OpenCheckpointValues(
    const std::string& directory);

}  // namespace hone::engine::exports
