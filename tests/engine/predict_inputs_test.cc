// Models whose inputs and answers their task alone knows.
#include <gmock/gmock.h>

#include "engine/base/status.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/ops/embedding.h"
#include "engine/ops/mul.h"
#include "engine/predict/predictor.h"
#include "engine/tasks/supervised.h"
#include "tests/engine/data_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::predict {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Three users and four items, in tables of two columns.
constexpr int64_t kUsers = 3, kItems = 4, kWidth = 2;

// Asks for a user and an item by number; "best" is the item that a user likes most.
class Tastes : public tasks::Answerer {
 public:
  absl::Status CheckOutputs(int64_t) const override { return absl::OkStatus(); }
  absl::StatusOr<Example> Read(const tasks::Question& question, absl::string_view) const override {
    const auto& cells = std::get<tasks::RecordQuestion>(question).cells;
    Example example;
    for (const auto& [name, cell] : cells) {
      example[name] = std::vector<int32_t>{static_cast<int32_t>(std::stol(cell))};
    }
    return example;
  }
};

class BestOfAll final : public Tastes {
 public:
  absl::StatusOr<std::vector<Prediction>> Answer(std::span<const Example> users,
                                                 tasks::RunExamples run) const override {
    std::vector<Prediction> answers;
    for (const Example& user : users) {
      std::vector<Example> pairs(size_t{kItems}, user);
      for (int32_t item = 0; item < kItems; ++item) {
        pairs[static_cast<size_t>(item)]["item"] = std::vector<int32_t>{item};
      }
      HONE_ASSIGN_OR_RETURN(const std::vector<std::vector<float>> outputs, run(pairs));
      const auto best = std::ranges::max_element(outputs);
      answers.emplace_back().values = {static_cast<double>(best - outputs.begin())};
    }
    return answers;
  }
};

// The two rows multiplied, element by element. Trained by nobody.
template <class Answers>
class TastesTask final : public tasks::SupervisedTask {
 public:
  absl::string_view name() const override { return "tastes"; }
  absl::StatusOr<tasks::TaskGraph> BuildPrediction(const models::ModelDescription&,
                                                   const tasks::DataInfo&,
                                                   const tasks::BatchShape& shape) const override {
    tasks::TaskGraph result = tasks::NewTaskGraph(tasks::TrainingConfig());
    Graph& graph = *result.built.graph;
    const auto row = [&](const char* table, const char* input, int64_t rows) {
      return Embedding(graph,
                       graph.Parameter({.name = table, .shape = {rows, kWidth}, .initializer = {}}),
                       graph.Input(input, {{shape.batch}, DType::kS32}));
    };
    result.model.output = Mul(graph, row("users", "user", kUsers), row("items", "item", kItems));
    result.built.request.fetch = {result.model.output};
    return result;
  }
  absl::StatusOr<std::unique_ptr<tasks::Answerer>> NewAnswerer(
      const data::Preprocessing&) const override {
    return std::make_unique<Answers>();
  }

  absl::Status CheckData(const tasks::DataInfo&) const override { return absl::OkStatus(); }
  void AddTrainingMetrics(size_t, const tasks::Sums&,
                          std::map<std::string, double>&) const override {}
  std::unique_ptr<tasks::Scorer> NewScorer(const data::Dataset&,
                                           const tasks::DataInfo&) const override {
    return nullptr;
  }

 protected:
  absl::Status CheckOutput(const Shape&, const models::LayerSummary&,
                           const tasks::DataInfo&) const override {
    return absl::OkStatus();
  }
  TensorType targets(int64_t, const tasks::DataInfo&) const override { return {}; }
  absl::Status FillTargets(const data::Dataset&, std::span<const int32_t>,
                           const tasks::Inputs&) const override {
    return absl::OkStatus();
  }
  Loss AddLoss(Graph&, Value, Value) const override { return {}; }
};

class PredictorOfNamedInputs : public data::DataTest {
 protected:
  PredictorOfNamedInputs() {
    const std::vector<float> users = {1, 2, 3, 4, 5, 6}, items = {1, 10, 2, 20, 9, 30, 4, 40};
    tasks::ModelFile file;
    file.task = tasks::ClassificationOptions();
    file.model.layers = {{.name = "unused", .inputs = {}, .kind = models::Flatten()}};
    file.preprocessing.input = data::Preprocessing::Input::kOwn;
    file.preprocessing.own_features = {Shape{1}, DType::kS32};
    EXPECT_THAT(checkpoint::WriteModel(
                    Path("model"),
                    std::vector<checkpoint::TensorToWrite>{
                        {.name = "users", .shape = {kUsers, kWidth}, .data = users.data()},
                        {.name = "items", .shape = {kItems, kWidth}, .data = items.data()}},
                    {}, tasks::ToJson(file)),
                IsOk());
  }
  template <class Answers>
  std::unique_ptr<Predictor> Load() const {
    return Predictor::Load(Path("model"), 1,
                           [](const tasks::TaskOptions&) -> std::unique_ptr<tasks::Task> {
                             return std::make_unique<TastesTask<Answers>>();
                           })
        .value();
  }
};

TEST_F(PredictorOfNamedInputs, FillsThemWithWhatTheTaskMakesOfAQuestion) {
  const auto predictor = Load<Tastes>();
  std::vector<Example> examples;
  for (int i = 0; i < 37; ++i) {  // a batch of the large program and some of the small
    examples.push_back(predictor
                           ->Read(tasks::RecordQuestion{{{"user", std::to_string(i % kUsers)},
                                                         {"item", std::to_string(i % kItems)}}},
                                  "a pair")
                           .value());
  }
  const auto predictions = predictor->Predict(examples);
  ASSERT_THAT(predictions, IsOk());
  ASSERT_EQ(predictions->size(), 37u);
  EXPECT_THAT((*predictions)[5].values, ElementsAre(5 * 2, 6 * 20));   // user 2, item 1
  EXPECT_THAT((*predictions)[36].values, ElementsAre(1 * 1, 2 * 10));  // user 0, item 0
}

TEST_F(PredictorOfNamedInputs, RunsAsOftenAsTheTaskNeedsForAnAnswer) {
  const auto predictor = Load<BestOfAll>();
  const std::vector<Example> users = {{{"user", std::vector<int32_t>{1}}}};
  EXPECT_THAT(predictor->Predict(users).value()[0].values, ElementsAre(2));
}

TEST_F(PredictorOfNamedInputs, DoesNotRunWithAnInputThatNothingFills) {
  const auto predictor = Load<Tastes>();
  const std::vector<Example> users = {{{"user", std::vector<int32_t>{1}}}};
  EXPECT_THAT(predictor->Predict(users), StatusIs(absl::StatusCode::kInternal, HasSubstr("item")));
}

TEST_F(PredictorOfNamedInputs, RefusesTooManyNumbersOfAnExample) {
  const auto predictor = Load<Tastes>();
  const std::vector<Example> examples = {
      {{"user", std::vector<int32_t>{1}}, {"item", std::vector<int32_t>{1, 2}}}};
  EXPECT_THAT(predictor->Predict(examples),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("item"), HasSubstr("1 numbers"), HasSubstr("got 2"))));
}

TEST_F(PredictorOfNamedInputs, RefusesNumbersOfAnotherType) {
  const auto predictor = Load<Tastes>();
  const std::vector<Example> examples = {
      {{"user", std::vector<int32_t>{1}}, {"item", std::vector<float>{1}}}};
  EXPECT_THAT(predictor->Predict(examples),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("item")));
}

}  // namespace
}  // namespace hone::engine::predict
