#include "server/rpc/watch_job.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/base/status.h"
#include "server/jobs/job.h"
#include "server/jobs/unknown_fields.h"

namespace hone::server::rpc {
namespace {

// What the bus holds stays the bus's: a watcher that is slow keeps one event of it alive.
constexpr size_t kFromBus = 1;

// The token names the log, the job and the sequence.
absl::StatusOr<int64_t> ParseToken(const std::string& token, const std::string& generation,
                                   const std::string& job_id, int64_t last_sequence) {
  const std::vector<std::string> parts = absl::StrSplit(token, '.');
  int64_t sequence = -1;
  if (parts.size() != 3 || parts[0] != generation || parts[1] != job_id ||
      !absl::SimpleAtoi(parts[2], &sequence) || sequence < 0 || sequence > last_sequence) {
    return absl::InvalidArgumentError(
        "resume_token: is not of this job's log; leave it empty to begin with the first event");
  }
  return sequence;
}

}  // namespace

absl::StatusOr<JobWatch> JobWatch::Open(const v1::WatchJobRequest& request,
                                        const store::JobStore& store, const metrics::Bus& bus) {
  HONE_RETURN_IF_ERROR(jobs::CheckFieldsAreKnown(request));
  JobWatch watch(store.generation(), bus);
  HONE_ASSIGN_OR_RETURN(watch.job_id_, jobs::JobId(request.name()));
  HONE_ASSIGN_OR_RETURN(const jobs::Job job, store.Get(watch.job_id_));
  if (!request.resume_token().empty() && request.live_only()) {
    return absl::InvalidArgumentError("live_only: must be false with a resume_token");
  }
  if (!request.resume_token().empty()) {
    HONE_ASSIGN_OR_RETURN(watch.position_, ParseToken(request.resume_token(), watch.generation_,
                                                      job.id, job.last_sequence));
  } else if (request.live_only()) {
    watch.position_ = job.last_sequence;
  }
  watch.snapshot_ = jobs::ToProto(job);
  watch.ended_ = jobs::IsEnd(job.state) && watch.position_ >= job.last_sequence;
  return watch;
}

std::string JobWatch::ResumeToken() const {
  return absl::StrCat(generation_, ".", job_id_, ".", position_);
}

void JobWatch::AddFromLog(std::vector<v1::Event> events) {
  if (!events.empty()) {
    log_is_read_ = false;
  }
  for (v1::Event& event : events) {
    next_.push_back(std::make_shared<const v1::Event>(std::move(event)));
  }
}

// True: next_ has something.
bool JobWatch::Ready() {
  if (next_.empty()) {
    metrics::Bus::Events events;
    if (bus_->Read(job_id_, position_, kFromBus, events) == metrics::Bus::Held::kYes) {
      log_is_read_ = events.empty();  // else there may be more, which the bus may forget
      next_.assign(events.begin(), events.end());
    }
  }
  return !next_.empty();
}

JobWatch::Next JobWatch::Take(v1::WatchJobResponse& answer) {
  answer.Clear();
  if (!snapshot_sent_) {
    snapshot_sent_ = true;
    answer.mutable_snapshot()->Swap(&snapshot_);
    answer.set_resume_token(ResumeToken());
    return Next::kAnswer;
  }
  if (ended_) {
    return Next::kEnd;
  }
  if (!Ready()) {
    // From here on: what is published during the read is not in it, and Notified says so.
    return std::exchange(log_is_read_, true) ? Next::kWait : Next::kReadLog;
  }
  const int64_t sequence = next_.front()->sequence();
  if (sequence > position_ + 1) {
    answer.mutable_gap()->set_from_sequence(position_ + 1);
    answer.mutable_gap()->set_to_sequence(sequence - 1);
    position_ = sequence - 1;
  } else {
    *answer.mutable_event() = *next_.front();
    ended_ = jobs::EndsJob(*next_.front());
    position_ = sequence;
    next_.pop_front();
  }
  answer.set_resume_token(ResumeToken());
  return Next::kAnswer;
}

}  // namespace hone::server::rpc
