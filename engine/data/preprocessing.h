#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/data/text_preprocessing.h"
#include "engine/tensor/tensor.h"

namespace hone::engine::data {

// How one column of a table becomes features.
struct ColumnPreprocessing {
  std::string name;
  // Numbers: one feature, (value - mean) / std; a missing cell counts as `fill`.
  double mean = 0;
  double std = 1;
  double fill = 0;
  // Categories: one feature each, 1 for the cell's own; a missing cell is all zeros. Empty for
  // numbers.
  std::vector<std::string> categories;

  bool is_category() const { return !categories.empty(); }
  int64_t features() const { return is_category() ? static_cast<int64_t>(categories.size()) : 1; }
  friend bool operator==(const ColumnPreprocessing&, const ColumnPreprocessing&) = default;
};

// What turns a raw picture or record into what the model was trained on, and its output back into
// names and units. Kept with the model.
struct Preprocessing {
  enum class Input { kImage, kTable, kOwn, kText };

  Input input = Input::kImage;

  // Pictures: u8[C, H, W]; a step computes (pixel * pixel_scale - pixel_mean[c]) / pixel_std[c].
  Shape image;
  float pixel_scale = 1.0f / 255.0f;
  std::vector<float> pixel_mean;  // empty: 0
  std::vector<float> pixel_std;   // empty: 1

  // Tables, in the order of the features.
  std::vector<ColumnPreprocessing> columns;

  // Other columns of the table that it was trained on: a target, those that were ignored. A record
  // may have them; they are not read.
  std::vector<std::string> unused_columns;

  // An input that only the task knows: its program's input "features" for one example, and what is
  // needed to make it, as JSON: a vocabulary, a length.
  TensorType own_features;
  std::string own = "{}";

  // Texts; always there for them.
  std::optional<TextPreprocessing> text;
  // Texts that are written of those that are read: translations.
  std::optional<TextPreprocessing> target_text;

  std::vector<std::string> class_names;  // classification
  std::vector<std::string>
      target_names;  // regression; a target's own unit is output * target_std + target_mean
  std::vector<double> target_mean;  // one for each target, 0 where it was not standardised
  std::vector<double> target_std;

  // Of one example: u8[C, H, W], f32[features] or own_features; of texts, of one token: s32[].
  TensorType features() const;

  // Features of a record. INVALID_ARGUMENT names the column that is unknown, absent, no number, or
  // no known category.
  absl::StatusOr<std::vector<float>> FromRecord(
      const std::map<std::string, std::string>& record) const;
  // The same for cells in the order of `columns`.
  absl::StatusOr<std::vector<float>> FromCells(std::span<const std::string> cells) const;
  // Pixels [C, H, W] of a PNG or JPEG, brought to the model's size and channels. `name` is for
  // errors.
  absl::StatusOr<std::vector<uint8_t>> FromPicture(absl::string_view bytes,
                                                   absl::string_view name) const;

  nlohmann::json ToJson() const;
  // INVALID_ARGUMENT names the field that is missing or wrong.
  static absl::StatusOr<Preprocessing> FromJson(const nlohmann::json& json);

  friend bool operator==(const Preprocessing&, const Preprocessing&) = default;
};

// One value counts for each of the channels.
inline std::vector<float> ForChannels(std::vector<float> values, int64_t channels) {
  return values.size() == 1 ? std::vector<float>(static_cast<size_t>(channels), values[0]) : values;
}

}  // namespace hone::engine::data
