#include "engine/train/trunk_features.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/string_view.h"
#include "engine/base/status.h"

namespace hone::engine::train {

TrunkFeatures::TrunkFeatures(const Options& options)
    : options_(options), place_(static_cast<size_t>(options.rows), -1) {
  const int64_t bytes = SaturatingProduct(SaturatingProduct(options.examples, options.numbers),
                                          int64_t{sizeof(float)});
  if (InMemory(bytes) > 0) {
    memory_ = Buffer(bytes);
  } else {
    file_.emplace(data::StreamOptions{.folder = options.folder, .memory_bytes = 0},
                  "what the frozen layers give");
  }
}

absl::Status TrunkFeatures::Add(std::span<const int32_t> rows, const float* features) {
  const auto count = static_cast<int64_t>(rows.size());
  const auto bytes = static_cast<size_t>(count * options_.numbers) * sizeof(float);
  if (added_ + count > options_.examples) {
    return absl::InternalError("a frozen trunk was run over more examples than were announced");
  }
  if (file_.has_value()) {
    HONE_RETURN_IF_ERROR(
        file_->Append(absl::string_view(reinterpret_cast<const char*>(features), bytes)));
  } else {
    std::memcpy(memory_.as<float>() + added_ * options_.numbers, features, bytes);
  }
  for (const int32_t row : rows) {
    place_[static_cast<size_t>(row)] = added_++;
  }
  return absl::OkStatus();
}

absl::Status TrunkFeatures::Finish() {
  if (!file_.has_value()) {
    values_ = memory_.as<float>();
    return absl::OkStatus();
  }
  HONE_RETURN_IF_ERROR(file_->Finish());
  values_ = reinterpret_cast<const float*>(file_->bytes().data());
  return absl::OkStatus();
}

bool TrunkFeatures::Holds(std::span<const int32_t> rows) const {
  return std::ranges::all_of(rows,
                             [&](int32_t row) { return place_[static_cast<size_t>(row)] >= 0; });
}

void TrunkFeatures::Gather(std::span<const int32_t> rows, float* out) const {
  const auto bytes = static_cast<size_t>(options_.numbers) * sizeof(float);
  for (const int32_t row : rows) {
    std::memcpy(out, values_ + place_[static_cast<size_t>(row)] * options_.numbers, bytes);
    out += options_.numbers;
  }
}

}  // namespace hone::engine::train
