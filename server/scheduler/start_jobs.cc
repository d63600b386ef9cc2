// How the scheduler gets a job from the queue into a worker process.
#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/steady_clock.h"
#include "engine/base/traceparent.h"
#include "server/log/log.h"
#include "server/scheduler/scheduler.h"

namespace hone::server::scheduler {

namespace {

constexpr int kStartsInPlace = 3;
// Jobs that are held in one transaction.
constexpr int kHeldAtOnce = 100;

// Why a server with so many threads, and so many bytes for each job (0: no limit), can never start
// the job; "": it can.
std::string WhyNever(const jobs::Job& job, int threads, int64_t memory_bytes) {
  if (job.threads > threads) {
    return absl::StrCat("it cannot be started here: it asks for ", job.threads,
                        " threads, the server has ", threads);
  }
  const int64_t needed = job.plan.peak_memory_bytes();
  if (memory_bytes > 0 && needed > memory_bytes) {
    return absl::StrCat("it cannot be started here: it needs about ", (needed >> 20) + 1,
                        " MiB of memory, the server gives each job ", (memory_bytes >> 20) + 1);
  }
  return "";
}

}  // namespace

bool Scheduler::SuspectRuns() const {
  const auto is_suspect = [](const jobs::Job& job) {
    return job.recoveries >= store::kRecoveriesBeforeAlone;
  };
  return std::any_of(preparing_.begin(), preparing_.end(),
                     [&](const auto& entry) { return is_suspect(entry.second.job); }) ||
         std::any_of(running_.begin(), running_.end(), [&](const auto& entry) {
           Attempt& attempt = *entry.second.attempt;
           return is_suspect(attempt.job()) && !attempt.report().checkpointed();
         });
}

bool Scheduler::StartIsNear() const {
  return std::any_of(preparing_.begin(), preparing_.end(), [&](const auto& entry) {
    return SteadyNow() - entry.second.since < options_.slow_folder;
  });
}

void Scheduler::StartJobs(absl::Time now) {
  while (!stopping_ && SteadyNow() >= start_again_at_ && !StartIsNear() && !SuspectRuns() &&
         static_cast<int>(running_.size() + Waiting()) < options_.concurrent_jobs) {
    const auto claimed = ClaimNext(now);
    if (!claimed.ok()) {
      LostWrite("no job can be claimed", "", claimed.status());
      return;
    }
    if (!claimed->has_value()) {
      return;
    }
    Prepare(**claimed);
  }
}

absl::StatusOr<std::optional<jobs::Job>> Scheduler::ClaimNext(absl::Time now) {
  const int free = FreeThreads();
  std::vector<std::pair<std::string, std::string>> held;  // jobs and why
  const auto claimed = writer_.Run<std::optional<jobs::Job>>(
      [&](store::JobStore& store) -> absl::StatusOr<std::optional<jobs::Job>> {
        while (held.size() < kHeldAtOnce) {
          HONE_ASSIGN_OR_RETURN(std::optional<jobs::Job> next, store.Next(now));
          if (!next.has_value()) {
            return std::nullopt;
          }
          // Who named no number is content with what there is.
          if (jobs::ThreadsOf(next->spec) == 0 && next->threads > options_.threads) {
            next->threads = options_.threads;
            HONE_RETURN_IF_ERROR(store.SetThreads(next->id, options_.threads));
          }
          const std::string why = WhyNever(*next, options_.threads, options_.memory_bytes_per_job);
          if (why.empty()) {
            const bool waits = next->recoveries >= store::kRecoveriesBeforeAlone &&
                               running_.size() + Waiting() > 0;
            if (waits) {
              return std::nullopt;
            }
            return store.Claim(free, now);
          }
          HONE_RETURN_IF_ERROR(store.Hold(next->id, why, now));
          held.emplace_back(next->id, why);
        }
        return std::nullopt;
      });
  if (claimed.ok()) {
    for (const auto& [job, why] : held) {
      log::Warning("job is held; those behind it pass", {{"job", job}, {"reason", why}});
    }
  }
  return claimed;
}

void Scheduler::Prepare(const jobs::Job& job) {
  preparing_[job.id] = {.job = job, .since = SteadyNow()};
  // Never refused: there are no more of them than jobs may run.
  files_.Submit([this, job] {
    Prepared prepared{.job = job, .options = PrepareAttempt(job)};
    const std::lock_guard lock(mutex_);
    prepared_.push_back(std::move(prepared));
    Wake();  // with the lock: who takes the last result may end the scheduler
  });
}

void Scheduler::TakePrepared(absl::Time now) {
  std::vector<Prepared> all;
  {
    const std::lock_guard lock(mutex_);
    all.swap(prepared_);
  }
  for (const Prepared& prepared : all) {
    preparing_.erase(prepared.job.id);
    if (stopping_) {
      unstarted_.push_back(
          {prepared.job,
           {.ending = {}, .requeueing = store::Requeueing{.message = "the server was shut down"}}});
    } else {
      Launch(prepared, now);
    }
  }
}

absl::StatusOr<AttemptOptions> Scheduler::PrepareAttempt(const jobs::Job& job) const {
  if (!job.retry_of.empty()) {
    HONE_RETURN_IF_ERROR(directory_.InheritCheckpoints(job.retry_of, job.id));
  }
  HONE_ASSIGN_OR_RETURN(const std::string directory,
                        directory_.PrepareAttempt(job.id, job.attempt));
  std::string dataset_path;
  if (options_.dataset_path) {
    HONE_ASSIGN_OR_RETURN(dataset_path, options_.dataset_path(job.id));
  }
  std::map<std::string, std::string> models;  // folders, by the field that names the model
  for (const auto& [field, model] : jobs::ModelsOf(job.spec)) {
    HONE_ASSIGN_OR_RETURN(const std::string id, jobs::ModelId(model));
    models[field] = directory_.ModelDirectory(id);
  }
  HONE_ASSIGN_OR_RETURN(const std::string traceparent,
                        writer_.Run<std::string>([&job](store::JobStore& store) {
                          return store.TraceparentOf(job.id);
                        }));
  return AttemptOptions{
      .worker = options_.worker,
      .run_directory = directory,
      .cache_directory = directory_.cache_directory(),
      .data_mirror = options_.data_mirror,
      .model_directory =
          models[job.spec.has_evaluation() ? "evaluation.model" : "model.pretrained.model"],
      .classifier_directory = models["image_generation.evaluation.classifier"],
      .other_model_directory = models["evaluation.against"],
      .dataset_path = dataset_path,
      .traceparent = traceparent,
      .memory_bytes = options_.memory_bytes_per_job,
      .grace = options_.grace,
      .silence = options_.silence,
      .stall = options_.stall};
}

// Not the job's fault: no memory, no processes, no space.
Decision Scheduler::Again(const jobs::Job& job, std::string message) const {
  return RetryLater(std::move(message), v1::Job::UNAVAILABLE,
                    {.failures = job.failures, .retries = job.retries}, options_.retry_delay);
}

void Scheduler::Launch(const Prepared& prepared, absl::Time now) {
  const jobs::Job& job = prepared.job;
  absl::StatusOr<std::unique_ptr<Attempt>> attempt =
      prepared.options.ok() ? Attempt::Start(job, *prepared.options) : prepared.options.status();
  if (attempt.ok()) {
    log::Info("attempt started", {{"job", job.id},
                                  {"attempt", job.attempt},
                                  {"threads", job.threads},
                                  {"trace_id", TraceIdOf(prepared.options->traceparent)},
                                  {"project", job.project},
                                  {"caller", job.created_by}});
    run_metrics_.Started(job, now);
    running_[job.id].attempt = *std::move(attempt);
    failed_starts_ = 0;
    return;
  }
  log::Error("attempt cannot start",
             {{"job", job.id}, {"attempt", job.attempt}, {"error", attempt.status().ToString()}});
  if (absl::IsFailedPrecondition(prepared.options.status())) {
    unstarted_.push_back(
        {job,
         {.ending = {},
          .requeueing = store::Requeueing{
              .message = absl::StrCat("it cannot be started: ", attempt.status().message(),
                                      "; when they are back, pause and resume the job, or restart "
                                      "the server"),
              .held = true}}});
    Wake();
    return;
  }
  const std::string message =
      absl::StrCat("the worker cannot be started: ", attempt.status().message());
  starts_in_place_ = job.id == last_unstarted_ ? starts_in_place_ + 1 : 1;
  last_unstarted_ = job.id;
  if (!prepared.options.ok() || starts_in_place_ > kStartsInPlace) {
    starts_in_place_ = 0;
    unstarted_.push_back({job, Again(job, message)});
    Wake();
    return;
  }
  // That no process can be started is the machine's fault, and the next job would fare alike: the
  // job keeps its place, and nobody is started for a while. What comes again and again may lie in
  // its own folder: then the next job has its turn.
  unstarted_.push_back({job, {.ending = {}, .requeueing = store::Requeueing{.message = message}}});
  start_again_at_ = SteadyNow() + Delay(options_.retry_delay, failed_starts_++);
}

}  // namespace hone::server::scheduler
