#include <gmock/gmock.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "absl/strings/str_join.h"
#include "engine/data/prepare.h"
#include "engine/ops/regression_loss.h"
#include "engine/tasks/graphs.h"
#include "engine/tasks/supervised.h"
#include "engine/tasks/table.h"
#include "tests/engine/task_testing.h"
#include "tests/support/status_matchers.h"

// A task whose input is neither pictures nor a table: all that it needs is in its own class.
namespace hone::engine::train {
namespace {

using ::hone::testing::StatusIs;
using ::testing::HasSubstr;

// Words, and how many vowels each has.
struct Words final : data::OwnExamples {
  std::vector<std::string> words;
  int64_t size() const override { return static_cast<int64_t>(words.size()); }
  int64_t bytes() const override { return size() * static_cast<int64_t>(sizeof(std::string)); }
  uint64_t content_hash() const override {
    const std::string all = absl::StrJoin(words, " ");
    return data::ContentHash(all.data(), static_cast<int64_t>(all.size()));
  }
};

constexpr int64_t kLetters = 26;

class CountVowels final : public tasks::SupervisedTask {
 public:
  explicit CountVowels(std::string more = "engine") : more_(std::move(more)) {}
  absl::string_view name() const override { return "count vowels"; }
  absl::Status CheckData(const tasks::DataInfo&) const override { return absl::OkStatus(); }
  absl::StatusOr<data::LoadedData> MakeExamples(const data::LoadOptions&,
                                                const tasks::TrainingConfig&) const override {
    auto own = std::make_shared<Words>();
    for (char c = 'a'; c <= 'z'; ++c) {
      for (const std::string& rest :
           {std::string(), std::string("ai"), std::string("trust"), more_}) {
        own->words.push_back(c + rest);
      }
    }
    data::LoadedData data;
    data.dataset = data::Dataset(own);
    for (int32_t row = 0; row < own->size(); ++row) {
      (row % 8 == 0 ? data.splits.validation : data.splits.train).push_back(row);
    }
    data.preprocessing.input = data::Preprocessing::Input::kOwn;
    data.preprocessing.own_features = {Shape{kLetters}, DType::kF32};
    data.preprocessing.own = R"({"alphabet":"latin"})";
    return data;
  }
  absl::Status FillInputs(const data::Dataset& dataset, const tasks::Examples& examples,
                          const tasks::TaskState* state,
                          const tasks::Inputs& inputs) const override {
    HONE_ASSIGN_OR_RETURN(const std::span<float> features,
                          inputs.Find<float>(tasks::kFeaturesInput));
    std::ranges::fill(features, 0.0f);
    float* of_row = features.data();
    for (const int32_t row : examples.rows) {
      for (const char c : WordOf(dataset, row)) {
        of_row[c - 'a'] += 1;
      }
      of_row += kLetters;
    }
    return tasks::SupervisedTask::FillInputs(dataset, examples, state, inputs);
  }
  void AddTrainingMetrics(size_t, const tasks::Sums&,
                          std::map<std::string, double>&) const override {}
  std::unique_ptr<tasks::Scorer> NewScorer(const data::Dataset&,
                                           const tasks::DataInfo&) const override {
    class None final : public tasks::Scorer {
      void Add(const float*, std::span<const int32_t>) override {}
      tasks::Evaluation Finish() const override { return {}; }
    };
    return std::make_unique<None>();
  }

 protected:
  absl::Status CheckOutput(const Shape&, const models::LayerSummary&,
                           const tasks::DataInfo&) const override {
    return absl::OkStatus();
  }
  TensorType targets(int64_t batch, const tasks::DataInfo&) const override {
    return {{batch, 1}, DType::kF32};
  }
  absl::Status FillTargets(const data::Dataset& dataset, std::span<const int32_t> rows,
                           const tasks::Inputs& inputs) const override {
    HONE_ASSIGN_OR_RETURN(const std::span<float> targets, inputs.Find<float>(kTargetsInput));
    for (size_t i = 0; i < targets.size(); ++i) {
      const std::string& word = WordOf(dataset, rows[i]);
      targets[i] = static_cast<float>(
          std::ranges::count_if(word, [](char c) { return std::strchr("aeiou", c) != nullptr; }));
    }
    return absl::OkStatus();
  }
  Loss AddLoss(Graph& graph, Value output, Value wanted) const override {
    return RegressionLoss(graph, output, wanted, RegressionKind::kMeanSquaredError);
  }

 private:
  static const std::string& WordOf(const data::Dataset& dataset, int32_t row) {
    return static_cast<const Words*>(dataset.own())->words[static_cast<size_t>(row)];
  }

  const std::string more_;
};

class OwnInput : public TaskTest {};

TEST_F(OwnInput, OfATaskIsLearnedFromWithoutTheDataFolderKnowingIt) {
  config_ = Points();
  config_.model.layers = {DenseLayer(1)};
  config_.optimizer = optim::Adam{.learning_rate = 0.05};
  config_.epochs = 150;
  ASSERT_EQ(Attempt(CountVowels(), NewRun()).value(), EndReason::kCompleted);
  EXPECT_LT(state_.history.back().values.at("validation_loss"), 0.1);
  const std::vector<float> weight = Values("dense_1.weight");
  EXPECT_GT(weight['e' - 'a'], 0.7);
  EXPECT_LT(weight['r' - 'a'], 0.5);
}

TEST_F(OwnInput, HasAFingerprintByWhichOtherExamplesAreNoticed) {
  const std::string first = tasks::LoadExamples(config_.data, config_, CountVowels())->fingerprint;
  EXPECT_FALSE(first.empty());
  EXPECT_EQ(tasks::LoadExamples(config_.data, config_, CountVowels())->fingerprint, first);
  EXPECT_NE(tasks::LoadExamples(config_.data, config_, CountVowels("motor"))->fingerprint, first);
}

TEST(OwnInputOfAModel, ComesBackFromItsFile) {
  data::Preprocessing was;
  was.input = data::Preprocessing::Input::kOwn;
  was.own_features = {Shape{3, 5}, DType::kS32};
  was.own = R"({"words":["a","b"]})";
  const nlohmann::json json = was.ToJson();
  EXPECT_EQ(data::Preprocessing::FromJson(json).value(), was);
  nlohmann::json bad = json;
  bad["features"] = {1 << 20, 1 << 20};
  EXPECT_THAT(data::Preprocessing::FromJson(bad),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("features")));
}

TEST(TaskTable, ReadsBackWhatATaskWrites) {
  const tasks::TaskOptions options[] = {
      tasks::ClassificationOptions{
          .label_smoothing = 0.25f, .class_weights = {1, 2}, .binary = true},
      tasks::RegressionOptions{.loss = tasks::RegressionOptions::Loss::kHuber, .huber_delta = 2}};
  for (const tasks::TaskOptions& was : options) {
    const nlohmann::json json = tasks::MakeTask(was)->ToJson();
    const tasks::TaskOptions is = tasks::TaskOptionsFromJson(json).value();
    EXPECT_EQ(tasks::MakeTask(is)->ToJson(), json);
  }
  EXPECT_THAT(tasks::TaskOptionsFromJson({{"kind", "levitation"}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("levitation")));
}

}  // namespace
}  // namespace hone::engine::train
