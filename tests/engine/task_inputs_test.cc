// What a task fills and finds: inputs by type and shape, programs of its own by their whole shape,
// the batches of its evaluations.
#include <gmock/gmock.h>

#include "engine/graph/sum.h"
#include "engine/layers/dense.h"
#include "engine/ops/regression_loss.h"
#include "engine/tasks/inputs.h"
#include "tests/engine/task_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::train {
namespace {

using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Learns y = 2x + 1 from rows that are numbers; fills its inputs as T.
template <class T>
class Line final : public LossTask {
 public:
  absl::string_view name() const override { return "line"; }
  int64_t own_examples(const tasks::TrainingConfig&) const override { return 32; }

  absl::StatusOr<tasks::TaskGraph> BuildLoss(const tasks::TrainingConfig&, const tasks::DataInfo&,
                                             size_t,
                                             const tasks::BatchShape& shape) const override {
    tasks::TaskGraph result;
    const Value y = Model(shape.batch, result);
    Graph& graph = *result.built.graph;
    const Loss loss =
        RegressionLoss(graph, y, graph.Input("wanted", {{shape.batch, 1}, DType::kF32}),
                       RegressionKind::kMeanSquaredError);
    result.built.request.fetch = {loss.sum, loss.weight, graph.Constant(0)};
    return result;
  }
  std::vector<tasks::ForwardSpec> forwards(const tasks::TrainingConfig&) const override {
    return {{.name = "answer", .shape = {.batch = 1}}, {.name = "answer", .shape = {.batch = 7}}};
  }
  absl::StatusOr<tasks::TaskGraph> BuildForward(const tasks::TrainingConfig&,
                                                const tasks::DataInfo&,
                                                const tasks::ForwardSpec& spec) const override {
    tasks::TaskGraph result;
    const Value y = Model(spec.shape.batch, result);
    result.built.request.fetch = {y};
    return result;
  }
  absl::Status FillInputs(const data::Dataset&, const tasks::Examples& examples,
                          const tasks::TaskState*, const tasks::Inputs& inputs) const override {
    HONE_ASSIGN_OR_RETURN(const std::span<T> x, inputs.Find<T>("x"));
    HONE_ASSIGN_OR_RETURN(const std::span<T> wanted, inputs.Find<T>("wanted"));
    for (size_t i = 0; i < examples.rows.size(); ++i) {
      x[i] = static_cast<T>(examples.rows[i]) / 16 - 1;
      wanted[i] = 2 * x[i] + 1;
    }
    return absl::OkStatus();
  }

 private:
  static Value Model(int64_t batch, tasks::TaskGraph& result) {
    result.built.graph = std::make_unique<Graph>();
    result.built.request.graph = result.built.graph.get();
    layers::DenseOptions options;
    options.name = "dense";
    options.units = 1;
    result.model.layers.emplace_back().name = "dense";
    Graph& graph = *result.built.graph;
    return layers::Dense(graph, graph.Input("x", {{batch, 1}, DType::kF32}), options);
  }
};

class TaskInputs : public TaskTest {
 protected:
  TaskInputs() {
    config_ = Points();
    config_.threads = 1;
    config_.steps = 3;
  }

  // Compiles, binds and trains.
  void Train() { ASSERT_EQ(Attempt(Line<float>(), NewRun()).value(), EndReason::kCompleted); }
};

TEST_F(TaskInputs, HaveTheSizeOfTheirProgram) {
  Train();
  const tasks::BatchShape shape = {.batch = 7};
  const tasks::Inputs inputs(**programs_->forward("answer", shape), shape);
  EXPECT_EQ(inputs.shape(), shape);
  EXPECT_EQ(inputs.Find<float>("x")->size(), 7u);
}

TEST_F(TaskInputs, ThatAProgramDoesNotReadAreEmpty) {
  Train();
  const tasks::Inputs inputs(**programs_->forward("answer", {.batch = 7}), {.batch = 7});
  EXPECT_TRUE(inputs.Find<float>("wanted")->empty());
}

TEST_F(TaskInputs, OfAnotherTypeEndTheRunBeforeAnythingIsComputed) {
  EXPECT_THAT(Attempt(Line<int32_t>(), NewRun()),
              StatusIs(absl::StatusCode::kInternal,
                       AllOf(HasSubstr("input x is f32[16, 1]"), HasSubstr("filled as s32"))));
  EXPECT_THAT(Values("dense.bias"), Each(0.0f));
}

TEST_F(TaskInputs, AreOfProgramsFoundByTheirWholeShape) {
  Train();
  EXPECT_NE(*programs_->forward("answer", {.batch = 1}),
            *programs_->forward("answer", {.batch = 7}));
  EXPECT_THAT(programs_->forward("answer", {.batch = 2}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("answer for 7 examples")));
}

// Classification that is evaluated in fives and keeps how many examples the evaluation programs
// have room for.
class InFives final : public ChangedClassification {
 public:
  absl::string_view name() const override { return "in_fives"; }
  int64_t evaluation_batch(const tasks::TrainingConfig&) const override { return 5; }
  absl::StatusOr<tasks::TaskGraph> BuildEvaluation(const tasks::TrainingConfig& config,
                                                   const tasks::DataInfo& info,
                                                   const tasks::BatchShape& shape) const override {
    HONE_ASSIGN_OR_RETURN(tasks::TaskGraph result,
                          ChangedClassification::BuildEvaluation(config, info, shape));
    Graph& graph = *result.built.graph;
    Value& loss = result.built.request.fetch[0];
    loss = Sum(graph, loss, graph.Input("of_evaluations", {Shape{}, DType::kF32}));
    return result;
  }
  absl::Status FillInputs(const data::Dataset& dataset, const tasks::Examples& examples,
                          const tasks::TaskState* state,
                          const tasks::Inputs& inputs) const override {
    HONE_ASSIGN_OR_RETURN(const std::span<float> mark, inputs.Find<float>("of_evaluations"));
    if (!mark.empty()) {
      mark[0] = 0;
      HONE_ASSIGN_OR_RETURN(const std::span<float> x, inputs.Find<float>(tasks::kFeaturesInput));
      seen_.push_back(static_cast<int64_t>(x.size()) / kColumns);
    }
    return ChangedClassification::FillInputs(dataset, examples, state, inputs);
  }

  const std::vector<int64_t>& seen() const { return seen_; }

 private:
  static constexpr int64_t kColumns = 3;  // of the points
  mutable std::vector<int64_t> seen_;     // one thread fills
};

TEST_F(TaskInputs, OfAnEvaluationComeInBatchesOfTheTasksOwnSize) {
  config_.data.validation_fraction = 0.2;  // 14 of 72
  config_.steps = 0;
  config_.epochs = 1;
  const InFives task;
  ASSERT_EQ(Attempt(task, NewRun()).value(), EndReason::kCompleted);
  EXPECT_THAT(task.seen(), ElementsAre(5, 5, 4));
}

}  // namespace
}  // namespace hone::engine::train
