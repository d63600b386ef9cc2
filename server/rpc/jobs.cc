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

absl::StatusOr<v1::Job> GetJob(const v1::GetJobRequest& request, Deps& deps) {
  HONE_ASSIGN_OR_RETURN(const std::string id, jobs::JobId(request.name()));
  HONE_ASSIGN_OR_RETURN(const jobs::Job job, deps.store.Get(id));
  return jobs::ToProto(job);
}

absl::StatusOr<v1::ListJobsResponse> ListJobs(const v1::ListJobsRequest& request, Deps& deps) {
  store::ListJobs what;
  HONE_ASSIGN_OR_RETURN(what.limit, PageSize(request.page_size()));
  HONE_ASSIGN_OR_RETURN(what.before_row, ParsePageToken(request.page_token()));
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
    *response.add_jobs() = jobs::ToProto(job);
  }
  response.set_next_page_token(PageToken(page.next_row));
  return response;
}

void CancelJob(const v1::CancelJobRequest& request, Deps& deps, Done<v1::Job> done) {
  absl::StatusOr<std::string> id = jobs::JobId(request.name());
  if (!id.ok()) {
    return done(id.status());
  }
  deps.writer.Submit<jobs::Job>(
      [id = *id](store::JobStore& store) { return store.RequestCancel(id, absl::Now()); },
      [&deps, done = std::move(done)](absl::StatusOr<jobs::Job> job) {
        if (!job.ok()) {
          return done(job.status());
        }
        if (job->state == jobs::JobState::kCancelling) {
          deps.scheduler.Cancel(job->id);
        }
        done(jobs::ToProto(*job));
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
