#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "hone/v1/event.pb.h"
#include "hone/v1/model_service.pb.h"
#include "server/jobs/job.h"

namespace hone::server::store {

// An event of a job's log, as it was committed.
struct LoggedEvent {
  std::string job_id;
  std::string task;
  std::shared_ptr<const v1::Event> event;
};

struct NewJob {
  std::string id = "";
  std::string project = jobs::kDefaultProject;
  std::string created_by = "";  // as in jobs::Job
  v1::JobSpec spec = {};        // as it was sent
  v1::JobSpec resolved = {};    // jobs::Resolve of it; empty: Insert does that
  v1::Plan plan = {};
  int threads = 1;
  std::string request_id = "";   // "": not idempotent
  std::string retry_of = "";     // id of the job whose checkpoints it begins with
  std::string request = "";      // what the request_id was sent with, beside the spec
  std::string traceparent = "";  // of the call that makes it (engine/base/traceparent.h)
};

// What a worker told since the last time: events without sequence, and the job's row brought up to
// date with them.
struct Report {
  std::vector<v1::Event> events = {};
  v1::JobProgress progress = {};
  v1::Metrics latest = {};
};

// How an attempt ended.
struct Ending {
  jobs::JobState state = jobs::JobState::kFailed;  // an end, or kPaused
  v1::Job::EndReason reason = v1::Job::INTERNAL;
  std::string message = "";
  v1::Evaluation evaluation = {};
  std::optional<v1::Model> model =
      {};  // published, stored together with the end; its id is the name's
};

struct Requeueing {
  std::string message = "";
  bool charged = false;       // counts as a failure
  bool retry = false;         // counts as a retry that costs nothing
  bool checkpointed = false;  // this attempt wrote a checkpoint: what was before it is forgiven
  absl::Duration delay = absl::ZeroDuration();  // not claimed before
  bool held = false;                            // as by JobStore::Hold, for the same message
};

// A job may be what takes the server down with it. After so many recoveries since its newest
// checkpoint it is to run alone, so that no other is suspected with it; after so many it ends as
// POISON.
inline constexpr int kRecoveriesBeforeAlone = 3;
inline constexpr int kMaxRecoveries = 20;

// How long a claim holds that nobody renews.
inline constexpr absl::Duration kLease = absl::Minutes(2);

struct ListJobs {
  // "": of all, without states, task and labels, and without places in the queue. For those who
  // look after the whole store; a client has a project.
  std::string project = jobs::kDefaultProject;
  std::vector<jobs::JobState> states = {};  // empty: all
  std::string task = "";                    // "": all
  // "key=value", none twice: jobs with all of these. INVALID_ARGUMENT: more than kMostLabels.
  static constexpr size_t kMostLabels = 16;
  std::vector<std::string> labels = {};
  bool oldest_first = false;
  int limit = 50;
  int64_t max_bytes = int64_t{2} << 20;  // of a page's jobs; one is always there
  int64_t from_row = 0;                  // rows behind this one; 0: from the first
};

struct ListModels {
  std::string project = jobs::kDefaultProject;  // "": of all, as in ListJobs
  std::string display_name = "";                // "": all
  std::string task = "";                        // "": all
  std::string job_id = "";                      // "": all
  std::optional<bool> pinned = {};              // no value: all
  int limit = 50;
  int64_t before_row = 0;  // rows behind this one; 0: from the newest
};

// Fields without a value stay as they are.
struct JobUpdate {
  std::optional<std::string> display_name = {};
  std::optional<std::map<std::string, std::string>> labels = {};
  std::optional<int> priority = {};
};

struct ModelUpdate {
  std::optional<std::string> display_name = {};
  std::optional<bool> pinned = {};
};

template <typename T>
struct Page {
  std::vector<T> items;
  int64_t next_row = 0;  // 0: no more
};

struct JobCount {
  jobs::JobState state;
  std::string task;
  int64_t jobs = 0;
};

// What is kept of the jobs that have ended. 0: no limit.
struct KeepJobs {
  absl::Time ended_since = absl::InfinitePast();
  int64_t at_most = 0;  // the newest
  int64_t bytes = 0;    // of the whole store, the events of all jobs for the most part
};

// What is kept of the models. 0: no limit.
struct KeepModels {
  absl::Time made_since = absl::InfinitePast();
  int64_t of_a_name = 0;  // the newest with one display name
  int64_t best = 0;       // of a name: not removed for `of_a_name`, by their test metrics
  int64_t bytes = 0;      // of all of them
};

// OK: the request that made `known` had this spec and this NewJob::request. ALREADY_EXISTS.
absl::Status CheckSameRequest(const jobs::Job& known, const std::string& request_id,
                              const v1::JobSpec& spec, const std::string& request);

// A folder of the data directory that is to be removed: the run of a job that was forgotten, a
// model that was forgotten, a model that is about to be published and whose job has not ended yet.
struct Folder {
  enum class Kind { kRun, kModel, kDraft };
  Kind kind = Kind::kRun;
  std::string id;  // of the job or the model
};

class DatasetStore;
class ProjectStore;
class SweepStore;
class TokenStore;

// The truth about jobs, their events and models. Every change of a job's state is one guarded
// statement: it names the state and the attempt that it expects, and a change that
// jobs::kTransitions does not list is refused. The event about a change is written in the same
// transaction.
//
// Threads: the functions that write are called by one thread at a time; the const ones by any.
// Errors of all: NOT_FOUND (no such job or model), FAILED_PRECONDITION (not in a state for that;
// the message names the present one), ABORTED (an older attempt, or somebody was faster),
// RESOURCE_EXHAUSTED (no space), DATA_LOSS, UNAVAILABLE.
class JobStore {
 public:
  virtual ~JobStore() = default;

