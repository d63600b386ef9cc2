#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/status.h"
#include "server/store/job_store.h"

namespace hone::server {

// Another store, whose writes on the scheduler's behalf fail when the test says so; the others, and
// what is read, go through. The other store outlives this. Fail and failures from any thread.
class FailingStore final : public store::JobStore {
 public:
  explicit FailingStore(store::JobStore& store) : store_(store) {}

  static constexpr char kWhy[] = "the test fails this write";

  void Fail(bool fail) { fail_ = fail; }
  // From the next job on that is claimed.
  void FailAfterClaim() { fail_after_claim_ = true; }
  // Once.
  void FailAddModel() { fail_add_model_ = true; }
  // Writes that have failed.
  int failures() const { return failures_; }

  absl::StatusOr<std::vector<store::LoggedEvent>> Commit(
      absl::FunctionRef<void()> writes) override {
    return store_.Commit(writes);
  }
  absl::StatusOr<std::optional<jobs::Job>> Claim(int threads, absl::Time now) override {
    HONE_RETURN_IF_ERROR(Try());
    auto claimed = store_.Claim(threads, now);
    if (claimed.ok() && claimed->has_value() && fail_after_claim_.exchange(false)) {
      fail_ = true;
    }
    return claimed;
  }
  absl::StatusOr<std::optional<jobs::Job>> Next(absl::Time now) override {
    return store_.Next(now);
  }
  absl::Status Hold(const std::string& id, const std::string& reason, absl::Time now) override {
    return store_.Hold(id, reason, now);
  }
  absl::StatusOr<std::string> TraceparentOf(const std::string& id) override {
    return store_.TraceparentOf(id);
  }
  absl::Status SetThreads(const std::string& id, int threads) override {
    return store_.SetThreads(id, threads);
  }
  absl::Status Append(const std::string& id, int attempt, const store::Report& report,
                      absl::Time now) override {
    HONE_RETURN_IF_ERROR(Try());
    return store_.Append(id, attempt, report, now);
  }
  absl::Status Finish(const std::string& id, int attempt, const store::Ending& ending,
                      absl::Time now) override {
    HONE_RETURN_IF_ERROR(Try());
    return store_.Finish(id, attempt, ending, now);
  }
  absl::Status Requeue(const std::string& id, int attempt, const store::Requeueing& how,
                       absl::Time now) override {
    HONE_RETURN_IF_ERROR(Try());
    return store_.Requeue(id, attempt, how, now);
  }
  absl::StatusOr<int> FailOverdue(absl::Time now) override {
    HONE_RETURN_IF_ERROR(Try());
    return store_.FailOverdue(now);
  }

  absl::StatusOr<jobs::Job> Insert(const store::NewJob& job, absl::Time now) override {
    return store_.Insert(job, now);
  }
  absl::StatusOr<jobs::Job> RequestCancel(const std::string& id, absl::Time now) override {
    return store_.RequestCancel(id, now);
  }
  absl::StatusOr<jobs::Job> RequestPause(const std::string& id, absl::Time now) override {
    return store_.RequestPause(id, now);
  }
  absl::StatusOr<jobs::Job> Resume(const std::string& id, absl::Time now) override {
    return store_.Resume(id, now);
  }
  absl::Status ForgetCheckpoints(const std::string& id) override {
    return store_.ForgetCheckpoints(id);
  }
  absl::Status DraftModel(const std::string& id) override {
    HONE_RETURN_IF_ERROR(Try());
    return store_.DraftModel(id);
  }
  absl::Status AddModel(const v1::Model& model) override {
    if (fail_add_model_.exchange(false)) {
      return absl::UnavailableError(kWhy);
    }
    return store_.AddModel(model);
  }
  absl::Status FolderIsRemoved(const store::Folder& folder) override {
    return store_.FolderIsRemoved(folder);
  }
  absl::StatusOr<std::vector<store::Folder>> FoldersToRemove(store::Folder::Kind kind,
                                                             int limit) const override {
    return store_.FoldersToRemove(kind, limit);
  }
  absl::Status Delete(const std::string& id) override { return store_.Delete(id); }
  absl::StatusOr<std::vector<std::string>> DeleteEnded(const store::KeepJobs& keep,
                                                       int limit) override {
    return store_.DeleteEnded(keep, limit);
  }
  absl::Status DeleteModel(const std::string& id) override { return store_.DeleteModel(id); }
  absl::StatusOr<std::vector<std::string>> DeleteModels(const store::KeepModels& keep,
                                                        int limit) override {
    return store_.DeleteModels(keep, limit);
  }
  absl::StatusOr<jobs::Job> UpdateJob(const std::string& id,
                                      const store::JobUpdate& update) override {
    return store_.UpdateJob(id, update);
  }
  absl::StatusOr<v1::Model> UpdateModel(const std::string& id,
                                        const store::ModelUpdate& update) override {
    return store_.UpdateModel(id, update);
  }
  absl::StatusOr<int> RemoveGarbage(int events) override { return store_.RemoveGarbage(events); }
  absl::StatusOr<int> Recover(absl::Time now) override { return store_.Recover(now); }
  absl::Status RenewLeases(absl::Time now) override { return store_.RenewLeases(now); }

