#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "hone/v1/event.pb.h"
#include "server/store/job_store.h"

namespace hone::server::metrics {

// The warm end of the log: the newest committed events of each job in memory, and a call to whoever
// waits for more. Nothing here is the truth: what is not held is read from the log, and of jobs
// that have ended nothing is held that nobody watches. Any thread.
class Bus {
 public:
  using Notify = std::function<void()>;
  using Events = std::vector<std::shared_ptr<const v1::Event>>;

  // From the store's writer, in the log's order. Calls the notifiers of the job's subscribers, who
  // must not block.
  void Publish(const store::LoggedEvent& event);

  // `notify` is called after each event that is published from now on, and perhaps once more after
  // Unsubscribe.
  int64_t Subscribe(const std::string& job_id, Notify notify);
  void Unsubscribe(const std::string& job_id, int64_t subscription);

  enum class Held {
    kYes,      // `events` are the ones after `after`; none: there are no newer ones
    kUnknown,  // the log has to be read
  };
  // At most `limit` events with sequences after + 1, after + 2, …
  Held Read(const std::string& job_id, int64_t after, size_t limit, Events& events) const;

  static constexpr size_t kHeldPerJob = 256;
  static constexpr size_t kHeldJobs = 256;
  // Of events as they are sent, which take about twice as much in memory.
  static constexpr size_t kHeldBytesPerJob = size_t{1} << 20;
  static constexpr size_t kHeldBytes = size_t{32} << 20;

  size_t held_bytes() const;

 private:
  struct Job {
    std::deque<std::shared_ptr<const v1::Event>> newest;
    size_t bytes = 0;  // of `newest`
    std::map<int64_t, std::shared_ptr<const Notify>> subscribers;
    int64_t used = 0;  // when something was published last, for eviction
  };

  // Nothing of the job need be held.
  static bool IsOver(const Job& job);
  void PopOldest(Job& job);
  void Forget(Job& job);
  // Of the job that was quiet longest.
  void ForgetOldest();
  void EvictOldest();

  mutable std::mutex mutex_;  // guards all below
  std::map<std::string, Job> jobs_;
  size_t bytes_ = 0;  // of all jobs
  int64_t next_subscription_ = 1;
  int64_t clock_ = 0;
};

}  // namespace hone::server::metrics
