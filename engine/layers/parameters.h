#pragma once

#include <optional>

#include "engine/layers/dense.h"

namespace hone::engine::layers {

// Numbers that reach a unit and that a unit reaches, as Keras counts them.
struct Fans {
  double in = 1;
  double out = 1;
};

// Declares the parameters of the layer whose scope the graph is in; the graph outlives it. All of
// them are trainable, or frozen.
class LayerParameters {
 public:
  LayerParameters(Graph& graph, bool frozen) : graph_(graph), frozen_(frozen) {}

  // `SCOPE.weight`; weight decay applies.
  Value Weight(const Shape& shape, const WeightInitializer& initializer, const Fans& fans) const;
  // That of a product, [in, units] or, where it lies transposed, [units, in].
  Value ProductWeight(int64_t in, int64_t units, bool transposed,
                      const WeightInitializer& initializer) const;
  // Another one, `SCOPE.name`.
  Value NamedWeight(absl::string_view name, const Shape& shape,
                    const WeightInitializer& initializer, const Fans& fans) const;
  // `SCOPE.bias`, zeros, without weight decay; nothing where it is not used.
  std::optional<Value> Bias(bool used, int64_t size) const;
  // A vector without weight decay: normalisation's, and biases that do not start at zero.
  Value Vector(absl::string_view name, int64_t size, Initializer::Kind start) const;
  // A vector that is not learned: running statistics.
  Value BufferVector(absl::string_view name, int64_t size, Initializer::Kind start) const;

 private:
  Value Declare(absl::string_view name, const Shape& shape, const Initializer& initializer,
                ParameterRole role, bool decays) const;

  Graph& graph_;
  bool frozen_;
};

}  // namespace hone::engine::layers
