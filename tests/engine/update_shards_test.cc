#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"
#include "engine/layers/dense.h"
#include "engine/layers/normalization.h"
#include "engine/ops/cross_entropy.h"
#include "engine/tasks/graphs.h"
#include "tests/engine/task_testing.h"
#include "tests/support/status_matchers.h"

// Updates of one step that are computed in different ways: one in shards, one by the whole team.
namespace hone::engine::train {
namespace {

// Two nets that learn the same classes side by side; the second one normalises over its batch.
class PlainAndNormalised final : public LossTask {
 public:
  explicit PlainAndNormalised(size_t normalised) : normalised_(normalised) {}

  absl::string_view name() const override { return "plain and normalised"; }
  std::vector<tasks::UpdateSpec> updates() const override {
    return {{.name = "first", .parameters = "first."}, {.name = "second", .parameters = "second."}};
  }
  absl::StatusOr<tasks::TaskGraph> BuildLoss(const tasks::TrainingConfig&,
                                             const tasks::DataInfo& info, size_t update,
                                             const tasks::BatchShape& shape) const override {
    tasks::TaskGraph result;
    result.built.graph = std::make_unique<Graph>();
    Graph& graph = *result.built.graph;
    const std::string name = updates()[update].name;
    Value x = tasks::FeaturesInput(graph, info, shape.batch);
    layers::DenseOptions dense;
    dense.name = absl::StrCat(name, ".dense");
    dense.units = info.classes();
    x = layers::Dense(graph, x, dense);
    if (update == normalised_) {
      x = layers::BatchNorm(graph, x, {.name = absl::StrCat(name, ".norm")}, /*training=*/true);
    }
    const Loss loss =
        CrossEntropy(graph, x, graph.Input("labels", {{shape.batch}, DType::kS32}), {});
    result.built.request = {
        .graph = &graph, .fetch = {loss.sum, loss.weight, loss.correct}, .gradients = {}};
    return result;
  }
  absl::Status FillInputs(const data::Dataset& dataset, const tasks::Examples& examples,
                          const tasks::TaskState*, const tasks::Inputs& inputs) const override {
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> labels, inputs.Find<int32_t>("labels"));
    dataset.Gather(examples.rows, nullptr, labels.data());
    return absl::OkStatus();
  }

 private:
  size_t normalised_;
};

class UpdateShards : public TaskTest, public ::testing::WithParamInterface<size_t> {};

TEST_P(UpdateShards, HaveAGradientSlabEachWhicheverUpdateNeedsTheWholeBatch) {
  config_ = Points();
  config_.data.test_fraction = 0;
  config_.epochs = 60;
  config_.optimizer = optim::Adam{.learning_rate = 0.05};
  const PlainAndNormalised task(GetParam());
  const data::LoadedData data = tasks::LoadExamples(config_.data, config_, task).value();
  const auto programs = Programs::Compile(config_, tasks::InfoOf(data), task);
  ASSERT_TRUE(programs.ok()) << programs.status();
  ASSERT_EQ((*programs)->training(GetParam(), 16).shards(), 1);
  ASSERT_EQ((*programs)->training(1 - GetParam(), 16).shards(), 2);
  ASSERT_EQ((*programs)->store().shards(), 2);
  ASSERT_EQ(Attempt(task, NewRun()).value(), EndReason::kCompleted);
  EXPECT_LT(recorder_.metrics.back().values.at("first_loss"), 0.5);
  EXPECT_LT(recorder_.metrics.back().values.at("second_loss"), 0.5);
}

class SmallStep : public TaskTest {};

TEST_F(SmallStep, IsMadeByOneThreadWhereTheJobLetsIt) {
  config_ = Points();
  config_.data.test_fraction = 0;
  const PlainAndNormalised task(1);
  const data::LoadedData data = tasks::LoadExamples(config_.data, config_, task).value();
  for (const bool lets : {false, true}) {
    config_.one_thread_if_small = lets;
    const auto programs = Programs::Compile(config_, tasks::InfoOf(data), task);
    ASSERT_TRUE(programs.ok()) << programs.status();
    EXPECT_EQ((*programs)->threads(), lets ? 1 : 2);
    EXPECT_EQ((*programs)->training(0, 16).shards(), lets ? 1 : 2);
    EXPECT_EQ((*programs)->training(0, 16).threads(), lets ? 1 : 2);
  }
  EXPECT_EQ(Attempt(task, NewRun()).value(), EndReason::kCompleted);
}

INSTANTIATE_TEST_SUITE_P(TheFirstOrTheSecond, UpdateShards, ::testing::Values(0, 1));

}  // namespace
}  // namespace hone::engine::train
