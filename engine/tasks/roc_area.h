#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace hone::engine::tasks {

// How well the outputs of a classifier put the examples of a class before all others, whatever the
// threshold: the area under the receiver operating characteristic. It is the share of pairs of an
// example of the class and another in which the former has the larger score, where equal scores
// count half (Hanley and McNeil, Radiology 143, 1982).
class RocArea {
 public:
  // Numbers that are kept: of more examples × scores there is no area.
  static constexpr size_t kMostScores = size_t{1} << 22;

  // `classes` is at least 2. `width` numbers are the outputs of an example: the logit of the second
  // of two classes (1), or one logit for each class.
  RocArea(int64_t classes, int64_t width);
  void Add(std::span<const float> outputs, int64_t truth);

  // Of two classes the area of the second; of several the mean of each class's against all others,
  // by its probability, over the classes of which there are examples. nullopt: all examples are of
  // one class, a score was no number, or there were too many.
  std::optional<double> Mean() const;

 private:
  const size_t classes_;
  const size_t columns_;         // scores of an example: 1 of two classes
  std::vector<float> scores_;    // [examples, columns]
  std::vector<int32_t> truths_;  // [examples]
  bool whole_ = true;            // all numbers were kept
};

// Of one class: `is_one` says which of the scores are of its examples. nullopt where all are, or
// none is. No score is NaN.
std::optional<double> AreaUnderRoc(std::span<const float> scores, std::span<const bool> is_one);

}  // namespace hone::engine::tasks
