#include "engine/tasks/classification.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/ops/binary_cross_entropy.h"
#include "engine/tasks/roc_area.h"
#include "engine/tasks/supervised.h"

namespace hone::engine::tasks {
namespace {

// Right and wrong by class.
class ClassScorer final : public Scorer {
 public:
  ClassScorer(const data::Dataset& dataset, bool binary)
      : dataset_(dataset),
        width_(binary ? 1 : static_cast<size_t>(dataset.classes())),
        roc_area_(dataset.classes(), binary ? 1 : dataset.classes()),
        confusion_(static_cast<size_t>(dataset.classes() * dataset.classes())) {}

  void Add(const float* outputs, std::span<const int32_t> rows) override {
    for (size_t i = 0; i < rows.size(); ++i) {
      ++confusion_[static_cast<size_t>(Truth(rows[i]) * dataset_.classes() + Taken(outputs, i))];
      roc_area_.Add(Of(outputs, i), Truth(rows[i]));
    }
  }

  void AddErrors(const float* outputs, std::span<const int32_t> rows,
                 std::vector<ExampleError>& errors) const override {
    for (size_t i = 0; i < rows.size(); ++i) {
      errors.push_back({rows[i], Taken(outputs, i) == Truth(rows[i]) ? 0.0 : 1.0});
    }
  }

  Evaluation Finish() const override {
    Evaluation result;
    result.confusion = confusion_;
    const int64_t classes = dataset_.classes();
    int64_t right = 0, all = 0;
    for (int64_t c = 0; c < classes; ++c) {
      int64_t examples = 0, taken = 0;
      for (int64_t other = 0; other < classes; ++other) {
        examples += At(c, other);
        taken += At(other, c);
      }
      const double precision = Ratio(At(c, c), taken), recall = Ratio(At(c, c), examples);
      const double both = precision + recall;
      result.classes.push_back({.name = dataset_.class_names()[static_cast<size_t>(c)],
                                .precision = precision,
                                .recall = recall,
                                .f1 = both > 0 ? 2 * precision * recall / both : 0,
                                .examples = examples});
      right += At(c, c);
      all += examples;
    }
    result.metrics["accuracy"] = Ratio(right, all);
    double f1 = 0;
    for (const Evaluation::Class& c : result.classes) {
      f1 += c.f1 / static_cast<double>(classes);
    }
    result.metrics["macro_f1"] = f1;
    if (const std::optional<double> area = roc_area_.Mean()) {
      result.metrics["auc"] = *area;
    }
    return result;
  }

 private:
  int64_t Truth(int32_t row) const { return dataset_.labels()[static_cast<size_t>(row)]; }
  std::span<const float> Of(const float* outputs, size_t i) const {
    return {outputs + i * width_, width_};
  }
  // The class that row i of the outputs is for.
  int64_t Taken(const float* outputs, size_t i) const {
    const std::span<const float> out = Of(outputs, i);
    return width_ == 1 ? (out[0] > 0 ? 1 : 0) : std::ranges::max_element(out) - out.begin();
  }
  int64_t At(int64_t truth, int64_t taken) const {
    return confusion_[static_cast<size_t>(truth * dataset_.classes() + taken)];
  }
  static double Ratio(int64_t part, int64_t whole) {
    return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
  }

  const data::Dataset& dataset_;
  const size_t width_;  // numbers of an output
  RocArea roc_area_;
  std::vector<int64_t> confusion_;
};

class ClassAnswerer final : public FeaturesAnswerer {
 public:
  ClassAnswerer(const data::Preprocessing& preprocessing, bool binary)
      : FeaturesAnswerer(preprocessing), binary_(binary) {}

  absl::Status CheckOutputs(int64_t outputs) const override {
    const auto classes = static_cast<int64_t>(preprocessing().class_names.size());
    if (outputs == (binary_ ? 1 : classes) && (!binary_ || classes == 2)) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(
        absl::StrCat("the model has ", outputs, " outputs for ", classes, " classes"));
  }

