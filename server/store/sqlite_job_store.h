#pragma once

#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/store/dataset_store.h"
#include "server/store/fair_queue.h"
#include "server/store/job_store.h"
#include "server/store/project_store.h"
#include "server/store/reader_pool.h"
#include "server/store/sqlite.h"
#include "server/store/sqlite_lists.h"
#include "server/store/sqlite_reader.h"
#include "server/store/sqlite_rows.h"
#include "server/store/sweep_store.h"
#include "server/store/token_store.h"

namespace hone::server::store {

// A change of state: what must be true before, and what is true after. Fields without a value stay
// as they are.
struct Change {
  jobs::JobState from = jobs::JobState::kQueued;
  int attempt = 0;
  jobs::JobState to = jobs::JobState::kQueued;
  int add_attempt = 0;
  v1::Job::EndReason reason = v1::Job::END_REASON_UNSPECIFIED;
  std::string message = "";
  bool held = false;
  std::optional<std::string> owner = {};
  std::optional<int> failures = {};
  std::optional<int> retries = {};
  std::optional<int> recoveries = {};
  std::optional<absl::Time> not_before = {};
  std::optional<absl::Time> lease = {};
  std::optional<absl::Time> start_time = {};
  std::optional<std::string> evaluation = {};
  std::optional<std::string> model_id = {};
};

// What the user wished of a job that runs decides where it goes when its worker is gone.
void FollowWish(jobs::JobState state, Change& change);

// The store of OpenSqliteStore. Its functions stand in six files: opening and committing in
// sqlite_store.cc, the life of jobs in sqlite_jobs.cc, the queue and claims in sqlite_queue.cc,
// wishes and deadlines in sqlite_wishes.cc, what is removed in sqlite_removal.cc, names, labels and
// the like in sqlite_updates.cc.
class SqliteStore final : public JobStore {
 public:
  explicit SqliteStore(std::string owner) : owner_(std::move(owner)) {}
  absl::Status Open(const std::string& path);

  absl::StatusOr<std::vector<LoggedEvent>> Commit(absl::FunctionRef<void()> writes) override;
  absl::StatusOr<jobs::Job> Insert(const NewJob& job, absl::Time now) override;
  absl::StatusOr<std::optional<jobs::Job>> Next(absl::Time now) override;
  absl::Status Hold(const std::string& id, const std::string& reason, absl::Time now) override;
  absl::Status SetThreads(const std::string& id, int threads) override;
  absl::StatusOr<std::string> TraceparentOf(const std::string& id) override;
  absl::StatusOr<std::optional<jobs::Job>> Claim(int threads, absl::Time now) override;
  absl::Status Append(const std::string& id, int attempt, const Report& report,
                      absl::Time now) override;
  absl::Status Finish(const std::string& id, int attempt, const Ending& ending,
                      absl::Time now) override;
  absl::Status Requeue(const std::string& id, int attempt, const Requeueing& how,
                       absl::Time now) override;
  absl::StatusOr<jobs::Job> RequestCancel(const std::string& id, absl::Time now) override;
  absl::StatusOr<jobs::Job> RequestPause(const std::string& id, absl::Time now) override;
  absl::StatusOr<jobs::Job> Resume(const std::string& id, absl::Time now) override;
  absl::Status ForgetCheckpoints(const std::string& id) override;
  absl::Status DraftModel(const std::string& id) override;
  absl::Status AddModel(const v1::Model& model) override;
  absl::Status FolderIsRemoved(const Folder& folder) override;
  absl::Status Delete(const std::string& id) override;
  absl::StatusOr<std::vector<std::string>> DeleteEnded(const KeepJobs& keep, int limit) override;
  absl::Status DeleteModel(const std::string& id) override;
  absl::StatusOr<std::vector<std::string>> DeleteModels(const KeepModels& keep, int limit) override;
  absl::StatusOr<jobs::Job> UpdateJob(const std::string& id, const JobUpdate& update) override;
  absl::StatusOr<v1::Model> UpdateModel(const std::string& id, const ModelUpdate& update) override;
  absl::StatusOr<int> RemoveGarbage(int events) override;
  absl::StatusOr<int> FailOverdue(absl::Time now) override;
  absl::StatusOr<int> Recover(absl::Time now) override;
  absl::Status RenewLeases(absl::Time now) override;

  absl::StatusOr<jobs::Job> Get(const std::string& id) const override {
    return readers_->Take()->Get(id);
  }
  absl::StatusOr<std::string> ProjectOfJob(const std::string& id) const override {
    return readers_->Take()->ProjectOfJob(id);
  }
  absl::StatusOr<std::string> ProjectOfModel(const std::string& id) const override {
    return readers_->Take()->ProjectOfModel(id);
  }
  absl::StatusOr<std::optional<jobs::Job>> FindRequest(
      const std::string& project, const std::string& request_id) const override {
    return readers_->Take()->FindRequest(project, request_id);
  }
  absl::StatusOr<bool> HasUnfinishedRetry(const std::string& id) const override {
    return readers_->Take()->HasUnfinishedRetry(id);
  }
  absl::StatusOr<Page<jobs::Job>> List(const ListJobs& what) const override {
    return lists_->Take()->List(what);
  }
  absl::StatusOr<std::vector<v1::Event>> ReadEvents(const std::string& id, int64_t after, int limit,
                                                    int64_t max_bytes) const override {
    return readers_->Take()->ReadEvents(id, after, limit, max_bytes);
  }
  absl::StatusOr<std::vector<JobCount>> Count() const override { return lists_->Take()->Count(); }
  absl::StatusOr<int64_t> CountQueued() const override { return readers_->Take()->CountQueued(); }
  absl::StatusOr<std::optional<absl::Time>> OldestQueued() const override {
    return readers_->Take()->OldestQueued();
  }
  absl::StatusOr<std::vector<Folder>> FoldersToRemove(Folder::Kind kind, int limit) const override {
    return readers_->Take()->FoldersToRemove(kind, limit);
  }
  absl::StatusOr<v1::Model> GetModel(const std::string& id) const override {
    return readers_->Take()->GetModel(id);
  }
  absl::StatusOr<Page<v1::Model>> ListModels(const struct ListModels& what) const override {
    return lists_->Take()->ListModels(what);
  }
  absl::StatusOr<std::vector<std::string>> FindDamage() const override {
    return lists_->Take()->FindDamage();
  }
  const std::string& generation() const override { return generation_; }
  DatasetStore& datasets() override { return *datasets_; }
  const DatasetStore& datasets() const override { return *datasets_; }
  SweepStore& sweeps() override { return *sweeps_; }
  const SweepStore& sweeps() const override { return *sweeps_; }
  ProjectStore& projects() override { return *projects_; }
  const ProjectStore& projects() const override { return *projects_; }
  TokenStore& tokens() override { return *tokens_; }
  const TokenStore& tokens() const override { return *tokens_; }

