#include "engine/tasks/forecasting.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/data/series.h"
#include "engine/ops/regression_loss.h"
#include "engine/tasks/forecast_answers.h"
#include "engine/tasks/one_graph_task.h"
#include "engine/tensor/token_rows.h"

namespace hone::engine::tasks {
namespace {

using data::Series;
using data::SeriesFormat;
using data::SeriesOf;

constexpr char kTargets[] = "targets";

// Errors of a forecast of many points.
class Errors {
 public:
  void Add(double error) {
    absolute_ += std::abs(error);
    squared_ += error * error;
    ++count_;
  }
  // "naive_mae" and so on with the prefix "naive_". Without a unit there is no MASE.
  void Tell(const std::string& prefix, double unit, std::map<std::string, double>& metrics) const {
    const double count = std::max<double>(static_cast<double>(count_), 1);
    metrics[prefix + "mae"] = absolute_ / count;
    metrics[prefix + "rmse"] = std::sqrt(squared_ / count);
    if (unit > 0) {
      metrics[prefix + "mase"] = absolute_ / count / unit;
    }
  }

 private:
  double absolute_ = 0;
  double squared_ = 0;
  int64_t count_ = 0;
};

class ForecastScorer final : public Scorer {
 public:
  explicit ForecastScorer(const Series& series) : series_(series), format_(series.format()) {}

  void Add(const float* outputs, std::span<const int32_t> rows) override {
    for (const int32_t row : rows) {
      const int64_t first = series_.first(row);
      const double last = series_.value(first + SeriesFormat::NaivePlace());
      for (int64_t ahead = 0; ahead < format_.horizon; ++ahead) {
        const double truth = series_.value(first + ahead);
        model_.Add(Said(*outputs++, row, ahead) - truth);
        naive_.Add(last - truth);
        seasonal_.Add(series_.value(first + format_.SeasonalPlace(ahead)) - truth);
      }
    }
  }

  void AddErrors(const float* outputs, std::span<const int32_t> rows,
                 std::vector<ExampleError>& errors) const override {
    for (const int32_t row : rows) {
      double squared = 0;
      for (int64_t ahead = 0; ahead < format_.horizon; ++ahead) {
        const double truth = series_.value(series_.first(row) + ahead);
        squared += std::pow(Said(*outputs++, row, ahead) - truth, 2);
      }
      errors.push_back({row, squared / static_cast<double>(format_.horizon)});
    }
  }

  Evaluation Finish() const override {
    Evaluation result;
    model_.Tell("", format_.naive_error, result.metrics);
    naive_.Tell("naive_", format_.naive_error, result.metrics);
    if (format_.period > 1) {
      seasonal_.Tell("seasonal_naive_", format_.naive_error, result.metrics);
    }
    return result;
  }

 private:
  double Said(float output, int32_t row, int64_t ahead) const {
    return format_.Unscale(output + series_.base(row, ahead));
  }

  const Series& series_;
  const SeriesFormat& format_;
  Errors model_, naive_, seasonal_;
};

// "the error (MAE) is 0.62 of the naive forecast's"
std::string Compare(const std::map<std::string, double>& metrics) {
  std::string said;
  for (const auto& [name, title] : {std::pair("naive_mae", "the naive forecast's"),
                                    std::pair("seasonal_naive_mae", "the seasonal naive one's")}) {
    const auto found = metrics.find(name);
    if (found != metrics.end() && found->second > 0) {
      absl::StrAppend(&said, said.empty() ? "the mean absolute error is " : ", ",
                      absl::StrFormat("%.2f", metrics.at("mae") / found->second), " of ", title);
    }
  }
  return said;
}

class Forecasting final : public OneGraphTask {
 public:
  explicit Forecasting(const ForecastingOptions& options) : options_(options) {}

  absl::string_view name() const override { return "forecasting"; }

