#include "engine/optim/row_accumulator.h"

#include <algorithm>

namespace hone::engine::optim {

RowAccumulator::RowAccumulator(int64_t rows, int64_t width)
    : width_(width),
      sums_(rows * width * static_cast<int64_t>(sizeof(float))),
      came_(static_cast<size_t>(rows)) {}

void RowAccumulator::Add(const RowGradient& more) {
  for (int64_t i = 0; i < more.capacity && more.rows[i] >= 0; ++i) {
    const int32_t row = more.rows[i];
    if (!came_[static_cast<size_t>(row)]) {
      came_[static_cast<size_t>(row)] = true;
      rows_.push_back(row);
    }
    const float* from = more.sums + (more.in_place ? row : i) * width_;
    float* sum = sums_.as<float>() + row * width_;
    std::transform(from, from + width_, sum, sum, std::plus<>());
  }
}

RowGradient RowAccumulator::Sum() {
  std::ranges::sort(rows_);
  return {.rows = rows_.data(),
          .capacity = static_cast<int64_t>(rows_.size()),
          .sums = sums_.as<float>(),
          .in_place = true};
}

void RowAccumulator::Clear() {
  for (const int32_t row : rows_) {
    came_[static_cast<size_t>(row)] = false;
    std::fill_n(sums_.as<float>() + row * width_, width_, 0.0f);
  }
  rows_.clear();
}

}  // namespace hone::engine::optim
