#include "engine/tasks/supervised.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/data/texts.h"
#include "engine/tasks/text_inputs.h"
#include "engine/tensor/token_rows.h"

namespace hone::engine::tasks {
namespace {

bool HoldsTexts(const data::Dataset& dataset) {
  return dynamic_cast<const data::Texts*>(dataset.own()) != nullptr;
}

}  // namespace

absl::StatusOr<TaskGraph> SupervisedTask::Build(const TrainingConfig& config, const DataInfo& info,
                                                const BatchShape& shape, bool training) const {
  TaskGraph result = NewTaskGraph(config);
  Graph& graph = *result.built.graph;
  HONE_ASSIGN_OR_RETURN(
      result.model,
      BuildModelOfExamples(graph, config.model, info, shape,
                           {.training = training, .logits = true, .outputs = outputs(info)}));
  const models::LayerSummary& last = result.model.layers.back();
  HONE_RETURN_IF_ERROR(CheckOutput(graph.shape(result.model.output), last, info));
  const Value target = graph.Input(kTargetsInput, targets(shape.batch, info));
  graph.set_scope("loss");
  const Loss loss = AddLoss(graph, result.model.output, target);
  HONE_RETURN_IF_ERROR(graph.status());
  const Value correct = loss.correct.valid() ? loss.correct : graph.Constant(0);
  result.built.request.fetch = {loss.sum, loss.weight, correct};
  return result;
}

absl::Status SupervisedTask::FillInputs(const data::Dataset& dataset, const Examples& examples,
                                        const TaskState*, const Inputs& inputs) const {
  if (HoldsTexts(dataset)) {
    const data::Texts& texts = data::TextsOf(dataset);
    HONE_ASSIGN_OR_RETURN(TextFiller filler, TextFiller::Begin(inputs, texts.separator()));
    for (const int32_t row : examples.rows) {
      const std::span<const int32_t> tokens = texts.tokens(row);
      if (examples.text_changes == nullptr) {
        HONE_RETURN_IF_ERROR(filler.Add(tokens));
        continue;
      }
      const data::AugmentKey key = {.seed = examples.seed, .epoch = examples.epoch, .row = row};
      HONE_RETURN_IF_ERROR(filler.Add(tokens.size(), [&](std::span<int32_t> room) {
        return examples.text_changes->Augment(key, tokens, room, nullptr);
      }));
    }
    HONE_RETURN_IF_ERROR(filler.Finish());
  }
  return FillTargets(dataset, examples.rows, inputs);
}

absl::StatusOr<DataInfo> SupervisedTask::InspectExamples(const TrainingConfig& config) const {
  if (!config.data.text.has_value()) {
    return Task::InspectExamples(config);
  }
  // How many tokens the texts have is only known when they have been read.
  HONE_ASSIGN_OR_RETURN(const data::LoadedData loaded, MakeExamples(config.data, config));
  return InfoOf(loaded, *this, config, evaluation_batch(config));
}

std::vector<int64_t> SupervisedTask::buckets(const TrainingConfig& config) const {
  return config.data.text.has_value() ? std::vector<int64_t>() : Task::buckets(config);
}

int64_t SupervisedTask::BucketOf(const data::Dataset& dataset, std::span<const int32_t> rows,
                                 const TaskState* state) const {
  return HoldsTexts(dataset) ? PlannedRows(data::TextsOf(dataset).CountTokens(rows))
                             : Task::BucketOf(dataset, rows, state);
}

data::RowTokens SupervisedTask::RowTokens(const data::Dataset& dataset) const {
  if (!HoldsTexts(dataset)) {
    return nullptr;
  }
  const data::Texts& texts = data::TextsOf(dataset);
  return [&texts](int32_t row) { return std::ssize(texts.tokens(row)); };
}

absl::StatusOr<data::Dataset> SupervisedTask::MakeUpExamples(const TrainingConfig& config,
                                                             const DataInfo& info, int64_t count,
                                                             int64_t bucket) const {
  if (!info.preprocessing.text.has_value()) {
    return Task::MakeUpExamples(config, info, count, bucket);
  }
  // So many texts as a batch has come to the bucket's tokens, which are rounded: none is longer
  // than the data's.
  const int64_t batch = std::min(config.batch_size, info.train);
  const int32_t separator = info.preprocessing.text->separator();
  const auto texts = std::make_shared<data::Texts>(separator);
  const auto vocabulary = static_cast<uint64_t>(info.preprocessing.text->tokenizer->size());
  RandomStream random(1, "made-up texts");
  data::DatasetParts targets;
  targets.class_names = info.preprocessing.class_names;
  targets.target_names = info.preprocessing.target_names;
  for (int64_t i = 0; i < count; ++i) {
    std::vector<int32_t> tokens;
    const int64_t share = MadeUpTokens(bucket, batch, i);
    const int64_t length = info.longest > 0 ? std::min(share, info.longest) : share;
    for (int64_t t = 0; t < length; ++t) {
      tokens.push_back(static_cast<int32_t>(random.NextBelow(vocabulary)));
    }
    if (separator >= 0 && !tokens.empty()) {
      tokens[tokens.size() / 2] = tokens.back() = separator;
    }
    texts->Add(tokens);
    if (info.classes() > 0) {
      targets.labels.push_back(static_cast<int32_t>(i % info.classes()));
    }
    for (int64_t t = 0; info.classes() == 0 && t < info.targets(); ++t) {
      targets.targets.push_back(random.NextUniform(-1, 1));
    }
  }
  return data::Dataset::Make(texts, std::move(targets));
}

}  // namespace hone::engine::tasks
