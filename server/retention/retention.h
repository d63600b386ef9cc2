#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/artifacts/data_directory.h"
#include "server/removal/remover.h"
#include "server/store/writer.h"

namespace hone::server::retention {

// How long things are kept, and how much of them. 0 and infinite: no limit. The oldest go first.
struct Limits {
  absl::Duration jobs = absl::InfiniteDuration();  // after their end, with their history
  int64_t jobs_at_most = 0;                        // that have ended
  int64_t store_bytes = 0;                         // of the store; its history makes up most of it
  absl::Duration checkpoints = absl::Hours(24 * 7);  // of jobs that have ended, after their end
  absl::Duration models = absl::InfiniteDuration();
  int64_t models_of_a_name = 0;                        // with one display name
  int64_t best_models_of_a_name = 0;                   // beside those, by their test metrics
  int64_t model_bytes = 0;                             // of all models together
  absl::Duration datasets = absl::InfiniteDuration();  // after the last job that needed them
  absl::Duration audit = absl::Hours(24 * 365);        // entries of the audit log
  int64_t audit_at_most = 100'000;
};

// What has to happen elsewhere when something is removed.
struct Hooks {
  std::function<void(const std::string& model_id)> model_removed = [](const std::string&) {};
  std::function<void()> datasets_removed = [] {};  // their rows are gone, their files not yet
};

// Removes what the limits do not keep, once a minute on a thread of its own: nobody waits for it.
// By their ages only while the clock is to be believed (clock.h). What a job that has not ended
// needs stays, and pinned models stay. The arguments of the constructor outlive this.
class Retention {
 public:
  Retention(const Limits& limits, const Hooks& hooks, const store::JobStore& store,
            store::Writer& writer, const artifacts::DataDirectory& directory,
            removal::Remover& remover);
  ~Retention();
  Retention(const Retention&) = delete;
  Retention& operator=(const Retention&) = delete;

  void Start();
  // One round, now. What failed is logged and tried in the next one. No time: nothing goes by its
  // age.
  void Sweep(std::optional<absl::Time> now);

 private:
  void Loop();
  bool Stopping();
  // The events of deleted jobs, slice by slice.
  absl::Status RemoveGarbage();
  absl::Status SweepJobs(std::optional<absl::Time> now);
  absl::Status SweepCheckpoints(std::optional<absl::Time> now);
  absl::Status RemoveCheckpoints(const std::string& job_id, artifacts::CheckpointFiles files);
  absl::Status SweepModels(std::optional<absl::Time> now);
  absl::Status SweepDatasets(std::optional<absl::Time> now);
  absl::Status SweepAudit(std::optional<absl::Time> now);

  const Limits limits_;
  const Hooks hooks_;
  const store::JobStore& store_;
  store::Writer& writer_;
  const artifacts::DataDirectory& directory_;
  removal::Remover& remover_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace hone::server::retention
