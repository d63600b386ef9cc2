#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/data/report.h"
#include "engine/train/job_plan.h"

namespace hone::engine::train {

// What a run tells while it lasts.

struct Started {
  Plan plan;
  int64_t resumed_from_step = 0;  // 0: from the start
  std::string engine;             // oneDNN's version and the processor
};

// One point of the curves.
struct Metrics {
  int64_t step = 0;
  double epoch = 0;  // fractional
  int64_t samples = 0;
  double active_seconds = 0;  // in training steps alone, over all attempts
  int64_t total_steps = 0;
  double eta_seconds = 0;
  std::map<std::string, double> values;  // "loss", "accuracy", …; may hold NaN
};

struct LayerStatistics {
  struct Layer {
    std::string name;
    double gradient_norm = 0;  // of the mean loss, before clipping
    double weight_norm = 0;
    double dead_share = -1;  // of the units without any gradient since the last statistics
    std::string verdict;     // "", "vanishing", "exploding" or "dead"
  };
  int64_t step = 0;
  std::vector<Layer> layers;  // those with something to learn
};

struct CheckpointWritten {
  int64_t step = 0;
  std::string path;  // relative to the run's directory
  int64_t bytes = 0;
  double seconds = 0;
  bool best = false;
};

enum class Severity { kInfo, kWarning, kError };

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

struct Artifact {
  std::string kind;  // "model", or a task's own word
  std::string path;  // relative to the run's directory
  int64_t bytes = 0;
  std::string sha256;  // of the file; of a model, of model.safetensors
};

// Calls come from the thread that trains and should return soon.
class TrainingObserver {
 public:
  virtual ~TrainingObserver() = default;
  virtual void OnDataReport(const data::DataReport& report, const DataInfo& info) = 0;
  virtual void OnStarted(const Started& started) = 0;
  virtual void OnMetrics(const Metrics& metrics) = 0;
  virtual void OnLayerStatistics(const LayerStatistics& statistics) = 0;
  virtual void OnCheckpoint(const CheckpointWritten& checkpoint) = 0;
  virtual void OnLog(Severity severity, const std::string& text) = 0;
  virtual void OnEvaluation(const Evaluation& evaluation) = 0;
  virtual void OnArtifact(const Artifact& artifact) = 0;
  // Nothing new, but alive: "loading", "planning", "evaluating"; done is 0 to 1, or -1.
  virtual void OnProgress(const std::string& phase, double done) = 0;
};

}  // namespace hone::engine::train
