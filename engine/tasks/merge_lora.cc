#include "engine/tasks/merge_lora.h"

#include <deque>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/base/status.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/models/lora.h"
#include "engine/tasks/model_file.h"

namespace hone::engine::tasks {
namespace {

using checkpoint::FileTensor;
using checkpoint::SafetensorsFile;

absl::StatusOr<std::vector<float>> ReadAll(const SafetensorsFile& file, const std::string& name) {
  HONE_ASSIGN_OR_RETURN(const FileTensor* tensor, file.Find(name));
  std::vector<float> values(static_cast<size_t>(tensor->shape.elements()));
  HONE_RETURN_IF_ERROR(file.Read(*tensor, values));
  return values;
}

// Weights of products are [units, in]: a preset's, where it says so.
bool HasTransposedWeights(const models::ModelDescription& model) {
  const auto options = nlohmann::json::parse(model.preset.options, nullptr, false);
  return options.is_object() && options.value("transposed", false);
}

// The weight of a product with its adapter in it; none where it has no adapter.
absl::StatusOr<std::optional<std::vector<float>>> Merged(const SafetensorsFile& file,
                                                         const models::ModelDescription& model,
                                                         const FileTensor& weight) {
  absl::string_view product = weight.name;
  if (!absl::ConsumeSuffix(&product, ".weight") || !models::ProductOfFactor(weight.name).empty() ||
      !file.Find(models::FactorA(product)).ok()) {
    return std::nullopt;
  }
  HONE_ASSIGN_OR_RETURN(const std::vector<float> a, ReadAll(file, models::FactorA(product)));
  HONE_ASSIGN_OR_RETURN(const std::vector<float> b, ReadAll(file, models::FactorB(product)));
  HONE_ASSIGN_OR_RETURN(std::vector<float> values, ReadAll(file, weight.name));
  const models::LoraModule module = model.lora->ModuleOf(product);
  const auto rank = static_cast<size_t>(module.rank);
  if (weight.shape.rank() != 2 || a.size() % rank != 0 || b.size() % rank != 0 ||
      (a.size() / rank) * (b.size() / rank) != values.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(file.path(), ": the adapter of ", weight.name, " ", weight.shape.ToString(),
                     " must be of rank ", rank, ", got ", a.size(), " and ", b.size(), " numbers"));
  }
  models::AddLowRank(a, b, module.rank, model.lora->ScaleOf(module), HasTransposedWeights(model),
                     values);
  return values;
}

}  // namespace

absl::Status MergeLora(const std::string& from, const std::string& to) {
  HONE_ASSIGN_OR_RETURN(const checkpoint::Model model, checkpoint::LoadModel(from));
  HONE_ASSIGN_OR_RETURN(ModelFile file, ModelFileFromJson(model.model_json));
  if (!file.model.lora.has_value()) {
    return absl::FailedPreconditionError(
        absl::StrCat(from, ": the model has no adapters that could be merged into its weights"));
  }
  HONE_ASSIGN_OR_RETURN(const std::shared_ptr<const std::byte> mapped, model.tensors.Map());
  std::deque<std::vector<float>> merged;  // do not move
  std::vector<checkpoint::TensorToWrite> tensors;
  for (const FileTensor& tensor : model.tensors.tensors()) {
    if (!models::ProductOfFactor(tensor.name).empty()) {
      continue;
    }
    HONE_ASSIGN_OR_RETURN(std::optional<std::vector<float>> values,
                          Merged(model.tensors, file.model, tensor));
    checkpoint::TensorToWrite& out = tensors.emplace_back();
    out.name = tensor.name;
    out.shape = tensor.shape;
    if (values.has_value()) {
      out.data = merged.emplace_back(*std::move(values)).data();
    } else {
      out.data = mapped.get() + tensor.begin;
      out.dtype = tensor.dtype;
    }
  }
  file.model.lora.reset();
  return checkpoint::WriteModel(to, tensors, {{"producer", "hone"}}, ToJson(file)).status();
}

}  // namespace hone::engine::tasks
