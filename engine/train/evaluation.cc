#include "engine/train/evaluation.h"

#include <algorithm>

#include "engine/base/status.h"
#include "engine/train/train_step.h"

namespace hone::engine::train {
namespace {

// Bytes of a batch from which on waking a team costs less than it saves.
constexpr int64_t kWorthATeam = 64 << 10;

}  // namespace

absl::Status BatchFiller::Fill(const tasks::Inputs& inputs, const tasks::Examples& examples) const {
  HONE_RETURN_IF_ERROR(task_.FillInputs(dataset_, examples, state_, inputs));
  if (dataset_.size() == 0 || dataset_.own() != nullptr) {
    return absl::OkStatus();
  }
  const TensorType& type = dataset_.features();
  HONE_ASSIGN_OR_RETURN(const std::span<std::byte> features,
                        inputs.FindBytes(tasks::kFeaturesInput, type.dtype));
  if (features.empty()) {
    return absl::OkStatus();
  }
  const auto count = static_cast<int64_t>(examples.rows.size());
  const int team = count * type.bytes() < kWorthATeam ? 1 : threads_;
  RunTeam(team, [&](int k) {
    const auto [begin, end] = ShareOf(count, k, team);
    uint8_t* out = reinterpret_cast<uint8_t*>(features.data()) + begin * type.bytes();
    const std::span<const int32_t> part =
        examples.rows.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
    if (!augmentation_.any()) {
      dataset_.Gather(part, out, nullptr);
      return;
    }
    for (const int32_t row : part) {
      data::Augment(augmentation_, {.seed = seed_, .epoch = examples.epoch, .row = row},
                    dataset_.example(row), type.shape, out);
      out += type.bytes();
    }
  });
  return absl::OkStatus();
}

absl::StatusOr<tasks::Evaluation> Programs::EvaluateRows(
    const tasks::Task& task, const tasks::EvaluationContext& context) const {
  const std::span<const int32_t> rows = context.rows;
  const BatchFiller filler(context.dataset, task, context.state);
  const std::unique_ptr<tasks::Scorer> scorer = task.NewScorer(context.dataset, context.info);
  tasks::Sums sums;
  if (rows.empty()) {
    return absl::InternalError("an evaluation needs at least one example");
  }
  data::Batches batches(
      rows,
      {.batch_size = evaluation_batch(), .shuffle = false, .bucket_of = filler.row_buckets()});
  for (int64_t done = 0; done < batches.examples();) {
    const std::span<const int32_t> batch = batches.Next().rows;
    const auto count = static_cast<int64_t>(batch.size());
    const int64_t bucket = filler.BucketOf(batch);
    HONE_ASSIGN_OR_RETURN(const Replicas* found, evaluation({count, bucket}));
    const Replicas& replicas = *found;
    HONE_ASSIGN_OR_RETURN(
        const StepResult result,
        Evaluate(replicas, {}, [&](const Program& program, int64_t first, int64_t examples) {
          return filler.Fill(
              tasks::Inputs(program, {examples, bucket}),
              {.rows = batch.subspan(static_cast<size_t>(first), static_cast<size_t>(examples)),
               .first = first});
        }));
    sums.loss += result.loss_sum;
    sums.weight += result.weight;
    for (int k = 0; k < replicas.shards(); ++k) {
      scorer->Add(static_cast<const float*>(replicas.program(k).fetched(tasks::kFetchOutput)),
                  batch.subspan(static_cast<size_t>(replicas.begin(k)),
                                static_cast<size_t>(replicas.examples(k))));
    }
    done += count;
    context.progress(static_cast<double>(done) / static_cast<double>(rows.size()));
  }
  tasks::Evaluation evaluation = scorer->Finish();
  evaluation.metrics["loss"] = sums.weight > 0 ? sums.loss / sums.weight : 0;
  return evaluation;
}

}  // namespace hone::engine::train