 private:
  void RefuseRestOfBrokenBatch();
  absl::Status Migrate();
  absl::Status CheckTables();
  absl::Status Prepare(std::initializer_list<std::pair<Statement*, std::string>> statements);
  absl::Status PrepareJobs();
  absl::Status PrepareQueue();
  absl::Status PrepareRemoval();
  absl::Status PrepareUpdates();
  static absl::StatusOr<std::vector<std::string>> Ids(Statement& statement);
  // A model's row, where its folder was a draft. Row and id of its job; 0 and "": none made it.
  absl::Status InsertModel(const v1::Model& model, const std::string& project, int64_t job_row,
                           const std::string& job_id, absl::Time now);
  // Runs `body`; where it fails, nothing of it stays.
  absl::Status Atomically(absl::FunctionRef<absl::Status()> body);
  absl::StatusOr<JobRow> Load(const std::string& id);
  absl::StatusOr<JobRow> LoadBy(Statement& statement);
  // The job whose turn it is, and of what its project's claim is made.
  struct NextJob {
    JobRow row;
    Contender project;
    double served = 0;  // TurnOf whoever was claimed last
  };
  absl::StatusOr<std::optional<NextJob>> LoadNext(absl::Time now);
  // All projects with jobs in the queue that are below their number of running jobs. What there is
  // of threads and bytes of memory: in their shares, and what the attempts that run leave of those.
  struct Waiting {
    Contender project;
    int64_t threads = 0, threads_left = 0;
    int64_t memory = 0, memory_left = 0;
  };
  absl::StatusOr<std::vector<Waiting>> LoadWaiting(absl::Time now, double& served);
  // What a new job begins with is there, and stays while the job needs it; the step of the
  // checkpoint that it begins with, 0: none.
  absl::StatusOr<int64_t> CheckOrigins(const NewJob& job);
  absl::Status CheckNobodyGoesOnFrom(const std::string& job_id);
  absl::Status ListForRemoval(const Folder& folder);
  absl::Status CheckNobodyBeginsWith(const std::string& model_id);
  // Loads the job, moves it from the state that it has to the one that `next` gives for that one
  // (the same: nothing happens), and returns what it is then. No next state: refused.
  absl::StatusOr<jobs::Job> Move(
      const std::string& id, absl::string_view wish, const std::string& message,
      absl::FunctionRef<std::optional<jobs::JobState>(jobs::JobState)> next, absl::Time now);
  // The one statement that changes a state, and the event that says so.
  absl::Status Apply(const JobRow& row, const Change& change, absl::Time now);
  absl::Status Log(const JobRow& row, v1::Event event, int64_t sequence, int attempt,
                   absl::Time now);

  const std::string owner_;
  Connection connection_;
  std::unique_ptr<ReaderPool<SqliteReader>> readers_;
  std::unique_ptr<ReaderPool<SqliteLists>> lists_;
  std::unique_ptr<DatasetStore> datasets_;
  std::unique_ptr<SweepStore> sweeps_;
  std::unique_ptr<ProjectStore> projects_;
  std::unique_ptr<TokenStore> tokens_;
  std::string generation_;
  std::vector<LoggedEvent> logged_;  // in the transaction that is open
  bool in_batch_ = false;            // Commit is at its writes
  bool broken_ = false;              // SQLite has rolled the batch back
  absl::Status why_broken_;
  // PrepareJobs.
  Statement insert_, label_;                   // a new job
  Statement set_trace_, load_trace_;           // of it
  Statement load_, load_request_, has_model_;  // what is there
  Statement change_, append_, event_, model_;  // what becomes of a job
  // PrepareQueue.
  Statement waiting_, running_, first_, serve_, charge_;  // whose turn it is
  Statement hold_, release_, set_threads_;
  Statement mine_, renew_;  // jobs that are claimed
  Statement overdue_;       // that are too late
  // PrepareRemoval.
  Statement retry_, beginner_, forget_checkpoints_;         // who needs a job, a model
  Statement delete_, delete_labels_, to_garbage_;           // a job
  Statement garbage_, delete_events_, clean_;               // its events, later
  Statement delete_model_, without_model_;                  // a model
  Statement list_for_removal_, removed_;                    // folders
  Statement ended_, excess_, bytes_;                        // jobs past the limits
  Statement old_models_, excess_models_, excess_but_best_;  // models past the limits
  Statement heavy_models_;                                  // the same, by their bytes
  // PrepareUpdates.
  Statement update_job_, load_model_, update_model_;
};

}  // namespace hone::server::store
