#include <gmock/gmock.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "engine/layers/dense.h"
#include "engine/ops/regression_loss.h"
#include "tests/engine/task_testing.h"
#include "tests/support/status_matchers.h"

// A task that evaluates itself by a program of its own, where nothing is held out, and leaves
// files: what translation (BLEU), mazes (success) and pictures (grids) ask of the loop.
namespace hone::engine::train {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::HasSubstr;

// Says at its second step what it has seen.
class Diary final : public tasks::TaskState {
 public:
  absl::Status BeginStep(const tasks::StepContext& context) override {
    return context.step == 2 ? context.artifacts.Write("diary", "diary.txt", "two steps")
                             : absl::OkStatus();
  }
  void Save(checkpoint::RunState&) const override {}
  absl::Status Restore(const checkpoint::RunState&) override { return absl::OkStatus(); }
};

// Learns 2 x + 1 from numbers that it makes itself.
class Doubling final : public LossTask {
 public:
  absl::string_view name() const override { return "doubling"; }
  int64_t own_examples(const tasks::TrainingConfig&) const override { return 32; }
  absl::StatusOr<tasks::TaskGraph> BuildLoss(const tasks::TrainingConfig&, const tasks::DataInfo&,
                                             size_t,
                                             const tasks::BatchShape& shape) const override {
    tasks::TaskGraph result = Net(shape.batch);
    Graph& graph = *result.built.graph;
    const Loss loss = RegressionLoss(graph, result.model.output,
                                     graph.Input("wanted", {{shape.batch, 1}, DType::kF32}),
                                     RegressionKind::kMeanSquaredError);
    result.built.request.fetch = {loss.sum, loss.weight, graph.Constant(0)};
    return result;
  }
  absl::StatusOr<tasks::TaskGraph> BuildEvaluation(const tasks::TrainingConfig&,
                                                   const tasks::DataInfo&,
                                                   const tasks::BatchShape&) const override {
    return absl::InternalError("the task evaluates itself");
  }
  std::vector<tasks::ForwardSpec> forwards(const tasks::TrainingConfig&) const override {
    return {{.name = "answer", .shape = {.batch = 1}}};
  }
  absl::StatusOr<tasks::TaskGraph> BuildForward(const tasks::TrainingConfig&,
                                                const tasks::DataInfo&,
                                                const tasks::ForwardSpec& spec) const override {
    tasks::TaskGraph result = Net(spec.shape.batch);
    result.built.request.fetch = {result.model.output};
    return result;
  }
  std::unique_ptr<tasks::TaskState> NewState(const tasks::TrainingConfig&) const override {
    return std::make_unique<Diary>();
  }
  absl::Status FillInputs(const data::Dataset&, const tasks::Examples& examples,
                          const tasks::TaskState*, const tasks::Inputs& inputs) const override {
    HONE_ASSIGN_OR_RETURN(const std::span<float> x, inputs.Find<float>("x"));
    HONE_ASSIGN_OR_RETURN(const std::span<float> wanted, inputs.Find<float>("wanted"));
    for (size_t i = 0; i < examples.rows.size(); ++i) {
      x[i] = static_cast<float>(examples.rows[i]) / 16 - 1;
      wanted[i] = 2 * x[i] + 1;
    }
    return absl::OkStatus();
  }

  bool evaluates_without_rows() const override { return true; }
  absl::StatusOr<tasks::Evaluation> Evaluate(
      const tasks::EvaluationContext& context) const override {
    HONE_ASSIGN_OR_RETURN(const Program* answer, context.programs.forward("answer", {.batch = 1}));
    *static_cast<float*>(answer->input("x")) = 3;
    HONE_RETURN_IF_ERROR(context.programs.Run(*answer, {}));
    const double said = *static_cast<const float*>(answer->fetched(0));
    HONE_RETURN_IF_ERROR(
        context.artifacts.Write("answer", absl::StrCat("answers/step-", context.step, ".txt"),
                                absl::StrCat("three: ", said)));
    tasks::Evaluation result;
    result.metrics = {{"answer", said}, {"loss", (said - 7) * (said - 7)}};
    return result;
  }

 private:
  static tasks::TaskGraph Net(int64_t batch) {
    tasks::TaskGraph result;
    result.built.graph = std::make_unique<Graph>();
    Graph& graph = *result.built.graph;
    result.built.request.graph = &graph;
    layers::DenseOptions dense;
    dense.name = "dense";
    dense.units = 1;
    result.model.output = layers::Dense(graph, graph.Input("x", {{batch, 1}, DType::kF32}), dense);
    return result;
  }
};

class SelfEvaluating : public TaskTest {
 protected:
  SelfEvaluating() {
    config_ = Points();
    config_.optimizer = optim::Adam{.learning_rate = 0.1};
    config_.epochs = 60;
  }
};

TEST_F(SelfEvaluating, TaskIsAskedAtEachEpochsEndThoughNothingIsHeldOut) {
  ASSERT_EQ(Attempt(Doubling(), NewRun()).value(), EndReason::kCompleted);
  EXPECT_EQ(state_.history.size(), 60u);
  EXPECT_NEAR(state_.history.back().values.at("validation_answer"), 7, 0.1);
  ASSERT_TRUE(state_.best.has_value());  // it has a loss, so there is a best
  EXPECT_LT(state_.best->value, 0.1);
}

TEST_F(SelfEvaluating, TaskLeavesFilesThatAreToldWithTheirSum) {
  config_.epochs = 2;
  const std::string run = NewRun();
  ASSERT_EQ(Attempt(Doubling(), run).value(), EndReason::kCompleted);
  ASSERT_EQ(recorder_.artifacts.size(), 3u);
  for (const tasks::Artifact& artifact : recorder_.artifacts) {
    EXPECT_EQ(Sha256OfFile(run + "/" + artifact.path).value(), artifact.sha256);
  }
  EXPECT_EQ(ReadFile(run + "/artifacts/diary.txt").value(), "two steps");
  EXPECT_EQ(recorder_.artifacts[1].kind, "answer");
  EXPECT_THAT(recorder_.artifacts[2].path, "artifacts/answers/step-4.txt");
}

TEST_F(SelfEvaluating, TaskReplacesWhatAKilledRunHadWrittenByHalf) {
  config_.epochs = 1;
  const std::string run = NewRun();
  std::filesystem::create_directories(run + "/artifacts");
  const std::string half = run + "/artifacts/diary.txt.tmp.4328";
  ASSERT_THAT(WriteFileDurably(half, "two st"), IsOk());
  ASSERT_EQ(Attempt(Doubling(), run).value(), EndReason::kCompleted);
  EXPECT_FALSE(std::filesystem::exists(half));
}

TEST(ArtifactSink, RefusesPathsThatLeadOutOfTheRun) {
  const tasks::ArtifactSink sink;
  EXPECT_THAT(sink.Write("text", "a/b.txt", ""), IsOk());
  for (const char* path : {"", "/etc/x", "../x", "a/../../x", "a/"}) {
    EXPECT_THAT(sink.Write("text", path, ""),
                StatusIs(absl::StatusCode::kInternal, HasSubstr("cannot be left")))
        << path;
  }
  EXPECT_THAT(sink.Write("model", "x", ""), StatusIs(absl::StatusCode::kInternal, HasSubstr("")));
}

}  // namespace
}  // namespace hone::engine::train
