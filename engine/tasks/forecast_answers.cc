#include "engine/tasks/forecast_answers.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "engine/base/status.h"
#include "engine/data/series_format.h"
#include "engine/data/series_rows.h"
#include "engine/data/series_times.h"
#include "engine/tasks/forecasting.h"
#include "engine/tensor/token_rows.h"

namespace hone::engine::tasks {
namespace {

using data::SeriesFormat;
using data::SeriesRows;

// What an example holds beside the window, kPointsInput: what the model's numbers are added to, and
// what an answer tells of the points before, the values as the bytes of doubles, times as lines.
constexpr char kBase[] = "base", kHistory[] = "history";
constexpr char kTimes[] = "times", kNextTimes[] = "next_times";

// Points before the forecast that are told: enough to see how it goes on.
int64_t PointsTold(const SeriesFormat& format, int64_t points) {
  constexpr int64_t kLeast = 48, kMost = 1000;
  const int64_t wanted =
      std::max({kLeast, 2 * format.window, 2 * format.period, 4 * format.horizon});
  return std::min({wanted, kMost, points});
}

std::vector<uint8_t> BytesOf(std::span<const double> values) {
  std::vector<uint8_t> bytes(values.size_bytes());
  if (!bytes.empty()) {
    std::memcpy(bytes.data(), values.data(), bytes.size());
  }
  return bytes;
}

std::vector<double> DoublesOf(const Example& example, const char* name) {
  const auto& bytes = std::get<std::vector<uint8_t>>(example.at(name));
  std::vector<double> values(bytes.size() / sizeof(double));
  if (!values.empty()) {
    std::memcpy(values.data(), bytes.data(), values.size() * sizeof(double));
  }
  return values;
}

std::vector<uint8_t> Lines(std::span<const std::string> lines) {
  const std::string text = absl::StrJoin(lines, "\n");
  return {text.begin(), text.end()};
}

std::vector<std::string> LinesOf(const Example& example, const char* name) {
  const auto& bytes = std::get<std::vector<uint8_t>>(example.at(name));
  if (bytes.empty()) {
    return {};
  }
  return absl::StrSplit(std::string(bytes.begin(), bytes.end()), '\n');
}

const std::vector<float>& FloatsOf(const Example& example, absl::string_view name) {
  return std::get<std::vector<float>>(example.at(std::string(name)));
}

class ForecastAnswerer final : public Answerer {
 public:
  explicit ForecastAnswerer(SeriesFormat format) : format_(std::move(format)) {}

  absl::Status CheckOutputs(int64_t outputs) const override {
    return outputs == format_.horizon
               ? absl::OkStatus()
               : absl::InvalidArgumentError(absl::StrCat(
                     "the model has ", outputs, " outputs for a horizon of ", format_.horizon));
  }

  absl::StatusOr<Example> Read(const Question& question, absl::string_view name) const override {
    const auto* series = std::get_if<SeriesQuestion>(&question);
    if (series == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(
          name, ": the model takes a series, the table of the points before the forecast; this is ",
          NameOf(question)));
    }
    const absl::StatusOr<SeriesRows> rows = data::ReadSeriesRows(
        series->csv, {.target = format_.columns[0],
                      .others = {format_.columns.begin() + 1, format_.columns.end()},
                      .time = format_.time,
                      .time_may_be_absent = true,
                      .must_be_positive = format_.scaling == SeriesFormat::Scaling::kLogStandard});
    HONE_RETURN_IF_ERROR(Annotate(rows.status(), name));
    const int64_t points = rows->size();
    if (points < format_.history()) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": has ", points,
                                                     " points; the model needs the last ",
                                                     format_.history(), " before its forecast"));
    }
    return ExampleOf(*rows);
  }

  absl::Status Fill(std::span<const Example> examples, const Inputs& inputs) const override {
    HONE_ASSIGN_OR_RETURN(const std::span<float> points, inputs.Find<float>(kPointsInput));
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> offsets, inputs.Find<int32_t>(kOffsetsInput));
    auto to = points.begin();
    for (const Example& example : examples) {
      if (!points.empty()) {
        to = std::ranges::copy(FloatsOf(example, kPointsInput), to).out;
      }
    }
    FillOffsets(format_.window, offsets);
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<Prediction>> Answer(std::span<const Example> examples,
                                                 RunExamples run) const override {
    HONE_ASSIGN_OR_RETURN(const std::vector<std::vector<float>> outputs, run(examples));
    std::vector<Prediction> predictions;
    for (size_t i = 0; i < examples.size(); ++i) {
      const Example& example = examples[i];
      const std::vector<float>& base = FloatsOf(example, kBase);
      Prediction::Forecast forecast = {.target = format_.columns[0],
                                       .history = DoublesOf(example, kHistory),
                                       .history_times = LinesOf(example, kTimes),
                                       .times = LinesOf(example, kNextTimes)};
      for (size_t ahead = 0; ahead < outputs[i].size(); ++ahead) {
        forecast.values.push_back(format_.Unscale(outputs[i][ahead] + base[ahead]));
      }
      predictions.emplace_back().forecast = std::move(forecast);
    }
    return predictions;
  }

 private:
  // Of the last points.
  Example ExampleOf(const SeriesRows& rows) const {
    const int64_t points = rows.size(), width = format_.width();
    const auto value = [&](int64_t point, int64_t column) {
      return rows.values[static_cast<size_t>(point * width + column)];
    };
    const auto scaled = [&](int64_t point, int64_t column) {
      return static_cast<float>(format_.Scale(static_cast<size_t>(column), value(point, column)));
    };
    std::vector<float> window, base;
    std::vector<double> history;
    for (int64_t point = points - format_.window; point < points; ++point) {
      for (int64_t column = 0; column < width; ++column) {
        window.push_back(scaled(point, column));
      }
    }
    for (int64_t ahead = 0; ahead < format_.horizon; ++ahead) {
      switch (format_.base) {
        case SeriesFormat::Base::kZero:
          base.push_back(0);
          break;
        case SeriesFormat::Base::kLast:
          base.push_back(scaled(points + SeriesFormat::NaivePlace(), 0));
          break;
        case SeriesFormat::Base::kSeasonal:
          base.push_back(scaled(points + format_.SeasonalPlace(ahead), 0));
          break;
      }
    }
    const int64_t told = PointsTold(format_, points);
    for (int64_t point = points - told; point < points; ++point) {
      history.push_back(value(point, 0));
    }
    const auto times =
        std::span(rows.times).last(rows.times.empty() ? 0 : static_cast<size_t>(told));
    return {{std::string(kPointsInput), std::move(window)},
            {kBase, std::move(base)},
            {kHistory, BytesOf(history)},
            {kTimes, Lines(times)},
            {kNextTimes, Lines(data::NextTimes(rows.times, format_.horizon))}};
  }

  const SeriesFormat format_;
};

}  // namespace

void FillOffsets(int64_t window, std::span<int32_t> offsets) {
  for (size_t i = 0; i < offsets.size(); ++i) {
    offsets[i] = static_cast<int32_t>(static_cast<int64_t>(i) * window);
  }
}

absl::StatusOr<std::unique_ptr<Answerer>> NewForecastAnswerer(
    const data::Preprocessing& preprocessing) {
  HONE_ASSIGN_OR_RETURN(SeriesFormat format, SeriesFormat::FromJson(preprocessing.own));
  return std::make_unique<ForecastAnswerer>(std::move(format));
}

}  // namespace hone::engine::tasks