  absl::StatusOr<data::LoadedData> MakeExamples(const data::LoadOptions& options,
                                                const TrainingConfig&) const override {
    return data::LoadSeries(options);
  }

  absl::StatusOr<DataInfo> InspectExamples(const TrainingConfig& config) const override {
    HONE_ASSIGN_OR_RETURN(const data::LoadedData loaded, MakeExamples(config.data, config));
    return InfoOf(loaded, *this);
  }

  // A series by chance.
  absl::StatusOr<data::Dataset> MakeUpExamples(const TrainingConfig&, const DataInfo& info,
                                               int64_t count, int64_t) const override {
    Series::Parts parts;
    HONE_ASSIGN_OR_RETURN(parts.format, SeriesFormat::FromJson(info.preprocessing.own));
    const int64_t before = std::max(parts.format.window, parts.format.period);
    const int64_t points = before + count + parts.format.horizon;
    RandomStream random(1, "made-up series");
    for (int64_t i = 0; i < points * parts.format.width(); ++i) {
      parts.values.push_back(random.NextUniform(1, 2));
    }
    for (int64_t i = 0; i < count; ++i) {
      parts.first.push_back(static_cast<int32_t>(before + i));
    }
    return data::Dataset(std::make_shared<const Series>(std::move(parts)));
  }

  absl::Status CheckData(const DataInfo& info) const override {
    return SeriesFormat::FromJson(info.preprocessing.own).status();
  }

  absl::Status FillInputs(const data::Dataset& dataset, const Examples& examples, const TaskState*,
                          const Inputs& inputs) const override {
    const Series& series = SeriesOf(dataset);
    HONE_ASSIGN_OR_RETURN(const std::span<float> points, inputs.Find<float>(kPointsInput));
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> offsets, inputs.Find<int32_t>(kOffsetsInput));
    HONE_ASSIGN_OR_RETURN(const std::span<float> targets, inputs.Find<float>(kTargets));
    const int64_t horizon = series.format().horizon;
    auto to = points.begin();
    auto target = targets.begin();
    for (const int32_t row : examples.rows) {
      if (!points.empty()) {
        to = std::ranges::copy(series.window(row), to).out;
      }
      for (int64_t ahead = 0; !targets.empty() && ahead < horizon; ++ahead) {
        *target++ = series.target(row, ahead);
      }
    }
    FillOffsets(series.format().window, offsets);
    return absl::OkStatus();
  }

  void AddTrainingMetrics(size_t, const Sums&, std::map<std::string, double>&) const override {}

  std::unique_ptr<Scorer> NewScorer(const data::Dataset& dataset, const DataInfo&) const override {
    return std::make_unique<ForecastScorer>(SeriesOf(dataset));
  }
  ErrorKind error_kind() const override { return ErrorKind::kSquared; }

  // As of other tasks, but of long windows so many that a batch's points are not many.
  int64_t evaluation_batch(const TrainingConfig& config) const override {
    constexpr int64_t kPoints = 65536;
    int64_t window = config.data.series.window;
    if (config.data.as != nullptr) {
      // A model that is evaluated has a window of its own.
      const absl::StatusOr<SeriesFormat> format = SeriesFormat::FromJson(config.data.as->own);
      window = format.ok() ? format->window : 1;
    }
    return std::clamp<int64_t>(kPoints / std::max<int64_t>(window, 1), 1,
                               Task::evaluation_batch(config));
  }

  absl::StatusOr<Evaluation> Evaluate(const EvaluationContext& context) const override {
    HONE_ASSIGN_OR_RETURN(Evaluation result, Task::Evaluate(context));
    if (context.final) {
      result.note = Compare(result.metrics);
    }
    return result;
  }

  nlohmann::json ToJson() const override {
    // The fields of the regression that it is, by its own name.
    nlohmann::json json = MakeRegression(options_)->ToJson();
    json["kind"] = std::string(name());
    return json;
  }

