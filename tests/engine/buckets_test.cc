#include <gmock/gmock.h>

#include <numeric>

#include "engine/base/rng.h"
#include "engine/layers/dense.h"
#include "engine/ops/full.h"
#include "engine/ops/matmul.h"
#include "engine/ops/regression_loss.h"
#include "engine/ops/scale.h"
#include "tests/engine/task_testing.h"
#include "tests/support/status_matchers.h"

// A task whose examples are sequences of two lengths: what an LSTM on sentences asks of the
// programs. The mean over time is learned times two plus one.
namespace hone::engine::train {
namespace {

using ::hone::testing::StatusIs;
using ::testing::HasSubstr;

constexpr int64_t kShort = 40, kLong = 900;

// Every step has sequences of one length, the short and the long in turn.
class Lengths final : public tasks::TaskState {
 public:
  explicit Lengths(int64_t odd) : odd_(odd) {}
  absl::Status BeginStep(const tasks::StepContext& context) override {
    step_ = context.step;
    scale_ = context.step == 1 ? 0 : 1;
    return absl::OkStatus();
  }
  void Save(checkpoint::RunState&) const override {}
  absl::Status Restore(const checkpoint::RunState&) override { return absl::OkStatus(); }
  int64_t length() const { return step_ % 2 == 1 ? odd_ : kLong; }
  int64_t step() const { return step_; }
  float scale() const { return scale_; }

 private:
  int64_t odd_;
  int64_t step_ = 1;
  float scale_ = 1;
};

class MeanOverTime final : public LossTask {
 public:
  explicit MeanOverTime(int64_t odd = kShort) : odd_(odd) {}

  absl::string_view name() const override { return "mean over time"; }
  int64_t own_examples(const tasks::TrainingConfig&) const override { return 32; }
  std::vector<int64_t> buckets(const tasks::TrainingConfig&) const override {
    return {kLong, kShort};
  }
  int64_t BucketOf(const data::Dataset&, std::span<const int32_t>,
                   const tasks::TaskState* state) const override {
    return static_cast<const Lengths*>(state)->length();
  }

  absl::StatusOr<tasks::TaskGraph> BuildLoss(const tasks::TrainingConfig&, const tasks::DataInfo&,
                                             size_t,
                                             const tasks::BatchShape& shape) const override {
    tasks::TaskGraph result;
    result.built.graph = std::make_unique<Graph>();
    Graph& graph = *result.built.graph;
    const int64_t time = shape.bucket;
    const Value steps = graph.Input("steps", {{shape.batch, time}, DType::kF32});
    const Value mean = MatMul(graph, steps, Full(graph, {time, 1}, 1 / static_cast<double>(time)));
    layers::DenseOptions options;
    options.name = "dense";
    options.units = 1;
    const Loss loss = RegressionLoss(graph, layers::Dense(graph, mean, options),
                                     graph.Input("wanted", {{shape.batch, 1}, DType::kF32}),
                                     RegressionKind::kMeanSquaredError);
    const Value scale = graph.Input("loss_scale", {Shape{}, DType::kF32});
    result.built.request = {
        .graph = &graph,
        .fetch = {ScaleBy(graph, loss.sum, scale), loss.weight, graph.Constant(0)},
        .gradients = {}};
    return result;
  }
  std::unique_ptr<tasks::TaskState> NewState(const tasks::TrainingConfig&) const override {
    return std::make_unique<Lengths>(odd_);
  }
  absl::Status FillInputs(const data::Dataset&, const tasks::Examples& examples,
                          const tasks::TaskState* state,
                          const tasks::Inputs& inputs) const override {
    const auto& lengths = *static_cast<const Lengths*>(state);
    HONE_ASSIGN_OR_RETURN(const std::span<float> scale, inputs.Find<float>("loss_scale"));
    HONE_ASSIGN_OR_RETURN(const std::span<float> sequences, inputs.Find<float>("steps"));
    HONE_ASSIGN_OR_RETURN(const std::span<float> wanted, inputs.Find<float>("wanted"));
    scale[0] = lengths.scale();
    float* steps = sequences.data();
    for (size_t i = 0; i < examples.rows.size(); ++i) {
      RandomStream random(static_cast<uint64_t>(lengths.step()), "steps",
                          static_cast<uint64_t>(examples.rows[i]));
      const float center = random.NextUniform(-1, 1);
      float sum = 0;
      for (int64_t t = 0; t < inputs.shape().bucket; ++t, ++steps) {
        *steps = center + random.NextUniform(-1, 1);
        sum += *steps;
      }
      wanted[i] = 2 * sum / static_cast<float>(inputs.shape().bucket) + 1;
    }
    return absl::OkStatus();
  }

