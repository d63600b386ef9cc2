#include "engine/export/source.h"

#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/base/status.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/huggingface/checkpoint.h"
#include "engine/huggingface/folder_files.h"
#include "engine/models/lora.h"
#include "engine/predict/checkpoint_model.h"
#include "engine/tasks/add_adapter.h"
#include "engine/text/chat_encoder.h"
#include "engine/text/chat_template.h"

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

// Those of a model with adapters, which are added to the weights. They come from no checkpoint's
// tensors any more.
class MergedValues final : public ModelValues {
 public:
  // `whole` outlives this.
  MergedValues(models::ModelDescription model, const ModelValues& whole)
      : model_(std::move(model)), whole_(whole) {
    for (const std::string& name : whole.names()) {
      const absl::string_view product = models::ProductOfFactor(name);
      if (product.empty()) {
        names_.push_back(name);
      } else {
        adapted_.insert(absl::StrCat(product, ".weight"));
      }
    }
  }

  const std::vector<std::string>& names() const override { return names_; }
  const Shape& shape(absl::string_view name) const override { return whole_.shape(name); }
  FileDType dtype(absl::string_view name) const override {
    return adapted_.contains(name) ? FileDType::kF32 : whole_.dtype(name);
  }
  absl::Status Read(absl::string_view name, std::span<float> out) const override {
    HONE_RETURN_IF_ERROR(whole_.Read(name, out));
    if (!adapted_.contains(name)) {
      return absl::OkStatus();
    }
    const absl::string_view product = absl::StripSuffix(name, ".weight");
    HONE_ASSIGN_OR_RETURN(const std::vector<float> a, ReadAll(models::FactorA(product)));
    HONE_ASSIGN_OR_RETURN(const std::vector<float> b, ReadAll(models::FactorB(product)));
    return tasks::AddAdapter(model_, product, a, b, shape(name), out);
  }

 private:
  absl::StatusOr<std::vector<float>> ReadAll(const std::string& name) const {
    std::vector<float> values(static_cast<size_t>(whole_.shape(name).elements()));
    HONE_RETURN_IF_ERROR(whole_.Read(name, values));
    return values;
  }

  const models::ModelDescription model_;
  const ModelValues& whole_;
  std::vector<std::string> names_;
  absl::flat_hash_set<std::string> adapted_;  // weights
};

// The files beside the weights say the chat template that the model has learned, where that is
// another one than its checkpoint's: transformers takes this file before what tokenizer_config.json
// says.
absl::Status SayChatTemplate(tasks::ModelFile& file) {
  const auto& text = file.preprocessing.text;
  if (!text.has_value() || !text->chat.has_value() || file.checkpoint_files.empty()) {
    return absl::OkStatus();
  }
  const auto of_checkpoint = text::RecogniseChatTemplate(text->chat_template);
  if (of_checkpoint.ok() && *of_checkpoint == *text->chat) {
    return absl::OkStatus();
  }
  HONE_ASSIGN_OR_RETURN(const auto encoder, text::ChatEncoder::Make(*text->chat, text->tokenizer));
  file.checkpoint_files["chat_template.jinja"] = encoder.AsJinja();
  return absl::OkStatus();
}

}  // namespace

Source::Source(tasks::ModelFile file, std::unique_ptr<const ModelValues> values)
    : file_(std::move(file)), values_(std::move(values)) {
  if (file_.model.lora.has_value()) {
    merged_file_ = file_;
    merged_file_.model.lora.reset();
    merged_ = std::make_unique<const MergedValues>(file_.model, *values_);
  }
}

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
  HONE_RETURN_IF_ERROR(Annotate(SayChatTemplate(*file), directory));
  return Source(*std::move(file),
                std::make_unique<const PublishedValues>(std::move(model.tensors)));
}

}  // namespace hone::engine::exports
