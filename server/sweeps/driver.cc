#include "server/sweeps/driver.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/status.h"
#include "server/log/log.h"
#include "server/sweeps/advance.h"
#include "server/sweeps/search.h"

namespace hone::server::sweeps {
namespace {

using ::google::protobuf::util::MessageDifferencer;

constexpr std::chrono::seconds kEvery(1);       // while a sweep goes on
constexpr std::chrono::seconds kIdleEvery(60);  // else; Wake comes first
constexpr absl::Duration kAgainAfter = absl::Seconds(2);
// The newest events of a job, among which its latest layer statistics are.
constexpr int kEventsLookedAt = 400;
constexpr int64_t kBytesLookedAt = int64_t{8} << 20;

// What another try cannot mend.
bool IsFinal(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsNotFound(status) ||
         absl::IsFailedPrecondition(status) || absl::IsAlreadyExists(status) ||
         absl::IsOutOfRange(status);
}

v1::Trial* FindTrial(int number, v1::Sweep& sweep) {
  const auto found = std::ranges::find(*sweep.mutable_trials(), number, &v1::Trial::number);
  return found == sweep.mutable_trials()->end() ? nullptr : &*found;
}

double Elapsed(const v1::Sweep& sweep, absl::Time now) {
  return absl::ToDoubleSeconds(now - absl::FromUnixSeconds(sweep.create_time().seconds()) -
                               absl::Nanoseconds(sweep.create_time().nanos()));
}

// Takes the results over where the trials are still what they were when these were read, and looks
// what is next. Returns the trials that are to begin.
std::vector<int> Apply(const std::map<int, v1::Trial>& results, absl::Time now, v1::Sweep& sweep) {
  for (const auto& [number, result] : results) {
    v1::Trial* const trial = FindTrial(number, sweep);
    if (trial != nullptr && trial->job() == result.job() && trial->rung() == result.rung() &&
        (trial->state() == v1::Trial::RUNNING || trial->state() == v1::Trial::WAITING)) {
      *trial = result;
    }
  }
  std::vector<int> begin = Advance(sweep, Elapsed(sweep, now));
  if (IsEnd(sweep.state()) && !sweep.has_end_time()) {
    *sweep.mutable_end_time() = jobs::ToTimestamp(now);
  }
  return begin;
}

}  // namespace

Driver::Driver(DriverHooks hooks, const store::JobStore& store, store::Writer& writer)
    : hooks_(std::move(hooks)), store_(store), writer_(writer) {}

Driver::~Driver() { Stop(); }

void Driver::Start() {
  thread_ = std::thread([this] { Loop(); });
}

void Driver::Wake() {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  wake_.notify_all();
}

void Driver::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) {
    thread_.join();
  }
}

void Driver::Loop() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    woken_ = false;
    lock.unlock();
    const bool any = Tick(absl::Now());
    lock.lock();
    wake_.wait_for(lock, any ? kEvery : kIdleEvery, [this] { return woken_ || stopping_; });
  }
}

bool Driver::Tick(absl::Time now) {
  const absl::StatusOr<std::vector<std::string>> ids = store_.sweeps().Unfinished();
  if (!ids.ok()) {
    log::Warning("sweeps cannot be read and wait", {{"error", ids.status().ToString()}});
    return true;
  }
  for (const std::string& id : *ids) {
    if (const absl::Status status = Advance(id, now); !status.ok() && !absl::IsNotFound(status)) {
      log::Warning("a sweep cannot go on just now", {{"sweep", id}, {"error", status.ToString()}});
    }
  }
  hooks_.looked();
  return !ids->empty();
}

absl::StatusOr<std::map<int, v1::Trial>> Driver::Results(const v1::Sweep& sweep) const {
  std::map<int, v1::Trial> results;
  for (const v1::Trial& trial : sweep.trials()) {
    if (trial.state() != v1::Trial::RUNNING) {
      continue;
    }
    HONE_ASSIGN_OR_RETURN(const std::string job_id, jobs::JobId(trial.job()));
    const absl::StatusOr<jobs::Job> job = store_.Get(job_id);
    v1::Trial result = trial;
    if (absl::IsNotFound(job.status())) {
      TakeLoss(absl::StrCat(trial.job(), " was deleted before its end was seen"), result);
    } else {
      HONE_RETURN_IF_ERROR(job.status());
      if (!jobs::IsEnd(job->state)) {
        continue;
      }
      HONE_RETURN_IF_ERROR(TakeFromJob(sweep.spec(), *job, result));
    }
    results[trial.number()] = std::move(result);
  }
  return results;
}

absl::Status Driver::TakeFromJob(const v1::SweepSpec& spec, const jobs::Job& job,
                                 v1::Trial& trial) const {
  HONE_ASSIGN_OR_RETURN(
      const std::vector<v1::Event> events,
      store_.ReadEvents(job.id, std::max<int64_t>(job.last_sequence - kEventsLookedAt, 0),
                        kEventsLookedAt, kBytesLookedAt));
  v1::LayerStatistics latest;
  for (const v1::Event& event : events) {
    if (event.has_layer_statistics()) {
      latest = event.layer_statistics();
    }
  }
  TakeResult(spec, jobs::ToProto(job), latest, trial);
  return absl::OkStatus();
}

