#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "engine/base/cpu.h"
#include "engine/base/status.h"
#include "server/jobs/validate.h"
#include "server/rpc/calls.h"

namespace hone::server::rpc {
namespace {

// Below the time a client waits for a unary call.
constexpr absl::Duration kPlanTimeout = absl::Seconds(40);

absl::Status CheckQueue(const Deps& deps) {
  HONE_ASSIGN_OR_RETURN(const std::vector<store::JobCount> counts, deps.store.Count());
  int64_t queued = 0;
  for (const store::JobCount& count : counts) {
    queued += count.state == jobs::JobState::kQueued ? count.jobs : 0;
  }
  if (queued >= deps.config.max_queued_jobs) {
    return absl::ResourceExhaustedError(absl::StrCat("the queue is full: ", queued, " jobs wait"));
  }
  return absl::OkStatus();
}

v1::Job Preview(const store::NewJob& job) {
  jobs::Job preview;
  preview.spec = job.spec;
  preview.plan = job.plan;
  preview.threads = job.threads;
  v1::Job proto = jobs::ToProto(preview);
  proto.clear_state();
  return proto;
}

// A worker knows the catalogue's names; a client should know those of this server, too.
absl::Status WithUploadedNames(const absl::Status& status, const std::string& path,
                               const Deps& deps) {
  if (!path.empty() || !absl::IsNotFound(status)) {
    return status;
  }
  std::vector<std::string> names;
  constexpr int kMostNamed = 50;
  if (const auto page = deps.store.datasets().List(kMostNamed, 0); page.ok()) {
    for (const store::Dataset& dataset : page->items) {
      names.push_back(dataset.name);
    }
  }
  return absl::NotFoundError(absl::StrCat(
      "data.dataset: ", status.message(),
      "; uploaded to this server: ", names.empty() ? "none" : absl::StrJoin(names, ", ")));
}

void Planned(store::NewJob job, bool validate_only, const std::string& path,
             absl::StatusOr<v1::WorkerFrame> frame, Deps& deps, Done<v1::Job> done) {
  if (frame.ok()) {
    job.plan.Swap(frame->mutable_plan());
  } else if (validate_only || !absl::IsDeadlineExceeded(frame.status())) {
    return done(WithUploadedNames(frame.status(), path, deps));
  }
  if (validate_only) {
    return done(Preview(job));
  }
  StoreJob(std::move(job), !path.empty(), deps, std::move(done));
}

absl::Status Check(const v1::CreateJobRequest& request, const Deps& deps) {
  HONE_RETURN_IF_ERROR(jobs::Validate(
      request.spec(),
      {.max_threads = deps.config.threads, .bf16 = HasBf16(), .local_paths = false}));
  return request.validate_only() ? absl::OkStatus() : CheckQueue(deps);
}

}  // namespace

absl::Status CheckRequestId(const std::string& request_id) {
  const bool printable = std::all_of(request_id.begin(), request_id.end(),
                                     [](unsigned char c) { return absl::ascii_isgraph(c); });
  if (request_id.size() > 128 || !printable) {
    return absl::InvalidArgumentError(
        "request_id: must be at most 128 printable ASCII characters without spaces");
  }
  return absl::OkStatus();
}

void StoreJob(store::NewJob job, bool uploaded, Deps& deps, Done<v1::Job> done) {
  deps.writer.Submit<jobs::Job>(
      [job = std::move(job), uploaded](store::JobStore& store) -> absl::StatusOr<jobs::Job> {
        // All in one transaction, so that nobody deletes the data set in between.
        if (uploaded) {
          HONE_RETURN_IF_ERROR(store.datasets().Check(job.spec.data().dataset()));
        }
        HONE_ASSIGN_OR_RETURN(jobs::Job stored, store.Insert(job, absl::Now()));
        if (uploaded) {
          HONE_RETURN_IF_ERROR(store.datasets().Use(stored.id, job.spec.data().dataset()));
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

void CreateJob(const v1::CreateJobRequest& request, Deps& deps, Done<v1::Job> done) {
  if (const absl::Status status = CheckRequestId(request.request_id()); !status.ok()) {
    return done(status);
  }
  store::NewJob job{.id = jobs::NewId(),
                    .spec = request.spec(),
                    .threads = static_cast<int>(request.spec().training().threads()),
                    .request_id = request.request_id()};
  if (!request.validate_only() && !request.request_id().empty()) {
    const auto known = deps.store.FindRequest(request.request_id());
    if (!known.ok()) {
      return done(known.status());
    }
    if (known->has_value()) {
      // Which answers with the known one.
      return StoreJob(std::move(job), false, deps, std::move(done));
    }
  }
  if (const absl::Status status = Check(request, deps); !status.ok()) {
    return done(status);
  }
  if (job.threads == 0) {
    job.threads = deps.config.ThreadsPerJob();
  }
  v1::WorkerRequest plan;
  plan.set_mode(v1::WorkerRequest::PLAN);
  *plan.mutable_spec() = job.spec;
  plan.set_threads(job.threads);
  plan.set_cache_directory(deps.directory.cache_directory());
  plan.set_data_mirror(deps.config.data_mirror);
  // Measured beside a running job the time would be wrong, and the job slower.
  plan.set_measure(request.validate_only() && deps.scheduler.running() == 0);
  const absl::StatusOr<std::string> path = deps.datasets.PathOf(job.spec.data().dataset());
  if (!path.ok()) {
    return done(path.status());
  }
  plan.set_dataset_path(*path);
  const bool validate_only = request.validate_only();
  deps.calls.Submit(std::move(plan), kPlanTimeout,
                    [job = std::move(job), validate_only, path = *path, &deps,
                     done = std::move(done)](absl::StatusOr<v1::WorkerFrame> frame) {
                      Planned(job, validate_only, path, std::move(frame), deps, done);
                    });
}

}  // namespace hone::server::rpc
