#include "engine/job/profile.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/status.h"
#include "engine/job/step_profile.h"
#include "engine/train/batch_filler.h"

namespace hone::engine::job {
namespace {

absl::StatusOr<std::string> ProfileUpdate(const train::LoopParts& parts, size_t update,
                                          const MachineRates& machine) {
  optim::Optimizer& optimizer = *parts.programs.updates()[update].optimizer;
  ParameterStore& store = parts.programs.store();
  const int threads = parts.programs.threads();
  const std::unique_ptr<tasks::TaskState> state = parts.task.NewState(parts.config);
  train::BatchFiller filler(parts.data.dataset, parts.task, state.get());
  filler.Augment(parts.config, parts.data.preprocessing);
  filler.Share(threads);
  filler.ReadTrunk(parts.programs.trunk_features());
  // The run's first batch, which has a program.
  data::Batches batches(parts.data.splits.train,
                        tasks::TrainingBatches(parts.data.dataset, parts.task, parts.config));
  const std::span<const int32_t> rows = batches.Next().rows;
  const auto batch = static_cast<int64_t>(rows.size());
  int64_t bucket = 0;  // which the task's state knows once its step has begun
  const auto fill = [&](const Program& program, int64_t first, int64_t count) {
    return filler.Fill(
        tasks::Inputs(program, {count, bucket}),
        {.rows = rows.subspan(static_cast<size_t>(first), static_cast<size_t>(count)),
         .first = first});
  };
  if (state != nullptr) {
    HONE_RETURN_IF_ERROR(state->BeginStep(
        {.examples = batch, .programs = parts.programs, .artifacts = tasks::ArtifactSink()}));
    store.RefreshAll();
  }
  bucket = filler.BucketOf(rows, parts.programs.parts());
  HONE_ASSIGN_OR_RETURN(const Replicas* found, parts.programs.training(update, {batch, bucket}));
  if (found->shards() == 0) {
    return absl::InternalError(
        "this rank computes nothing of a batch: there is nothing to profile");
  }
  bucket = parts.programs.PartBucket(*found, bucket);
  ProfiledStep step = {*found,
                       optimizer,
                       store,
                       {},
                       threads,
                       fill,
                       static_cast<double>(batch * parts.data.dataset.features().bytes())};
  for (const train::TrainedParameter& trained : parts.programs.updates()[update].trained) {
    step.moved.push_back(trained.id);
  }
  return ProfileStep(step, machine);
}

}  // namespace

absl::StatusOr<std::string> ProfileTraining(const train::LoopParts& parts) {
  HONE_ASSIGN_OR_RETURN(const MachineRates machine,
                        MeasureRates(parts.programs.threads(), parts.config.compute));
  const int64_t batch = std::min(parts.config.batch_size, parts.info.train);
  const int shards = parts.programs.store().shards();
  std::string table = absl::StrFormat(
      "profile of one training step, batch %d: %d threads, %d shard(s); this machine: %.0f GFLOP/s "
      "in products, %.1f GB/s\n",
      batch, parts.programs.threads(), shards, machine.flops_per_second / 1e9,
      machine.bytes_per_second / 1e9);
  for (size_t u = 0; u < parts.programs.updates().size(); ++u) {
    HONE_ASSIGN_OR_RETURN(const std::string part, ProfileUpdate(parts, u, machine));
    const std::string& name = parts.programs.updates()[u].spec.name;
    absl::StrAppend(&table, u > 0 ? "\n" : "", name, name.empty() ? "" : "\n", part);
  }
  return table;
}

}  // namespace hone::engine::job
