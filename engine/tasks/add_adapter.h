#pragma once

#include <span>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/models/model_description.h"
#include "engine/tensor/tensor.h"

namespace hone::engine::tasks {

// weight += scale · B · A, where the weight, of that shape, is that of `product` of a model with
// adapters, and a and b are the product's factors; the scale and which way the weight lies follow
// from the model's description. INVALID_ARGUMENT where factors and weight do not fit.
absl::Status AddAdapter(const models::ModelDescription& model, absl::string_view product,
                        std::span<const float> a, std::span<const float> b, const Shape& shape,
                        std::span<float> weight);

}  // namespace hone::engine::tasks
