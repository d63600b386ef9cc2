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

}  // namespace hone::engine::job
