#include "engine/train/length.h"

#include <algorithm>
#include <span>
#include <variant>

#include "absl/strings/str_cat.h"
#include "engine/data/batches.h"

namespace hone::engine::train {

Length LengthOf(const tasks::TrainingConfig& config, const tasks::DataInfo& info) {
  const data::BucketRows all = {.rows = info.train};
  const std::span<const data::BucketRows> rows =
      info.train_buckets.empty() ? std::span(&all, 1) : std::span(info.train_buckets);
  const int64_t batches = data::BatchesPerEpoch(rows, config.batch_size);
  const int64_t together = std::max<int64_t>(config.accumulate_batches, 1);
  Length length;
  length.steps_per_epoch = (batches + together - 1) / together;
  length.total_steps = config.steps > 0 ? config.steps : config.epochs * length.steps_per_epoch;
  const int64_t stop =
      config.steps > 0 ? config.stop_after : config.stop_after * length.steps_per_epoch;
  length.last_step = stop > 0 ? std::min(stop, length.total_steps) : length.total_steps;
  return length;
}

absl::Status CheckLength(const tasks::TrainingConfig& config, const tasks::DataInfo& info) {
  const Length length = LengthOf(config, info);
  const bool plateau = std::holds_alternative<optim::Plateau>(config.schedule.kind);
  if ((!plateau && !config.early_stopping) || length.total_steps >= length.steps_per_epoch) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "training.steps: must be at least ", length.steps_per_epoch, ", one epoch, with ",
      plateau ? "schedule.plateau" : "early_stopping",
      ": the validation loss is measured at the ends of epochs; got ", length.total_steps));
}

}  // namespace hone::engine::train
