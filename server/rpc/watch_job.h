#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "hone/v1/training_service.pb.h"
#include "server/metrics/bus.h"
#include "server/store/job_store.h"

namespace hone::server::rpc {

// What one watcher of a job is to be sent next: the snapshot, the log after its token, then what
// the bus brings; back to the log when it has fallen behind. Knows no gRPC. Not for several threads
// at once; `bus` outlives it.
class JobWatch {
 public:
  // NOT_FOUND; INVALID_ARGUMENT: a token of another log or job.
  static absl::StatusOr<JobWatch> Open(const v1::WatchJobRequest& request,
                                       const store::JobStore& store, const metrics::Bus& bus);

  enum class Next {
    kAnswer,   // `answer` is set
    kReadLog,  // call AddFromLog with the events after position()
    kWait,     // for the bus
    kEnd,      // the job has ended and all was sent
  };
  Next Take(v1::WatchJobResponse& answer);

  void AddFromLog(std::vector<v1::Event> events);
  // The bus has published something.
  void Notified() { log_is_read_ = false; }

  const std::string& job_id() const { return job_id_; }
  // Sequence of the last event sent, or before the first one to send.
  int64_t position() const { return position_; }
  std::string ResumeToken() const;

 private:
  JobWatch(std::string generation, const metrics::Bus& bus)
      : generation_(std::move(generation)), bus_(&bus) {}

  bool Ready();

  std::string generation_;
  const metrics::Bus* bus_;
  std::string job_id_;
  v1::Job snapshot_;
  bool snapshot_sent_ = false;
  bool ended_ = false;        // the event of the end was sent
  bool log_is_read_ = false;  // or is being read; nobody has notified since that was begun
  int64_t position_ = 0;
  std::deque<std::shared_ptr<const v1::Event>> next_;
};

}  // namespace hone::server::rpc
