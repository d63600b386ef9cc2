#include "server/scheduler/scheduler.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/status.h"
#include "engine/base/steady_clock.h"
#include "engine/base/traceparent.h"
#include "server/log/log.h"

namespace hone::server::scheduler {
namespace {

// At most so many writes of metrics in a second: four.
constexpr absl::Duration kFlushEvery = absl::Milliseconds(250);
// After which the queue is looked at although nobody called (delayed retries).
constexpr int kIdleMs = 500;
constexpr int kBusyMs = 50;
constexpr absl::Duration kHouseEvery = absl::Seconds(1);
const absl::Duration kRenewEvery = store::kLease / 4;
// After the store could not be written to.
constexpr absl::Duration kWriteAgainAfter = absl::Milliseconds(500);
constexpr absl::Duration kLogLostWriteEvery = absl::Minutes(1);
constexpr int kGarbageAtOnce = 2000;  // events

// The store says that the attempt is not ours any more. Whatever else it says may pass.
bool IsGone(const absl::Status& status) {
  return absl::IsAborted(status) || absl::IsNotFound(status) || absl::IsFailedPrecondition(status);
}

}  // namespace

Scheduler::Scheduler(const SchedulerOptions& options, store::Writer& writer,
                     const artifacts::DataDirectory& directory, metrics::Registry& registry)
    : options_(options),
      writer_(writer),
      directory_(directory),
      registry_(registry),
      run_metrics_(registry),
      wake_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      files_(/*threads=*/2, /*max_queued=*/1 << 20) {}

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

void Scheduler::BeginDrain() {
  stopping_ = true;
  Wake();
}

void Scheduler::Drain() {
  BeginDrain();
  if (thread_.joinable()) {
    thread_.join();
  }
}

void Scheduler::Loop() {
  while (!stopping_ || !running_.empty() || !preparing_.empty()) {
    const absl::Time now = absl::Now();
    const bool may_write = stopping_ || SteadyNow() >= write_again_at_;
    if (!stopping_ && may_write) {
      StartJobs(now);
      KeepHouse(now);
    }
    TakePrepared(now);
    TakePublished(now);
    TakeCalls();
    bool urgent = false;
    for (auto& [id, running] : running_) {
      if (stopping_) {
        running.attempt->Drain();
      }
      running.attempt->Pump(now);
      urgent = urgent || running.attempt->ended() || running.attempt->report().full();
    }
    CountTime();
    if (may_write && (urgent || SteadyNow() - flushed_ >= kFlushEvery)) {
      Flush(now);
    }
    for (auto it = running_.begin(); it != running_.end();) {
      Attempt& attempt = *it->second.attempt;
      const bool told = !attempt.report().pending() || stopping_;
      const bool over = may_write && attempt.ended() && told && Conclude(it->second, now);
      it = over ? running_.erase(it) : std::next(it);
    }
    std::erase_if(unstarted_, [&](const Unstarted& one) {
      return may_write && Settle(one.job, Outcome(), one.decision, now);
    });
    running_count_ = static_cast<int>(running_.size());
    running_threads_ = options_.threads - FreeThreads();
    seconds_left_ = SecondsLeft();
    WaitForWork(urgent && may_write);
  }
}

void Scheduler::CountTime() {
  std::vector<RunMetrics::Worker> workers;
  for (const auto& [id, running] : running_) {
    workers.push_back(
        {running.attempt->pid(), running.attempt->report().report().progress.phase()});
  }
  run_metrics_.Passed(workers, SteadyNow());
}

void Scheduler::WaitForWork(bool busy) {
  std::vector<pollfd> wanted = {{.fd = wake_fd_, .events = POLLIN, .revents = 0}};
  bool pending = false;
  for (auto& [id, running] : running_) {
    Attempt& attempt = *running.attempt;
    pending = pending || attempt.report().pending() || attempt.dying();
    if (!attempt.dying() && !attempt.report().full()) {
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
  for (const auto& [id, preparing] : preparing_) {
    free -= preparing.job.threads;
  }
  return free;
}

// A job that has not told yet takes as long as its plan says.
double Scheduler::SecondsLeft() const {
  double sum = 0;
  for (const auto& [id, running] : running_) {
    const double told = running.attempt->report().report().progress.eta_seconds();
    sum += told > 0 ? told : running.attempt->job().plan.seconds();
  }
  return sum;
}

void Scheduler::TakeCalls() {
  std::set<std::string> stops;
  {
    const std::lock_guard lock(mutex_);
    stops.swap(stops_);
  }
  for (const std::string& id : stops) {
    const auto found = running_.find(id);
    if (preparing_.contains(id) || (found != running_.end() && !Tell(*found->second.attempt))) {
      const std::lock_guard lock(mutex_);
      stops_.insert(id);  // the next turn
    }
  }
}

bool Scheduler::Tell(Attempt& attempt) {
  const auto job =
      writer_.Run<jobs::Job>([&](store::JobStore& store) { return store.Get(attempt.job().id); });
  if (!job.ok()) {
    return IsGone(job.status());
  }
  if (job->state == jobs::JobState::kCancelling) {
    attempt.Cancel();
  } else if (job->state == jobs::JobState::kPausing) {
    attempt.Pause();
  }
  return true;
}

void Scheduler::KeepHouse(absl::Time now) {
  if (SteadyNow() - housekeeping_ < kHouseEvery) {
    return;
  }
  housekeeping_ = SteadyNow();
  const bool claims = !running_.empty() || !preparing_.empty();
  const bool renew = claims && housekeeping_ - renewed_ >= kRenewEvery;
  const auto failed = writer_.Run<int>([&](store::JobStore& store) -> absl::StatusOr<int> {
    HONE_RETURN_IF_ERROR(store.RemoveGarbage(kGarbageAtOnce).status());
    if (renew) {
      HONE_RETURN_IF_ERROR(store.RenewLeases(now));
    }
    return store.FailOverdue(now);
  });
  if (!failed.ok()) {
    LostWrite("housekeeping failed", "", failed.status());
    return;
  }
  renewed_ = renew ? housekeeping_ : renewed_;
}

// Tried again and again: said once a minute.
void Scheduler::LostWrite(absl::string_view what, const std::string& job,
                          const absl::Status& status) {
  const absl::Duration now = SteadyNow();
  write_again_at_ = now + kWriteAgainAfter;
  if (!IsGone(status) && now - lost_write_logged_ < kLogLostWriteEvery) {
    return;
  }
  lost_write_logged_ = now;
  log::Error(what, {{"job", job}, {"error", status.ToString()}});
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
      LostWrite("events cannot be written", attempt->job().id, result);
      // A write that failed as a whole is counted by the writer.
      registry_.Add(metrics::Metric::kStoreErrors, {}, committed.ok() && !IsGone(status) ? 1 : 0);
    }
    if (!result.ok() && IsGone(result)) {
      attempt->Kill();
    }
    if (result.ok() || IsGone(result)) {
      attempt->report().Taken();
    }
  }
}

absl::Status Scheduler::Write(const jobs::Job& job, const Decision& decision, absl::Time now) {
  return writer_.RunStatus([&](store::JobStore& store) {
    return decision.ending.has_value()
               ? store.Finish(job.id, job.attempt, *decision.ending, now)
               : store.Requeue(job.id, job.attempt, *decision.requeueing, now);
  });
}

Decision Scheduler::Judge(Attempt& attempt) {
  const bool checkpointed = attempt.report().checkpointed();
  const jobs::Job& job = attempt.job();
  const Record record = checkpointed ? Record{} : Record{job.failures, job.retries};
  Decision decision = Decide(attempt.outcome(), record, options_.retry_delay);
  if (decision.ending.has_value()) {
    decision.ending->evaluation = attempt.report().evaluation();
  }
  if (decision.requeueing.has_value()) {
    decision.requeueing->checkpointed = checkpointed;
  }
  return decision;
}

bool Scheduler::Conclude(Running& running, absl::Time now) {
  if (!running.decision.has_value()) {
    running.decision = Judge(*running.attempt);
    Publish(running);
  }
  return !running.publishing &&
         Settle(running.attempt->job(), running.attempt->outcome(), *running.decision, now);
}

// As it is in the store, where a wish of the user may have counted more than the decision.
void Scheduler::LogEnd(const jobs::Job& job, const Decision& decision) {
  const bool ends = decision.ending.has_value();
  std::string traceparent;
  const auto stored = writer_.Run<jobs::Job>([&](store::JobStore& store) {
    traceparent = store.TraceparentOf(job.id).value_or("");
    return store.Get(job.id);
  });
  const jobs::JobState decided = ends ? decision.ending->state : jobs::JobState::kQueued;
  const auto reason = stored.ok() ? stored->end_reason
                      : ends      ? decision.ending->reason
                                  : v1::Job::END_REASON_UNSPECIFIED;
  log::Info("attempt ended",
            {{"job", job.id},
             {"attempt", job.attempt},
             {"project", job.project},
             {"caller", job.created_by},
             {"state", jobs::StateName(stored.ok() ? stored->state : decided)},
             {"reason", reason == 0 ? "" : v1::Job::EndReason_Name(reason)},
             {"message", ends ? decision.ending->message : decision.requeueing->message},
             {"trace_id", TraceIdOf(traceparent)}});
}

bool Scheduler::Settle(const jobs::Job& job, const Outcome& outcome, const Decision& decision,
                       absl::Time now) {
  const absl::Status status = Write(job, decision, now);
  if (status.ok()) {
    run_metrics_.Ended(job, outcome, decision, now);
    LogEnd(job, decision);
    return true;
  }
  LostWrite("end of an attempt cannot be written", job.id, status);
  // What cannot be written while the server ends is found at the next start.
  return IsGone(status) || stopping_;
}

}  // namespace hone::server::scheduler
