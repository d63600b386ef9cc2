#include "server/scheduler/attempt.h"

#include <algorithm>
#include <csignal>
#include <utility>

#include "engine/base/cpu.h"
#include "engine/base/status.h"
#include "engine/base/steady_clock.h"

namespace hone::server::scheduler {
namespace {

using worker_process::Received;
using worker_process::WorkerProcess;

// Taken from one worker before the others have their turn.
constexpr int kFramesPerTurn = 256;

// From closing its pipe to being killed.
constexpr absl::Duration kExitGrace = absl::Seconds(1);
// How long a turn waits for a process that is about to end.
constexpr absl::Duration kReapPatience = absl::Milliseconds(20);

}  // namespace

Attempt::Attempt(const jobs::Job& job, const AttemptOptions& options)
    : job_(job),
      options_(options),
      report_(job),
      last_frame_(SteadyNow()),
      last_progress_(last_frame_),
      deadline_(jobs::Deadline(job.spec, job.create_time)),
      oom_kills_(OomKills()) {}

absl::StatusOr<std::unique_ptr<Attempt>> Attempt::Start(const jobs::Job& job,
                                                        const AttemptOptions& options) {
  v1::WorkerRequest request;
  request.set_mode(v1::WorkerRequest::TRAIN);
  *request.mutable_spec() = job.resolved;
  request.set_run_directory(options.run_directory);
  request.set_attempt(job.attempt);
  request.set_threads(job.threads);
  request.set_resume(job.attempt > 1 || !job.retry_of.empty());
  request.set_checkpoint_step(job.checkpoint_step);
  request.set_cache_directory(options.cache_directory);
  request.set_data_mirror(options.data_mirror);
  request.set_dataset_path(options.dataset_path);
  request.set_model_directory(options.model_directory);
  request.set_classifier_directory(options.classifier_directory);
  request.set_other_model_directory(options.other_model_directory);
  if (job.plan.peak_memory_bytes() == 0) {
    request.set_memory_bytes(options.memory_bytes);
  }
  if (options.memory_bytes > 0) {
    request.set_memory_limit_bytes(options.memory_bytes + worker_process::kUnusedBytes);
  }
  std::unique_ptr<Attempt> attempt(new Attempt(job, options));
  HONE_ASSIGN_OR_RETURN(
      attempt->process_,
      WorkerProcess::Start(request, {.binary = options.worker,
                                     .request_path = options.run_directory + "/request.pb",
                                     .output_path = options.run_directory + "/worker.log",
                                     .nice = worker_process::kNiceOfJobs,
                                     .traceparent = options.traceparent}));
  return attempt;
}

void Attempt::Take(v1::WorkerFrame frame) {
  last_frame_ = SteadyNow();
  if (!frame.progress().still()) {
    last_progress_ = last_frame_;
  }
  switch (frame.kind_case()) {
    case v1::WorkerFrame::kEvent:
      return report_.Add(std::move(*frame.mutable_event()), last_frame_);
    case v1::WorkerFrame::kProgress:
      return report_.SetPhase(frame.progress());
    case v1::WorkerFrame::kFinished:
      outcome_.finished = frame.finished();
      return;
    case v1::WorkerFrame::kFailure:
      outcome_.failure = frame.failure();
      return;
    default:
      return;
  }
}

void Attempt::Reap() {
  const auto exit = process_->Reap(kReapPatience);
  if (exit.has_value()) {
    outcome_.exit = *exit;
    if (OomKills() > oom_kills_) {
      BlameForMemory(options_.memory_bytes, outcome_);
    }
    ended_ = true;
  } else if (SteadyNow() >= kill_at_) {
    process_->Signal(SIGKILL);
  }
}

void Attempt::Pump(absl::Time now) {
  if (dying_) {
    if (!ended_) {
      Reap();
    }
    return;
  }
  for (int frames = 0; frames < kFramesPerTurn && !report_.full(); ++frames) {
    absl::StatusOr<Received> received = process_->Read(absl::ZeroDuration());
    if (!received.ok()) {
      outcome_.pipe = received.status();
      Kill();
      return;
    }
    if (received->ended) {
      dying_ = true;
      kill_at_ = std::min(kill_at_, SteadyNow() + kExitGrace);
      return Reap();
    }
    if (!received->frame.has_value()) {
      break;
    }
    Take(*std::move(received->frame));
  }
  if (report_.full()) {
    last_frame_ = last_progress_ = SteadyNow();  // it waits for us
  }
  const absl::Duration steady = SteadyNow();
  if (steady - last_frame_ > options_.silence || steady - last_progress_ > options_.stall) {
    outcome_.hung = true;
    Kill();
  } else if (steady >= kill_at_) {
    Kill();
  } else if (deadline_ != absl::InfinitePast() && now >= deadline_) {
    outcome_.overdue = true;
    Stop();
  }
}

void Attempt::Stop() {
  if (!stopping_ && !ended_) {
    stopping_ = true;
    kill_at_ = std::min(kill_at_, SteadyNow() + options_.grace);
    process_->Signal(SIGTERM);
  }
}

void Attempt::Cancel() {
  outcome_.cancelled = true;
  Stop();
}

void Attempt::Pause() {
  outcome_.paused = true;
  Stop();
}

void Attempt::Drain() {
  outcome_.draining = true;
  Stop();
}

void Attempt::Kill() {
  if (!ended_) {
    dying_ = true;
    kill_at_ = SteadyNow();
    process_->Signal(SIGKILL);
    Reap();
  }
}

}  // namespace hone::server::scheduler
