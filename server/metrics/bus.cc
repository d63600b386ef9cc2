#include "server/metrics/bus.h"

#include <algorithm>
#include <utility>

#include "server/jobs/job.h"

namespace hone::server::metrics {

void Bus::Publish(const store::LoggedEvent& event) {
  std::vector<std::shared_ptr<const Notify>> notifiers;
  {
    const std::lock_guard lock(mutex_);
    Job& job = jobs_[event.job_id];
    // Only neighbours are held: after a hole the log is the one to ask.
    if (!job.newest.empty() && job.newest.back()->sequence() + 1 != event.event->sequence()) {
      Forget(job);
    }
    job.newest.push_back(event.event);
    job.bytes += event.event->ByteSizeLong();
    bytes_ += event.event->ByteSizeLong();
    while (job.newest.size() > kHeldPerJob || job.bytes > kHeldBytesPerJob) {
      PopOldest(job);
    }
    job.used = ++clock_;
    for (const auto& [id, notify] : job.subscribers) {
      notifiers.push_back(notify);
    }
    while (bytes_ > kHeldBytes) {
      ForgetOldest();
    }
    if (IsOver(job)) {
      Forget(job);
      jobs_.erase(event.job_id);
    }
    if (jobs_.size() > kHeldJobs) {
      EvictOldest();
    }
  }
  // Without the lock: they read from here.
  for (const auto& notify : notifiers) {
    (*notify)();
  }
}

bool Bus::IsOver(const Job& job) {
  return job.subscribers.empty() && (job.newest.empty() || jobs::EndsJob(*job.newest.back()));
}

void Bus::PopOldest(Job& job) {
  const size_t bytes = job.newest.front()->ByteSizeLong();
  job.newest.pop_front();
  job.bytes -= bytes;
  bytes_ -= bytes;
}

void Bus::Forget(Job& job) {
  bytes_ -= std::exchange(job.bytes, 0);
  job.newest.clear();
}

void Bus::ForgetOldest() {
  Job* oldest = nullptr;
  for (auto& [id, job] : jobs_) {
    if (!job.newest.empty() && (oldest == nullptr || job.used < oldest->used)) {
      oldest = &job;
    }
  }
  if (oldest != nullptr) {
    Forget(*oldest);
  }
}

void Bus::EvictOldest() {
  auto oldest = jobs_.end();
  for (auto it = jobs_.begin(); it != jobs_.end(); ++it) {
    if (it->second.subscribers.empty() &&
        (oldest == jobs_.end() || it->second.used < oldest->second.used)) {
      oldest = it;
    }
  }
  if (oldest != jobs_.end()) {
    Forget(oldest->second);
    jobs_.erase(oldest);
  }
}

size_t Bus::held_bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

int64_t Bus::Subscribe(const std::string& job_id, Notify notify) {
  const std::lock_guard lock(mutex_);
  const int64_t subscription = next_subscription_++;
  jobs_[job_id].subscribers.emplace(subscription,
                                    std::make_shared<const Notify>(std::move(notify)));
  return subscription;
}

void Bus::Unsubscribe(const std::string& job_id, int64_t subscription) {
  const std::lock_guard lock(mutex_);
  const auto job = jobs_.find(job_id);
  if (job == jobs_.end()) {
    return;
  }
  job->second.subscribers.erase(subscription);
  if (IsOver(job->second)) {
    Forget(job->second);
    jobs_.erase(job);
  }
}

Bus::Held Bus::Read(const std::string& job_id, int64_t after, size_t limit, Events& events) const {
  const std::lock_guard lock(mutex_);
  const auto job = jobs_.find(job_id);
  if (job == jobs_.end() || job->second.newest.empty()) {
    return Held::kUnknown;
  }
  const auto& newest = job->second.newest;
  const int64_t first = newest.front()->sequence();
  const int64_t last = newest.back()->sequence();
  if (after + 1 < first) {
    return Held::kUnknown;
  }
  for (int64_t sequence = after + 1; sequence <= last && events.size() < limit; ++sequence) {
    events.push_back(newest[static_cast<size_t>(sequence - first)]);
  }
  return Held::kYes;
}

}  // namespace hone::server::metrics
