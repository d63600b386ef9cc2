#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/tasks/evaluation.h"

namespace hone::engine::tasks {

// Which classes a classifier takes drawings for.
class ClassShares {
 public:
  explicit ClassShares(std::vector<std::string> names);

  // [drawings, classes], what the classifier gives each.
  void Add(std::span<const float> probabilities);

  // "class_share_min", "class_share_min_confident" and "classifier_confidence"
  // (image_generation.h), and a warning that names the classes that are left out: those with less
  // than a tenth of an even share.
  void AddTo(Evaluation& result) const;
  // class,share,share_confident
  std::string ToCsv() const;

 private:
  double Share(double count) const;

  std::vector<std::string> names_;
  std::vector<double> drawn_, sure_;  // by class
  double count_ = 0;
  double confidence_ = 0;
};

}  // namespace hone::engine::tasks
