#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/data/load.h"
#include "engine/job/observer.h"
#include "engine/job/plan.h"
#include "engine/tasks/evaluation.h"

namespace hone::engine::job {

// Models that are there, measured on data that they need not have been trained on.
struct EvaluationConfig {
  enum class Part {
    kUnspecified,  // the data set's own test part, or all examples where it has none
    kTest,
    kValidation,
    kTrain,
    kAll,
  };
  std::vector<std::string> models;  // folders: one, or two that are compared
  // Where the examples come from and how they are divided. How they are read is the models' to say.
  data::LoadOptions data;
  Part part = Part::kUnspecified;
  int64_t batch_size = 32;  // the numbers do not depend on it, but for their rounding
  int threads = 1;
  std::string run_directory;
};

// Two models on the same examples.
struct Comparison {
  std::map<std::string, double> other_metrics;  // of the second model, with the same names
  int64_t examples = 0;
  // Classification: McNemar's test on the examples that one of the two gets right.
  int64_t both_right = 0;
  int64_t only_first = 0;
  int64_t only_second = 0;
  int64_t both_wrong = 0;
  // Two-sided: so often at least would models that are equally good differ so much. Classification
  // alone.
  std::optional<double> p_value;
  // First minus second: of the accuracy, or of the mean squared error; with its 95 % interval.
  double difference = 0;
  double low = 0;
  double high = 0;
  std::string verdict;  // in words
};

struct EvaluationResult {
  tasks::Evaluation evaluation;  // of the first model; metrics are called "test_…"
  std::optional<Comparison> comparison;
};

// INVALID_ARGUMENT: data and models do not fit, or the models one another. CANCELLED: `stop` was
// set. Errors of data::Load and of reading a model. `phase` says what it was doing.
absl::StatusOr<EvaluationResult> Evaluate(const EvaluationConfig& config,
                                          const std::atomic<bool>& stop, TrainingObserver& observer,
                                          Phase& phase);

// What it will cost, and whether models and data fit, without reading pixels.
absl::StatusOr<Plan> PlanEvaluation(const EvaluationConfig& config, Phase& phase);

// Two-sided p of McNemar's test for `b` and `c` discordant pairs: exact (binomial) for fewer than
// 25 of them, else chi-square with one degree of freedom and the continuity correction.
// Source: McNemar, "Note on the sampling error of the difference between correlated proportions or
// percentages", Psychometrika 12, 1947; Edwards' correction, Psychometrika 13, 1948.
double McNemar(int64_t b, int64_t c);

}  // namespace hone::engine::job
