#include "server/predict/model_cache.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "engine/base/status.h"
#include "engine/base/steady_clock.h"
#include "server/jobs/job.h"
#include "server/jobs/reason.h"
#include "server/predict/predictor_process.h"

namespace hone::server::predict {
namespace {

// What a process needs beside the model's weights, until it is measured.
constexpr int64_t kProcessBytes = int64_t{32} << 20;
// In one batch; more wait for the next.
constexpr int kMostInputs = 256;
constexpr int64_t kMostBatchBytes = int64_t{8} << 20;
// Models that have a thread here: those with a process and those that wait for room.
constexpr size_t kMostSeats = 32;
// How often a thread without work looks whether its process is still there, and whether it is to
// make room.
constexpr absl::Duration kLook = absl::Seconds(1);
// A worker takes what is sent at once, whatever it is doing.
constexpr absl::Duration kSendTimeout = absl::Seconds(5);

absl::StatusOr<v1::PredictResponse> ToResponse(v1::WorkerFrame& answer, int inputs) {
  if (answer.has_failure()) {
    return worker_process::ToStatus(answer.failure());
  }
  if (answer.predictions().predictions_size() != inputs) {
    return absl::InternalError(absl::StrCat("the worker answered ",
                                            answer.predictions().predictions_size(), " of ", inputs,
                                            " inputs"));
  }
  v1::PredictResponse response;
  response.mutable_predictions()->Swap(answer.mutable_predictions()->mutable_predictions());
  return response;
}

}  // namespace

ModelCache::ModelCache(CacheOptions options, const artifacts::DataDirectory& directory,
                       metrics::Registry& registry)
    : options_(std::move(options)), directory_(directory), registry_(registry) {
  registry_.Add(metrics::Metric::kWorkerStarts, {"predict"}, 0);
  registry_.Add(metrics::Metric::kTasksRefused, {"predictions"}, 0);
}

ModelCache::~ModelCache() {
  Stop();
  Lock lock(mutex_);
  changed_.wait(lock, [this] { return threads_ == 0; });
  JoinRetired(lock);
}

void ModelCache::Stop() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
}

size_t ModelCache::waiting() const {
  const std::lock_guard lock(mutex_);
  return waiting_;
}

int ModelCache::processes() const {
  const std::lock_guard lock(mutex_);
  return held_;
}

void ModelCache::JoinRetired(Lock& lock) {
  std::vector<std::thread> retired;
  retired.swap(retired_);
  lock.unlock();
  for (std::thread& thread : retired) {
    thread.join();
  }
  lock.lock();
}

void ModelCache::Predict(const v1::Model& model, const v1::PredictRequest& request,
                         absl::Duration timeout, Done done) {
  Call call;
  call.deadline = SteadyNow() + timeout;
  call.done = std::move(done);
  *call.frame.mutable_inputs()->mutable_inputs() = request.inputs();
  call.bytes = static_cast<int64_t>(call.frame.ByteSizeLong());
  Lock lock(mutex_);
  JoinRetired(lock);
  const auto refuse = [&](const absl::Status& status) {
    lock.unlock();
    call.done(status);
  };
  if (stopping_) {
    return refuse(absl::UnavailableError("the server is shutting down"));
  }
  const auto found = seats_.find(model.name());
  const bool full = found == seats_.end() ? threads_ >= kMostSeats
                                          : found->second->calls.size() >= options_.max_waiting;
  if (full || waiting_bytes_ + call.bytes > options_.max_waiting_bytes) {
    registry_.Add(metrics::Metric::kTasksRefused, {"predictions"}, 1);
    return refuse(absl::ResourceExhaustedError("too many predictions wait; try again"));
  }
  std::shared_ptr<Seat> seat;
  if (found == seats_.end()) {
    const absl::StatusOr<std::string> id = jobs::ModelId(model.name());
    if (!id.ok()) {
      return refuse(id.status());
    }
    seat = std::make_shared<Seat>();
    seat->model = model;
    seat->directory = directory_.ModelDirectory(*id);
    seats_.emplace(model.name(), seat);
    ++threads_;
    seat->thread = std::thread([this, seat] { Loop(seat); });
  } else {
    seat = found->second;
  }
  seat->called = SteadyNow();
  ++waiting_;
  waiting_bytes_ += call.bytes;
  seat->calls.push_back(std::move(call));
  changed_.notify_all();
}

