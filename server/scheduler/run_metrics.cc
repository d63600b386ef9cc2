#include "server/scheduler/run_metrics.h"

#include <algorithm>
#include <iterator>

namespace hone::server::scheduler {
namespace {

using metrics::Metric;

// Those that a worker names: a phase is text of a stranger, and a label must not be.
constexpr const char* kPhases[] = {"starting", "loading", "planning", "training", "evaluating"};
constexpr char kOther[] = "other";
constexpr absl::Duration kMemoryEvery = absl::Seconds(1);

std::string PhaseLabel(const std::string& phase) {
  return std::find(std::begin(kPhases), std::end(kPhases), phase) != std::end(kPhases) ? phase
                                                                                       : kOther;
}

}  // namespace

RunMetrics::RunMetrics(metrics::Registry& registry) : registry_(registry) {
  registry_.Add(Metric::kWorkerStarts, {"train"}, 0);
  for (const char* const phase : kPhases) {
    registry_.Add(Metric::kPhaseSeconds, {phase}, 0);
  }
  registry_.Add(Metric::kPhaseSeconds, {kOther}, 0);
  for (const std::string& task : jobs::AllTaskNames()) {
    registry_.Observe(Metric::kJobDuration, {task}, 0, /*times=*/0);
  }
}

void RunMetrics::Started(const jobs::Job& job, absl::Time now) {
  registry_.Add(Metric::kWorkerStarts, {"train"}, 1);
  if (job.attempt == 1) {
    registry_.Observe(Metric::kQueueWait, {}, absl::ToDoubleSeconds(now - job.create_time));
  }
}

void RunMetrics::Ended(const jobs::Job& job, const Outcome& outcome, const Decision& decision,
                       absl::Time now) {
  if (outcome.failure.has_value() && outcome.failure->checkpoint()) {
    registry_.Add(Metric::kCheckpointFailures, {}, 1);
  }
  if (decision.ending.has_value() && jobs::IsEnd(decision.ending->state)) {
    registry_.Observe(Metric::kJobDuration, {jobs::TaskName(job.spec)},
                      absl::ToDoubleSeconds(now - job.create_time));
  }
}

void RunMetrics::Passed(const std::vector<Worker>& workers, absl::Duration now) {
  const double seconds = last_ > absl::ZeroDuration() ? absl::ToDoubleSeconds(now - last_) : 0;
  last_ = now;
  for (const Worker& worker : workers) {
    registry_.Add(Metric::kPhaseSeconds, {PhaseLabel(worker.phase)}, seconds);
  }
  if (now < measure_memory_at_ && workers.size() == measured_) {
    return;
  }
  measure_memory_at_ = now + kMemoryEvery;
  measured_ = workers.size();
  int64_t bytes = 0;
  for (const Worker& worker : workers) {
    bytes += ResidentBytes(worker.pid);
  }
  registry_.Set(Metric::kEngineMemoryBytes, {}, static_cast<double>(bytes));
}

}  // namespace hone::server::scheduler
