#include "server/scheduler/scheduler.h"

#include <google/protobuf/util/time_util.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/status.h"
#include "engine/base/steady_clock.h"

namespace hone::server::scheduler {
namespace {

// At most so many writes of metrics in a second: four.
constexpr absl::Duration kFlushEvery = absl::Milliseconds(250);
// After which the queue is looked at although nobody called (delayed retries).
constexpr int kIdleMs = 500;
constexpr int kBusyMs = 50;
constexpr int kForgottenAtOnce = 100;
// After what was not the job's fault.
constexpr absl::Duration kStartAgain = absl::Seconds(5);
constexpr absl::Duration kHouseEvery = absl::Seconds(1);
constexpr int kGarbageAtOnce = 2000;  // events

bool MayPass(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsResourceExhausted(status);
}

}  // namespace

Scheduler::Scheduler(const SchedulerOptions& options, store::Writer& writer,
                     const artifacts::DataDirectory& directory, metrics::Registry& registry)
    : options_(options),
      writer_(writer),
      directory_(directory),
      registry_(registry),
      wake_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Scheduler::~Scheduler() {
  Drain();
  ::close(wake_fd_);
}

void Scheduler::Start() {
  thread_ = std::thread([this] { Loop(); });
}

void Scheduler::Wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_fd_, &one, sizeof(one));
}

void Scheduler::Stop(const std::string& job_id) {
  {
    const std::lock_guard lock(mutex_);
    stops_.insert(job_id);
  }
  Wake();
}

void Scheduler::Forget(const std::string& job_id) {
  {
    const std::lock_guard lock(mutex_);
    forgets_.insert(job_id);
  }
  Wake();
}

void Scheduler::Drain() {
  stopping_ = true;
  Wake();
  if (thread_.joinable()) {
    thread_.join();
  }
}

void Scheduler::Loop() {
  while (!stopping_ || !running_.empty()) {
    const absl::Time now = absl::Now();
    if (!stopping_) {
      StartJobs(now);
      KeepHouse(now);
    }
    TakeCalls();
    bool urgent = false;
    for (auto& [id, running] : running_) {
      if (stopping_) {
        running.attempt->Drain();
      }
      running.attempt->Pump(now);
      urgent = urgent || running.attempt->ended() || running.attempt->report().full();
    }
    if (urgent || SteadyNow() - flushed_ >= kFlushEvery) {
      Flush(now);
    }
    for (auto it = running_.begin(); it != running_.end();) {
      Attempt& attempt = *it->second.attempt;
      const bool told = !attempt.report().pending() || stopping_;
      const bool over = attempt.ended() && told && Conclude(it->second, now);
      it = over ? running_.erase(it) : std::next(it);
    }
    running_count_ = static_cast<int>(running_.size());
    running_threads_ = options_.threads - FreeThreads();
    WaitForWork(urgent);
  }
}

void Scheduler::WaitForWork(bool busy) {
  std::vector<pollfd> wanted = {{.fd = wake_fd_, .events = POLLIN, .revents = 0}};
  bool pending = false;
  for (auto& [id, running] : running_) {
    Attempt& attempt = *running.attempt;
    pending = pending || attempt.report().pending();
    if (!attempt.ended() && !attempt.report().full()) {
      wanted.push_back({.fd = attempt.event_fd(), .events = POLLIN, .revents = 0});
    }
  }
  // What has ended makes room at once.
  const bool room_was_made = busy && wanted.size() == 1;
  ::poll(wanted.data(), wanted.size(), room_was_made ? 0 : (pending || busy ? kBusyMs : kIdleMs));
  uint64_t calls = 0;
  [[maybe_unused]] const ssize_t got = ::read(wake_fd_, &calls, sizeof(calls));
}

int Scheduler::FreeThreads() const {
  int free = options_.threads;
  for (const auto& [id, running] : running_) {
    free -= running.attempt->job().threads;
  }
  return free;
}

void Scheduler::StartJobs(absl::Time now) {
  while (static_cast<int>(running_.size()) < options_.concurrent_jobs) {
    const int free = FreeThreads();
    const auto claimed = writer_.Run<std::optional<jobs::Job>>(
        [&](store::JobStore& store) { return store.Claim(free, now); });
    if (!claimed.ok()) {
      spdlog::error("cannot claim a job: {}", claimed.status().ToString());
      return;
    }
    if (!claimed->has_value()) {
      return;
    }
    Launch(**claimed, now);
  }
}

