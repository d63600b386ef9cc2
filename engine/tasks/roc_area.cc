#include "engine/tasks/roc_area.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>

namespace hone::engine::tasks {

std::optional<double> AreaUnderRoc(std::span<const float> scores, std::span<const bool> is_one) {
  std::vector<int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, {}, [&](int32_t i) { return scores[static_cast<size_t>(i)]; });
  double ones = 0, others = 0, pairs = 0;
  for (size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    const float score = scores[static_cast<size_t>(order[begin])];
    double tied_ones = 0, tied_others = 0;
    for (; end < order.size() && scores[static_cast<size_t>(order[end])] == score; ++end) {
      (is_one[static_cast<size_t>(order[end])] ? tied_ones : tied_others) += 1;
    }
    pairs += tied_ones * (others + tied_others / 2);
    ones += tied_ones;
    others += tied_others;
  }
  return ones > 0 && others > 0 ? std::optional(pairs / (ones * others)) : std::nullopt;
}

RocArea::RocArea(int64_t classes, int64_t width)
    : classes_(static_cast<size_t>(classes)),
      columns_(classes == 2 || width == 1 ? 1 : static_cast<size_t>(classes)) {}

void RocArea::Add(std::span<const float> outputs, int64_t truth) {
  whole_ = whole_ && scores_.size() + columns_ <= kMostScores;
  if (!whole_) {
    scores_ = {};
    truths_ = {};
    return;
  }
  truths_.push_back(static_cast<int32_t>(truth));
  const size_t first = scores_.size();
  if (columns_ > 1) {
    // The logarithms of the probabilities: these are equal to 1 long before those are to 0.
    const double top = *std::ranges::max_element(outputs);
    double sum = 0;
    for (const float logit : outputs) {
      sum += std::exp(logit - top);
    }
    for (const float logit : outputs) {
      scores_.push_back(static_cast<float>(logit - top - std::log(sum)));
    }
  } else {
    scores_.push_back(outputs.size() == 1 ? outputs[0] : outputs[1] - outputs[0]);
  }
  whole_ = std::none_of(scores_.begin() + static_cast<std::ptrdiff_t>(first), scores_.end(),
                        [](float score) { return std::isnan(score); });
}

std::optional<double> RocArea::Mean() const {
  if (!whole_) {
    return std::nullopt;
  }
  const size_t examples = truths_.size();
  const auto is_one = std::make_unique<bool[]>(examples);
  std::vector<float> scores(examples);
  double sum = 0, areas = 0;
  for (size_t column = 0; column < columns_; ++column) {
    const auto wanted = static_cast<int32_t>(columns_ == 1 ? classes_ - 1 : column);
    for (size_t i = 0; i < examples; ++i) {
      scores[i] = scores_[i * columns_ + column];
      is_one[i] = truths_[i] == wanted;
    }
    if (const auto area = AreaUnderRoc(scores, std::span(is_one.get(), examples))) {
      sum += *area;
      areas += 1;
    }
  }
  return areas > 0 ? std::optional(sum / areas) : std::nullopt;
}

}  // namespace hone::engine::tasks