  absl::StatusOr<TaskGraph> BuildPrediction(const models::ModelDescription& model,
                                            const DataInfo& info,
                                            const BatchShape& shape) const override {
    TaskGraph result;
    result.built.graph = std::make_unique<Graph>();
    result.built.request.graph = result.built.graph.get();
    HONE_RETURN_IF_ERROR(BuildForecast(model, info, shape.batch, false, result));
    result.built.request.fetch = {result.model.output};
    return result;
  }

  absl::StatusOr<std::unique_ptr<Answerer>> NewAnswerer(
      const data::Preprocessing& preprocessing) const override {
    return NewForecastAnswerer(preprocessing);
  }

 private:
  // The model behind so many windows; its output is [batch, horizon].
  static absl::Status BuildForecast(const models::ModelDescription& model, const DataInfo& info,
                                    int64_t batch, bool training, TaskGraph& result) {
    HONE_ASSIGN_OR_RETURN(const SeriesFormat format,
                          SeriesFormat::FromJson(info.preprocessing.own));
    Graph& graph = *result.built.graph;
    std::vector<models::NamedValue> inputs;
    {
      const Graph::Scope scope(graph, "input");
      const TensorType points = {{batch * format.window, format.width()}, DType::kF32};
      inputs = {
          {std::string(kPointsInput), graph.Input(kPointsInput, points)},
          {std::string(kOffsetsInput), graph.Input(kOffsetsInput, {{batch + 1}, DType::kS32})}};
    }
    const models::BuildOptions options = {
        .training = training, .logits = true, .longest = format.window};
    HONE_ASSIGN_OR_RETURN(result.model, models::BuildModel(graph, model, inputs, options));
    const Shape& output = graph.shape(result.model.output);
    if (output == Shape{batch, format.horizon}) {
      return graph.status();
    }
    const models::LayerSummary& last = result.model.layers.back();
    if (output[0] != batch) {
      return absl::InvalidArgumentError(
          absl::StrCat("model.layers (", last.name,
                       "): gives numbers for each point; one row must be made of each window, as a "
                       "recurrent layer or sequence_pool does"));
    }
    return absl::InvalidArgumentError(
        absl::StrCat("model.layers (", last.name, "): the last layer must have ", format.horizon,
                     format.horizon == 1 ? " unit, for the next value"
                                         : " units, one for each point of data.series.horizon",
                     ", got output shape ", last.output_shape.ToString()));
  }

  absl::StatusOr<TaskGraph> Build(const TrainingConfig& config, const DataInfo& info,
                                  const BatchShape& shape, bool training) const override {
    TaskGraph result = NewTaskGraph(config);
    Graph& graph = *result.built.graph;
    HONE_RETURN_IF_ERROR(BuildForecast(config.model, info, shape.batch, training, result));
    const Value output = result.model.output;
    const Value targets = graph.Input(kTargets, {graph.shape(output), DType::kF32});
    graph.set_scope("loss");
    RegressionKind kind = RegressionKind::kMeanSquaredError;
    if (options_.loss == RegressionOptions::Loss::kMae) {
      kind = RegressionKind::kMeanAbsoluteError;
    } else if (options_.loss == RegressionOptions::Loss::kHuber) {
      kind = RegressionKind::kHuber;
    }
    const Loss loss = RegressionLoss(graph, output, targets, kind, options_.huber_delta);
    HONE_RETURN_IF_ERROR(graph.status());
    result.built.request.fetch = {loss.sum, loss.weight, graph.Constant(0)};
    return result;
  }

  ForecastingOptions options_;
};

}  // namespace

std::unique_ptr<Task> MakeForecasting(const ForecastingOptions& options) {
  return std::make_unique<Forecasting>(options);
}

absl::StatusOr<ForecastingOptions> ForecastingFromJson(const nlohmann::json& json) {
  HONE_ASSIGN_OR_RETURN(const RegressionOptions options, RegressionFromJson(json));
  return ForecastingOptions{options};
}

}  // namespace hone::engine::tasks
