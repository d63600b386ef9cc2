#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/cpu.h"
#include "engine/base/status.h"
#include "server/config/version.h"
#include "server/jobs/job.h"
#include "server/rpc/calls.h"
#include "server/rpc/page_token.h"
#include "server/store/project_store.h"

namespace hone::server::rpc {
namespace {

// What a job of a project's queue is told beside what the store says of it.
struct QueueView {
  double part = 1;  // store::ProjectStore::PartOf
  store::Project project;
  store::ProjectUse use;  // where the project has a share that jobs wait for
};

absl::StatusOr<QueueView> LookAtQueue(const std::string& project, const Deps& deps) {
  QueueView view;
  HONE_ASSIGN_OR_RETURN(view.part, deps.store.projects().PartOf(project));
  view.project = {.name = project, .shares = deps.projects.SharesOf(project)};
  const store::Shares& shares = view.project.shares;
  if (shares.running_jobs > 0 || shares.threads > 0 || shares.memory_bytes > 0) {
    HONE_ASSIGN_OR_RETURN(view.use, deps.store.projects().Use(project));
  }
  return view;
}

// With the time until its turn comes: what runs, and what its project has waiting before it, for
// which there is the project's part of as many jobs as may run side by side; and with the share
// that makes it wait.
v1::Job WithQueue(const jobs::Job& job, const QueueView& view, const Deps& deps) {
  v1::Job proto = jobs::ToProto(job);
  if (job.state != jobs::JobState::kQueued) {
    return proto;
  }
  if (job.queued_before < absl::InfiniteDuration()) {
    const double before =
        deps.scheduler.seconds_left() + absl::ToDoubleSeconds(job.queued_before) / view.part;
    proto.set_queue_eta_seconds(before / deps.config.concurrent_jobs);
  }
  if (job.message.empty()) {
    proto.set_message(store::WhyProjectWaits(view.project, view.use, job));
  }
  return proto;
}

}  // namespace

absl::StatusOr<v1::Job> GetJob(const v1::GetJobRequest& request, const access::Caller& caller,
                               Deps& deps) {
  HONE_ASSIGN_OR_RETURN(const std::string id, jobs::JobId(request.name()));
  HONE_ASSIGN_OR_RETURN(const jobs::Job job, deps.store.Get(id));
  QueueView view;
  if (job.state == jobs::JobState::kQueued) {
    HONE_ASSIGN_OR_RETURN(view, LookAtQueue(caller.project, deps));
  }
  return WithQueue(job, view, deps);
}

absl::StatusOr<v1::ListJobsResponse> ListJobs(const v1::ListJobsRequest& request,
                                              const access::Caller& caller, Deps& deps) {
  store::ListJobs what{.project = caller.project};
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
  QueueView view;
  if (std::ranges::any_of(
          page.items, [](const jobs::Job& job) { return job.state == jobs::JobState::kQueued; })) {
    HONE_ASSIGN_OR_RETURN(view, LookAtQueue(caller.project, deps));
  }
  v1::ListJobsResponse response;
  for (const jobs::Job& job : page.items) {
    v1::Job& listed = *response.add_jobs();
    listed = WithQueue(job, view, deps);
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
