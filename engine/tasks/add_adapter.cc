#include "engine/tasks/add_adapter.h"

#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/models/lora.h"

namespace hone::engine::tasks {
namespace {

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

}  // namespace hone::engine::tasks
