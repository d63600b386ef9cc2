#include "engine/tasks/merge_lora.h"

#include <deque>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "absl/strings/match.h"
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

// The product's weight is [units, in]: in a preset that says so, the model's or its network's.
bool IsTransposed(const models::ModelDescription& model, absl::string_view product) {
  const std::string* options = &model.preset.options;
  for (const models::NetworkDescription& network : model.networks) {
    if (absl::StartsWith(product, absl::StrCat(network.name, "."))) {
      options = &network.preset.options;
    }
  }
  const auto json = nlohmann::json::parse(*options, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return false;
  }
  const auto said = json.find("transposed");
  return said != json.end() && said->is_boolean() && said->get<bool>();
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
  HONE_RETURN_IF_ERROR(
      Annotate(AddAdapter(model, product, a, b, weight.shape, values), file.path()));
  return values;
}

}  // namespace

absl::Status AddAdapter(const models::ModelDescription& model, absl::string_view product,
                        std::span<const float> a, std::span<const float> b, const Shape& shape,
                        std::span<float> weight) {
  const models::LoraModule module = model.lora->ModuleOf(product);
  const bool transposed = IsTransposed(model, product);
  const int64_t in = std::ssize(a) / module.rank, units = std::ssize(b) / module.rank;
  if (in * module.rank != std::ssize(a) || units * module.rank != std::ssize(b) ||
      shape != (transposed ? Shape{units, in} : Shape{in, units})) {
    return absl::InvalidArgumentError(
        absl::StrCat("the adapter of ", product, ".weight ", shape.ToString(), ", which is ",
                     transposed ? "[units, in]" : "[in, units]", ", must be of rank ", module.rank,
                     ", got ", a.size(), " and ", b.size(), " numbers"));
  }
  models::AddLowRank(a, b, module.rank, model.lora->ScaleOf(module), transposed, weight);
  return absl::OkStatus();
}

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
