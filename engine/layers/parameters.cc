#include "engine/layers/parameters.h"

#include "absl/strings/str_cat.h"

namespace hone::engine::layers {

Value LayerParameters::Declare(absl::string_view name, const Shape& shape,
                               const Initializer& initializer, ParameterRole role,
                               bool decays) const {
  return graph_.Parameter({.name = absl::StrCat(graph_.scope(), ".", name),
                           .shape = shape,
                           .initializer = initializer,
                           .role = role,
                           .decays = decays});
}

Value LayerParameters::Weight(const Shape& shape, const WeightInitializer& initializer,
                              const Fans& fans) const {
  return NamedWeight("weight", shape, initializer, fans);
}

Value LayerParameters::ProductWeight(int64_t in, int64_t units, bool transposed,
                                     const WeightInitializer& initializer) const {
  return Weight(transposed ? Shape{units, in} : Shape{in, units}, initializer,
                {static_cast<double>(in), static_cast<double>(units)});
}

Value LayerParameters::NamedWeight(absl::string_view name, const Shape& shape,
                                   const WeightInitializer& initializer, const Fans& fans) const {
  return Declare(name, shape,
                 {.kind = initializer.kind,
                  .stddev = initializer.stddev,
                  .fan_in = fans.in,
                  .fan_out = fans.out},
                 frozen_ ? ParameterRole::kFrozen : ParameterRole::kTrainable, true);
}

std::optional<Value> LayerParameters::Bias(bool used, int64_t size) const {
  if (!used) {
    return std::nullopt;
  }
  return Vector("bias", size, Initializer::Kind::kZeros);
}

Value LayerParameters::Vector(absl::string_view name, int64_t size, Initializer::Kind start) const {
  return Declare(name, {size}, {.kind = start},
                 frozen_ ? ParameterRole::kFrozen : ParameterRole::kTrainable, false);
}

Value LayerParameters::BufferVector(absl::string_view name, int64_t size,
                                    Initializer::Kind start) const {
  return Declare(name, {size}, {.kind = start}, ParameterRole::kBuffer, false);
}

}  // namespace hone::engine::layers
