#include "server/retention/retention.h"

#include <chrono>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "engine/base/status.h"
#include "engine/base/steady_clock.h"
#include "server/log/log.h"
#include "server/retention/clock.h"
#include "server/store/audit_store.h"
#include "server/store/dataset_store.h"

namespace hone::server::retention {
namespace {

constexpr std::chrono::minutes kEvery(1);
// In one transaction: others write in between.
constexpr int kAtOnce = 100;
constexpr int kEventsAtOnce = 2000;
constexpr int kAuditAtOnce = 1000;

using artifacts::CheckpointFiles;
using Ids = std::vector<std::string>;

absl::Time Since(std::optional<absl::Time> now, absl::Duration kept) {
  return !now.has_value() || kept == absl::InfiniteDuration() ? absl::InfinitePast() : *now - kept;
}

}  // namespace

Retention::Retention(const Limits& limits, const Hooks& hooks, const store::JobStore& store,
                     store::Writer& writer, const artifacts::DataDirectory& directory,
                     removal::Remover& remover)
    : limits_(limits),
      hooks_(hooks),
      store_(store),
      writer_(writer),
      directory_(directory),
      remover_(remover) {}

Retention::~Retention() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) {
    thread_.join();
  }
}

void Retention::Start() {
  thread_ = std::thread([this] { Loop(); });
}

void Retention::Loop() {
  ClockTrust clock;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    const absl::Time now = absl::Now();
    Sweep(clock.Trusts(now, SteadyNow()) ? std::optional(now) : std::nullopt);
    lock.lock();
    wake_.wait_for(lock, kEvery, [this] { return stopping_; });
  }
}

void Retention::Sweep(std::optional<absl::Time> now) {
  for (const auto sweep :
       {&Retention::SweepJobs, &Retention::SweepCheckpoints, &Retention::SweepModels,
        &Retention::SweepDatasets, &Retention::SweepAudit}) {
    if (const absl::Status status = (this->*sweep)(now); !status.ok()) {
      log::Warning("nothing past its limits was removed this time", {{"error", status.ToString()}});
    }
  }
}

bool Retention::Stopping() {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

absl::Status Retention::RemoveGarbage() {
  int removed = 1;
  while (removed > 0 && !Stopping()) {
    HONE_ASSIGN_OR_RETURN(removed, writer_.Run<int>([](store::JobStore& store) {
      return store.RemoveGarbage(kEventsAtOnce);
    }));
  }
  return absl::OkStatus();
}

absl::Status Retention::SweepJobs(std::optional<absl::Time> now) {
  const store::KeepJobs keep{.ended_since = Since(now, limits_.jobs),
                             .at_most = limits_.jobs_at_most,
                             .bytes = limits_.store_bytes};
  Ids deleted;
  do {
    if (keep.bytes > 0) {
      HONE_RETURN_IF_ERROR(RemoveGarbage());
    }
    HONE_ASSIGN_OR_RETURN(deleted, writer_.Run<Ids>([&](store::JobStore& store) {
      return store.DeleteEnded(keep, kAtOnce);
    }));
    for (const std::string& id : deleted) {
      log::Info("a job past its limits was forgotten", {{"job", id}});
    }
    HONE_RETURN_IF_ERROR(remover_.RemoveAll());
  } while (!deleted.empty() && !Stopping());
  return absl::OkStatus();
}

absl::Status Retention::SweepCheckpoints(std::optional<absl::Time> now) {
  const absl::Time ended_since = Since(now, limits_.checkpoints);
  if (ended_since == absl::InfinitePast()) {
    return absl::OkStatus();
  }
  HONE_ASSIGN_OR_RETURN(const Ids runs, directory_.Runs());
  for (const std::string& id : runs) {
    const absl::StatusOr<CheckpointFiles> files = directory_.FindCheckpoints(id);
    if (!files.ok()) {
      log::Warning("checkpoints cannot be read and are kept",
                   {{"job", id}, {"error", files.status().ToString()}});
    }
    if (!files.ok() || *files == CheckpointFiles::kNone) {
      continue;
    }
    const absl::StatusOr<jobs::Job> job = store_.Get(id);
    if (absl::IsNotFound(job.status())) {
      continue;  // `honed doctor` tells of it
    }
    HONE_RETURN_IF_ERROR(job.status());
    if (!jobs::IsEnd(job->state) || job->end_time > ended_since) {
      continue;
    }
    HONE_RETURN_IF_ERROR(RemoveCheckpoints(id, *files));
  }
  return absl::OkStatus();
}

// The store knows of it before the files go: a retry was there before, and keeps them, or it is
// refused.
absl::Status Retention::RemoveCheckpoints(const std::string& job_id, CheckpointFiles files) {
  if (files == CheckpointFiles::kWhole) {
    const absl::Status forgotten =
        writer_.RunStatus([&](store::JobStore& store) { return store.ForgetCheckpoints(job_id); });
    if (absl::IsFailedPrecondition(forgotten) || absl::IsNotFound(forgotten)) {
      return absl::OkStatus();
    }
    HONE_RETURN_IF_ERROR(forgotten);
  }
  return directory_.RemoveCheckpoints(job_id);
}

absl::Status Retention::SweepModels(std::optional<absl::Time> now) {
  const store::KeepModels keep{.made_since = Since(now, limits_.models),
                               .of_a_name = limits_.models_of_a_name,
                               .best = limits_.best_models_of_a_name,
                               .bytes = limits_.model_bytes};
  Ids deleted;
  do {
    HONE_ASSIGN_OR_RETURN(deleted, writer_.Run<Ids>([&](store::JobStore& store) {
      return store.DeleteModels(keep, kAtOnce);
    }));
    for (const std::string& id : deleted) {
      log::Info("a model past its limits was removed", {{"model", id}});
      hooks_.model_removed(id);
    }
    HONE_RETURN_IF_ERROR(remover_.RemoveAll());
  } while (!deleted.empty());
  return absl::OkStatus();
}

absl::Status Retention::SweepDatasets(std::optional<absl::Time> now) {
  if (const absl::Time since = Since(now, limits_.datasets); since != absl::InfinitePast()) {
    HONE_RETURN_IF_ERROR(writer_.RunStatus(
        [&](store::JobStore& store) { return store.datasets().DropUnusedSince(since); }));
  }
  hooks_.datasets_removed();
  return absl::OkStatus();
}

absl::Status Retention::SweepAudit(std::optional<absl::Time> now) {
  int removed = kAuditAtOnce;
  while (removed == kAuditAtOnce && !Stopping()) {
    HONE_ASSIGN_OR_RETURN(removed, writer_.Run<int>([&](store::JobStore& store) {
      return store.audit().Remove(Since(now, limits_.audit), limits_.audit_at_most, kAuditAtOnce);
    }));
  }
  return absl::OkStatus();
}

}  // namespace hone::server::retention