void ModelCache::Drop(const std::string& model_id) {
  const std::lock_guard lock(mutex_);
  if (const auto found = seats_.find(jobs::ModelName(model_id)); found != seats_.end()) {
    found->second->ending = true;
    seats_.erase(found);
    changed_.notify_all();
  }
}

void ModelCache::Loop(const std::shared_ptr<Seat>& seat) {
  Lock lock(mutex_);
  while (AwaitCalls(lock, *seat)) {
    if (seat->has_room || TakeRoom(lock, *seat)) {
      Serve(lock, *seat);
    }
  }
  Leave(lock, seat);
}

void ModelCache::Serve(Lock& lock, Seat& seat) {
  std::deque<Call> batch = TakeBatch(seat);
  seat.busy = true;
  lock.unlock();
  const bool usable = Work(seat, batch);
  const int64_t used = usable ? seat.process->PrivateBytes() : 0;
  lock.lock();
  seat.busy = false;
  seat.idle_since = SteadyNow();
  // What is to be tried again comes first.
  for (; !batch.empty(); batch.pop_back()) {
    ++waiting_;
    waiting_bytes_ += batch.back().bytes;
    seat.calls.push_front(std::move(batch.back()));
  }
  const int64_t measured = std::max(used, seat.model.bytes());
  bytes_ += measured - seat.bytes;
  seat.bytes = measured;
  if (bytes_ > options_.max_bytes || !for_room_.empty()) {
    Evict();
  }
  if (!usable || (!for_room_.empty() && evicting_ == 0)) {
    EndProcess(lock, seat);
  }
}

void ModelCache::Leave(Lock& lock, const std::shared_ptr<Seat>& seat) {
  if (const auto found = seats_.find(seat->model.name());
      found != seats_.end() && found->second == seat) {
    seats_.erase(found);
  }
  std::deque<Call> left;
  left.swap(seat->calls);
  waiting_ -= left.size();
  for (const Call& call : left) {
    waiting_bytes_ -= call.bytes;
  }
  EndProcess(lock, *seat);
  lock.unlock();
  for (const Call& call : left) {
    call.done(stopping_
                  ? absl::UnavailableError("the server is shutting down")
                  : jobs::WithReason(absl::NotFoundError(absl::StrCat(
                                         "there is no model ", seat->model.name(), " any more")),
                                     jobs::reason::kModelNotFound));
  }
  lock.lock();
  retired_.push_back(std::move(seat->thread));
  --threads_;
  changed_.notify_all();
}

bool ModelCache::AwaitCalls(Lock& lock, Seat& seat) {
  while (!stopping_ && !seat.ending) {
    if (!seat.calls.empty()) {
      return true;
    }
    if (seat.process == nullptr || !seat.process->Alive()) {
      return false;
    }
    const absl::Duration left = seat.idle_since + options_.idle - SteadyNow();
    if (left <= absl::ZeroDuration()) {
      return false;
    }
    if (bytes_ > options_.max_bytes) {
      Evict();
    }
    if (!seat.ending) {
      changed_.wait_for(lock, absl::ToChronoMilliseconds(std::min(left, kLook)));
    }
  }
  return false;
}

bool ModelCache::TakeRoom(Lock& lock, Seat& seat) {
  const auto place = for_room_.insert(for_room_.end(), &seat);
  const int64_t wanted = seat.model.bytes() + kProcessBytes;
  while (!stopping_ && !seat.ending) {
    if (for_room_.front() == &seat) {
      if (held_ == 0 || (held_ < options_.max_processes && bytes_ + wanted <= options_.max_bytes)) {
        seat.has_room = true;
        seat.bytes = wanted;
        ++held_;
        bytes_ += wanted;
        break;
      }
      Evict();
    }
    changed_.wait(lock);
  }
  for_room_.erase(place);
  changed_.notify_all();
  return seat.has_room;
}

