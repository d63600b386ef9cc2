#include "server/rpc/admission.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "engine/base/status.h"
#include "server/jobs/names.h"
#include "server/jobs/reason.h"
#include "server/jobs/retry_delay.h"
#include "server/store/project_store.h"

namespace hone::server::rpc {
namespace {

// Below the time a client waits for a unary call.
constexpr absl::Duration kPlanTimeout = absl::Seconds(40);
constexpr absl::Duration kRetryWhenQueueIsFull = absl::Seconds(5);
constexpr absl::Duration kRetryWhenDiskIsFull = absl::Minutes(1);
constexpr absl::Duration kRetryWhenDataIsAway = absl::Minutes(1);

absl::Status CheckMemory(const v1::Plan& plan, const config::Config& config) {
  const int64_t share = config.MemoryPerJob();
  if (plan.peak_memory_bytes() <= share) {
    return absl::OkStatus();
  }
  const auto mib = [](int64_t bytes) { return (bytes >> 20) + 1; };
  return jobs::WithReason(
      absl::InvalidArgumentError(absl::StrCat(
          "training: the job needs about ", mib(plan.peak_memory_bytes()),
          " MiB of memory, this server gives each job ", mib(share),
          " MiB; a smaller training.batch_size, smaller layers or data.limit may help")),
      jobs::reason::kTooMuchMemory);
}

v1::Job Preview(const store::NewJob& job) {
  jobs::Job preview;
  preview.project = job.project;
  preview.created_by = job.created_by;
  preview.spec = job.spec;
  preview.resolved = job.resolved;
  preview.plan = job.plan;
  preview.threads = job.threads;
  v1::Job proto = jobs::ToProto(preview);
  proto.clear_state();
  return proto;
}

// A worker knows the catalogue's names; a client should know those of this server, too.
absl::Status WithUploadedNames(const absl::Status& status, const Candidate& candidate,
                               const Deps& deps) {
  if (!candidate.dataset_path.empty() || !absl::IsNotFound(status)) {
    return status;
  }
  std::vector<std::string> names;
  constexpr int kMostNamed = 50;
  if (const auto page =
          deps.store.datasets().List({.project = candidate.job.project, .limit = kMostNamed});
      page.ok()) {
    for (const store::Dataset& dataset : page->items) {
      names.push_back(dataset.name);
    }
  }
  return jobs::WithReason(
      absl::NotFoundError(absl::StrCat("data.dataset: ", status.message(),
                                       "; uploaded to the project ", candidate.job.project, ": ",
                                       names.empty() ? "none" : absl::StrJoin(names, ", "))),
      jobs::reason::kDatasetNotFound);
}

void Planned(Candidate candidate, absl::StatusOr<v1::Plan> plan, Deps& deps, Done<v1::Job> done) {
  if (plan.ok()) {
    plan->set_display_name(candidate.job.spec.display_name());
    candidate.job.plan = *std::move(plan);
    if (const absl::Status status = CheckMemory(candidate.job.plan, deps.config); !status.ok()) {
      return done(status);
    }
  } else if (absl::IsUnavailable(plan.status()) && !deps.stopping) {
    return done(jobs::WithRetryDelay(plan.status(), kRetryWhenDataIsAway));
  } else if (candidate.validate_only || !absl::IsDeadlineExceeded(plan.status())) {
    return done(WithUploadedNames(plan.status(), candidate, deps));
  }
  if (candidate.validate_only) {
    return done(Preview(candidate.job));
  }
  StoreJob(std::move(candidate), deps, std::move(done));
}

}  // namespace

int DefaultThreads(const std::string& project, const Deps& deps) {
  const int threads = deps.config.ThreadsPerJob();
  const int64_t share = deps.projects.SharesOf(project).threads;
  return share > 0 ? static_cast<int>(std::min<int64_t>(threads, share)) : threads;
}

absl::Status CheckRoom(const std::string& project, const Deps& deps) {
  HONE_RETURN_IF_ERROR(deps.store.projects().HasRoomForJob(project));
  HONE_ASSIGN_OR_RETURN(const int64_t queued, deps.store.CountQueued());
  if (queued >= deps.config.max_queued_jobs) {
    return jobs::WithReason(jobs::WithRetryDelay(absl::ResourceExhaustedError(absl::StrCat(
                                                     "the queue is full: ", queued, " jobs wait")),
                                                 kRetryWhenQueueIsFull),
                            jobs::reason::kQueueFull);
  }
  const int64_t free = deps.directory.FreeBytes();
  if (free < deps.config.disk_floor_bytes) {
    return jobs::WithReason(
        jobs::WithRetryDelay(absl::ResourceExhaustedError(absl::StrCat(
                                 "the server's disk is nearly full: ", free, " bytes are free, ",
                                 deps.config.disk_floor_bytes, " are kept for the jobs that run")),
                             kRetryWhenDiskIsFull),
        jobs::reason::kDiskFull);
  }
  return absl::OkStatus();
}

absl::Status CheckRequestId(const std::string& request_id) {
  const bool printable = std::all_of(request_id.begin(), request_id.end(),
                                     [](unsigned char c) { return absl::ascii_isgraph(c); });
  if (request_id.size() > 128 || !printable) {
    return absl::InvalidArgumentError(
        "request_id: must be at most 128 printable ASCII characters without spaces");
  }
  return absl::OkStatus();
}

absl::Status FindModels(const Deps& deps, Candidate& candidate) {
  for (const auto& [field, name] : jobs::ModelsOf(candidate.job.spec)) {
    HONE_ASSIGN_OR_RETURN(const std::string id, jobs::ModelId(name));
    const absl::StatusOr<std::string> project = deps.store.ProjectOfModel(id);
    HONE_RETURN_IF_ERROR(Annotate(project.status(), field));
    if (*project != candidate.job.project) {
      return Annotate(jobs::ModelNotFound(id), field);
    }
    if (field == "model.pretrained.model" || field == "evaluation.model") {
      candidate.model_directory = deps.directory.ModelDirectory(id);
    } else if (field == "evaluation.against") {
      candidate.other_model_directory = deps.directory.ModelDirectory(id);
    }
  }
  return absl::OkStatus();
}

void Admit(Candidate candidate, Deps& deps, Done<v1::Job> done) {
  const std::string key =
      PlanCache::KeyOf(candidate.job.resolved, candidate.job.threads, candidate.dataset_path);
  if (auto known = deps.plans.Find(key); known.has_value() && !candidate.validate_only) {
    return Planned(std::move(candidate), *std::move(known), deps, std::move(done));
  }
  v1::WorkerRequest request;
  request.set_mode(v1::WorkerRequest::PLAN);
  *request.mutable_spec() = candidate.job.resolved;
  request.set_threads(candidate.job.threads);
  request.set_cache_directory(deps.directory.cache_directory());
  request.set_data_mirror(deps.config.data_mirror);
  request.set_dataset_path(candidate.dataset_path);
  request.set_model_directory(candidate.model_directory);
  request.set_other_model_directory(candidate.other_model_directory);
  // Measured beside a running job the time would be wrong, and the job slower.
  request.set_measure(candidate.validate_only && candidate.measure &&
                      deps.scheduler.running() == 0);
  deps.calls.Submit(std::move(request), kPlanTimeout,
                    [candidate = std::move(candidate), key, &deps,
                     done = std::move(done)](absl::StatusOr<v1::WorkerFrame> frame) {
                      if (!frame.ok()) {
                        return Planned(candidate, frame.status(), deps, done);
                      }
                      jobs::CutNames(*frame->mutable_plan());
                      deps.plans.Put(key, frame->plan());
                      Planned(candidate, std::move(*frame->mutable_plan()), deps, done);
                    });
}

absl::StatusOr<v1::Job> AnswerKnown(const jobs::Job& known, const store::NewJob& job,
                                    const v1::JobSpec& spec) {
  HONE_RETURN_IF_ERROR(store::CheckSameRequest(known, job.request_id, spec, job.request));
  return jobs::ToProto(known);
}

void StoreJob(Candidate candidate, Deps& deps, Done<v1::Job> done) {
  deps.writer.Submit<jobs::Job>(
      [candidate = std::move(candidate)](store::JobStore& store) -> absl::StatusOr<jobs::Job> {
        const store::NewJob& job = candidate.job;
        // The data set is one of this server's, else one of the catalogue.
        const bool uploaded = !candidate.dataset_path.empty();
        if (candidate.before != nullptr) {
          HONE_RETURN_IF_ERROR(candidate.before(store));
        }
        // All in one transaction, so that nobody deletes the data set in between.
        if (uploaded) {
          HONE_RETURN_IF_ERROR(store.datasets().Check(job.project, job.spec.data().dataset()));
        }
        HONE_ASSIGN_OR_RETURN(jobs::Job stored, store.Insert(job, absl::Now()));
        if (uploaded) {
          HONE_RETURN_IF_ERROR(store.datasets().Use(stored.id, job.spec.data().dataset()));
        }
        if (candidate.after != nullptr) {
          HONE_RETURN_IF_ERROR(candidate.after(store, stored));
        }
        return stored;
      },
      [&deps, done = std::move(done)](absl::StatusOr<jobs::Job> stored) {
        if (!stored.ok()) {
          return done(stored.status());
        }
        deps.scheduler.Wake();
        done(jobs::ToProto(*stored));
      });
}

}  // namespace hone::server::rpc