  Prediction ReadOutput(std::span<const float> output) const override {
    std::vector<double> probabilities;
    if (binary_) {
      const double second = 1 / (1 + std::exp(-static_cast<double>(output[0])));
      probabilities = {1 - second, second};
    } else {
      const double top = *std::ranges::max_element(output);
      double sum = 0;
      for (const float logit : output) {
        probabilities.push_back(std::exp(logit - top));
        sum += probabilities.back();
      }
      for (double& probability : probabilities) {
        probability /= sum;
      }
    }
    Prediction prediction;
    for (size_t c = 0; c < probabilities.size(); ++c) {
      prediction.classes.push_back({preprocessing().class_names[c], probabilities[c]});
    }
    std::ranges::stable_sort(prediction.classes, std::greater(), &Prediction::Class::probability);
    return prediction;
  }

 private:
  const bool binary_;
};

class Classification final : public SupervisedTask {
 public:
  explicit Classification(ClassificationOptions options) : options_(std::move(options)) {}

  absl::string_view name() const override { return "classification"; }

  absl::Status CheckData(const DataInfo& info) const override {
    if (info.classes() < 2) {
      return absl::InvalidArgumentError(absl::StrCat(
          "classification: the data must have at least 2 classes, got ", info.classes()));
    }
    if (options_.binary && info.classes() != 2) {
      return absl::InvalidArgumentError(absl::StrCat(
          "classification.binary: the data must have 2 classes, got ", info.classes()));
    }
    const auto weights = static_cast<int64_t>(options_.class_weights.size());
    if (weights != 0 && weights != info.classes()) {
      return absl::InvalidArgumentError(
          absl::StrCat("classification.class_weights: must have ", info.classes(),
                       " entries, one for each class, got ", weights));
    }
    return absl::OkStatus();
  }

  int64_t outputs(const DataInfo& info) const override {
    return options_.binary ? 1 : info.classes();
  }

  absl::Status CheckOutput(const Shape& output, const models::LayerSummary& last,
                           const DataInfo& info) const override {
    const int64_t wanted = outputs(info);
    if (output.rank() == 2 && output[1] == wanted) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(
        absl::StrCat("model.layers (", last.name, "): the last layer must have ", wanted,
                     wanted == 1 ? " unit" : " units", " for ", info.classes(),
                     " classes, got output shape ", last.output_shape.ToString()));
  }

  TensorType targets(int64_t batch, const DataInfo&) const override {
    return {{batch}, DType::kS32};
  }

  absl::Status FillTargets(const data::Dataset& dataset, std::span<const int32_t> rows,
                           const Inputs& inputs) const override {
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> targets, inputs.Find<int32_t>(kTargetsInput));
    if (!targets.empty()) {
      dataset.Gather(rows, nullptr, targets.data());
    }
    return absl::OkStatus();
  }

  Loss AddLoss(Graph& graph, Value output, Value targets) const override {
    const CrossEntropyOptions options{.label_smoothing = options_.label_smoothing,
                                      .class_weights = options_.class_weights};
    return options_.binary ? BinaryCrossEntropy(graph, output, targets, options)
                           : CrossEntropy(graph, output, targets, options);
  }

  void AddTrainingMetrics(size_t, const Sums& sums,
                          std::map<std::string, double>& values) const override {
    values["accuracy"] = sums.correct / static_cast<double>(std::max<int64_t>(sums.examples, 1));
  }

  std::unique_ptr<Scorer> NewScorer(const data::Dataset& dataset, const DataInfo&) const override {
    return std::make_unique<ClassScorer>(dataset, options_.binary);
  }
  ErrorKind error_kind() const override { return ErrorKind::kWrong; }

  nlohmann::json ToJson() const override {
    return {{"kind", "classification"},
            {"label_smoothing", options_.label_smoothing},
            {"class_weights", options_.class_weights},
            {"binary", options_.binary}};
  }

  absl::StatusOr<std::unique_ptr<Answerer>> NewAnswerer(
      const data::Preprocessing& preprocessing) const override {
    return std::make_unique<ClassAnswerer>(preprocessing, options_.binary);
  }

 private:
  ClassificationOptions options_;
};

}  // namespace

std::unique_ptr<Task> MakeClassification(const ClassificationOptions& options) {
  return std::make_unique<Classification>(options);
}

absl::StatusOr<ClassificationOptions> ClassificationFromJson(const nlohmann::json& json) {
  return ClassificationOptions{.label_smoothing = json.at("label_smoothing").get<float>(),
                               .class_weights = json.at("class_weights").get<std::vector<float>>(),
                               .binary = json.at("binary").get<bool>()};
}

}  // namespace hone::engine::tasks
