#include "engine/tasks/regression.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/ops/regression_loss.h"
#include "engine/tasks/supervised.h"

namespace hone::engine::tasks {
namespace {

constexpr absl::string_view kLosses[] = {"mse", "mae", "huber"};  // by RegressionOptions::Loss

// Errors in the targets' own units; of several targets, means over them.
class ErrorScorer final : public Scorer {
 public:
  ErrorScorer(const data::Dataset& dataset, const DataInfo& info)
      : dataset_(dataset), info_(info), targets_(static_cast<size_t>(info.targets())) {}

  void Add(const float* outputs, std::span<const int32_t> rows) override {
    for (size_t i = 0; i < rows.size(); ++i) {
      for (size_t t = 0; t < targets_.size(); ++t) {
        const double truth = Truth(rows[i], t);
        const double error = outputs[i * targets_.size() + t] * Deviation(t) - truth;
        Target& target = targets_[t];
        target.absolute += std::abs(error);
        target.squared += error * error;
        // Welford's update of mean and squared distance.
        ++target.count;
        const double delta = truth - target.mean;
        target.mean += delta / target.count;
        target.variance += delta * (truth - target.mean);
      }
    }
  }

  void AddErrors(const float* outputs, std::span<const int32_t> rows,
                 std::vector<ExampleError>& errors) const override {
    for (size_t i = 0; i < rows.size(); ++i) {
      double squared = 0;
      for (size_t t = 0; t < targets_.size(); ++t) {
        const double error = outputs[i * targets_.size() + t] * Deviation(t) - Truth(rows[i], t);
        squared += error * error;
      }
      errors.push_back({rows[i], squared / static_cast<double>(targets_.size())});
    }
  }

  Evaluation Finish() const override {
    double mse = 0, mae = 0, r2 = 0;
    for (const Target& target : targets_) {
      const double count = std::max(target.count, 1.0);
      mse += target.squared / count;
      mae += target.absolute / count;
      r2 += target.variance > 0 ? 1 - target.squared / target.variance : 0;
    }
    const auto n = static_cast<double>(targets_.size());
    Evaluation result;
    result.metrics = {
        {"mse", mse / n}, {"rmse", std::sqrt(mse / n)}, {"mae", mae / n}, {"r2", r2 / n}};
    return result;
  }

 private:
  struct Target {
    double absolute = 0;
    double squared = 0;
    double count = 0;
    double mean = 0;
    double variance = 0;  // times count
  };

  double Deviation(size_t target) const { return info_.preprocessing.target_std[target]; }
  // In its own unit, less the mean.
  double Truth(int32_t row, size_t target) const {
    return dataset_.targets()[static_cast<size_t>(row) * targets_.size() + target] *
           Deviation(target);
  }

  const data::Dataset& dataset_;
  const DataInfo& info_;
  std::vector<Target> targets_;
};

class ValueAnswerer final : public FeaturesAnswerer {
 public:
  using FeaturesAnswerer::FeaturesAnswerer;

  absl::Status CheckOutputs(int64_t outputs) const override {
    const size_t targets = preprocessing().target_names.size();
    if (outputs == static_cast<int64_t>(targets)) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(
        absl::StrCat("the model has ", outputs, " outputs for ", targets, " targets"));
  }

  Prediction ReadOutput(std::span<const float> output) const override {
    Prediction prediction;
    for (size_t t = 0; t < output.size(); ++t) {
      prediction.values.push_back(output[t] * preprocessing().target_std[t] +
                                  preprocessing().target_mean[t]);
    }
    return prediction;
  }
};

class RegressionTask final : public SupervisedTask {
 public:
  explicit RegressionTask(const RegressionOptions& options) : options_(options) {}

  absl::string_view name() const override { return "regression"; }

  absl::Status CheckData(const DataInfo& info) const override {
    return info.targets() > 0
               ? absl::OkStatus()
               : absl::InvalidArgumentError(
                     "regression: the data must have a column of numbers to predict");
  }

  int64_t outputs(const DataInfo& info) const override { return info.targets(); }

  absl::Status CheckOutput(const Shape& output, const models::LayerSummary& last,
                           const DataInfo& info) const override {
    if (output == Shape{output[0], info.targets()}) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(
        absl::StrCat("model.layers (", last.name, "): the last layer must have ", info.targets(),
                     info.targets() == 1 ? " unit for 1 target" : " units, one for each target",
                     ", got output shape ", last.output_shape.ToString()));
  }

  TensorType targets(int64_t batch, const DataInfo& info) const override {
    return {{batch, info.targets()}, DType::kF32};
  }

  absl::Status FillTargets(const data::Dataset& dataset, std::span<const int32_t> rows,
                           const Inputs& inputs) const override {
    HONE_ASSIGN_OR_RETURN(const std::span<float> targets, inputs.Find<float>(kTargetsInput));
    if (!targets.empty()) {
      dataset.Gather(rows, nullptr, targets.data());
    }
    return absl::OkStatus();
  }

  Loss AddLoss(Graph& graph, Value output, Value targets) const override {
    switch (options_.loss) {
      case RegressionOptions::Loss::kMse:
        return RegressionLoss(graph, output, targets, RegressionKind::kMeanSquaredError);
      case RegressionOptions::Loss::kMae:
        return RegressionLoss(graph, output, targets, RegressionKind::kMeanAbsoluteError);
      case RegressionOptions::Loss::kHuber:
        return RegressionLoss(graph, output, targets, RegressionKind::kHuber, options_.huber_delta);
    }
    return {};
  }

  void AddTrainingMetrics(size_t, const Sums&, std::map<std::string, double>&) const override {}

  std::unique_ptr<Scorer> NewScorer(const data::Dataset& dataset,
                                    const DataInfo& info) const override {
    return std::make_unique<ErrorScorer>(dataset, info);
  }
  ErrorKind error_kind() const override { return ErrorKind::kSquared; }

  nlohmann::json ToJson() const override {
    return {{"kind", "regression"},
            {"loss", std::string(kLosses[static_cast<size_t>(options_.loss)])},
            {"huber_delta", options_.huber_delta}};
  }

  absl::StatusOr<std::unique_ptr<Answerer>> NewAnswerer(
      const data::Preprocessing& preprocessing) const override {
    return std::make_unique<ValueAnswerer>(preprocessing);
  }

 private:
  RegressionOptions options_;
};

}  // namespace

std::unique_ptr<Task> MakeRegression(const RegressionOptions& options) {
  return std::make_unique<RegressionTask>(options);
}

absl::StatusOr<RegressionOptions> RegressionFromJson(const nlohmann::json& json) {
  RegressionOptions options{.huber_delta = json.at("huber_delta").get<float>()};
  const auto loss = json.at("loss").get<std::string>();
  const auto found = std::ranges::find(kLosses, loss);
  if (found == std::end(kLosses)) {
    return absl::InvalidArgumentError(absl::StrCat("`task.loss` is not known: \"", loss, "\""));
  }
  options.loss = static_cast<RegressionOptions::Loss>(found - std::begin(kLosses));
  return options;
}

}  // namespace hone::engine::tasks
