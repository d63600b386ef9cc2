#include <string>
#include <utility>

#include "engine/base/cpu.h"
#include "engine/base/status.h"
#include "server/jobs/resolve.h"
#include "server/jobs/validate.h"
#include "server/rpc/admission.h"
#include "server/rpc/calls.h"
#include "server/rpc/job_file.h"

namespace hone::server::rpc {
namespace {

absl::Status Check(const v1::CreateJobRequest& request, const std::string& project,
                   const Deps& deps) {
  HONE_RETURN_IF_ERROR(
      jobs::Validate(request.spec(), {.max_threads = deps.config.threads, .bf16 = HasBf16()}));
  return request.validate_only() ? absl::OkStatus() : CheckRoom(project, deps);
}

void CreateFromFile(const v1::CreateJobRequest& request, const access::Caller& caller, Deps& deps,
                    const Done<v1::Job>& done) {
  absl::StatusOr<v1::JobSpec> spec = SpecOfJobFile(request.job_file());
  if (!spec.ok()) {
    return done(spec.status());
  }
  v1::CreateJobRequest with_spec = request;
  with_spec.clear_job_file();
  *with_spec.mutable_spec() = *std::move(spec);
  CreateJob(with_spec, caller, deps, done);
}

}  // namespace

void CreateJob(const v1::CreateJobRequest& request, const access::Caller& caller, Deps& deps,
               Done<v1::Job> done) {
  if (!request.job_file().empty()) {
    if (request.has_spec()) {
      jobs::FieldErrors errors;
      errors.Add("spec", "must not be given with job_file, which says all of it");
      return done(errors.ToStatus());
    }
    // A long text takes too long for the thread that takes calls.
    const bool taken = deps.lists.Submit(
        [request, caller, &deps, done] { CreateFromFile(request, caller, deps, done); });
    return taken ? void()
                 : done(absl::ResourceExhaustedError(
                       "too many calls of this kind at a time; try again"));
  }
  if (const absl::Status status = CheckRequestId(request.request_id()); !status.ok()) {
    return done(status);
  }
  store::NewJob job{.id = jobs::NewId(),
                    .project = caller.project,
                    .created_by = caller.name,
                    .spec = request.spec(),
                    .threads = jobs::ThreadsOf(request.spec()),
                    .request_id = request.request_id(),
                    .request = "create",
                    .traceparent = caller.traceparent};
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
