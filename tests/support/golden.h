#pragma once

#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

// The numbers that golden files are made from, and how they judge a tensor without holding it:
// explained in tests/golden/first_step.py.
namespace hone::engine::testing {

inline constexpr int kPatterns = 64;

// splitmix64's last step.
inline uint64_t Mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

inline uint64_t Number(uint64_t stream, int64_t i) {
  return Mix((stream << 32) + static_cast<uint64_t>(i));
}

// ‖tensor − golden‖, estimated from sums under patterns of signs.
template <typename T>
double ErrorOf(std::span<const T> tensor, const nlohmann::json& golden) {
  double sums[kPatterns] = {};
  for (size_t i = 0; i < tensor.size(); ++i) {
    const uint64_t signs = Number(0, static_cast<int64_t>(i));
    for (int k = 0; k < kPatterns; ++k) {
      const auto value = static_cast<double>(tensor[i]);
      sums[k] += (signs >> k) & 1 ? -value : value;
    }
  }
  double squares = 0;
  for (size_t k = 0; k < kPatterns; ++k) {
    const double difference = sums[k] - golden["sums"][k].get<double>();
    squares += difference * difference / kPatterns;
  }
  return std::sqrt(squares);
}

// The same ÷ ‖golden‖.
template <typename T>
double RelativeError(std::span<const T> tensor, const nlohmann::json& golden) {
  return ErrorOf(tensor, golden) / golden["norm"].get<double>();
}

// The starting number i of a parameter.
inline float Start(const nlohmann::json& parameter, int64_t i) {
  const auto u =
      static_cast<double>(Number(parameter["stream"].get<uint64_t>(), i) >> 40) / (1 << 23) - 1;
  return static_cast<float>(parameter["offset"].get<double>() +
                            parameter["scale"].get<double>() * u);
}

// A net's parameter by name; null if the golden net has none that is called so.
inline const nlohmann::json* FindParameter(const nlohmann::json& golden, const std::string& name) {
  for (const nlohmann::json& parameter : golden["parameters"]) {
    if (parameter["name"].get<std::string>() == name) {
      return &parameter;
    }
  }
  return nullptr;
}

}  // namespace hone::engine::testing
