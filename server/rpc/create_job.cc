#include <string>
#include <utility>

#include "engine/base/cpu.h"
#include "engine/base/status.h"
#include "server/jobs/resolve.h"
#include "server/jobs/validate.h"
#include "server/rpc/admission.h"
#include "server/rpc/calls.h"

namespace hone::server::rpc {
namespace {

absl::Status Check(const v1::CreateJobRequest& request, const std::string& project,
                   const Deps& deps) {
  HONE_RETURN_IF_ERROR(
      jobs::Validate(request.spec(), {.max_threads = deps.config.threads, .bf16 = HasBf16()}));
  return request.validate_only() ? absl::OkStatus() : CheckRoom(project, deps);
}

}  // namespace

void CreateJob(const v1::CreateJobRequest& request, const access::Caller& caller, Deps& deps,
               Done<v1::Job> done) {
  if (const absl::Status status = CheckRequestId(request.request_id()); !status.ok()) {
    return done(status);
  }
  store::NewJob job{.id = jobs::NewId(),
                    .project = caller.project,
                    .created_by = caller.name,
                    .spec = request.spec(),
                    .threads = jobs::ThreadsOf(request.spec()),
                    .request_id = request.request_id(),
                    .request = "create"};
  if (!request.validate_only() && !request.request_id().empty()) {
    const auto known = deps.store.FindRequest(caller.project, request.request_id());
    if (!known.ok()) {
      return done(known.status());
    }
    if (known->has_value()) {
      return done(AnswerKnown(**known, job, request.spec()));
    }
  }
  if (const absl::Status status = Check(request, caller.project, deps); !status.ok()) {
    return done(status);
  }
  if (job.threads == 0) {
    job.threads = DefaultThreads(caller.project, deps);
  }
  job.resolved = jobs::Resolve(job.spec);
  const absl::StatusOr<std::string> path =
      deps.datasets.PathOf(caller.project, job.spec.data().dataset());
  if (!path.ok()) {
    return done(path.status());
  }
  Candidate candidate{
      .job = std::move(job), .dataset_path = *path, .validate_only = request.validate_only()};
  if (const absl::Status status = FindModels(deps, candidate); !status.ok()) {
    return done(status);
  }
  Admit(std::move(candidate), deps, std::move(done));
}

}  // namespace hone::server::rpc