absl::StatusOr<std::unique_ptr<Attempt>> Scheduler::StartAttempt(const jobs::Job& job) const {
  if (!job.retry_of.empty()) {
    HONE_RETURN_IF_ERROR(directory_.CopyCheckpoints(job.retry_of, job.id));
  }
  HONE_ASSIGN_OR_RETURN(const std::string directory,
                        directory_.PrepareAttempt(job.id, job.attempt));
  std::string dataset_path;
  if (options_.dataset_path) {
    HONE_ASSIGN_OR_RETURN(dataset_path, options_.dataset_path(job.id));
  }
  std::string model_directory;
  if (const std::string& model = job.spec.model().pretrained().model(); !model.empty()) {
    HONE_ASSIGN_OR_RETURN(const std::string id, jobs::ModelId(model));
    model_directory = directory_.ModelDirectory(id);
  }
  return Attempt::Start(job, {.worker = options_.worker,
                              .run_directory = directory,
                              .cache_directory = directory_.cache_directory(),
                              .data_mirror = options_.data_mirror,
                              .model_directory = model_directory,
                              .dataset_path = dataset_path,
                              .memory_bytes = options_.memory_bytes_per_job,
                              .grace = options_.grace,
                              .silence = options_.silence});
}

void Scheduler::Launch(const jobs::Job& job, absl::Time now) {
  absl::StatusOr<std::unique_ptr<Attempt>> attempt = StartAttempt(job);
  if (attempt.ok()) {
    spdlog::info("jobs/{} attempt {} started with {} threads", job.id, job.attempt, job.threads);
    registry_.Add(metrics::Metric::kWorkerStarts, {"train"}, 1);
    running_[job.id] = {.attempt = std::move(*attempt), .decision = {}};
    return;
  }
  // Not the job's fault: no memory, no processes, no space.
  spdlog::error("jobs/{} attempt {} cannot start: {}", job.id, job.attempt,
                attempt.status().ToString());
  const absl::Status status = writer_.RunStatus([&](store::JobStore& store) {
    return store.Requeue(job.id, job.attempt,
                         {.message = std::string(attempt.status().message()), .delay = kStartAgain},
                         now);
  });
  if (!status.ok()) {
    spdlog::error("jobs/{}: {}", job.id, status.ToString());
  }
}

void Scheduler::TakeCalls() {
  std::set<std::string> stops, forgets;
  {
    const std::lock_guard lock(mutex_);
    stops.swap(stops_);
    forgets.swap(forgets_);
  }
  for (const std::string& id : stops) {
    const auto found = running_.find(id);
    if (found != running_.end()) {
      Tell(*found->second.attempt);
    }
  }
  for (const std::string& id : forgets) {
    directory_.RemoveRun(id);
  }
}

void Scheduler::Tell(Attempt& attempt) {
  const auto job =
      writer_.Run<jobs::Job>([&](store::JobStore& store) { return store.Get(attempt.job().id); });
  if (!job.ok()) {
    return;
  }
  if (job->state == jobs::JobState::kCancelling) {
    attempt.Cancel();
  } else if (job->state == jobs::JobState::kPausing) {
    attempt.Pause();
  }
}

void Scheduler::KeepHouse(absl::Time now) {
  if (SteadyNow() - housekeeping_ < kHouseEvery) {
    return;
  }
  housekeeping_ = SteadyNow();
  std::vector<std::string> forgotten;
  const auto failed = writer_.Run<int>([&](store::JobStore& store) -> absl::StatusOr<int> {
    HONE_RETURN_IF_ERROR(store.RemoveGarbage(kGarbageAtOnce).status());
    if (options_.keep_ended < absl::InfiniteDuration()) {
      HONE_ASSIGN_OR_RETURN(forgotten,
                            store.DeleteEnded(now - options_.keep_ended, kForgottenAtOnce));
    }
    return store.FailOverdue(now);
  });
  if (!failed.ok()) {
    spdlog::error("housekeeping: {}", failed.status().ToString());
    registry_.Add(metrics::Metric::kStoreErrors, {}, 1);
    return;
  }
  for (const std::string& id : forgotten) {
    directory_.RemoveRun(id);
  }
}

void Scheduler::Flush(absl::Time now) {
  flushed_ = SteadyNow();
  std::vector<std::pair<Attempt*, absl::Status>> writes;
  for (auto& [id, running] : running_) {
    if (running.attempt->report().pending()) {
      writes.emplace_back(running.attempt.get(), absl::OkStatus());
    }
  }
  if (writes.empty()) {
    return;
  }
  const absl::Status committed = writer_.RunStatus([&](store::JobStore& store) {
    for (auto& [attempt, status] : writes) {
      status =
          store.Append(attempt->job().id, attempt->job().attempt, attempt->report().report(), now);
    }
    return absl::OkStatus();
  });
  for (auto& [attempt, status] : writes) {
    const absl::Status& result = committed.ok() ? status : committed;
    if (!result.ok()) {
      spdlog::error("jobs/{}: events cannot be written: {}", attempt->job().id, result.ToString());
      registry_.Add(metrics::Metric::kStoreErrors, {}, 1);
    }
    if (!result.ok() && !MayPass(result)) {
      attempt->Kill();
    }
    if (result.ok() || !MayPass(result)) {
      attempt->report().Taken();
    }
  }
}

