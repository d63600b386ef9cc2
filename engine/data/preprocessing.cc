#include "engine/data/preprocessing.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/csv.h"
#include "engine/base/status.h"
#include "engine/image/image.h"

namespace hone::engine::data {
namespace {

constexpr const char* kInputs[] = {"image", "table", "own", "text"};  // by Preprocessing::Input

absl::Status AppendCell(const ColumnPreprocessing& column, absl::string_view cell,
                        std::vector<float>& features) {
  cell = absl::StripAsciiWhitespace(cell);
  if (column.is_category()) {
    const auto found = std::find(column.categories.begin(), column.categories.end(), cell);
    if (found == column.categories.end() && !IsMissing(cell)) {
      return absl::InvalidArgumentError(absl::StrCat("column '", column.name, "': '", cell,
                                                     "' is not known; the model has seen ",
                                                     absl::StrJoin(column.categories, ", ")));
    }
    const size_t first = features.size();
    features.resize(first + column.categories.size(), 0.0f);
    if (found != column.categories.end()) {
      features[first + static_cast<size_t>(found - column.categories.begin())] = 1;
    }
    return absl::OkStatus();
  }
  double value = column.fill;
  if (!IsMissing(cell) && (!absl::SimpleAtod(cell, &value) || !std::isfinite(value))) {
    return absl::InvalidArgumentError(
        absl::StrCat("column '", column.name, "': '", cell, "' is not a number"));
  }
  features.push_back(static_cast<float>((value - column.mean) / column.std));
  return absl::OkStatus();
}

}  // namespace

TensorType Preprocessing::features() const {
  if (input == Input::kImage) {
    return {image, DType::kU8};
  }
  if (input == Input::kOwn) {
    return own_features;
  }
  if (input == Input::kText) {
    return {Shape{}, DType::kS32};
  }
  int64_t width = 0;
  for (const ColumnPreprocessing& column : columns) {
    width += column.features();
  }
  return {Shape{width}, DType::kF32};
}

absl::StatusOr<std::vector<float>> Preprocessing::FromRecord(
    const std::map<std::string, std::string>& record) const {
  std::vector<std::string> cells;
  for (const ColumnPreprocessing& column : columns) {
    const auto cell = record.find(column.name);
    if (cell == record.end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "column '", column.name, "' is absent; an unknown value is written as an empty cell"));
    }
    cells.push_back(cell->second);
  }
  for (const auto& [name, cell] : record) {
    const auto named = [&, &key = name](const ColumnPreprocessing& c) { return c.name == key; };
    const bool unused = std::ranges::find(unused_columns, name) != unused_columns.end() ||
                        std::ranges::find(target_names, name) != target_names.end();
    if (!unused && std::none_of(columns.begin(), columns.end(), named)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the model has no column '", name, "'; its columns are ",
          absl::StrJoin(columns, ", ", [](std::string* out, const ColumnPreprocessing& c) {
            out->append(c.name);
          })));
    }
  }
  return FromCells(cells);
}

absl::StatusOr<std::vector<float>> Preprocessing::FromCells(
    std::span<const std::string> cells) const {
  if (input != Input::kTable) {
    return absl::InvalidArgumentError("the model does not read records");
  }
  if (cells.size() != columns.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the record has ", cells.size(), " cells; the model needs ", columns.size()));
  }
  std::vector<float> out;
  for (size_t c = 0; c < cells.size(); ++c) {
    HONE_RETURN_IF_ERROR(AppendCell(columns[c], cells[c], out));
  }
  return out;
}

absl::StatusOr<std::vector<uint8_t>> Preprocessing::FromPicture(absl::string_view bytes,
                                                                absl::string_view name) const {
  if (input != Input::kImage) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": the model reads records of a table, not pictures"));
  }
  HONE_ASSIGN_OR_RETURN(image::Image picture,
                        image::DecodeAs(bytes, name, {image[0], image[1], image[2]}));
  return std::move(picture.pixels);
}

nlohmann::json Preprocessing::ToJson() const {
  nlohmann::json json;
  json["input"] = kInputs[static_cast<size_t>(input)];
  if (input == Input::kImage) {
    json["image"] = image.dims();
    json["pixel_scale"] = pixel_scale;
    json["pixel_mean"] = pixel_mean;
    json["pixel_std"] = pixel_std;
  } else if (input == Input::kOwn) {
    json["features"] = own_features.shape.dims();
    json["dtype"] = own_features.dtype == DType::kS32 ? "s32" : "f32";
    json["own"] = nlohmann::json::parse(own, nullptr, /*allow_exceptions=*/false);
  } else if (input == Input::kText) {
    json["text"] = text->ToJson();
    if (target_text.has_value()) {
      json["target_text"] = target_text->ToJson();
    }
  } else {
    json["columns"] = nlohmann::json::array();
    for (const ColumnPreprocessing& column : columns) {
      nlohmann::json entry = {{"name", column.name}};
      if (column.is_category()) {
        entry["categories"] = column.categories;
      } else {
        entry["mean"] = column.mean;
        entry["std"] = column.std;
        entry["fill"] = column.fill;
      }
      json["columns"].push_back(std::move(entry));
    }
    json["unused_columns"] = unused_columns;
  }
  json["class_names"] = class_names;
  json["target_names"] = target_names;
  json["target_mean"] = target_mean;
  json["target_std"] = target_std;
  return json;
}

