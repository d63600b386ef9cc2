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

// Of a message in memory, by what it is when it is sent; and of both.
int64_t InMemory(size_t sent) { return 2 * static_cast<int64_t>(sent); }
int64_t AsAnswer(size_t sent) { return 3 * static_cast<int64_t>(sent); }

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
                                        const store::JobStore& store, const metrics::Bus& bus,
                                        ByteBudget& budget) {
  HONE_RETURN_IF_ERROR(jobs::CheckFieldsAreKnown(request));
  JobWatch watch(store.generation(), bus, budget);
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
  watch.answer_share_ = budget.Take(AsAnswer(watch.snapshot_.ByteSizeLong()));
  if (!watch.answer_share_.has_value()) {
    return absl::ResourceExhaustedError("the watchers have too much to be sent; try again");
  }
  watch.ended_ = jobs::IsEnd(job.state) && watch.position_ >= job.last_sequence;
  return watch;
}

std::string JobWatch::ResumeToken() const {
  return absl::StrCat(generation_, ".", job_id_, ".", position_);
}

void JobWatch::AddFromLog(std::vector<v1::Event> events) {
  if (events.empty()) {
    return;
  }
  log_is_read_ = false;
  int64_t bytes = 0;
  for (const v1::Event& event : events) {
    bytes += InMemory(event.ByteSizeLong());
  }
  next_share_ = budget_->Take(bytes);
  for (v1::Event& event : events) {
    const int64_t more = InMemory(event.ByteSizeLong());
    // Without a share what is small, and the rest when it is read again.
    if (!next_share_.has_value() && next_bytes_ + more > ByteBudget::kSmall) {
      lost_ = next_.empty() ? event.sequence() : 0;
      return;
    }
    next_bytes_ += more;
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

void JobWatch::AnswerGap(int64_t to_sequence, v1::WatchJobResponse& answer) {
  answer.mutable_gap()->set_from_sequence(position_ + 1);
  answer.mutable_gap()->set_to_sequence(to_sequence);
  position_ = to_sequence;
}

JobWatch::Next JobWatch::Take(v1::WatchJobResponse& answer) {
  answer.Clear();
  if (!snapshot_sent_) {
    snapshot_sent_ = true;
    answer.mutable_snapshot()->Swap(&snapshot_);
    answer.set_resume_token(ResumeToken());
    return Next::kAnswer;
  }
  answer_share_.reset();
  if (ended_) {
    return Next::kEnd;
  }
  if (lost_ > position_) {
    AnswerGap(lost_, answer);
  } else if (!Ready()) {
    // From here on: what is published during the read is not in it, and Notified says so.
    return std::exchange(log_is_read_, true) ? Next::kWait : Next::kReadLog;
  } else {
    AnswerEvent(answer);
  }
  answer.set_resume_token(ResumeToken());
  return Next::kAnswer;
}

// next_ has something.
void JobWatch::AnswerEvent(v1::WatchJobResponse& answer) {
  if (next_.front()->sequence() > position_ + 1) {
    return AnswerGap(next_.front()->sequence() - 1, answer);
  }
  const std::shared_ptr<const v1::Event> event = std::move(next_.front());
  next_.pop_front();
  const size_t sent = event->ByteSizeLong();
  next_bytes_ = next_.empty() ? 0 : next_bytes_ - InMemory(sent);
  if (next_bytes_ <= ByteBudget::kSmall) {
    next_share_.reset();
  }
  ended_ = jobs::EndsJob(*event);
  answer_share_ = budget_->Take(AsAnswer(sent));
  if (answer_share_.has_value()) {
    *answer.mutable_event() = *event;
    position_ = event->sequence();
  } else {
    AnswerGap(event->sequence(), answer);
  }
}

}  // namespace hone::server::rpc