void ModelCache::Evict() {
  if (evicting_ > 0) {
    return;
  }
  Seat* oldest = nullptr;
  for (const auto& [name, seat] : seats_) {
    const bool rests = !for_room_.empty() || SteadyNow() - seat->idle_since >= kLook;
    if (seat->has_room && !seat->busy && seat->calls.empty() && rests &&
        (oldest == nullptr || seat->called < oldest->called)) {
      oldest = seat.get();
    }
  }
  if (oldest != nullptr) {
    oldest->ending = true;
    oldest->evicted = true;
    ++evicting_;
    seats_.erase(oldest->model.name());
    changed_.notify_all();
  }
}

void ModelCache::EndProcess(Lock& lock, Seat& seat) {
  if (!seat.has_room) {
    return;
  }
  seat.busy = true;
  lock.unlock();
  seat.process.reset();
  lock.lock();
  seat.busy = false;
  seat.has_room = false;
  --held_;
  bytes_ -= seat.bytes;
  seat.bytes = 0;
  evicting_ -= seat.evicted ? 1 : 0;
  seat.evicted = false;
  if (bytes_ > options_.max_bytes) {
    Evict();
  }
  changed_.notify_all();
}

std::deque<ModelCache::Call> ModelCache::TakeBatch(Seat& seat) {
  std::deque<Call> batch;
  int inputs = 0;
  int64_t bytes = 0;
  while (!seat.calls.empty()) {
    Call& call = seat.calls.front();
    inputs += call.frame.inputs().inputs_size();
    bytes += call.bytes;
    const bool fits = inputs <= kMostInputs && bytes <= kMostBatchBytes;
    if (!batch.empty() && (!fits || call.tried || batch.front().tried)) {
      break;
    }
    --waiting_;
    waiting_bytes_ -= call.bytes;
    batch.push_back(std::move(call));
    seat.calls.pop_front();
  }
  return batch;
}

bool ModelCache::Work(Seat& seat, std::deque<Call>& batch) {
  const absl::Duration now = SteadyNow();
  const auto late = std::stable_partition(batch.begin(), batch.end(),
                                          [&](const Call& call) { return call.deadline > now; });
  for (auto it = late; it != batch.end(); ++it) {
    it->done(absl::DeadlineExceededError("other predictions used up the time"));
  }
  batch.erase(late, batch.end());
  if (batch.empty()) {
    return seat.process != nullptr;
  }
  return Ask(seat, batch);
}

bool ModelCache::Ask(Seat& seat, std::deque<Call>& batch) {
  absl::Status status;
  if (seat.process == nullptr) {
    registry_.Add(metrics::Metric::kWorkerStarts, {"predict"}, 1);
    auto started = PredictorProcess::Start(options_.worker, seat.directory, options_.process_bytes,
                                           directory_, options_.longest, stopping_);
    status = started.status();
    if (started.ok()) {
      seat.process = *std::move(started);
    }
  }
  const absl::Duration deadline = SteadyNow() + options_.longest;
  for (const Call& call : batch) {
    if (status.ok()) {
      status = seat.process->Send(call.frame, kSendTimeout);
    }
  }
  while (status.ok() && !batch.empty()) {
    absl::StatusOr<v1::WorkerFrame> answer = seat.process->Receive(deadline);
    status = answer.status();
    if (answer.ok()) {
      batch.front().done(ToResponse(*answer, batch.front().frame.inputs().inputs_size()));
      batch.pop_front();
    }
  }
  if (status.ok()) {
    return true;
  }
  const bool died = absl::IsAborted(status);
  const absl::Status told(
      died ? absl::StatusCode::kInternal : status.code(),
      absl::StrReplaceAll(status.message(), {{seat.directory, seat.model.name()}}));
  std::deque<Call> again;
  for (Call& call : batch) {
    if (died && !call.tried) {
      call.tried = true;
      again.push_back(std::move(call));
    } else {
      call.done(told);
    }
  }
  batch.swap(again);
  return false;
}

}  // namespace hone::server::predict
