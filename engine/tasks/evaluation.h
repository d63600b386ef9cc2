#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace hone::engine::tasks {

// What an evaluation came to.
struct Evaluation {
  struct Class {
    std::string name;
    double precision = 0;
    double recall = 0;
    double f1 = 0;
    int64_t examples = 0;
  };
  std::string split;  // "test" or "validation"
  std::map<std::string, double> metrics;
  std::vector<Class> classes;
  std::vector<int64_t> confusion;  // [class, taken for]
  std::string fit_verdict;         // "", "overfitting" or "underfitting"
  std::string fit_reason;
};

}  // namespace hone::engine::tasks
