#pragma once

#include <map>
#include <mutex>
#include <string>

#include "absl/time/time.h"
#include "server/metrics/registry.h"
#include "server/store/job_store.h"

namespace hone::server::metrics {

// Turns the events of jobs into metrics. What speaks of one job leaves ten minutes after a worker
// last ran it.
// `registry` outlives this.
class JobMetrics {
 public:
  explicit JobMetrics(Registry& registry);

  void OnEvent(const store::LoggedEvent& event);
  // Removes what belongs to jobs that no worker runs since more than ten minutes before `now`.
  void Prune(absl::Time now);

 private:
  void OnState(const store::LoggedEvent& event);
  void OnMetrics(const std::string& job, const v1::Metrics& metrics);
  void OnLayers(const std::string& job, const v1::LayerStatistics& statistics);

  struct Position {
    int64_t step = 0;
    int64_t samples = 0;
    double active_seconds = -1;  // -1: not known
  };

  Registry& registry_;
  std::mutex mutex_;
  std::map<std::string, Position> running_;    // guarded by mutex_
  std::map<std::string, absl::Time> stopped_;  // guarded by mutex_
};

}  // namespace hone::server::metrics