// A disk that fails is not the job's fault: its last checkpoint is there, and it ends another time.
void Scheduler::Publish(Attempt& attempt, Decision& decision, absl::Time now) {
  const ReportBuffer& report = attempt.report();
  if (report.model_path().empty()) {
    return;
  }
  store::Ending& ending = *decision.ending;
  const jobs::Job& job = attempt.job();
  const auto files = directory_.Publish(attempt.run_directory(), report.model_path(), job.id);
  if (!files.ok()) {
    const std::string message =
        absl::StrCat("the model cannot be published: ", files.status().message());
    if (absl::IsInvalidArgument(files.status())) {
      ending = {.state = jobs::JobState::kFailed, .reason = v1::Job::INTERNAL, .message = message};
      return;
    }
    decision.ending.reset();
    decision.requeueing = store::Requeueing{.message = absl::StrCat(message, "; it is tried again"),
                                            .delay = kStartAgain};
    return;
  }
  v1::Model& model = ending.model.emplace();
  model.set_name(jobs::ModelName(job.id));
  model.set_display_name(job.spec.display_name());
  model.set_job(jobs::JobName(job.id));
  model.set_task(jobs::TaskName(job.spec));
  *model.mutable_create_time() =
      google::protobuf::util::TimeUtil::NanosecondsToTimestamp(absl::ToUnixNanos(now));
  int64_t bytes = 0;
  for (const v1::ModelFile& file : *files) {
    bytes += file.bytes();
    *model.add_files() = file;
  }
  model.set_bytes(bytes);
  *model.mutable_evaluation() = report.evaluation();
  *model.mutable_plan() = report.plan().layers_size() > 0 ? report.plan() : job.plan;
}

absl::Status Scheduler::Write(const Attempt& attempt, const Decision& decision, absl::Time now) {
  const jobs::Job& job = attempt.job();
  return writer_.RunStatus([&](store::JobStore& store) {
    return decision.ending.has_value()
               ? store.Finish(job.id, job.attempt, *decision.ending, now)
               : store.Requeue(job.id, job.attempt, *decision.requeueing, now);
  });
}

Decision Scheduler::Judge(Attempt& attempt, absl::Time now) {
  const bool checkpointed = attempt.report().checkpointed();
  Decision decision =
      Decide(attempt.outcome(), checkpointed ? 0 : attempt.job().failures, options_.retry_delay);
  if (decision.ending.has_value()) {
    decision.ending->evaluation = attempt.report().evaluation();
    if (decision.ending->state == jobs::JobState::kSucceeded) {
      Publish(attempt, decision, now);
    }
  }
  if (decision.requeueing.has_value()) {
    decision.requeueing->checkpointed = checkpointed;
  }
  return decision;
}

bool Scheduler::Conclude(Running& running, absl::Time now) {
  Attempt& attempt = *running.attempt;
  const jobs::Job& job = attempt.job();
  if (!running.decision.has_value()) {
    running.decision = Judge(attempt, now);
  }
  const Decision& decision = *running.decision;
  const absl::Status status = Write(attempt, decision, now);
  if (status.ok()) {
    const bool ends = decision.ending.has_value();
    spdlog::info("jobs/{} attempt {} ended: {} {}", job.id, job.attempt,
                 ends ? std::string(jobs::StateName(decision.ending->state)) : "QUEUED",
                 ends ? decision.ending->message : decision.requeueing->message);
    return true;
  }
  spdlog::error("jobs/{} attempt {}: its end cannot be written: {}", job.id, job.attempt,
                status.ToString());
  // A wish that came after the worker's end: the state is CANCELLING or PAUSING now, and it is
  // judged again.
  if (absl::IsAborted(status)) {
    const bool cancelled = attempt.outcome().cancelled, paused = attempt.outcome().paused;
    Tell(attempt);
    if (attempt.outcome().cancelled != cancelled || attempt.outcome().paused != paused) {
      running.decision.reset();
      return false;
    }
  }
  // What cannot be written while the server ends is found at the next start.
  return !MayPass(status) || stopping_;
}

}  // namespace hone::server::scheduler
