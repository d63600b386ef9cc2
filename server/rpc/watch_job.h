#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "hone/v1/training_service.pb.h"
#include "server/metrics/bus.h"
#include "server/rpc/byte_budget.h"
#include "server/store/job_store.h"

namespace hone::server::rpc {

// What one watcher of a job is to be sent next: the snapshot, the log after its token, then what
// the bus brings; back to the log when it has fallen behind. Large events that `budget` has no room
// for are left out, which a gap tells. Knows no gRPC. Not for several threads at once; `bus` and
// `budget` outlive it.
class JobWatch {
 public:
  // NOT_FOUND; INVALID_ARGUMENT: a token of another log or job; RESOURCE_EXHAUSTED: the budget has
  // no room for the job.
  static absl::StatusOr<JobWatch> Open(const v1::WatchJobRequest& request,
                                       const store::JobStore& store, const metrics::Bus& bus,
                                       ByteBudget& budget);

  enum class Next {
    kAnswer,   // `answer` is set
    kReadLog,  // call AddFromLog with the events after position()
    kWait,     // for the bus
    kEnd,      // the job has ended and all was sent
  };
  // The answer before is sent by then: what it took of the budget is given back.
  Next Take(v1::WatchJobResponse& answer);

  void AddFromLog(std::vector<v1::Event> events);
  // The bus has published something.
  void Notified() { log_is_read_ = false; }

  const std::string& job_id() const { return job_id_; }
  // Sequence of the last event sent, or before the first one to send.
  int64_t position() const { return position_; }
  std::string ResumeToken() const;

 private:
  JobWatch(std::string generation, const metrics::Bus& bus, ByteBudget& budget)
      : generation_(std::move(generation)), bus_(&bus), budget_(&budget) {}

  bool Ready();
  // Up to that event and with it.
  void AnswerGap(int64_t to_sequence, v1::WatchJobResponse& answer);
  void AnswerEvent(v1::WatchJobResponse& answer);

  std::string generation_;
  const metrics::Bus* bus_;
  ByteBudget* budget_;
  std::string job_id_;
  v1::Job snapshot_;
  bool snapshot_sent_ = false;
  bool ended_ = false;        // the event of the end was sent
  bool log_is_read_ = false;  // or is being read; nobody has notified since that was begun
  int64_t position_ = 0;
  std::deque<std::shared_ptr<const v1::Event>> next_;
  int64_t next_bytes_ = 0;  // of `next_`, where it is from the log
  int64_t lost_ = 0;        // the log's next event, where there was no room for it
  // Of `next_`, of the answer that is being sent.
  std::optional<ByteBudget::Share> next_share_, answer_share_;
};

}  // namespace hone::server::rpc