  // Runs `writes`, which calls the writing functions below, each of them whole or not at all, and
  // makes all of it durable at once. Returns the events that were logged, in order. When it fails
  // nothing of it has happened, whatever the single calls returned. A writing function called
  // outside commits by itself.
  virtual absl::StatusOr<std::vector<LoggedEvent>> Commit(absl::FunctionRef<void()> writes) = 0;

  // A queued job; for a request_id that is known in its project, the job that it made
  // (ALREADY_EXISTS if the spec or `request` differs). NOT_FOUND: the model or the job that it
  // begins with is no more, or of another project; FAILED_PRECONDITION: the job's checkpoints were
  // removed; RESOURCE_EXHAUSTED also: it is beyond its project's shares.
  virtual absl::StatusOr<jobs::Job> Insert(const NewJob& job, absl::Time now) = 0;
  // The job of the queue whose turn it is (fair_queue.h), of those whose time has come, that are
  // not held and that their project's shares let run now.
  virtual absl::StatusOr<std::optional<jobs::Job>> Next(absl::Time now) = 0;
  // Lets those behind a job of the queue pass it: it is not claimed until the next Recover, or
  // until it has been paused and resumed. `reason` becomes its message.
  virtual absl::Status Hold(const std::string& id, const std::string& reason, absl::Time now) = 0;
  // A job of the queue asks for so many threads from now on.
  virtual absl::Status SetThreads(const std::string& id, int threads) = 0;
  // NewJob's, for its workers and the log; "": it has none.
  virtual absl::StatusOr<std::string> TraceparentOf(const std::string& id) = 0;
  // QUEUED → RUNNING with attempt + 1 for the job that Next gives, if it asks for at most
  // `threads`: where it waits for them, no other job is claimed.
  virtual absl::StatusOr<std::optional<jobs::Job>> Claim(int threads, absl::Time now) = 0;
  // Appends to the log of a job that runs under this attempt; ABORTED otherwise.
  virtual absl::Status Append(const std::string& id, int attempt, const Report& report,
                              absl::Time now) = 0;
  // A wish that came meanwhile counts: what was to be PAUSED and is CANCELLING ends as that.
  virtual absl::Status Finish(const std::string& id, int attempt, const Ending& ending,
                              absl::Time now) = 0;
  // RUNNING → QUEUED; CANCELLING → CANCELLED and PAUSING → PAUSED, as the user wished meanwhile.
  virtual absl::Status Requeue(const std::string& id, int attempt, const Requeueing& how,
                               absl::Time now) = 0;
  // QUEUED or PAUSED → CANCELLED; RUNNING or PAUSING → CANCELLING; CANCELLING stays.
  virtual absl::StatusOr<jobs::Job> RequestCancel(const std::string& id, absl::Time now) = 0;
  // QUEUED → PAUSED; RUNNING → PAUSING; PAUSING and PAUSED stay.
  virtual absl::StatusOr<jobs::Job> RequestPause(const std::string& id, absl::Time now) = 0;
  // PAUSED → QUEUED; QUEUED stays.
  virtual absl::StatusOr<jobs::Job> Resume(const std::string& id, absl::Time now) = 0;
  // The checkpoints of a job that has ended are about to be removed: no job begins with them from
  // now on. FAILED_PRECONDITION also: a job that has not ended goes on from them.
  virtual absl::Status ForgetCheckpoints(const std::string& id) = 0;
  // A model's folder is about to be made: it is to be removed, unless Finish stores the model.
  virtual absl::Status DraftModel(const std::string& id) = 0;
  // A model that no job made, of the project that it names (none: the default one), in a folder
  // that was drafted, under the id of its name. RESOURCE_EXHAUSTED also: there are too many
  // projects.
  virtual absl::Status AddModel(const v1::Model& model) = 0;
  // The folder is gone.
  virtual absl::Status FolderIsRemoved(const Folder& folder) = 0;
  // Forgets a job that has ended or is paused; its events go later, by RemoveGarbage, and its run's
  // folder is to be removed.
  // FAILED_PRECONDITION also: a job that has not ended goes on from its checkpoints.
  virtual absl::Status Delete(const std::string& id) = 0;
  // Delete for up to `limit` jobs that have ended, are not to be kept and may be deleted, the
  // oldest first; their ids. For KeepJobs::bytes one, and none until RemoveGarbage has nothing left
  // to do: only then it shows what that one took.
  virtual absl::StatusOr<std::vector<std::string>> DeleteEnded(const KeepJobs& keep, int limit) = 0;
  // Forgets a model, whose folder is to be removed; its job stays, without it. FAILED_PRECONDITION:
  // a job that has not ended begins with it.
  virtual absl::Status DeleteModel(const std::string& id) = 0;
  // DeleteModel for up to `limit` models that are neither to be kept nor pinned, the oldest first;
  // their ids.
  virtual absl::StatusOr<std::vector<std::string>> DeleteModels(const KeepModels& keep,
                                                                int limit) = 0;
  // FAILED_PRECONDITION: a new priority for a job that has ended.
  virtual absl::StatusOr<jobs::Job> UpdateJob(const std::string& id, const JobUpdate& update) = 0;
  virtual absl::StatusOr<v1::Model> UpdateModel(const std::string& id,
                                                const ModelUpdate& update) = 0;
  // Removes up to `events` events of deleted jobs; how many there were.
  virtual absl::StatusOr<int> RemoveGarbage(int events) = 0;
  // QUEUED or PAUSED → FAILED (DEADLINE) for jobs whose deadline has passed, a bounded number; how
  // many.
  virtual absl::StatusOr<int> FailOverdue(absl::Time now) = 0;
  // At start: what this server ran when it ended, and what others claimed and have not renewed for
  // kLease, goes back into the queue, or to its end when that was asked for or it is the last of
  // kMaxRecoveries; how many jobs. No job is held any more.
  virtual absl::StatusOr<int> Recover(absl::Time now) = 0;
  // Keeps this server's claims for kLease from now.
  virtual absl::Status RenewLeases(absl::Time now) = 0;

