#pragma once

#include <cstdint>
#include <string>

#include "engine/data/report.h"
#include "engine/job/plan.h"
#include "engine/tasks/evaluation.h"
#include "engine/train/observer.h"

namespace hone::engine::job {

struct Started {
  Plan plan;
  int64_t resumed_from_step = 0;  // 0: from the start
  std::string engine;             // oneDNN's version and the processor
};

// What a whole run tells while it lasts: its loop, and what comes before and after it.
class TrainingObserver : public train::LoopObserver {
 public:
  virtual void OnDataReport(const data::DataReport& report, const tasks::DataInfo& info) = 0;
  virtual void OnStarted(const Started& started) = 0;
  virtual void OnEvaluation(const tasks::Evaluation& evaluation) = 0;
};

// Tells nobody.
class DeafTrainingObserver : public TrainingObserver {
 public:
  void OnMetrics(const train::Metrics&) override {}
  void OnLayerStatistics(const train::LayerStatistics&) override {}
  void OnCheckpoint(const train::CheckpointWritten&) override {}
  void OnLog(train::Severity, const std::string&) override {}
  void OnArtifact(const tasks::Artifact&) override {}
  void OnProgress(const std::string&, double) override {}
  void OnDataReport(const data::DataReport&, const tasks::DataInfo&) override {}
  void OnStarted(const Started&) override {}
  void OnEvaluation(const tasks::Evaluation&) override {}
};

}  // namespace hone::engine::job