namespace {

absl::Status Check(const Preprocessing& p) {
  const auto bad = [](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat("preprocessing: ", what));
  };
  const auto positive = [](double value) { return std::isfinite(value) && value > 0; };
  if (p.input == Preprocessing::Input::kImage) {
    if (p.image.rank() != 3 || (p.image[0] != 1 && p.image[0] != 3) || p.image[1] < 1 ||
        p.image[2] < 1 || p.image[1] > 1 << 14 || p.image[2] > 1 << 14) {
      return bad("`image` must be [1 or 3, height, width]");
    }
    const auto channels = static_cast<size_t>(p.image[0]);
    if ((!p.pixel_mean.empty() && p.pixel_mean.size() != channels) ||
        (!p.pixel_std.empty() && p.pixel_std.size() != channels) ||
        !std::all_of(p.pixel_std.begin(), p.pixel_std.end(), positive)) {
      return bad("`pixel_mean` and `pixel_std` need one value for each channel, std positive");
    }
  }
  if (p.input == Preprocessing::Input::kOwn) {
    double elements = 1;
    for (const int64_t extent : p.own_features.shape.dims()) {
      elements *= extent > 0 ? static_cast<double>(extent) : HUGE_VAL;
    }
    if (elements > 1 << 30) {
      return bad("`features` must be positive extents, of at most 2^30 elements in all");
    }
  }
  for (const ColumnPreprocessing& column : p.columns) {
    if (!std::isfinite(column.mean) || !positive(column.std) || !std::isfinite(column.fill)) {
      return bad(
          absl::StrCat("column '", column.name, "': mean and fill must be finite, std positive"));
    }
  }
  if (p.target_mean.size() != p.target_names.size() ||
      p.target_std.size() != p.target_names.size() ||
      !std::all_of(p.target_std.begin(), p.target_std.end(), positive)) {
    return bad("`target_mean` and `target_std` need one value for each target, std positive");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Preprocessing> Preprocessing::FromJson(const nlohmann::json& json) {
  Preprocessing p;
  try {
    const std::string input = json.at("input").get<std::string>();
    const auto known = std::ranges::find(kInputs, input);
    if (known == std::end(kInputs)) {
      return absl::InvalidArgumentError(absl::StrCat("preprocessing: `input` is '", input,
                                                     "'; it must be one of ",
                                                     absl::StrJoin(kInputs, ", ")));
    }
    p.input = static_cast<Input>(known - std::begin(kInputs));
    if (p.input == Input::kImage) {
      p.image = Shape(json.at("image").get<std::vector<int64_t>>());
      p.pixel_scale = json.at("pixel_scale").get<float>();
      p.pixel_mean = json.at("pixel_mean").get<std::vector<float>>();
      p.pixel_std = json.at("pixel_std").get<std::vector<float>>();
    } else if (p.input == Input::kOwn) {
      const auto dtype = json.at("dtype").get<std::string>();
      if (dtype != "s32" && dtype != "f32") {
        return absl::InvalidArgumentError(
            absl::StrCat("preprocessing: `dtype` must be f32 or s32, got `", dtype, "`"));
      }
      p.own_features = {Shape(json.at("features").get<std::vector<int64_t>>()),
                        dtype == "s32" ? DType::kS32 : DType::kF32};
      p.own = json.at("own").dump();
    } else if (p.input == Input::kText) {
      HONE_ASSIGN_OR_RETURN(p.text, TextPreprocessing::FromJson(json.at("text")));
      if (json.contains("target_text")) {
        HONE_ASSIGN_OR_RETURN(p.target_text, TextPreprocessing::FromJson(json.at("target_text")));
      }
    } else {
      for (const nlohmann::json& entry : json.at("columns")) {
        ColumnPreprocessing column;
        column.name = entry.at("name").get<std::string>();
        if (entry.contains("categories")) {
          column.categories = entry.at("categories").get<std::vector<std::string>>();
        } else {
          column.mean = entry.at("mean").get<double>();
          column.std = entry.at("std").get<double>();
          column.fill = entry.at("fill").get<double>();
        }
        p.columns.push_back(std::move(column));
      }
      p.unused_columns = json.value("unused_columns", std::vector<std::string>());
    }
    p.class_names = json.at("class_names").get<std::vector<std::string>>();
    p.target_names = json.at("target_names").get<std::vector<std::string>>();
    p.target_mean = json.at("target_mean").get<std::vector<double>>();
    p.target_std = json.at("target_std").get<std::vector<double>>();
  } catch (const nlohmann::json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat("preprocessing: ", error.what()));
  }
  HONE_RETURN_IF_ERROR(Check(p));
  return p;
}

}  // namespace hone::engine::data
