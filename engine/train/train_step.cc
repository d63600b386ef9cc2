#include "engine/train/train_step.h"

#include <algorithm>
#include <cmath>

#include "engine/base/status.h"

namespace hone::engine::train {

TrainStep::TrainStep(ParameterStore& store, optim::Optimizer& optimizer, int threads,
                     Reducer* reducer)
    : store_(store),
      optimizer_(optimizer),
      threads_(threads),
      reducer_(reducer),
      barrier_(threads),
      statuses_(static_cast<size_t>(std::max(threads, store.shards()))) {
  gradients_.reserve(static_cast<size_t>(store.shards()) + 1);
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

absl::Status TrainStep::ForwardBackward(int k, const Replicas& replicas, const RunScalars& scalars,
                                        FillInputs fill) {
  fill(replicas.program(k), replicas.begin(k), replicas.examples(k));
  return replicas.RunShard(k, scalars);
}

void TrainStep::Collect(const Replicas& replicas, StepResult& result) const {
  for (int k = 0; k < replicas.shards(); ++k) {
    result.loss_sum += replicas.program(k).fetched_scalar(tasks::kFetchLossSum);
    result.weight += replicas.program(k).fetched_scalar(tasks::kFetchLossWeight);
    result.correct += replicas.program(k).fetched_scalar(tasks::kFetchCorrect);
  }
}

absl::StatusOr<StepResult> TrainStep::Run(const Replicas& replicas, const StepRequest& request,
                                          FillInputs fill) {
  const bool sharded = replicas.shards() > 1;
  gradients_.clear();
  for (int k = 0; k < replicas.shards(); ++k) {
    gradients_.push_back(store_.gradient_slab(k));
  }
  if (has_accumulated_) {
    gradients_.push_back(accumulated_.as<float>());
  }
  const optim::Slabs slabs = {store_.value_slab(), {gradients_.data(), gradients_.size()}};
  StepResult result = pending_;
  optim::UpdateStep update = {.step = request.update_number,
                              .learning_rate = request.learning_rate,
                              .scale = 1,
                              .clip_value = request.clip_value};
  if (!sharded) {
    HONE_RETURN_IF_ERROR(ForwardBackward(0, replicas, request.scalars, fill));
  }
  // Both are done by worker 0 between two barriers, and read by all after the second.
  absl::Status reduced;
  const auto reduce = [&] {
    Collect(replicas, result);
    BatchSums sums = {result.loss_sum, result.weight, result.correct};
    reduced = reducer_->Reduce(gradients_, store_.trainable_slab_size(), sums);
    result.loss_sum = sums.loss;
    result.weight = sums.weight;
    result.correct = sums.correct;
  };
  const auto decide = [&] {
    const auto failed = [](const absl::Status& status) { return !status.ok(); };
    if (!reduced.ok() || (sharded && std::ranges::any_of(statuses_, failed))) {
      result.finite = false;
      return;
    }
    if (reducer_ == nullptr) {
      Collect(replicas, result);
    }
    const double mean = result.weight > 0 ? 1 / result.weight : 0;
    const optim::GradientSummary summary = optimizer_.Summary(mean);
    result.gradient_norm = summary.norm();
    result.finite = summary.finite && std::isfinite(result.loss_sum);
    update.scale = mean * optim::ClipFactor(result.gradient_norm, request.clip_norm);
  };
  RunTeam(threads_, [&](int k) {
    if (sharded) {
      statuses_[static_cast<size_t>(k)] = ForwardBackward(k, replicas, request.scalars, fill);
      barrier_.Wait();
    }
    if (reducer_ != nullptr) {
      if (k == 0) {
        reduce();
      }
      barrier_.Wait();
    }
    optimizer_.Read(slabs, request.layer_norms, k, threads_);
    barrier_.Wait();
    if (k == 0) {
      decide();
    }
    barrier_.Wait();
    if (!result.finite) {
      return;
    }
    optimizer_.Write(slabs, update, k, threads_);
    barrier_.Wait();
    if (k == 0) {
      store_.MarkChanged(moved_);
      store_.MarkChanged(replicas.program(0).updated());
    }
    barrier_.Wait();
    store_.Refresh(k, threads_);
  });
  HONE_RETURN_IF_ERROR(reduced);
  for (int k = 0; sharded && k < threads_; ++k) {
    HONE_RETURN_IF_ERROR(statuses_[static_cast<size_t>(k)]);
  }
  pending_ = {};
  has_accumulated_ = false;
  return result;
}

absl::Status TrainStep::Accumulate(const Replicas& replicas, const RunScalars& scalars,
                                   FillInputs fill) {
  const int64_t size = store_.trainable_slab_size();
  if (accumulated_.bytes() == 0) {
    accumulated_ = Buffer(size * static_cast<int64_t>(sizeof(float)));
  }
  const bool sharded = replicas.shards() > 1;
  if (!sharded) {
    HONE_RETURN_IF_ERROR(ForwardBackward(0, replicas, scalars, fill));
  }
  float* sum = accumulated_.as<float>();
  RunTeam(threads_, [&](int k) {
    if (sharded) {
      statuses_[static_cast<size_t>(k)] = ForwardBackward(k, replicas, scalars, fill);
      barrier_.Wait();
    }
    if (!has_accumulated_) {
      const auto [begin, end] = Slice(size, k, threads_, ParameterStore::kAlignment);
      std::fill(sum + begin, sum + end, 0.0f);
    }
    barrier_.Wait();
    for (int shard = 0; shard < replicas.shards(); ++shard) {
      optim::AccumulateGradient(store_.gradient_slab(shard), sum, size, k, threads_);
    }
  });
  for (int k = 0; sharded && k < threads_; ++k) {
    HONE_RETURN_IF_ERROR(statuses_[static_cast<size_t>(k)]);
  }
  Collect(replicas, pending_);
  has_accumulated_ = true;
  store_.MarkChanged(replicas.program(0).updated());
  store_.RefreshAll();
  return absl::OkStatus();
}

absl::StatusOr<StepResult> Evaluate(const Replicas& replicas, const RunScalars& scalars,
                                    FillInputs fill) {
  std::vector<absl::Status> statuses(static_cast<size_t>(replicas.shards()));
  RunTeam(replicas.shards(), [&](int k) {
    fill(replicas.program(k), replicas.begin(k), replicas.examples(k));
    statuses[static_cast<size_t>(k)] = replicas.RunShard(k, scalars);
  });
  StepResult result;
  for (int k = 0; k < replicas.shards(); ++k) {
    HONE_RETURN_IF_ERROR(statuses[static_cast<size_t>(k)]);
    result.loss_sum += replicas.program(k).fetched_scalar(tasks::kFetchLossSum);
    result.weight += replicas.program(k).fetched_scalar(tasks::kFetchLossWeight);
    result.correct += replicas.program(k).fetched_scalar(tasks::kFetchCorrect);
  }
  return result;
}

}  // namespace hone::engine::train
