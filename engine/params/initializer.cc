#include <algorithm>
#include <cmath>

#include "engine/params/parameter_store.h"

namespace hone::engine {
namespace {

// Rows or columns at right angles by Gram and Schmidt, twice over for accuracy, in double.
void FillOrthogonal(const Shape& shape, RandomStream& random, std::span<float> values) {
  const int64_t rows = shape.rank() == 0 ? 1 : shape[0];
  const int64_t columns = static_cast<int64_t>(values.size()) / std::max<int64_t>(rows, 1);
  const bool tall = rows > columns;
  const int64_t count = tall ? columns : rows, length = tall ? rows : columns;
  std::vector<double> vectors(static_cast<size_t>(count * length));
  for (int64_t i = 0; i < count; ++i) {
    double* v = vectors.data() + i * length;
    for (int64_t j = 0; j < length; ++j) {
      v[j] = random.NextNormal();
    }
    for (int pass = 0; pass < 2; ++pass) {
      for (int64_t k = 0; k < i; ++k) {
        const double* u = vectors.data() + k * length;
        double dot = 0;
        for (int64_t j = 0; j < length; ++j) {
          dot += u[j] * v[j];
        }
        for (int64_t j = 0; j < length; ++j) {
          v[j] -= dot * u[j];
        }
      }
    }
    double norm = 0;
    for (int64_t j = 0; j < length; ++j) {
      norm += v[j] * v[j];
    }
    norm = std::sqrt(norm);
    for (int64_t j = 0; j < length; ++j) {
      v[j] /= norm;
      values[static_cast<size_t>(tall ? j * columns + i : i * columns + j)] =
          static_cast<float>(v[j]);
    }
  }
}

}  // namespace

void FillInitial(const ParameterSpec& spec, uint64_t seed, std::span<float> values) {
  using Kind = Initializer::Kind;
  RandomStream random(seed, spec.name);
  const double fan_in = spec.initializer.fan_in, fan_out = spec.initializer.fan_out;
  const auto uniform = [&](double limit) {
    std::ranges::generate(values, [&] {
      return random.NextUniform(static_cast<float>(-limit), static_cast<float>(limit));
    });
  };
  const auto normal = [&](double deviation) {
    std::ranges::generate(values,
                          [&] { return static_cast<float>(deviation * random.NextNormal()); });
  };
  switch (spec.initializer.kind) {
    case Kind::kZeros:
      std::ranges::fill(values, 0.0f);
      return;
    case Kind::kOnes:
      std::ranges::fill(values, 1.0f);
      return;
    case Kind::kGlorotUniform:
      return uniform(std::sqrt(6 / (fan_in + fan_out)));
    case Kind::kGlorotNormal:
      return normal(std::sqrt(2 / (fan_in + fan_out)));
    case Kind::kKaimingUniform:
      return uniform(std::sqrt(6 / fan_in));
    case Kind::kKaimingNormal:
      return normal(std::sqrt(2 / fan_in));
    case Kind::kNormal:
      return normal(spec.initializer.stddev);
    case Kind::kOrthogonal:
      return FillOrthogonal(spec.shape, random, values);
    case Kind::kForgetGate:
      std::ranges::fill(values, 0.0f);
      std::ranges::fill(values.subspan(values.size() / 4, values.size() / 4), 1.0f);
      return;
  }
}

}  // namespace hone::engine
