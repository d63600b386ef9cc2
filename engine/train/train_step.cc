#include "engine/train/train_step.h"

#include <algorithm>
#include <cmath>

#include "engine/base/status.h"

namespace hone::engine::train {
namespace {

absl::Status FillAndRun(int k, const Replicas& replicas, const RunScalars& scalars,
                        FillInputs fill) {
  HONE_RETURN_IF_ERROR(fill(replicas.program(k), replicas.begin(k), replicas.examples(k)));
  return replicas.RunShard(k, scalars);
}

void AddSums(const Replicas& replicas, StepResult& result) {
  for (int k = 0; k < replicas.shards(); ++k) {
    result.loss_sum += replicas.program(k).fetched_scalar(tasks::kFetchLossSum);
    result.weight += replicas.program(k).fetched_scalar(tasks::kFetchLossWeight);
    result.correct += replicas.program(k).fetched_scalar(tasks::kFetchCorrect);
  }
}

// Those of a loss: an evaluation fetches its output where a loss fetches sums of its own.
void AddLossSums(const Replicas& replicas, StepResult& result) {
  AddSums(replicas, result);
  for (int k = 0; k < replicas.shards(); ++k) {
    const Program& program = replicas.program(k);
    for (size_t i = 0; i < tasks::kMostOwn; ++i) {
      const int at = tasks::kFetchOwn + static_cast<int>(i);
      result.own.values[i] += program.fetches() > at ? program.fetched_scalar(at) : 0;
    }
  }
}

}  // namespace

TrainStep::TrainStep(ParameterStore& store, optim::Optimizer& optimizer, int threads, World* world)
    : store_(store),
      optimizer_(optimizer),
      threads_(threads),
      world_(world),
      barrier_(threads),
      statuses_(static_cast<size_t>(std::max(threads, store.shards()))),
      tables_(store, optimizer) {
  gradients_.reserve(static_cast<size_t>(store.shards()) + 1);
  for (const optim::ParameterRange& range : optimizer.ranges()) {
    if (range.row_width > 0) {
      continue;  // has no slab
    }
    if (!ranges_.empty() && range.begin - ranges_.back().end < ParameterStore::kAlignment) {
      ranges_.back().end = range.end;
    } else {
      ranges_.push_back({range.begin, range.end});
    }
  }
  for (ParameterId id = 0; id < store.size(); ++id) {
    const auto holds = [&](const optim::ParameterRange& range) {
      return range.begin <= store.offset(id) && store.offset(id) < range.end;
    };
    if (store.spec(id).role == ParameterRole::kTrainable &&
        std::ranges::any_of(optimizer.ranges(), holds)) {
      moved_.push_back(id);
    }
  }
}

void TrainStep::ForwardBackward(int k, const Replicas& replicas, const RunScalars& scalars,
                                FillInputs fill) {
  if (k < replicas.shards()) {
    statuses_[static_cast<size_t>(k)] = FillAndRun(k, replicas, scalars, fill);
  }
}

void TrainStep::Once(int k, absl::FunctionRef<void()> work) {
  if (k == 0) {
    work();
  }
  barrier_.Wait();
}

absl::Status TrainStep::failure() const {
  const auto failed = std::ranges::find_if_not(statuses_, &absl::Status::ok);
  return failed == statuses_.end() ? absl::OkStatus() : *failed;
}

// The packed copies of what the programs themselves change are stale.
void TrainStep::MarkBuffers(const Replicas& replicas) {
  if (replicas.shards() > 0) {
    store_.MarkChanged(replicas.program(0).updated());
  }
}

// Worker k's part of what is moved.
void TrainStep::ClipWeights(float most, int k) {
  for (const SlabRange& range : ranges_) {
    const auto [begin, end] =
        ShareOf(range.end - range.begin, k, threads_, ParameterStore::kAlignment);
    float* const values = store_.value_slab() + range.begin;
    for (int64_t i = begin; i < end; ++i) {
      values[i] = std::clamp(values[i], -most, most);
    }
  }
}

// Where this rank's gradient lies in parts, and where the optimizer finds the parts of the whole.
optim::Slabs TrainStep::Gradients(const Replicas& replicas) {
  gradients_.clear();
  for (int k = 0; k < replicas.shards(); ++k) {
    gradients_.push_back(store_.gradient_slab(k));
  }
  if (has_accumulated_) {
    gradients_.push_back(accumulated_.as<float>());
  }
  if (gradients_.empty()) {
    gradients_.push_back(store_.gradient_slab(0));
    for (const SlabRange& range : ranges_) {
      std::fill(gradients_[0] + range.begin, gradients_[0] + range.end, 0.0f);
    }
  }
  return {store_.value_slab(),
          {gradients_.data(), world_ == nullptr ? gradients_.size() : 1},
          tables_.Collect(replicas)};
}

// Gradients and sums become those of all ranks, and so does a failure.
void TrainStep::Share(const StepRequest& request, StepResult& result) {
  StepReport report = {.step = request.update_number,
                       .sums = {result.loss_sum, result.weight, result.correct, result.own},
                       .stop = request.stop,
                       .failure = failure()};
  statuses_[0] = world_->Exchange(report);
  if (statuses_[0].ok()) {
    statuses_[0] = world_->Reduce(gradients_, ranges_);
  }
  result.loss_sum = report.sums.loss;
  result.weight = report.sums.weight;
  result.correct = report.sums.correct;
  result.own = report.sums.own;
  result.stop = report.stop;
}

absl::StatusOr<StepResult> TrainStep::Run(const Replicas& replicas, const StepRequest& request,
                                          FillInputs fill) {
  const bool sharded = replicas.shards() > 1, packed = store_.packed_bytes() > 0;
  const optim::Slabs slabs = Gradients(replicas);
  StepResult result;
  optimizer_.BeginUpdate(request.update_number);
  std::ranges::fill(statuses_, absl::OkStatus());
  if (!sharded) {
    ForwardBackward(0, replicas, request.scalars, fill);  // its ops wake the team themselves
  }
  // Where all workers would wait for one of them, each does it: sums of a few numbers.
  RunTeam(threads_, [&](int k) {
    const auto share = [&](int64_t count) {
      return ShareOf(count, k, threads_, ParameterStore::kAlignment);
    };
    if (sharded) {
      ForwardBackward(k, replicas, request.scalars, fill);
      barrier_.Wait();
    }
    StepResult own = pending_;
    AddLossSums(replicas, own);
    if (world_ != nullptr) {
      Once(k, [&] {
        result = own;
        Share(request, result);
      });
      own = result;
    }
    if (!failure().ok()) {
      return;  // as all workers do
    }
    if (optimizer_.tables() > 0) {
      optimizer_.MergeRows(slabs, k, threads_);
      barrier_.Wait();
    }
    const auto to_read = share(optimizer_.ReadFloats(request.layer_norms));
    optimizer_.Read(slabs, request.layer_norms, to_read.first, to_read.second);
    barrier_.Wait();
    const double mean = own.weight > 0 ? 1 / own.weight : 0;
    const optim::GradientSummary summary = optimizer_.Summary(mean);
    own.gradient_norm = summary.norm();
    own.finite = summary.finite && std::isfinite(own.loss_sum);
    if (k == 0) {
      result = own;
    }
    if (!own.finite) {
      return;
    }
    const auto to_write = share(optimizer_.WriteFloats());
    optimizer_.Write(slabs,
                     {.step = request.update_number,
                      .learning_rate = request.learning_rate,
                      .scale = mean * optim::ClipFactor(own.gradient_norm, request.clip_norm),
                      .clip_value = request.clip_value},
                     to_write.first, to_write.second);
    if (request.clip_weights > 0) {
      barrier_.Wait();
      ClipWeights(static_cast<float>(request.clip_weights), k);
    }
    if (k == 0) {
      store_.MarkChanged(moved_);
      MarkBuffers(replicas);
    }
    if (packed) {
      barrier_.Wait();
      const auto to_refresh = share(store_.stale_bytes());
      store_.Refresh(to_refresh.first, to_refresh.second);
    }
  });
  HONE_RETURN_IF_ERROR(failure());
  pending_ = {};
  tables_.Clear();
  has_accumulated_ = false;
  return result;
}

absl::Status TrainStep::Accumulate(const Replicas& replicas, const RunScalars& scalars,
                                   FillInputs fill) {
  const int64_t size = store_.gradient_slab_size();
  if (accumulated_.bytes() == 0) {
    accumulated_ = Buffer(size * static_cast<int64_t>(sizeof(float)));
  }
  const bool sharded = replicas.shards() > 1;
  std::ranges::fill(statuses_, absl::OkStatus());
  if (!sharded) {
    ForwardBackward(0, replicas, scalars, fill);
  }
  float* sum = accumulated_.as<float>();
  RunTeam(threads_, [&](int k) {
    if (sharded) {
      ForwardBackward(k, replicas, scalars, fill);
      barrier_.Wait();
    }
    if (!failure().ok()) {
      return;
    }
    const auto [begin, end] = ShareOf(size, k, threads_, ParameterStore::kAlignment);
    if (!has_accumulated_) {
      std::fill(sum + begin, sum + end, 0.0f);
    }
    for (int shard = 0; shard < replicas.shards(); ++shard) {
      optim::AccumulateGradient(store_.gradient_slab(shard), sum, begin, end);
    }
  });
  HONE_RETURN_IF_ERROR(failure());
  AddLossSums(replicas, pending_);
  tables_.Accumulate(replicas);
  has_accumulated_ = true;
  MarkBuffers(replicas);
  store_.RefreshAll();
  return absl::OkStatus();
}

absl::Status RunForward(const Replicas& replicas, const RunScalars& scalars, FillInputs fill) {
  std::vector<absl::Status> statuses(static_cast<size_t>(replicas.shards()));
  RunTeam(replicas.shards(), [&](int k) {
    statuses[static_cast<size_t>(k)] = FillAndRun(k, replicas, scalars, fill);
  });
  for (const absl::Status& status : statuses) {
    HONE_RETURN_IF_ERROR(status);
  }
  return absl::OkStatus();
}

absl::StatusOr<StepResult> Evaluate(const Replicas& replicas, const RunScalars& scalars,
                                    FillInputs fill) {
  HONE_RETURN_IF_ERROR(RunForward(replicas, scalars, fill));
  StepResult result;
  AddSums(replicas, result);
  return result;
}

}  // namespace hone::engine::train
