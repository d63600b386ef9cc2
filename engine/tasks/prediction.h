#pragma once

#include <string>
#include <vector>

namespace hone::engine::tasks {

// What a model says of one example.
struct Prediction {
  struct Class {
    std::string name;
    double probability = 0;
  };
  std::vector<Class> classes;  // all of them, the most probable first
  std::vector<double> values;  // regression, in the targets' own units
};

}  // namespace hone::engine::tasks