 private:
  int64_t odd_;
};

double FlopsOf(const Replicas& replicas) {
  const std::vector<Program::Step>& steps = replicas.program(0).steps();
  return std::accumulate(
      steps.begin(), steps.end(), 0.0,
      [](double sum, const Program::Step& step) { return sum + step.cost.flops; });
}

class Buckets : public TaskTest {
 protected:
  Buckets() {
    config_.batch_size = 16;
    config_.threads = 2;
    config_.steps = 300;
    config_.optimizer = optim::Adam{.learning_rate = 0.05};
    config_.layer_statistics_every = 0;
  }
};

TEST_F(Buckets, LearnFromBothLengthsWithTheSameWeights) {
  ASSERT_EQ(Attempt(MeanOverTime(), NewRun()).value(), EndReason::kCompleted);
  EXPECT_NEAR(Values("dense.weight")[0], 2, 0.05);
  EXPECT_NEAR(Values("dense.bias")[0], 1, 0.05);
}

TEST_F(Buckets, ComputeNoPadding) {
  config_.steps = 1;
  ASSERT_EQ(Attempt(MeanOverTime(), NewRun()).value(), EndReason::kCompleted);
  const Replicas& brief = **programs_->training(0, {16, kShort});
  const Replicas& lengthy = **programs_->training(0, {16, kLong});
  EXPECT_LT(FlopsOf(brief), FlopsOf(lengthy) / 5);
}

TEST_F(Buckets, AreMeasuredAsTheyCome) {
  ASSERT_EQ(Attempt(MeanOverTime(), NewRun()).value(), EndReason::kCompleted);
  const data::LoadedData data = *tasks::LoadExamples(config_.data, config_, MeanOverTime());
  job::Plan plan = job::MakePlan(config_, tasks::InfoOf(data), *programs_, /*data_in_memory=*/true);
  ASSERT_TRUE(job::Measure(config_, tasks::InfoOf(data), MeanOverTime(), *programs_, plan).ok());
  EXPECT_GT(*plan.step_seconds, 0);
}

TEST_F(Buckets, ShareOneArena) {
  config_.steps = 1;
  ASSERT_EQ(Attempt(MeanOverTime(), NewRun()).value(), EndReason::kCompleted);
  const Replicas& lengthy = **programs_->training(0, {16, kLong});
  EXPECT_EQ(programs_->arena_bytes(), lengthy.shards() * lengthy.arena_bytes());
}

TEST_F(Buckets, ABatchOfAnotherLengthIsAnErrorThatNamesThem) {
  EXPECT_THAT(Attempt(MeanOverTime(/*odd=*/41), NewRun()),
              StatusIs(absl::StatusCode::kNotFound,
                       HasSubstr("16 examples in bucket 41; there are: 16 in 40, 16 in 900")));
}

TEST_F(Buckets, ARuntimeScalarIsReadAtEachRun) {
  config_.steps = 1;  // the first step's loss is scaled by 0
  ASSERT_EQ(Attempt(MeanOverTime(), NewRun()).value(), EndReason::kCompleted);
  EXPECT_EQ(recorder_.metrics.back().values.at("loss"), 0);
  config_.steps = 2;
  ASSERT_EQ(Attempt(MeanOverTime(), NewRun()).value(), EndReason::kCompleted);
  EXPECT_GT(recorder_.metrics.back().values.at("loss"), 0);
}

}  // namespace
}  // namespace hone::engine::train