absl::Status Driver::Advance(const std::string& id, absl::Time now) {
  HONE_ASSIGN_OR_RETURN(v1::Sweep sweep, store_.sweeps().Get(id));
  std::map<int, v1::Trial> results;
  HONE_ASSIGN_OR_RETURN(results, Results(sweep));
  {
    const std::lock_guard lock(mutex_);
    for (const v1::Trial& trial : sweep.trials()) {
      if (const auto refused = refused_.find({id, trial.number()});
          refused != refused_.end() && trial.state() == v1::Trial::WAITING) {
        v1::Trial& result = results[trial.number()] = trial;
        TakeLoss(refused->second, result);
      }
    }
  }
  v1::Sweep next = sweep;
  std::vector<int> begin = Apply(results, now, next);
  if (!MessageDifferencer::Equals(next, sweep)) {
    HONE_ASSIGN_OR_RETURN(sweep, writer_.Run<v1::Sweep>([&](store::JobStore& store) {
      return store.sweeps().Change(id, [&](v1::Sweep& stored) {
        begin = Apply(results, now, stored);
        return absl::OkStatus();
      });
    }));
    for (const auto& [number, result] : results) {
      if (IsEnd(result.state())) {
        hooks_.trial_ended(result.state());
      }
      const std::lock_guard lock(mutex_);
      refused_.erase({id, number});
    }
    if (IsEnd(sweep.state())) {
      log::Info("sweep ended", {{"sweep", id},
                                {"state", v1::Sweep::State_Name(sweep.state())},
                                {"trials", sweep.trials_ended()}});
    }
  }
  if (sweep.state() == v1::Sweep::STOPPING) {
    return CancelJobs(sweep, now);
  }
  for (const int number : begin) {
    Begin(id, sweep, number);
  }
  return absl::OkStatus();
}

absl::Status Driver::CancelJobs(const v1::Sweep& sweep, absl::Time now) {
  for (const v1::Trial& trial : sweep.trials()) {
    if (trial.state() != v1::Trial::RUNNING || cancelled_.contains(trial.job())) {
      continue;
    }
    HONE_ASSIGN_OR_RETURN(const std::string job_id, jobs::JobId(trial.job()));
    const absl::StatusOr<jobs::Job> job = writer_.Run<jobs::Job>(
        [&](store::JobStore& store) { return store.RequestCancel(job_id, now); });
    if (!job.ok() && !absl::IsFailedPrecondition(job.status()) && !absl::IsNotFound(job.status())) {
      return job.status();
    }
    cancelled_.insert(trial.job());
    hooks_.stop(job_id);
  }
  return absl::OkStatus();
}

void Driver::Begin(const std::string& id, const v1::Sweep& sweep, int number) {
  const Key key{id, number};
  bool from_start = false;
  {
    const std::lock_guard lock(mutex_);
    const auto again = again_at_.find(key);
    if (stopping_ || submitting_.contains(key) || refused_.contains(key) ||
        (again != again_at_.end() && absl::Now() < again->second)) {
      return;
    }
    submitting_.insert(key);
    from_start = from_start_.contains(key);
  }
  const v1::Trial& trial = *std::ranges::find(sweep.trials(), number, &v1::Trial::number);
  absl::StatusOr<v1::JobSpec> job = JobOf(sweep.spec(), trial);
  if (!job.ok()) {
    return Answered(key, "", job.status());
  }
  (*job->mutable_labels())["sweep"] = id;
  (*job->mutable_labels())["trial"] = absl::StrCat(number);
  const int rung = trial.rung();
  // Whoever was faster, or has stopped the sweep, has changed it.
  const auto still_waits = [id, number, rung](v1::Sweep& stored) {
    const v1::Trial* const waiting = FindTrial(number, stored);
    return stored.state() == v1::Sweep::RUNNING && waiting != nullptr &&
                   waiting->state() == v1::Trial::WAITING && waiting->rung() == rung
               ? absl::OkStatus()
               : absl::AbortedError(absl::StrCat("trial ", number, " of ", store::SweepName(id),
                                                 " does not wait any more"));
  };
  Submission submission{
      .spec = *std::move(job),
      .project = sweep.project(),
      .created_by = sweep.created_by(),
      .request_id = absl::StrCat("sweep-", id, "-", number, "-", rung, from_start ? "-anew" : ""),
      .before =
          [id, still_waits](store::JobStore& store) {
            return store.sweeps().Change(id, still_waits).status();
          },
      .after =
          [id, number](store::JobStore& store, const jobs::Job& stored) {
            return store.sweeps()
                .Change(id,
                        [&](v1::Sweep& changed) {
                          v1::Trial& begun = *FindTrial(number, changed);
                          begun.set_state(v1::Trial::RUNNING);
                          begun.set_job(jobs::JobName(stored.id));
                          begun.clear_message();
                          return absl::OkStatus();
                        })
                .status();
          }};
  if (rung > 1 && !from_start) {
    submission.retry_of = jobs::JobId(trial.job()).value_or("");
  }
  const std::string went_on_from = submission.retry_of;
  hooks_.submit(std::move(submission), [this, key, went_on_from](const absl::Status& status) {
    Answered(key, went_on_from, status);
  });
}

void Driver::Answered(const Key& key, const std::string& went_on_from, const absl::Status& status) {
  {
    const std::lock_guard lock(mutex_);
    submitting_.erase(key);
    again_at_.erase(key);
    if (!went_on_from.empty() && (absl::IsFailedPrecondition(status) || absl::IsNotFound(status))) {
      from_start_.insert(key);
    } else if (!status.ok() && IsFinal(status)) {
      refused_[key] = std::string(status.message());
    } else if (!status.ok() && !absl::IsAborted(status)) {
      again_at_[key] = absl::Now() + kAgainAfter;
    } else {
      from_start_.erase(key);
    }
  }
  Wake();
}

}  // namespace hone::server::sweeps
