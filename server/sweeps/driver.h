#pragma once

#include <compare>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "hone/v1/sweep.pb.h"
#include "server/jobs/job.h"
#include "server/store/sweep_store.h"
#include "server/store/writer.h"

namespace hone::server::sweeps {

// A trial's job on its way into the queue.
struct Submission {
  v1::JobSpec spec;
  std::string project = jobs::kDefaultProject;
  std::string created_by = "";  // as in jobs::Job
  std::string request_id;       // made of the sweep, the trial and its rung
  std::string retry_of = "";    // id of the job whose checkpoints it begins with
  // In the transaction that stores the job: ABORTED, where the trial is not to begin any more; then
  // the trial is said to run as this job.
  std::function<absl::Status(store::JobStore&)> before;
  std::function<absl::Status(store::JobStore&, const jobs::Job&)> after;
};

struct DriverHooks {
  // Calls `done` once, on any thread.
  std::function<void(Submission, std::function<void(absl::Status)> done)> submit;
  // The store says that the job is to be cancelled: tell its worker, if there is one.
  std::function<void(const std::string& job_id)> stop;
  std::function<void(v1::Trial::State)> trial_ended = [](v1::Trial::State) {};
  // After each look at all sweeps; on the thread of Tick.
  std::function<void()> looked = [] {};
};

// Carries the sweeps of the store on: looks at the jobs of their trials, takes over what they came
// to, asks Advance what is next, and has that done. All it knows is in the store, so that a server
// that was killed goes on where it was; a trial and its job are written in one transaction. One
// thread; `store`, `writer` and what the hooks touch outlive it.
class Driver {
 public:
  Driver(DriverHooks hooks, const store::JobStore& store, store::Writer& writer);
  // As Stop.
  ~Driver();
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  void Start();
  // A sweep was made, or a job has ended. Any thread.
  void Wake();
  // Ends the thread. Answers of the hooks may still come, until the object is gone.
  void Stop();

  // One look at every sweep that has not ended; of the thread, or of a test without one. Whether
  // there is one.
  bool Tick(absl::Time now);

 private:
  struct Key {
    std::string sweep_id;
    int trial;
    auto operator<=>(const Key&) const = default;
  };

  void Loop();
  absl::Status Advance(const std::string& id, absl::Time now);
  // What the jobs of running trials came to: the trials as they are then, by number.
  absl::StatusOr<std::map<int, v1::Trial>> Results(const v1::Sweep& sweep) const;
  // As TakeResult, with the verdicts of the job's log.
  absl::Status TakeFromJob(const v1::SweepSpec& spec, const jobs::Job& job, v1::Trial& trial) const;
  void Begin(const std::string& id, const v1::Sweep& sweep, int number);
  void Answered(const Key& key, const std::string& went_on_from, const absl::Status& status);
  absl::Status CancelJobs(const v1::Sweep& sweep, absl::Time now);

  const DriverHooks hooks_;
  const store::JobStore& store_;
  store::Writer& writer_;
  std::set<std::string> cancelled_;  // jobs; only the thread's
  std::mutex mutex_;
  std::condition_variable wake_;
  bool woken_ = false;  // guarded by mutex_, as all below
  bool stopping_ = false;
  std::set<Key> submitting_;            // their answer has not come
  std::map<Key, absl::Time> again_at_;  // could not be submitted just now
  std::map<Key, std::string> refused_;  // will never be, and why
  std::set<Key> from_start_;            // the checkpoints they would go on from are gone
  std::thread thread_;
};

}  // namespace hone::server::sweeps
