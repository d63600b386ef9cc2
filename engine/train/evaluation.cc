#include "engine/base/status.h"
#include "engine/train/batch_filler.h"
#include "engine/train/programs.h"
#include "engine/train/train_step.h"

namespace hone::engine::train {

absl::StatusOr<tasks::Evaluation> Programs::EvaluateRows(
    const tasks::Task& task, const tasks::EvaluationContext& context) const {
  const std::span<const int32_t> rows = context.rows;
  BatchFiller filler(context.dataset, task, context.state);
  const bool trunk_is_kept = trunk_features_ != nullptr && trunk_features_->Holds(rows);
  if (trunk_is_kept) {
    filler.ReadTrunk(trunk_features_.get());
  }
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
    const tasks::BatchShape shape = {count, bucket};
    HONE_ASSIGN_OR_RETURN(const Replicas* found,
                          trunk_is_kept ? trunk_evaluation(shape) : evaluation(shape));
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
      const auto* outputs =
          static_cast<const float*>(replicas.program(k).fetched(tasks::kFetchOutput));
      const std::span<const int32_t> part = batch.subspan(
          static_cast<size_t>(replicas.begin(k)), static_cast<size_t>(replicas.examples(k)));
      scorer->Expect(replicas.program(k).fetched_shape(tasks::kFetchOutput));
      scorer->Add(outputs, part);
      if (context.errors != nullptr) {
        scorer->AddErrors(outputs, part, *context.errors);
      }
    }
    done += count;
    context.progress(static_cast<double>(done) / static_cast<double>(rows.size()));
  }
  tasks::Evaluation evaluation = scorer->Finish();
  evaluation.metrics["loss"] = sums.weight > 0 ? sums.loss / sums.weight : 0;
  return evaluation;
}

}  // namespace hone::engine::train
