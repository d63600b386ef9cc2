#include "engine/tasks/similarity_ranks.h"

#include <cstddef>

namespace hone::engine::tasks {
namespace {

// Eight sums side by side, which a compiler may add up in one register.
float Dot(const float* a, const float* b, int64_t width) {
  constexpr int64_t kLanes = 8;
  float sums[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    for (int64_t k = 0; k < kLanes; ++k) {
      sums[k] += a[i + k] * b[i + k];
    }
  }
  float sum = 0;
  for (; i < width; ++i) {
    sum += a[i] * b[i];
  }
  for (const float lane : sums) {
    sum += lane;
  }
  return sum;
}

}  // namespace

std::vector<int64_t> SimilarityRanks(std::span<const float> first, std::span<const float> second,
                                     int64_t width) {
  const auto n = width > 0 ? static_cast<int64_t>(first.size()) / width : 0;
  std::vector<int64_t> ranks(static_cast<size_t>(n), 1);
  for (int64_t i = 0; i < n; ++i) {
    const float* const vector = first.data() + i * width;
    const float own = Dot(vector, second.data() + i * width, width);
    int64_t& rank = ranks[static_cast<size_t>(i)];
    for (int64_t j = 0; j < n; ++j) {
      rank += j != i && !(Dot(vector, second.data() + j * width, width) <= own) ? 1 : 0;
    }
  }
  return ranks;
}

int64_t CountNearer(std::span<const float> first, std::span<const float> second,
                    std::span<const float> other, int64_t width) {
  const auto n = width > 0 ? static_cast<int64_t>(first.size()) / width : 0;
  int64_t nearer = 0;
  for (int64_t i = 0; i < n; ++i) {
    const float* const vector = first.data() + i * width;
    nearer +=
        Dot(vector, second.data() + i * width, width) > Dot(vector, other.data() + i * width, width)
            ? 1
            : 0;
  }
  return nearer;
}

}  // namespace hone::engine::tasks