  absl::StatusOr<jobs::Job> Get(const std::string& id) const override { return store_.Get(id); }
  absl::StatusOr<std::string> ProjectOfJob(const std::string& id) const override {
    return store_.ProjectOfJob(id);
  }
  absl::StatusOr<std::string> ProjectOfModel(const std::string& id) const override {
    return store_.ProjectOfModel(id);
  }
  absl::StatusOr<std::optional<jobs::Job>> FindRequest(
      const std::string& project, const std::string& request_id) const override {
    return store_.FindRequest(project, request_id);
  }
  absl::StatusOr<store::Page<jobs::Job>> List(const store::ListJobs& what) const override {
    return store_.List(what);
  }
  absl::StatusOr<std::vector<v1::Event>> ReadEvents(const std::string& id, int64_t after, int limit,
                                                    int64_t max_bytes) const override {
    return store_.ReadEvents(id, after, limit, max_bytes);
  }
  absl::StatusOr<std::vector<store::JobCount>> Count() const override { return store_.Count(); }
  absl::StatusOr<std::optional<absl::Time>> OldestQueued() const override {
    return store_.OldestQueued();
  }
  absl::StatusOr<bool> HasUnfinishedRetry(const std::string& id) const override {
    return store_.HasUnfinishedRetry(id);
  }
  absl::StatusOr<int64_t> CountQueued() const override { return store_.CountQueued(); }
  absl::StatusOr<v1::Model> GetModel(const std::string& id) const override {
    return store_.GetModel(id);
  }
  absl::StatusOr<store::Page<v1::Model>> ListModels(
      const struct store::ListModels& what) const override {
    return store_.ListModels(what);
  }
  absl::StatusOr<std::vector<std::string>> FindDamage() const override {
    return store_.FindDamage();
  }
  const std::string& generation() const override { return store_.generation(); }
  store::DatasetStore& datasets() override { return store_.datasets(); }
  const store::DatasetStore& datasets() const override { return store_.datasets(); }
  store::SweepStore& sweeps() override { return store_.sweeps(); }
  const store::SweepStore& sweeps() const override { return store_.sweeps(); }
  store::ProjectStore& projects() override { return store_.projects(); }
  const store::ProjectStore& projects() const override { return store_.projects(); }
  store::TokenStore& tokens() override { return store_.tokens(); }
  const store::TokenStore& tokens() const override { return store_.tokens(); }

 private:
  absl::Status Try() {
    if (!fail_) {
      return absl::OkStatus();
    }
    ++failures_;
    return absl::UnavailableError(kWhy);
  }

  store::JobStore& store_;
  std::atomic<bool> fail_ = false;
  std::atomic<bool> fail_after_claim_ = false;
  std::atomic<bool> fail_add_model_ = false;
  std::atomic<int> failures_ = 0;
};

}  // namespace hone::server
