#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/cpu.h"
#include "engine/base/status.h"
#include "server/config/version.h"
#include "server/jobs/job.h"
#include "server/rpc/calls.h"
#include "server/rpc/page_token.h"

namespace hone::server::rpc {
namespace {

// With the time until its turn comes: what runs and what waits before it, side by side as many jobs
// as may run.
v1::Job WithQueueEta(const jobs::Job& job, const Deps& deps) {
  v1::Job proto = jobs::ToProto(job);
  if (job.state == jobs::JobState::kQueued && job.queued_before < absl::InfiniteDuration()) {
    const double before = deps.scheduler.seconds_left() + absl::ToDoubleSeconds(job.queued_before);
    proto.set_queue_eta_seconds(before / deps.config.concurrent_jobs);
  }
  return proto;
}

}  // namespace

absl::StatusOr<v1::Job> GetJob(const v1::GetJobRequest& request, Deps& deps) {
  HONE_ASSIGN_OR_RETURN(const std::string id, jobs::JobId(request.name()));
  HONE_ASSIGN_OR_RETURN(const jobs::Job job, deps.store.Get(id));
  return WithQueueEta(job, deps);
}

absl::StatusOr<v1::ListJobsResponse> ListJobs(const v1::ListJobsRequest& request, Deps& deps) {
  store::ListJobs what;
  HONE_ASSIGN_OR_RETURN(what.limit, PageSize(request.page_size()));
  HONE_ASSIGN_OR_RETURN(what.from_row, ParsePageToken(request.page_token()));
  HONE_RETURN_IF_ERROR(jobs::CheckTaskName(request.task()));
  what.task = request.task();
  what.oldest_first = request.oldest_first();
  for (const auto& [key, value] : request.labels()) {
    what.labels.push_back(absl::StrCat(key, "=", value));
  }
  for (const int number : request.states()) {
    const auto state = jobs::ParseState(v1::Job::State_Name(static_cast<v1::Job::State>(number)));
    if (!state.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("states: unknown state number ", number));
    }
    what.states.push_back(*state);
  }
  HONE_ASSIGN_OR_RETURN(const store::Page<jobs::Job> page, deps.store.List(what));
  v1::ListJobsResponse response;
  for (const jobs::Job& job : page.items) {
    v1::Job& listed = *response.add_jobs();
    listed = WithQueueEta(job, deps);
    listed.clear_resolved_spec();
  }
  response.set_next_page_token(PageToken(page.next_row));
  return response;
}

namespace {

// Writes a wish about a job's state and lets the scheduler know.
void Wish(const std::string& name, Deps& deps, Done<v1::Job> done,
          absl::StatusOr<jobs::Job> (store::JobStore::*wish)(const std::string&, absl::Time)) {
  absl::StatusOr<std::string> id = jobs::JobId(name);
  if (!id.ok()) {
    return done(id.status());
  }
  deps.writer.Submit<jobs::Job>(
      [id = *id, wish](store::JobStore& store) { return (store.*wish)(id, absl::Now()); },
      [&deps, done = std::move(done)](absl::StatusOr<jobs::Job> job) {
        if (!job.ok()) {
          return done(job.status());
        }
        if (jobs::HasWorker(job->state)) {
          deps.scheduler.Stop(job->id);
        } else {
          deps.scheduler.Wake();
        }
        done(jobs::ToProto(*job));
      });
}

}  // namespace

void CancelJob(const v1::CancelJobRequest& request, Deps& deps, Done<v1::Job> done) {
  Wish(request.name(), deps, std::move(done), &store::JobStore::RequestCancel);
}

void PauseJob(const v1::PauseJobRequest& request, Deps& deps, Done<v1::Job> done) {
  Wish(request.name(), deps, std::move(done), &store::JobStore::RequestPause);
}

void ResumeJob(const v1::ResumeJobRequest& request, Deps& deps, Done<v1::Job> done) {
  Wish(request.name(), deps, std::move(done), &store::JobStore::Resume);
}

void DeleteJob(const v1::DeleteJobRequest& request, Deps& deps, Done<v1::DeleteJobResponse> done) {
  absl::StatusOr<std::string> id = jobs::JobId(request.name());
  if (!id.ok()) {
    return done(id.status());
  }
  deps.writer.Submit<std::string>(
      [id = *id](store::JobStore& store) -> absl::StatusOr<std::string> {
        HONE_RETURN_IF_ERROR(store.Delete(id));
        return id;
      },
      [&deps, done = std::move(done)](absl::StatusOr<std::string> deleted) {
        if (!deleted.ok()) {
          return done(deleted.status());
        }
        deps.remover.Wake();
        done(v1::DeleteJobResponse());
      });
}

absl::StatusOr<v1::ServerInfo> GetServerInfo(const v1::GetServerInfoRequest&, Deps& deps) {
  v1::ServerInfo info;
  info.set_version(config::kVersion);
  info.set_engine(deps.engine.Get());
  info.set_cpu(CpuDescription());
  info.set_threads(deps.config.threads);
  info.set_cpu_quota_cores(CpuQuotaCores());
  info.set_concurrent_jobs(deps.config.concurrent_jobs);
  info.set_threads_per_job(deps.config.ThreadsPerJob());
  info.set_memory_bytes(AvailableMemoryBytes());
  if (HasBf16()) {
    info.add_capabilities("bf16");
  }
  return info;
}

}  // namespace hone::server::rpc
