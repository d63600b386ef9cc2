#include "engine/export/source.h"

#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/huggingface/checkpoint.h"
#include "engine/huggingface/folder_files.h"
#include "engine/predict/checkpoint_model.h"

namespace hone::engine::exports {
namespace {

using checkpoint::FileDType;
using huggingface::ModelValues;
using huggingface::Weights;

class CheckpointValues final : public ModelValues {
 public:
  explicit CheckpointValues(Weights weights) : weights_(std::move(weights)) {}

  const std::vector<std::string>& names() const override { return weights_.names(); }
  const Shape& shape(absl::string_view name) const override { return weights_.shape(name); }
  FileDType dtype(absl::string_view name) const override { return weights_.dtype(name); }
  absl::Status Read(absl::string_view name, std::span<float> out) const override {
    return weights_.Read(name, out);
  }
  std::string TheirName(absl::string_view name) const override { return weights_.TheirName(name); }
  absl::Status ReadTheirs(absl::string_view name, std::span<float> out) const override {
    return weights_.ReadTheirs(name, out);
  }

 private:
  const Weights weights_;
};

// Of a published model, whose file has our names.
class PublishedValues final : public ModelValues {
 public:
  explicit PublishedValues(checkpoint::SafetensorsFile file) : file_(std::move(file)) {
    for (const checkpoint::FileTensor& tensor : file_.tensors()) {
      names_.push_back(tensor.name);
      tensors_.emplace(tensor.name, &tensor);
    }
  }

  const std::vector<std::string>& names() const override { return names_; }
  const Shape& shape(absl::string_view name) const override { return At(name).shape; }
  FileDType dtype(absl::string_view name) const override {
    return At(name).dtype == FileDType::kBf16 ? FileDType::kBf16 : FileDType::kF32;
  }
  absl::Status Read(absl::string_view name, std::span<float> out) const override {
    return file_.Read(At(name), out);
  }

 private:
  const checkpoint::FileTensor& At(absl::string_view name) const {
    return *tensors_.find(name)->second;
  }

  const checkpoint::SafetensorsFile file_;
  std::vector<std::string> names_;
  absl::flat_hash_map<std::string, const checkpoint::FileTensor*> tensors_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<const ModelValues>> OpenCheckpointValues(
    const std::string& directory) {
  HONE_ASSIGN_OR_RETURN(Weights weights, Weights::Open(directory));
  return std::make_unique<const CheckpointValues>(std::move(weights));
}

absl::StatusOr<Source> Source::Open(const std::string& directory) {
  if (huggingface::IsCheckpoint(directory)) {
    HONE_ASSIGN_OR_RETURN(Weights weights, Weights::Open(directory));
    HONE_ASSIGN_OR_RETURN(tasks::ModelFile file, predict::CheckpointModel(directory, weights));
    HONE_ASSIGN_OR_RETURN(file.checkpoint_files, huggingface::ReadFilesBesideWeights(directory));
    return Source(std::move(file), std::make_unique<const CheckpointValues>(std::move(weights)));
  }
  HONE_ASSIGN_OR_RETURN(checkpoint::Model model, checkpoint::LoadModel(directory));
  absl::StatusOr<tasks::ModelFile> file = tasks::ModelFileFromJson(model.model_json);
  HONE_RETURN_IF_ERROR(Annotate(file.status(), directory));
  return Source(*std::move(file),
                std::make_unique<const PublishedValues>(std::move(model.tensors)));
}

}  // namespace hone::engine::exports
