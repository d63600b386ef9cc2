#include "engine/train/running_update.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/rng.h"
#include "engine/base/status.h"

namespace hone::engine::train {

RunningUpdate::RunningUpdate(const UpdateParts& parts, size_t index,
                             const checkpoint::RunState& state)
    : parts_(parts),
      index_(index),
      place_(parts.world == nullptr ? Place() : parts.world->place()),
      step_(parts.programs.store(), *parts.programs.updates()[index].optimizer,
            parts.programs.threads(), parts.world),
      average_(parts.programs.store()) {
  // A checkpoint of a time when every update was made at every step does not say how many.
  const auto saved = [&](absl::string_view name, int64_t without) {
    const auto found = state.scalars.find(MetricName(name));
    return found == state.scalars.end() ? static_cast<double>(without) : found->second;
  };
  made_ = static_cast<int64_t>(saved("updates", state.step));
  epoch_ = {.loss = saved("epoch_loss", 0),
            .weight = saved("epoch_weight", 0),
            .correct = saved("epoch_correct", 0),
            .examples = static_cast<int64_t>(saved("epoch_examples", 0)),
            .own = {{saved("epoch_own", 0), saved("epoch_own_2", 0)}}};
}

void RunningUpdate::Save(checkpoint::RunState& state) const {
  state.scalars[MetricName("updates")] = static_cast<double>(made_);
  state.scalars[MetricName("epoch_loss")] = epoch_.loss;
  state.scalars[MetricName("epoch_weight")] = epoch_.weight;
  state.scalars[MetricName("epoch_correct")] = epoch_.correct;
  state.scalars[MetricName("epoch_examples")] = static_cast<double>(epoch_.examples);
  state.scalars[MetricName("epoch_own")] = epoch_.own[0];
  state.scalars[MetricName("epoch_own_2")] = epoch_.own[1];
}

std::string RunningUpdate::MetricName(absl::string_view name) const {
  const std::string& of = compiled().spec.name;
  return of.empty() ? std::string(name) : absl::StrCat(of, "_", name);
}

absl::StatusOr<tasks::Sums> RunningUpdate::Make(const UpdateRequest& request) {
  const tasks::TrainingConfig& config = parts_.config;
  learning_rate_ = optim::LearningRateOf(compiled().options(config)) * request.learning_rate_factor;
  int64_t before = 0;  // examples of the step's batches before this one
  for (const data::Batch& batch : request.batches) {
    const auto size = static_cast<int64_t>(batch.rows.size());
    const int64_t begin = place_.PartOf(size).first;
    const int64_t bucket = parts_.filler.BucketOf(batch.rows, parts_.programs.parts());
    HONE_ASSIGN_OR_RETURN(const Replicas* replicas,
                          parts_.programs.training(index_, {size, bucket}));
    const int64_t part_bucket = parts_.programs.PartBucket(*replicas, bucket);
    const auto fill = [&](const Program& program, int64_t first, int64_t count) {
      return parts_.filler.Fill(tasks::Inputs(program, {count, part_bucket}),
                                {.rows = batch.rows.subspan(static_cast<size_t>(begin + first),
                                                            static_cast<size_t>(count)),
                                 .first = before + begin + first,
                                 .epoch = batch.begin.epoch});
    };
    const RunScalars scalars = ScalarsOf(batch, request.batches_per_epoch, begin);
    const bool last = &batch == &request.batches.back();
    if (!last) {
      HONE_RETURN_IF_ERROR(step_.Accumulate(*replicas, scalars, fill));
    } else {
      HONE_ASSIGN_OR_RETURN(result_, step_.Run(*replicas,
                                               {.scalars = scalars,
                                                .update_number = made_ + 1,
                                                .learning_rate = learning_rate_,
                                                .clip_norm = config.clip_norm,
                                                .clip_value = config.clip_value,
                                                .clip_weights = compiled().spec.clip_weights,
                                                .layer_norms = wants_norms_,
                                                .stop = request.stop},
                                               fill));
    }
    if (last && !result_.finite) {
      return absl::OutOfRangeError(
          absl::StrCat("step ", request.step, ": the ",
                       MetricName(std::isfinite(result_.loss_sum) ? "gradient" : "loss"),
                       " is not finite; the weights were left as they were. A smaller learning "
                       "rate, clip_norm or normalised data may help"));
    }
    for (int k = 0; last && parts_.state != nullptr && k < replicas->shards(); ++k) {
      parts_.state->AfterUpdate({.update = index_,
                                 .program = replicas->program(k),
                                 .first = before + begin + replicas->begin(k),
                                 .examples = replicas->examples(k)});
    }
    if (config.layer_statistics_every > 0) {
      // Of several ranks the first shard holds the sum of all.
      parts_.monitor.ObserveUpdate(index_,
                                   last && parts_.world != nullptr ? 1 : replicas->shards());
    }
    before += size;
  }
  ++made_;
  if (config.average_decay > 0) {
    average_.Follow(config.average_decay, made_, parts_.programs.threads());
  }
  wants_norms_ = false;
  const tasks::Sums sums = {result_.loss_sum, result_.weight, result_.correct, before, result_.own};
  epoch_.Add(sums);
  return sums;
}

// Random numbers are keyed by the update and by the batch's place in the whole run; `first` of the
// batch's examples are computed by the ranks before this one.
RunScalars RunningUpdate::ScalarsOf(const data::Batch& batch, int64_t batches_per_epoch,
                                    int64_t first) const {
  return {.seed = SeedOfUpdate(parts_.config.seed, index_),
          .step = static_cast<uint64_t>(batch.begin.epoch * batches_per_epoch + batch.number),
          .first_example = first};
}

tasks::Sums RunningUpdate::EndEpoch() { return std::exchange(epoch_, {}); }

void RunningUpdate::AddMetrics(const tasks::Sums& sums,
                               std::map<std::string, double>& values) const {
  if (sums.examples == 0) {
    return;  // it was not made
  }
  std::map<std::string, double> own = {{"loss", sums.mean_loss()}};
  parts_.task.AddTrainingMetrics(index_, sums, own);
  for (const auto& [name, value] : own) {
    values[MetricName(name)] = value;
  }
}

uint64_t SeedOfUpdate(uint64_t seed, size_t update) {
  if (update == 0) {
    return seed;
  }
  RandomStream stream(seed, "update", update);
  const uint64_t high = stream.NextBits();
  return high << 32 | stream.NextBits();
}

}  // namespace hone::engine::train