  virtual absl::StatusOr<jobs::Job> Get(const std::string& id) const = 0;
  // Whose it is; NOT_FOUND as Get and GetModel.
  virtual absl::StatusOr<std::string> ProjectOfJob(const std::string& id) const = 0;
  virtual absl::StatusOr<std::string> ProjectOfModel(const std::string& id) const = 0;
  // The job that a request of the project made, if any.
  virtual absl::StatusOr<std::optional<jobs::Job>> FindRequest(
      const std::string& project, const std::string& request_id) const = 0;
  // A job that has not ended goes on from this one's checkpoints.
  virtual absl::StatusOr<bool> HasUnfinishedRetry(const std::string& id) const = 0;
  // Without layer tables and confusion matrices.
  virtual absl::StatusOr<Page<jobs::Job>> List(const ListJobs& what) const = 0;
  // Events with a sequence above `after`, at most `limit` and, beside the first one, `max_bytes` as
  // they are sent; in order.
  virtual absl::StatusOr<std::vector<v1::Event>> ReadEvents(const std::string& id, int64_t after,
                                                            int limit, int64_t max_bytes) const = 0;
  virtual absl::StatusOr<std::vector<JobCount>> Count() const = 0;
  virtual absl::StatusOr<int64_t> CountQueued() const = 0;
  // When the oldest of the jobs that are queued was made; none: the queue is empty.
  virtual absl::StatusOr<std::optional<absl::Time>> OldestQueued() const = 0;
  // Up to `limit` (-1: all) folders that are to be removed.
  virtual absl::StatusOr<std::vector<Folder>> FoldersToRemove(Folder::Kind kind,
                                                              int limit) const = 0;
  virtual absl::StatusOr<v1::Model> GetModel(const std::string& id) const = 0;
  // Without plans and confusion matrices; at most 2 MiB, but one at least.
  virtual absl::StatusOr<Page<v1::Model>> ListModels(const struct ListModels& what) const = 0;
  // Reads everything, the history too; what is not as it should be, in words.
  virtual absl::StatusOr<std::vector<std::string>> FindDamage() const = 0;
  // Told apart from every other log: part of resume tokens.
  virtual const std::string& generation() const = 0;
  // Data sets, in the same transactions. Lives as long as this.
  virtual DatasetStore& datasets() = 0;
  virtual const DatasetStore& datasets() const = 0;
  // Sweeps, the same.
  virtual SweepStore& sweeps() = 0;
  virtual const SweepStore& sweeps() const = 0;
  virtual ProjectStore& projects() = 0;
  virtual const ProjectStore& projects() const = 0;
  virtual TokenStore& tokens() = 0;
  virtual const TokenStore& tokens() const = 0;
};

}  // namespace hone::server::store
