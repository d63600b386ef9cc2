#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "hone/v1/event.pb.h"
#include "hone/v1/worker.pb.h"
#include "server/jobs/job.h"
#include "server/store/job_store.h"

namespace hone::server::scheduler {

// What one worker has told and the store has not taken yet, and what the job's row will say of it.
// The worker is not trusted: numbers, sizes and rates are held within bounds. Points of the same
// curves that come faster than they are taken are merged into the newest; other events are never
// dropped, but log lines above kLogsPerSecond are.
class ReportBuffer {
 public:
  // Begins with what the row says already.
  explicit ReportBuffer(const jobs::Job& job);

  // `now` is SteadyNow().
  void Add(v1::Event event, absl::Duration now);
  void SetPhase(const v1::WorkerFrame::Progress& progress);

  // Something is to be written.
  bool pending() const { return changed_; }
  // Enough is held: write before more is read.
  bool full() const { return report_.events.size() >= kMaxHeld || bytes_ >= kMaxHeldBytes; }
  const store::Report& report() const { return report_; }
  // The store has taken `report()`.
  void Taken();

  // What it said so far, for the end.
  bool checkpointed() const { return checkpointed_; }
  const v1::Evaluation& evaluation() const { return evaluation_; }
  const std::string& model_path() const { return model_path_; }  // "": none announced
  const v1::Plan& plan() const { return plan_; }

  static constexpr size_t kMaxHeld = 512;
  static constexpr size_t kMaxHeldBytes = size_t{4} << 20;
  static constexpr int kLogsPerSecond = 50;
  static constexpr size_t kMaxEventBytes = size_t{1} << 20;

 private:
  void AddMetrics(v1::Event event);
  void Hold(v1::Event event);
  bool AdmitLog(absl::Duration now);

  store::Report report_;
  size_t bytes_ = 0;  // of report_.events
  bool changed_ = false;
  bool checkpointed_ = false;
  v1::Evaluation evaluation_;
  v1::Plan plan_;
  std::string model_path_;
  absl::Duration log_window_ = -absl::InfiniteDuration();  // SteadyNow()
  int logs_in_window_ = 0;
  int64_t logs_dropped_ = 0;
};

}  // namespace hone::server::scheduler
