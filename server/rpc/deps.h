#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "server/access/gate.h"
#include "server/access/projects.h"
#include "server/access/tokens.h"
#include "server/artifacts/data_directory.h"
#include "server/config/config.h"
#include "server/datasets/datasets.h"
#include "server/datasets/validations.h"
#include "server/imports/imports.h"
#include "server/metrics/bus.h"
#include "server/metrics/registry.h"
#include "server/predict/model_cache.h"
#include "server/removal/remover.h"
#include "server/rpc/byte_budget.h"
#include "server/rpc/late_refusals.h"
#include "server/rpc/plan_cache.h"
#include "server/rpc/transfers.h"
#include "server/scheduler/executor.h"
#include "server/scheduler/scheduler.h"
#include "server/scheduler/worker_calls.h"
#include "server/store/job_store.h"
#include "server/store/writer.h"
#include "server/sweeps/driver.h"

namespace hone::server::rpc {

// A value that any thread may read and set.
class SharedText {
 public:
  std::string Get() const {
    const std::lock_guard lock(mutex_);
    return text_;
  }
  void Set(std::string text) {
    const std::lock_guard lock(mutex_);
    text_ = std::move(text);
  }

 private:
  mutable std::mutex mutex_;
  std::string text_;
};

// What handlers work on. All of it outlives every call.
struct Deps {
  const config::Config& config;
  store::JobStore& store;
  store::Writer& writer;
  scheduler::Scheduler& scheduler;
  scheduler::WorkerCalls& calls;
  scheduler::WorkerCalls& inspections;  // which may take long, and hold up no plan
  predict::ModelCache& predictors;
  scheduler::Executor& reads;      // for a piece of the log or a file, which watchers wait for
  scheduler::Executor& histories;  // for whole logs
  scheduler::Executor& lists;      // for pages of jobs, models and data sets
  artifacts::DataDirectory& directory;
  removal::Remover& remover;
  datasets::Datasets& datasets;
  datasets::Validations& validations;
  metrics::Bus& bus;
  metrics::Registry& registry;
  PlanCache& plans;
  Transfers& transfers;
  ByteBudget& budget;        // of the requests and answers of calls
  ByteBudget& watch_budget;  // of what watchers are to be sent
  SharedText& engine;        // as the newest worker told; "" before the first one
  const std::atomic<bool>& stopping;
  sweeps::Driver& sweeps;
  imports::Imports& imports;
  access::Gate& gate;
  access::Tokens& tokens;
  LateRefusals& late_refusals;
  access::Projects& projects;
};

// Called once, on any thread, with a call's answer.
template <typename Reply>
using Done = std::function<void(absl::StatusOr<Reply>)>;

}  // namespace hone::server::rpc
