#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/cpu.h"
#include "engine/base/status.h"
#include "server/jobs/reason.h"
#include "server/jobs/resolve.h"
#include "server/jobs/validate.h"
#include "server/rpc/admission.h"
#include "server/rpc/calls.h"
#include "server/rpc/page_token.h"
#include "server/store/sweep_store.h"
#include "server/sweeps/advance.h"
#include "server/sweeps/search.h"

namespace hone::server::rpc {
namespace {

jobs::Limits LimitsOf(const Deps& deps) {
  return {.max_threads = deps.config.threads, .bf16 = HasBf16()};
}

// The sweep as it is before its first trial, without a name. Each trial's job is right by itself.
absl::StatusOr<v1::Sweep> Prepare(const v1::SweepSpec& spec, const Deps& deps) {
  HONE_RETURN_IF_ERROR(sweeps::Check(spec));
  v1::Sweep sweep;
  *sweep.mutable_spec() = sweeps::Resolve(spec, deps.config.concurrent_jobs);
  sweep.set_display_name(sweep.spec().display_name());
  sweep.set_state(v1::Sweep::RUNNING);
  HONE_ASSIGN_OR_RETURN(const std::vector<v1::Trial> trials, sweeps::Expand(sweep.spec()));
  for (const v1::Trial& trial : trials) {
    HONE_ASSIGN_OR_RETURN(const v1::JobSpec job, sweeps::JobOf(sweep.spec(), trial));
    HONE_RETURN_IF_ERROR(Annotate(jobs::Validate(job, LimitsOf(deps)),
                                  absl::StrCat("trial ", trial.number(), " (",
                                               sweeps::SettingsInWords(sweep.spec(), trial), ")")));
    *sweep.add_trials() = trial;
  }
  sweeps::Summarise(sweep);
  return sweep;
}

// A job with all that it begins with. `retry_of` as in NewJob.
absl::StatusOr<Candidate> CandidateFor(const v1::JobSpec& spec, const std::string& project,
                                       const std::string& created_by, const Deps& deps) {
  HONE_RETURN_IF_ERROR(jobs::Validate(spec, LimitsOf(deps)));
  Candidate candidate;
  candidate.job.id = jobs::NewId();
  candidate.job.project = project;
  candidate.job.created_by = created_by;
  candidate.job.spec = spec;
  candidate.job.resolved = jobs::Resolve(spec);
  const auto threads = static_cast<int>(spec.training().threads());
  candidate.job.threads = threads > 0 ? threads : DefaultThreads(project, deps);
  candidate.job.request = "create";
  HONE_ASSIGN_OR_RETURN(candidate.dataset_path,
                        deps.datasets.PathOf(project, spec.data().dataset()));
  HONE_RETURN_IF_ERROR(FindModels(deps, candidate));
  return candidate;
}

void StoreSweep(const v1::CreateSweepRequest& request, v1::Sweep sweep, Deps& deps,
                const Done<v1::Sweep>& done) {
  sweep.set_name(store::SweepName(jobs::NewId()));
  *sweep.mutable_create_time() = jobs::ToTimestamp(absl::Now());
  store::NewSweep fresh{
      .sweep = std::move(sweep), .request_id = request.request_id(), .sent = request.spec()};
  deps.writer.Submit<v1::Sweep>(
      [fresh = std::move(fresh)](store::JobStore& store) { return store.sweeps().Insert(fresh); },
      [&deps, done](absl::StatusOr<v1::Sweep> stored) {
        deps.sweeps.Wake();
        done(std::move(stored));
      });
}

// What a trial that runs has come to so far.
void AddProgress(const Deps& deps, v1::Trial& trial) {
  const absl::StatusOr<std::string> id = jobs::JobId(trial.job());
  const absl::StatusOr<jobs::Job> job = id.ok() ? deps.store.Get(*id) : id.status();
  if (!job.ok()) {
    return;  // its end is told soon
  }
  trial.set_steps(std::max(trial.steps(), job->progress.step()));
  trial.set_training_seconds(job->progress.active_seconds());
  trial.set_parameters(job->plan.parameters());
  trial.set_depth(job->plan.depth());
  *trial.mutable_metrics() = job->latest.values();
  trial.set_message(absl::StrCat(
      jobs::StateName(job->state),
      job->progress.total_steps() > 0
          ? absl::StrCat(", step ", job->progress.step(), " of ", job->progress.total_steps())
          : ""));
}

}  // namespace

void CreateSweep(const v1::CreateSweepRequest& request, const access::Caller& caller, Deps& deps,
                 Done<v1::Sweep> done) {
  if (const absl::Status status = CheckRequestId(request.request_id()); !status.ok()) {
    return done(status);
  }
  if (!request.validate_only() && !request.request_id().empty()) {
    auto known =
        deps.store.sweeps().FindRequest(caller.project, request.request_id(), request.spec());
    if (!known.ok()) {
      return done(known.status());
    }
    if (known->has_value()) {
      return done(std::move(**known));
    }
  }
  absl::StatusOr<v1::Sweep> sweep = Prepare(request.spec(), deps);
  if (!sweep.ok()) {
    return done(sweep.status());
  }
  sweep->set_project(caller.project);
  sweep->set_created_by(caller.name);
  // The first trial is planned, so that a net that does not fit is told of now.
  absl::StatusOr<v1::JobSpec> first = sweeps::JobOf(sweep->spec(), sweep->trials(0));
  absl::StatusOr<Candidate> candidate =
      first.ok() ? CandidateFor(*first, caller.project, caller.name, deps)
                 : absl::StatusOr<Candidate>(first.status());
  if (!candidate.ok()) {
    return done(candidate.status());
  }
  candidate->validate_only = true;
  candidate->measure = false;
  Admit(*std::move(candidate), deps,
        [request, sweep = *std::move(sweep), &deps, done](const absl::StatusOr<v1::Job>& planned) {
          if (!planned.ok() && !absl::IsDeadlineExceeded(planned.status())) {
            return done(Annotate(planned.status(), "trial 1"));
          }
          if (request.validate_only()) {
            return done(sweep);
          }
          StoreSweep(request, sweep, deps, done);
        });
}

void GetSweep(const v1::GetSweepRequest& request, Deps& deps, Done<v1::Sweep> done) {
  const absl::StatusOr<std::string> id = store::SweepId(request.name());
  if (!id.ok()) {
    return done(id.status());
  }
  const bool taken = deps.reads.Submit([id = *id, &deps, done] { done(ReadSweep(id, deps)); });
  if (!taken) {
    done(absl::ResourceExhaustedError("too many reads at a time; try again"));
  }
}

absl::StatusOr<v1::Sweep> ReadSweep(const std::string& id, const Deps& deps) {
  HONE_ASSIGN_OR_RETURN(v1::Sweep sweep, deps.store.sweeps().Get(id));
  for (v1::Trial& trial : *sweep.mutable_trials()) {
    if (trial.state() == v1::Trial::RUNNING) {
      AddProgress(deps, trial);
    }
  }
  return sweep;
}

absl::StatusOr<v1::ListSweepsResponse> ListSweeps(const v1::ListSweepsRequest& request,
                                                  const access::Caller& caller, Deps& deps) {
  store::ListSweeps what{.project = caller.project};
  HONE_ASSIGN_OR_RETURN(what.limit, PageSize(request.page_size()));
  HONE_ASSIGN_OR_RETURN(what.before_row, ParsePageToken(request.page_token()));
  for (const int number : request.states()) {
    if (!v1::Sweep::State_IsValid(number) || number == v1::Sweep::STATE_UNSPECIFIED) {
      return absl::InvalidArgumentError(absl::StrCat("states: unknown state number ", number));
    }
    what.states.push_back(static_cast<v1::Sweep::State>(number));
  }
  HONE_ASSIGN_OR_RETURN(store::Page<v1::Sweep> page, deps.store.sweeps().List(what));
  v1::ListSweepsResponse response;
  for (v1::Sweep& sweep : page.items) {
    *response.add_sweeps() = std::move(sweep);
  }
  response.set_next_page_token(PageToken(page.next_row));
  return response;
}

void CancelSweep(const v1::CancelSweepRequest& request, Deps& deps, Done<v1::Sweep> done) {
  const absl::StatusOr<std::string> id = store::SweepId(request.name());
  if (!id.ok()) {
    return done(id.status());
  }
  deps.writer.Submit<v1::Sweep>(
      [id = *id](store::JobStore& store) {
        return store.sweeps().Change(id, [](v1::Sweep& sweep) -> absl::Status {
          if (sweeps::IsEnd(sweep.state())) {
            return jobs::WithReason(
                absl::FailedPreconditionError(absl::StrCat(
                    sweep.name(), " has ended already: ", v1::Sweep::State_Name(sweep.state()))),
                jobs::reason::kSweepState);
          }
          if (sweep.state() == v1::Sweep::RUNNING) {
            sweeps::Stop(v1::Sweep::CANCELLED, "cancelled by the user", sweep);
          }
          return absl::OkStatus();
        });
      },
      [&deps, done](absl::StatusOr<v1::Sweep> sweep) {
        deps.sweeps.Wake();
        done(std::move(sweep));
      });
}

void DeleteSweep(const v1::DeleteSweepRequest& request, Deps& deps,
                 Done<v1::DeleteSweepResponse> done) {
  const absl::StatusOr<std::string> id = store::SweepId(request.name());
  if (!id.ok()) {
    return done(id.status());
  }
  deps.writer.Submit<std::string>(
      [id = *id](store::JobStore& store) -> absl::StatusOr<std::string> {
        HONE_RETURN_IF_ERROR(store.sweeps().Delete(id));
        return id;
      },
      [done](const absl::StatusOr<std::string>& deleted) {
        done(deleted.ok() ? absl::StatusOr<v1::DeleteSweepResponse>(v1::DeleteSweepResponse())
                          : deleted.status());
      });
}

void SubmitTrial(sweeps::Submission trial, Deps& deps, std::function<void(absl::Status)> done) {
  if (const absl::Status status = CheckRoom(trial.project, deps); !status.ok()) {
    return done(status);
  }
  absl::StatusOr<Candidate> candidate =
      CandidateFor(trial.spec, trial.project, trial.created_by, deps);
  if (!candidate.ok()) {
    return done(candidate.status());
  }
  candidate->job.request_id = trial.request_id;
  candidate->job.retry_of = trial.retry_of;
  candidate->before = std::move(trial.before);
  candidate->after = std::move(trial.after);
  Admit(*std::move(candidate), deps,
        [done = std::move(done)](const absl::StatusOr<v1::Job>& job) { done(job.status()); });
}

}  // namespace hone::server::rpc
