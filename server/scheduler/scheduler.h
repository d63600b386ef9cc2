#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/artifacts/data_directory.h"
#include "server/metrics/registry.h"
#include "server/scheduler/attempt.h"
#include "server/scheduler/executor.h"
#include "server/scheduler/run_metrics.h"
#include "server/store/writer.h"

namespace hone::server::scheduler {

struct SchedulerOptions {
  std::string worker;  // hone-worker
  std::string data_mirror = "";
  int concurrent_jobs = 1;
  int threads = 1;                   // of all running jobs together
  int64_t memory_bytes_per_job = 0;  // 0: no limit
  absl::Duration grace = absl::Seconds(20);
  absl::Duration silence = absl::Seconds(120);  // of a worker without a frame: it hangs
  absl::Duration stall = absl::Minutes(10);     // of one that makes no progress: the same
  absl::Duration retry_delay = absl::Seconds(2);
  absl::Duration slow_folder = absl::Seconds(5);  // of an attempt: after this the next one is begun
  // The file of the uploaded data set that a job uses, or ""; FAILED_PRECONDITION: it is gone, and
  // the job is held. Empty: there are none.
  std::function<absl::StatusOr<std::string>(const std::string& job_id)> dataset_path = nullptr;
};

// Claims jobs while there is room, runs each in a worker process, writes what it tells to the log,
// and decides how it ends. One thread does all of it, but for what reads and copies files, which
// may take long: others do that, and post what came of it. The arguments of the constructor outlive
// this. Its functions stand in three files: how a job gets a worker in start_jobs.cc, how it gives
// its model in publish.cc, all else in scheduler.cc.
class Scheduler {
 public:
  Scheduler(const SchedulerOptions& options, store::Writer& writer,
            const artifacts::DataDirectory& directory, metrics::Registry& registry);
  // As Drain.
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  void Start();
  // Something may have been queued.
  void Wake();
  // The store says CANCELLING or PAUSING: tell the worker.
  void Stop(const std::string& job_id);
  // Asks the workers to write a checkpoint, puts their jobs back into the queue, and ends.
  void BeginDrain();
  // The same, and waits for it.
  void Drain();

  // Jobs that run, and their threads.
  int running() const { return running_count_; }
  int running_threads() const { return running_threads_; }
  // What they still need, added up.
  double seconds_left() const { return seconds_left_; }
  // Attempts' folders that are prepared, models that are published.
  const Executor& files() const { return files_; }

 private:
  struct Running {
    std::unique_ptr<Attempt> attempt;
    std::optional<Decision> decision;  // made, but not in the store yet
    bool publishing = false;           // its model is; the decision waits for it
  };

  // Claimed, and its folder is made elsewhere.
  struct Preparing {
    jobs::Job job;
    absl::Duration since;  // SteadyNow()
  };

  // Claimed, and its folder made or not.
  struct Prepared {
    jobs::Job job;
    absl::StatusOr<AttemptOptions> options;
  };

  // What came of publishing a model.
  struct Published {
    std::string job_id;
    absl::Status drafted;  // not OK: the store could not be told of it, and nothing was done
    absl::StatusOr<std::vector<v1::ModelFile>> files;
  };

  // Claimed, but its worker could not be started.
  struct Unstarted {
    jobs::Job job;
    Decision decision;  // not in the store yet
  };

  void Loop();
  int FreeThreads() const;
  // A job runs that may be what takes the server down, and has not written a checkpoint yet.
  bool SuspectRuns() const;
  // An attempt is about to begin: where no process can be started for it, the jobs behind
  // keep their places.
  bool StartIsNear() const;
  double SecondsLeft() const;
  void StartJobs(absl::Time now);
  // The first job of the queue that can be started now, claimed. Those before it that this server
  // can never start are held, which the log tells.
  absl::StatusOr<std::optional<jobs::Job>> ClaimNext(absl::Time now);
  // Claimed jobs whose worker has not been started.
  size_t Waiting() const { return preparing_.size() + unstarted_.size(); }
  // Has its folder made elsewhere.
  void Prepare(const jobs::Job& job);
  // Its folder, with what it begins with. Any thread.
  absl::StatusOr<AttemptOptions> PrepareAttempt(const jobs::Job& job) const;
  void TakePrepared(absl::Time now);
  void Launch(const Prepared& prepared, absl::Time now);
  void TakeCalls();
  // Tells the worker what the store says its job's state is. False: the store could not say.
  bool Tell(Attempt& attempt);
  // Deadlines of jobs that wait, and what deleted jobs leave behind.
  void KeepHouse(absl::Time now);
  // One write for all that is pending.
  void Flush(absl::Time now);
  // True: its end, or its way back to the queue, is in the store (or the store says that it is not
  // ours any more).
  bool Conclude(Running& running, absl::Time now);
  Decision Judge(Attempt& attempt);
  // The same, for a decision that is made.
  bool Settle(const jobs::Job& job, const Outcome& outcome, const Decision& decision,
              absl::Time now);
  void LogEnd(const jobs::Job& job, const Decision& decision);
  absl::Status Write(const jobs::Job& job, const Decision& decision, absl::Time now);
  Decision Again(const jobs::Job& job, std::string message) const;
  // Has the model of a job that succeeded moved to its place elsewhere.
  void Publish(Running& running);
  // Any thread.
  Published PublishFiles(const std::string& job_id, const std::string& model_id,
                         const std::string& run_directory, const std::string& model_path) const;
  void TakePublished(absl::Time now);
  // Adds the model to the end of its job, or decides otherwise where there is none.
  void AddModel(Attempt& attempt, const absl::StatusOr<std::vector<v1::ModelFile>>& files,
                Decision& decision, absl::Time now);
  // What the workers do now, for the metrics.
  void CountTime();
  // Of `job`; "": of none. The next write waits a little.
  void LostWrite(absl::string_view what, const std::string& job, const absl::Status& status);
  void WaitForWork(bool busy);

  const SchedulerOptions options_;
  store::Writer& writer_;
  const artifacts::DataDirectory& directory_;
  metrics::Registry& registry_;
  RunMetrics run_metrics_;  // only the loop's thread
  const int wake_fd_;
  std::map<std::string, Running> running_;      // by job; only the loop's thread
  std::map<std::string, Preparing> preparing_;  // the same
  std::vector<Unstarted> unstarted_;            // the same
  absl::Duration flushed_;                      // SteadyNow()
  absl::Duration housekeeping_;
  absl::Duration renewed_;         // leases
  absl::Duration write_again_at_;  // the store could not be written to
  absl::Duration start_again_at_;  // no worker could be started
  std::string last_unstarted_;     // the job whose worker could not be started
  int starts_in_place_ = 0;        // of it, one after another
  int failed_starts_ = 0;          // since the last that could
  absl::Duration lost_write_logged_ = -absl::InfiniteDuration();
  std::atomic<int> running_count_ = 0;
  std::atomic<int> running_threads_ = 0;
  std::atomic<double> seconds_left_ = 0;
  std::atomic<bool> stopping_ = false;
  std::mutex mutex_;
  std::set<std::string> stops_;       // guarded by mutex_
  std::vector<Prepared> prepared_;    // guarded by mutex_
  std::vector<Published> published_;  // guarded by mutex_
  Executor files_;
  std::thread thread_;
};

}  // namespace hone::server::scheduler
