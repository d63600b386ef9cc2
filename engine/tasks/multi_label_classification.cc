#include "engine/tasks/multi_label_classification.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/ops/binary_cross_entropy.h"
#include "engine/ops/reshape.h"
#include "engine/tasks/supervised.h"

namespace hone::engine::tasks {
namespace {

double Sigmoid(float logit) { return 1 / (1 + std::exp(-static_cast<double>(logit))); }

double F1(int64_t right, int64_t wrong, int64_t missed) {
  const int64_t all = 2 * right + wrong + missed;
  return all > 0 ? 2 * static_cast<double>(right) / static_cast<double>(all) : 0;
}

double Ratio(int64_t part, int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
}

class SeveralClassesScorer final : public Scorer {
 public:
  SeveralClassesScorer(const data::Dataset& dataset, float threshold)
      : dataset_(dataset), threshold_(threshold), counts_(dataset.target_names().size()) {}

  void Add(const float* outputs, std::span<const int32_t> rows) override {
    for (const int32_t row : rows) {
      bool all_right = true;
      for (size_t c = 0; c < counts_.size(); ++c, ++outputs) {
        const bool truth = dataset_.targets()[static_cast<size_t>(row) * counts_.size() + c] > 0.5f;
        const bool given = Sigmoid(*outputs) >= double{threshold_};
        Counts& counts = counts_[c];
        counts.right += truth && given ? 1 : 0;
        counts.wrong += !truth && given ? 1 : 0;
        counts.missed += truth && !given ? 1 : 0;
        all_right = all_right && truth == given;
      }
      exact_ += all_right ? 1 : 0;
      ++texts_;
    }
  }

  Evaluation Finish() const override {
    Evaluation result;
    Counts all;
    double macro = 0;
    for (size_t c = 0; c < counts_.size(); ++c) {
      const Counts& counts = counts_[c];
      const double f1 = F1(counts.right, counts.wrong, counts.missed);
      result.classes.push_back({.name = dataset_.target_names()[c],
                                .precision = Ratio(counts.right, counts.right + counts.wrong),
                                .recall = Ratio(counts.right, counts.right + counts.missed),
                                .f1 = f1,
                                .examples = counts.right + counts.missed});
      all.right += counts.right;
      all.wrong += counts.wrong;
      all.missed += counts.missed;
      macro += f1 / static_cast<double>(counts_.size());
    }
    result.metrics["micro_f1"] = F1(all.right, all.wrong, all.missed);
    result.metrics["macro_f1"] = macro;
    result.metrics["exact_match"] = Ratio(exact_, texts_);
    return result;
  }

 private:
  struct Counts {
    int64_t right = 0;
    int64_t wrong = 0;   // given, and not so
    int64_t missed = 0;  // so, and not given
  };

  const data::Dataset& dataset_;
  const float threshold_;
  std::vector<Counts> counts_;  // by class
  int64_t exact_ = 0;
  int64_t texts_ = 0;
};

class SeveralClassesAnswerer final : public FeaturesAnswerer {
 public:
  SeveralClassesAnswerer(const data::Preprocessing& preprocessing, float threshold)
      : FeaturesAnswerer(preprocessing), threshold_(threshold) {}

  absl::Status CheckOutputs(int64_t outputs) const override {
    const size_t classes = preprocessing().target_names.size();
    return outputs == static_cast<int64_t>(classes)
               ? absl::OkStatus()
               : absl::InvalidArgumentError(
                     absl::StrCat("the model has ", outputs, " outputs for ", classes, " classes"));
  }

  Prediction ReadOutput(std::span<const float> output) const override {
    Prediction prediction;
    prediction.threshold = threshold_;
    for (size_t c = 0; c < output.size(); ++c) {
      prediction.classes.push_back({preprocessing().target_names[c], Sigmoid(output[c])});
    }
    std::ranges::stable_sort(prediction.classes, std::greater(), &Prediction::Class::probability);
    return prediction;
  }

