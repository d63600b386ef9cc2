#include "engine/tasks/examples.h"

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/data/fingerprint.h"

namespace hone::engine::tasks {

absl::StatusOr<data::LoadedData> LoadExamples(const data::LoadOptions& options,
                                              const TrainingConfig& config,
                                              const TaskExamples& task) {
  HONE_ASSIGN_OR_RETURN(data::LoadedData data, task.MakeExamples(options, config));
  if (data.fingerprint.empty() && data.dataset.own() != nullptr) {
    data.fingerprint = data::Fingerprint(data);
  }
  if (options.text.has_value()) {
    const std::vector<std::string>& notes = options.text->like_notes;
    data.report.notes.insert(data.report.notes.end(), notes.begin(), notes.end());
  }
  return data;
}

absl::StatusOr<data::LoadedData> TaskExamples::MakeExamples(const data::LoadOptions& options,
                                                            const TrainingConfig& config) const {
  const int64_t own = own_examples(config);
  if (own == 0) {
    return data::Load(options);
  }
  if (own < 0 || own > std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError(
        absl::StrCat("an epoch must have 1 to 2147483647 examples, got ", own));
  }
  data::LoadedData data;
  data.splits.train.resize(static_cast<size_t>(own));
  std::iota(data.splits.train.begin(), data.splits.train.end(), 0);
  return data;
}

absl::StatusOr<DataInfo> TaskExamples::InspectExamples(const TrainingConfig& config) const {
  if (own_examples(config) != 0) {
    HONE_ASSIGN_OR_RETURN(const data::LoadedData own, MakeExamples(config.data, config));
    return InfoOf(own, *this, config, config.batch_size);
  }
  HONE_ASSIGN_OR_RETURN(const data::DataSummary summary, data::Inspect(config.data));
  return InfoOf(summary, config.data);
}

absl::StatusOr<data::Dataset> TaskExamples::MakeUpExamples(const TrainingConfig& config,
                                                           const DataInfo& info, int64_t count,
                                                           int64_t) const {
  if (own_examples(config) != 0) {
    return data::Dataset();
  }
  data::DatasetParts parts;
  parts.size = count;
  parts.features = info.features;
  parts.feature_values = Buffer(count * info.features.bytes());
  RandomStream random(1, "made-up examples");
  const int64_t elements = count * info.features.shape.elements();
  for (int64_t i = 0; i < elements; ++i) {
    if (info.features.dtype == DType::kU8) {
      parts.feature_values.as<uint8_t>()[i] = static_cast<uint8_t>(random.NextBits());
    } else {
      parts.feature_values.as<float>()[i] = random.NextUniform(-1, 1);
    }
  }
  for (int64_t i = 0; i < info.features.shape.elements(); ++i) {
    if (info.features.dtype != DType::kU8) {
      parts.feature_names.push_back(absl::StrCat("feature ", i));
    }
  }
  parts.class_names = info.preprocessing.class_names;
  parts.target_names = info.preprocessing.target_names;
  for (int64_t i = 0; i < count; ++i) {
    if (info.classes() > 0) {
      parts.labels.push_back(static_cast<int32_t>(i % info.classes()));
    }
    for (int64_t t = 0; info.classes() == 0 && t < info.targets(); ++t) {
      parts.targets.push_back(random.NextUniform(-1, 1));
    }
  }
  return data::Dataset::Make(std::move(parts));
}

DataInfo InfoOf(const data::LoadedData& loaded, const TaskExamples& task) {
  DataInfo info = InfoOf(loaded);
  info.train_tokens = task.CountTokens(loaded.dataset, loaded.splits.train);
  info.kept_bytes = loaded.dataset.size() * task.kept_bytes_per_row();
  if (const data::RowBucket bucket_of = task.RowBuckets(loaded.dataset)) {
    info.train_buckets = data::CountBuckets(loaded.splits.train, bucket_of);
    info.validation_buckets = data::CountBuckets(loaded.splits.validation, bucket_of);
    info.test_buckets = data::CountBuckets(loaded.splits.test, bucket_of);
  }
  return info;
}

data::BatchesOptions TrainingBatches(const data::Dataset& dataset, const TaskExamples& task,
                                     const TrainingConfig& config) {
  data::BatchesOptions options = {.batch_size = config.batch_size,
                                  .seed = config.seed,
                                  .shuffle = !task.carries_state(),
                                  .bucket_of = task.RowBuckets(dataset),
                                  .tokens_of = task.RowTokens(dataset)};
  options.parts = options.tokens_of != nullptr ? config.threads : 1;
  return options;
}

int64_t TrainingBucketOf(const data::Dataset& dataset, const TaskExamples& task,
                         std::span<const int32_t> rows, const TaskState* state, int parts) {
  const size_t n = static_cast<size_t>(parts), each = rows.size() / n;
  if (rows.size() % n != 0) {
    return task.BucketOf(dataset, rows, state);
  }
  int64_t most = 0;
  for (size_t k = 0; k < n; ++k) {
    most = std::max(most, task.BucketOf(dataset, rows.subspan(k * each, each), state));
  }
  return most * parts;
}

int64_t MadeUpTokens(int64_t bucket, int64_t batch, int64_t i) {
  const int64_t k = i % batch;
  return bucket * (k + 1) / batch - bucket * k / batch;
}

namespace {

std::vector<ShapeCount> AsList(const std::map<BatchShape, int64_t>& counts) {
  std::vector<ShapeCount> shapes;
  for (const auto& [shape, occurrences] : counts) {
    shapes.push_back({shape, occurrences});
  }
  return shapes;
}

}  // namespace

std::vector<ShapeCount> ShapesInOrder(const data::Dataset& dataset, std::span<const int32_t> rows,
                                      const TaskExamples& task, int64_t batch) {
  if (rows.empty()) {
    return {};
  }
  data::Batches batches(rows, {.batch_size = batch, .shuffle = false});
  std::map<BatchShape, int64_t> counts;
  for (int64_t i = 0; i < batches.batches_per_epoch(); ++i) {
    const std::span<const int32_t> of_batch = batches.Next().rows;
    ++counts[{std::ssize(of_batch), task.BucketOf(dataset, of_batch, nullptr)}];
  }
  return AsList(counts);
}

DataInfo InfoOf(const data::LoadedData& loaded, const TaskExamples& task,
                const TrainingConfig& config, int64_t evaluation_batch) {
  DataInfo info = InfoOf(loaded, task);
  if (!task.buckets(config).empty() || info.train == 0) {
    return info;
  }
  const data::BatchesOptions options = TrainingBatches(loaded.dataset, task, config);
  data::Batches batches(loaded.splits.train, options);
  const int64_t of_epoch = batches.batches_per_epoch();
  const int64_t wanted = config.steps * std::max<int64_t>(config.accumulate_batches, 1);
  const int64_t epochs =
      config.steps > 0 ? (wanted + of_epoch - 1) / of_epoch : std::max<int64_t>(config.epochs, 1);
  const int64_t count = SaturatingProduct(epochs, of_epoch);
  std::map<BatchShape, int64_t> whole, in_parts;
  int parts = options.parts;
  int64_t rows_of_whole = 0, rows_in_parts = 0;  // planned for in the first epoch
  for (int64_t i = 0; i < count; ++i) {
    const std::span<const int32_t> rows = batches.Next().rows;
    const BatchShape shape = {std::ssize(rows), task.BucketOf(loaded.dataset, rows, nullptr)};
    ++whole[shape];
    if (parts > 1) {
      const int64_t bucket = TrainingBucketOf(loaded.dataset, task, rows, nullptr, parts);
      ++in_parts[{shape.batch, bucket}];
      rows_of_whole += shape.bucket;
      rows_in_parts += bucket;
    }
    // Whether parts pay is the same however long the run is.
    if (i + 1 == of_epoch && rows_in_parts - rows_of_whole > rows_of_whole / 16) {
      parts = 1;
    }
  }
  info.train_shapes = AsList(whole);
  if (parts > 1) {
    info.train_in_parts = {parts, AsList(in_parts)};
  }
  if (task.evaluates_training_rows()) {
    info.evaluated_train_shapes =
        ShapesInOrder(loaded.dataset, loaded.splits.train, task, evaluation_batch);
  }
  info.validation_shapes =
      ShapesInOrder(loaded.dataset, loaded.splits.validation, task, evaluation_batch);
  info.test_shapes = ShapesInOrder(loaded.dataset, loaded.splits.test, task, evaluation_batch);
  return info;
}

}  // namespace hone::engine::tasks
