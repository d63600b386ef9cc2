#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/tasks/artifacts.h"

namespace hone::engine::train {

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
    bool rests = false;      // its gradients are not looked at yet: then the norm is 0
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

// What a loop tells while it lasts. Calls come from the thread that trains and should return soon.
class LoopObserver : public tasks::ArtifactObserver {
 public:
  virtual void OnMetrics(const Metrics& metrics) = 0;
  virtual void OnLayerStatistics(const LayerStatistics& statistics) = 0;
  virtual void OnCheckpoint(const CheckpointWritten& checkpoint) = 0;
  virtual void OnLog(Severity severity, const std::string& text) = 0;
  // Nothing new, but alive: "loading", "planning", "evaluating"; done is 0 to 1, or -1.
  virtual void OnProgress(const std::string& phase, double done) = 0;
};

// Hears nothing: what a rank that writes nothing tells.
class DeafObserver final : public LoopObserver {
 public:
  void OnMetrics(const Metrics&) override {}
  void OnLayerStatistics(const LayerStatistics&) override {}
  void OnCheckpoint(const CheckpointWritten&) override {}
  void OnLog(Severity, const std::string&) override {}
  void OnArtifact(const tasks::Artifact&) override {}
  void OnProgress(const std::string&, double) override {}
};

}  // namespace hone::engine::train
