#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "server/jobs/field_errors.h"
#include "server/jobs/job.h"
#include "server/jobs/reason.h"
#include "server/rpc/admission.h"
#include "server/rpc/calls.h"
#include "server/store/dataset_store.h"

namespace hone::server::rpc {
namespace {

absl::StatusOr<std::optional<store::Dataset>> FindDataset(const jobs::Job& old, const Deps& deps) {
  absl::StatusOr<store::Dataset> found =
      deps.store.datasets().Get(old.project, old.spec.data().dataset());
  if (absl::IsNotFound(found.status())) {
    return std::nullopt;
  }
  HONE_RETURN_IF_ERROR(found.status());
  return *std::move(found);
}

// A checkpoint holds a place in the order of its data set's examples: it fits no other bytes.
absl::Status CheckDataset(const jobs::Job& old, const std::optional<store::Dataset>& now,
                          bool from_start) {
  const std::string name = datasets::DatasetName(old.spec.data().dataset());
  if (!old.dataset_sha256.empty() && !now.has_value()) {
    return jobs::WithReason(
        absl::FailedPreconditionError(absl::StrCat(name, ", from which ", jobs::JobName(old.id),
                                                   " learned, was deleted; upload it again")),
        jobs::reason::kDatasetChanged);
  }
  const std::string sha256 = now.has_value() ? now->bytes.sha256 : "";
  if (sha256 != old.dataset_sha256 && !from_start) {
    return jobs::WithReason(
        absl::FailedPreconditionError(
            absl::StrCat(name, " has other bytes now than those from which ", jobs::JobName(old.id),
                         " learned, so its checkpoints do not fit; `from_start` starts over with "
                         "those that are there now")),
        jobs::reason::kDatasetChanged);
  }
  return absl::OkStatus();
}

// The same field and reason as where a new job asks for so many. It is the server that has changed
// since, so the code is another.
absl::Status TooManyThreads(const std::string& name, int asked, int threads) {
  jobs::FieldErrors errors;
  errors.CheckInt("training.threads", asked, 0, threads);
  absl::Status refused = absl::FailedPreconditionError(
      absl::StrCat(name, " asks for ", asked, " threads, this server has ", threads,
                   "; submit it again with a smaller training.threads"));
  errors.ToStatus().ForEachPayload([&refused](absl::string_view url, const absl::Cord& payload) {
    refused.SetPayload(url, payload);
  });
  return refused;
}

absl::StatusOr<Candidate> Prepare(const v1::RetryJobRequest& request, store::NewJob job,
                                  const std::string& old_id, const Deps& deps) {
  HONE_ASSIGN_OR_RETURN(const jobs::Job old, deps.store.Get(old_id));
  if (old.project != job.project) {
    return jobs::JobNotFound(old_id);
  }
  if (old.state != jobs::JobState::kFailed && old.state != jobs::JobState::kCancelled) {
    return jobs::WithReason(
        absl::FailedPreconditionError(
            absl::StrCat(request.name(), " is ", jobs::StateName(old.state),
                         "; only a job that has failed or was cancelled can be tried again")),
        jobs::reason::kJobState);
  }
  HONE_ASSIGN_OR_RETURN(const bool removed, deps.directory.CheckpointsWereRemoved(old_id));
  if (!request.from_start() && (removed || old.checkpoints_removed)) {
    return jobs::WithReason(
        absl::FailedPreconditionError(
            absl::StrCat("the checkpoints of ", request.name(),
                         ", with which it would begin, were removed; `from_start` starts over")),
        jobs::reason::kCheckpointsGone);
  }
  if (jobs::ThreadsOf(old.spec) > deps.config.threads) {
    return TooManyThreads(request.name(), jobs::ThreadsOf(old.spec), deps.config.threads);
  }
  HONE_RETURN_IF_ERROR(CheckRoom(job.project, deps));
  HONE_ASSIGN_OR_RETURN(const std::optional<store::Dataset> dataset, FindDataset(old, deps));
  HONE_RETURN_IF_ERROR(CheckDataset(old, dataset, request.from_start()));
  job.spec = old.spec;
  job.threads = std::min(old.threads, deps.config.threads);
  job.resolved = old.resolved;
  Candidate candidate{.job = std::move(job)};
  HONE_RETURN_IF_ERROR(FindModels(deps, candidate));
  HONE_ASSIGN_OR_RETURN(candidate.dataset_path,
                        deps.datasets.PathOf(old.project, old.spec.data().dataset()));
  return candidate;
}

}  // namespace

void RetryJob(const v1::RetryJobRequest& request, const access::Caller& caller, Deps& deps,
              Done<v1::Job> done) {
  const absl::StatusOr<std::string> id = jobs::JobId(request.name());
  if (!id.ok()) {
    return done(id.status());
  }
  if (const absl::Status status = CheckRequestId(request.request_id()); !status.ok()) {
    return done(status);
  }
  store::NewJob job{.id = jobs::NewId(),
                    .project = caller.project,
                    .created_by = caller.name,
                    .request_id = request.request_id(),
                    .retry_of = request.from_start() ? "" : *id,
                    .request = absl::StrCat(request.from_start() ? "restart " : "retry ", *id),
                    .traceparent = caller.traceparent};
  if (!request.request_id().empty()) {
    const auto known = deps.store.FindRequest(caller.project, request.request_id());
    if (!known.ok()) {
      return done(known.status());
    }
    if (known->has_value()) {
      // Also where the old one, whose spec it has, is no more.
      return done(AnswerKnown(**known, job, (*known)->spec));
    }
  }
  absl::StatusOr<Candidate> candidate = Prepare(request, std::move(job), *id, deps);
  if (!candidate.ok()) {
    return done(candidate.status());
  }
  Admit(*std::move(candidate), deps, std::move(done));
}

}  // namespace hone::server::rpc