 private:
  const float threshold_;
};

class MultiLabelClassification final : public SupervisedTask {
 public:
  explicit MultiLabelClassification(const MultiLabelClassificationOptions& options)
      : options_(options) {}

  absl::string_view name() const override { return "multi_label_classification"; }

  absl::Status CheckData(const DataInfo& info) const override {
    return info.preprocessing.text.has_value() && info.targets() > 0
               ? absl::OkStatus()
               : absl::InvalidArgumentError(
                     "multi_label_classification: the data must be texts with lists of classes");
  }

  absl::StatusOr<data::LoadedData> MakeExamples(const data::LoadOptions& options,
                                                const TrainingConfig& config) const override {
    data::LoadOptions of_classes = options;
    of_classes.task = data::Task::kMultiLabel;
    if (of_classes.text.has_value()) {
      of_classes.text->separator = options_.separator;
    }
    return Task::MakeExamples(of_classes, config);
  }

  int64_t outputs(const DataInfo& info) const override { return info.targets(); }

  absl::Status CheckOutput(const Shape& output, const models::LayerSummary& last,
                           const DataInfo& info) const override {
    if (output == Shape{output[0], info.targets()}) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(absl::StrCat(
        "model.layers (", last.name, "): the last layer must have ", info.targets(),
        " units, one for each class, got output shape ", last.output_shape.ToString()));
  }

  // Class behind class of text behind text.
  TensorType targets(int64_t batch, const DataInfo& info) const override {
    return {{batch * info.targets()}, DType::kS32};
  }

  absl::Status FillTargets(const data::Dataset& dataset, std::span<const int32_t> rows,
                           const Inputs& inputs) const override {
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> targets, inputs.Find<int32_t>(kTargetsInput));
    const size_t classes = dataset.target_names().size();
    if (!targets.empty() && targets.size() != rows.size() * classes) {
      return absl::InternalError(absl::StrCat("a program with ", targets.size(),
                                              " targets was given ", rows.size() * classes));
    }
    for (size_t i = 0; i < targets.size(); ++i) {
      const size_t row = static_cast<size_t>(rows[i / classes]);
      targets[i] = dataset.targets()[row * classes + i % classes] > 0.5f ? 1 : 0;
    }
    return absl::OkStatus();
  }

  Loss AddLoss(Graph& graph, Value output, Value targets) const override {
    return BinaryCrossEntropy(graph, Reshape(graph, output, graph.shape(targets)), targets, {});
  }

  void AddTrainingMetrics(size_t, const Sums& sums,
                          std::map<std::string, double>& values) const override {
    values["label_accuracy"] = sums.weight > 0 ? sums.correct / sums.weight : 0;
  }

  std::unique_ptr<Scorer> NewScorer(const data::Dataset& dataset, const DataInfo&) const override {
    return std::make_unique<SeveralClassesScorer>(dataset, options_.threshold);
  }

  nlohmann::json ToJson() const override {
    return {{"kind", std::string(name())},
            {"separator", options_.separator},
            {"threshold", options_.threshold}};
  }

  absl::StatusOr<std::unique_ptr<Answerer>> NewAnswerer(
      const data::Preprocessing& preprocessing) const override {
    return std::make_unique<SeveralClassesAnswerer>(preprocessing, options_.threshold);
  }

 private:
  MultiLabelClassificationOptions options_;
};

}  // namespace

std::unique_ptr<Task> MakeMultiLabelClassification(const MultiLabelClassificationOptions& options) {
  return std::make_unique<MultiLabelClassification>(options);
}

absl::StatusOr<MultiLabelClassificationOptions> MultiLabelClassificationFromJson(
    const nlohmann::json& json) {
  const MultiLabelClassificationOptions options{
      .separator = json.at("separator").get<std::string>(),
      .threshold = json.at("threshold").get<float>()};
  if (options.separator.empty()) {
    return absl::InvalidArgumentError("`task.separator` must not be empty");
  }
  if (!(options.threshold > 0 && options.threshold < 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("`task.threshold` must be between 0 and 1, got ", options.threshold));
  }
  return options;
}

}  // namespace hone::engine::tasks
