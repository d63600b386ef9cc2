#include "engine/data/dataset.h"

#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"

namespace hone::engine::data {

absl::StatusOr<Dataset> Dataset::Make(DatasetParts parts) {
  if (parts.size <= 0) {
    return absl::InvalidArgumentError("the data set is empty: it needs at least one example");
  }
  if (parts.size > std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the data set has ", parts.size, " examples; at most 2147483647 can be held"));
  }
  const int64_t bytes =
      parts.spooled_values != nullptr ? parts.spooled_values->size() : parts.feature_values.bytes();
  if (bytes < parts.size * parts.features.bytes()) {
    return absl::InvalidArgumentError(absl::StrCat("the features are ", bytes, " bytes; ",
                                                   parts.size, " examples of ",
                                                   parts.features.ToString(), " need more"));
  }
  HONE_RETURN_IF_ERROR(CheckTargets(parts));
  Dataset dataset;
  dataset.parts_ = std::move(parts);
  return dataset;
}

absl::Status Dataset::CheckTargets(const DatasetParts& parts) {
  const auto size = static_cast<size_t>(parts.size);
  const int64_t classes = static_cast<int64_t>(parts.class_names.size());
  if (classes > 0) {
    if (classes < 2) {
      return absl::InvalidArgumentError(
          absl::StrCat("all examples are of class '", parts.class_names[0],
                       "'; classification needs at least two classes"));
    }
    if (parts.labels.size() != size) {
      return absl::InvalidArgumentError(
          absl::StrCat(parts.labels.size(), " labels for ", size, " examples"));
    }
    for (size_t i = 0; i < size; ++i) {
      if (parts.labels[i] < 0 || parts.labels[i] >= classes) {
        return absl::InvalidArgumentError(absl::StrCat("label ", parts.labels[i], " at example ", i,
                                                       " is out of range 0..", classes - 1));
      }
    }
  } else if (parts.target_names.empty() ||
             parts.targets.size() != size * parts.target_names.size()) {
    return absl::InvalidArgumentError(absl::StrCat(parts.targets.size(), " target values for ",
                                                   size, " examples of ", parts.target_names.size(),
                                                   " targets"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Dataset> Dataset::Make(std::shared_ptr<const OwnExamples> own,
                                      DatasetParts targets) {
  Dataset dataset(std::move(own));
  targets.size = dataset.size();
  HONE_RETURN_IF_ERROR(CheckTargets(targets));
  dataset.parts_ = std::move(targets);
  return dataset;
}

Dataset::Dataset(std::shared_ptr<const OwnExamples> own) : own_(std::move(own)) {
  parts_.size = own_->size();
}

TensorType Dataset::target() const {
  if (has_classes()) {
    return {Shape{}, DType::kS32};
  }
  return {Shape{static_cast<int64_t>(parts_.target_names.size())}, DType::kF32};
}

int64_t Dataset::bytes() const {
  return (own_ == nullptr ? 0 : own_->bytes()) + parts_.feature_values.bytes() +
         (parts_.spooled_values == nullptr ? 0 : parts_.spooled_values->memory_bytes()) +
         static_cast<int64_t>(parts_.labels.size() * sizeof(int32_t)) +
         static_cast<int64_t>(parts_.targets.size() * sizeof(float));
}

void Dataset::Gather(std::span<const int32_t> rows, void* features, void* targets) const {
  if (features != nullptr) {
    const auto bytes = static_cast<size_t>(parts_.features.bytes());
    auto* out = static_cast<uint8_t*>(features);
    for (const int32_t row : rows) {
      std::memcpy(out, example(row), bytes);
      out += bytes;
    }
  }
  if (targets == nullptr) {
    return;
  }
  if (has_classes()) {
    auto* out = static_cast<int32_t*>(targets);
    for (const int32_t row : rows) {
      *out++ = parts_.labels[static_cast<size_t>(row)];
    }
    return;
  }
  const size_t width = parts_.target_names.size();
  auto* out = static_cast<float*>(targets);
  for (const int32_t row : rows) {
    std::memcpy(out, parts_.targets.data() + static_cast<size_t>(row) * width,
                width * sizeof(float));
    out += width;
  }
}

}  // namespace hone::engine::data
