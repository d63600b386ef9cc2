#include "engine/train/evaluation.h"

#include <algorithm>

#include "engine/base/status.h"
#include "engine/train/graphs.h"
#include "engine/train/train_step.h"

namespace hone::engine::train {

void BatchFiller::Fill(const Program& program, const Examples& examples) const {
  task_.FillInputs(dataset_, examples, state_, program);
  void* features = program.input(kFeaturesInput);
  if (features == nullptr || dataset_.size() == 0) {
    return;
  }
  if (!augmentation_.any()) {
    dataset_.Gather(examples.rows, features, nullptr);
    return;
  }
  auto* out = static_cast<uint8_t*>(features);
  const TensorType& type = dataset_.features();
  for (const int32_t row : examples.rows) {
    data::Augment(augmentation_, {.seed = seed_, .epoch = examples.epoch, .row = row},
                  dataset_.example(row), type.shape, out);
    out += type.bytes();
  }
}

absl::StatusOr<Evaluation> EvaluateRows(const EvaluationParts& parts, std::span<const int32_t> rows,
                                        const std::function<void(double)>& progress) {
  const auto& [dataset, info, task, state, programs] = parts;
  const BatchFiller filler(dataset, task, state);
  const std::unique_ptr<Scorer> scorer = task.NewScorer(dataset, info);
  Sums sums;
  for (size_t begin = 0; begin < rows.size();) {
    const size_t count =
        std::min(static_cast<size_t>(programs.evaluation_batch()), rows.size() - begin);
    const std::span<const int32_t> batch = rows.subspan(begin, count);
    HONE_ASSIGN_OR_RETURN(const Replicas* found, programs.evaluation({static_cast<int64_t>(count),
                                                                      filler.BucketOf(batch)}));
    const Replicas& replicas = *found;
    HONE_ASSIGN_OR_RETURN(
        const StepResult result,
        Evaluate(replicas, {}, [&](const Program& program, int64_t first, int64_t examples) {
          filler.Fill(program, {.rows = batch.subspan(static_cast<size_t>(first),
                                                      static_cast<size_t>(examples)),
                                .first = first});
        }));
    sums.loss += result.loss_sum;
    sums.weight += result.weight;
    for (int k = 0; k < replicas.shards(); ++k) {
      scorer->Add(static_cast<const float*>(replicas.program(k).fetched(kFetchOutput)),
                  batch.subspan(static_cast<size_t>(replicas.begin(k)),
                                static_cast<size_t>(replicas.examples(k))));
    }
    begin += count;
    progress(static_cast<double>(begin) / static_cast<double>(rows.size()));
  }
  Evaluation evaluation = scorer->Finish();
  evaluation.metrics["loss"] = sums.weight > 0 ? sums.loss / sums.weight : 0;
  return evaluation;
}

}  // namespace hone::engine::train
