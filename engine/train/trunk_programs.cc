// The programs around a frozen trunk.
#include <algorithm>
#include <memory>
#include <utility>

#include "engine/base/status.h"
#include "engine/train/batch_filler.h"
#include "engine/train/batch_shapes.h"
#include "engine/train/programs.h"
#include "engine/train/train_step.h"

namespace hone::engine::train {

absl::Status Programs::CompileTrunk(const tasks::TrainingConfig& config,
                                    const tasks::DataInfo& info, const tasks::Task& task) {
  if (!trunk_.has_value()) {
    return absl::OkStatus();
  }
  const Value given = {trunk_->trunk.node, 0};
  // What the training computes it with, and what the evaluation does: in whole batches, each
  // example once.
  const ShapeBuilder training =
      [&](const tasks::BatchShape& shape) -> absl::StatusOr<tasks::TaskGraph> {
    HONE_ASSIGN_OR_RETURN(tasks::TaskGraph graph, task.BuildLoss(config, info, 0, shape));
    tasks::FreezeByRules(config.parameter_rules, *graph.built.graph);
    graph.built.request.fetch = {given};
    return graph;
  };
  const ShapeBuilder validation =
      [&](const tasks::BatchShape& shape) -> absl::StatusOr<tasks::TaskGraph> {
    HONE_ASSIGN_OR_RETURN(tasks::TaskGraph graph, task.BuildEvaluation(config, info, shape));
    graph.built.request.fetch = {given};
    return graph;
  };
  HONE_RETURN_IF_ERROR(CompileShapes(config, training,
                                     {{std::min(config.batch_size, info.train), 0}}, Place(),
                                     /*of_training=*/true, trunk_->training));
  if (info.validation == 0) {
    return absl::OkStatus();
  }
  HONE_RETURN_IF_ERROR(CompileShapes(config, validation,
                                     {{std::min(evaluation_batch_, info.validation), 0}}, Place(),
                                     /*of_training=*/false, trunk_->validation));
  const ShapeBuilder behind =
      [&](const tasks::BatchShape& shape) -> absl::StatusOr<tasks::TaskGraph> {
    HONE_ASSIGN_OR_RETURN(tasks::TaskGraph graph, task.BuildEvaluation(config, info, shape));
    graph.built.graph->MakeInput(given, kTrunkInput);
    HONE_RETURN_IF_ERROR(graph.built.graph->status());
    return graph;
  };
  return CompileShapes(config, behind,
                       ShapesOf(ValidationExamples(info), evaluation_batch_, buckets_), Place(),
                       /*of_training=*/false, trunk_->evaluation);
}

absl::Status Programs::KeepTrunkFeatures(const tasks::Task& task, const TrunkExamples& examples) {
  trunk_features_.reset();
  if (!trunk_.has_value()) {
    return absl::OkStatus();
  }
  auto features = std::make_unique<TrunkFeatures>(TrunkFeatures::Options{
      .numbers = trunk_->trunk.numbers,
      .examples = static_cast<int64_t>(examples.training.size() + examples.validation.size()),
      .rows = examples.dataset.size(),
      .folder = examples.folder});
  store_.RefreshAll();
  HONE_RETURN_IF_ERROR(
      RunTrunk(trunk_->training.front().replicas, examples, examples.training, task, *features));
  if (!examples.validation.empty()) {
    HONE_RETURN_IF_ERROR(RunTrunk(trunk_->validation.front().replicas, examples,
                                  examples.validation, task, *features));
  }
  HONE_RETURN_IF_ERROR(features->Finish());
  trunk_features_ = std::move(features);
  return absl::OkStatus();
}

// In their order. The last batch is whole, too: it goes back over examples that are done.
absl::Status Programs::RunTrunk(const Replicas& replicas, const TrunkExamples& examples,
                                std::span<const int32_t> rows, const tasks::Task& task,
                                TrunkFeatures& features) {
  BatchFiller filler(examples.dataset, task, nullptr);
  filler.Share(threads_);
  const int64_t batch = replicas.batch(), count = static_cast<int64_t>(rows.size());
  if (count < batch) {
    return absl::InternalError("a frozen trunk is run over a batch of examples at least");
  }
  for (int64_t done = 0; done < count;) {
    const int64_t first = std::min(done, count - batch);
    const auto fill = [&](const Program& program, int64_t begin, int64_t size) {
      return filler.Fill(
          tasks::Inputs(program, {size, 0}),
          {.rows = rows.subspan(static_cast<size_t>(first + begin), static_cast<size_t>(size))});
    };
    HONE_RETURN_IF_ERROR(RunForward(replicas, {}, fill));
    for (int k = 0; k < replicas.shards(); ++k) {
      const int64_t shard = first + replicas.begin(k), end = first + replicas.begin(k + 1);
      const int64_t begin = std::max(shard, done);
      if (begin < end) {
        const auto* given = static_cast<const float*>(replicas.program(k).fetched(0));
        HONE_RETURN_IF_ERROR(
            features.Add(rows.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)),
                         given + (begin - shard) * features.numbers()));
      }
    }
    done = first + batch;
    if (examples.asked_to_end()) {
      return absl::CancelledError("asked to end");
    }
  }
  return absl::OkStatus();
}

}  // namespace hone::engine::train
