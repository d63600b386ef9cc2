#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/jobs/job.h"
#include "server/scheduler/decide.h"
#include "server/scheduler/report.h"
#include "server/worker_process/worker_process.h"

namespace hone::server::scheduler {

struct AttemptOptions {
  std::string worker;           // hone-worker
  std::string run_directory;    // this attempt's
  std::string cache_directory;  // for downloaded data sets
  std::string data_mirror;
  std::string model_directory = "";          // of the model that the job begins with; "": none
  std::string classifier_directory = "";     // of the one that the job is evaluated by; "": none
  std::string other_model_directory = "";    // of the second one that it looks at; "": none
  std::string dataset_path = "";             // the uploaded data set that the job names; "": none
  std::string traceparent = "";              // of the call that made the job; "": none
  int64_t memory_bytes = 0;                  // the job's share; 0: no limit
  absl::Duration grace = absl::Seconds(20);  // from SIGTERM to SIGKILL
  absl::Duration silence = absl::Seconds(120);  // without a frame: it hangs
  absl::Duration stall = absl::Minutes(10);     // without getting on: the same
};

// One attempt of a job: its worker process, what it has told, and how it is made to end. For one
// thread; never blocks for longer than a moment, also where a process that was killed does not die
// (a disk that does not answer): then it has not ended.
class Attempt {
 public:
  static absl::StatusOr<std::unique_ptr<Attempt>> Start(const jobs::Job& job,
                                                        const AttemptOptions& options);

  // Takes what has come through the pipe (a bounded part of it), and kills a worker that is silent,
  // makes no progress or is over its grace.
  void Pump(absl::Time now);

  // Asks the worker to write a checkpoint and end: SIGTERM once, SIGKILL after the grace.
  void Cancel();
  void Pause();
  void Drain();
  // At once: it runs for nobody.
  void Kill();

  bool ended() const { return ended_; }
  // Nothing more is read of it; it only has to end.
  bool dying() const { return dying_; }
  const jobs::Job& job() const { return job_; }
  const std::string& run_directory() const { return options_.run_directory; }
  int event_fd() const { return process_->event_fd(); }
  pid_t pid() const { return process_->pid(); }
  ReportBuffer& report() { return report_; }
  // Whole once ended() is true.
  const Outcome& outcome() const { return outcome_; }

 private:
  Attempt(const jobs::Job& job, const AttemptOptions& options);

  void Take(v1::WorkerFrame frame);
  void Stop();
  void Reap();

  const jobs::Job job_;
  const AttemptOptions options_;
  std::unique_ptr<worker_process::WorkerProcess> process_;
  ReportBuffer report_;
  Outcome outcome_;
  absl::Duration last_frame_;     // SteadyNow()
  absl::Duration last_progress_;  // the same, of a frame that says more than that it is alive
  absl::Duration kill_at_ = absl::InfiniteDuration();
  const absl::Time deadline_;  // InfinitePast: none
  const int64_t oom_kills_;    // of this machine before it began
  bool stopping_ = false;
  bool dying_ = false;
  bool ended_ = false;
};

}  // namespace hone::server::scheduler
