#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace hone::engine::tasks {

// `first` and `second` are [n, width] vectors of length 1. For each first one the rank of its own
// second one, from 1, among all second ones by their cosine: one more than there are others that
// are more similar, so that of equal ones all are right. What is not comparable with its own
// (NaN) counts as more similar.
std::vector<int64_t> SimilarityRanks(std::span<const float> first, std::span<const float> second,
                                     int64_t width);

// Of how many first vectors the own second one is more similar than the own other one; `other` is
// [n, width], too. Of equal ones, and of what is not comparable (NaN), it is not.
int64_t CountNearer(std::span<const float> first, std::span<const float> second,
                    std::span<const float> other, int64_t width);

}  // namespace hone::engine::tasks
