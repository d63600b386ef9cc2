#include "client/cli/sweep_view.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "client/cli/sweep_watch.h"

namespace hone::client::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

v1::Sweep Parsed(const std::string& text) {
  v1::Sweep sweep;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &sweep)) << text;
  return sweep;
}

std::string Text(const v1::Sweep& sweep, size_t most = 100) {
  std::string text;
  for (const Line& line : RenderSweep(sweep, most, /*width=*/80)) {
    absl::StrAppend(&text, line.Render(200, /*color=*/false), "\n");
  }
  return text;
}

constexpr char kSweep[] = R"(
  display_name: "s" state: RUNNING trials_total: 3 trials_ended: 2 best_trial: 2 best_objective: 0.9
  spec {
    objective { metric: "test_accuracy" goal: MAXIMIZE }
    axes { field: "model.layers[0].dense.units" values: ["4", "8", "16"] } }
  trials { number: 1 settings: "4" state: SUCCEEDED objective: 0.5 rung: 1 steps: 1000 parameters: 1234
           depth: 2 training_seconds: 1.5 verdicts { key: "vanishing" value: 3 } }
  trials { number: 2 settings: "8" state: SUCCEEDED objective: 0.9 rung: 1 steps: 1000 }
  trials { number: 3 settings: "16" state: FAILED message: "the loss is not finite\nmore" rung: 1 })";

TEST(SweepView, HasTheBestTrialOnTop) {
  const std::string text = Text(Parsed(kSweep));
  EXPECT_LT(text.find("90.00 %"), text.find("50.00 %"));
  EXPECT_THAT(text, AllOf(HasSubstr("2 of 3 trials have ended"), HasSubstr("the best is trial 2"),
                          HasSubstr("vanishing in 3 layers"), HasSubstr("sound"),
                          HasSubstr("failed: the loss is not finite"), Not(HasSubstr("more"))));
}

TEST(SweepView, PlotsTheObjectiveOverAnAxisOfNumbers) {
  EXPECT_THAT(Text(Parsed(kSweep)), AllOf(HasSubstr("test accuracy over units"), HasSubstr("★")));
}

TEST(SweepView, ListsTheBestOfEachWordOfAnAxisOfWords) {
  v1::Sweep sweep = Parsed(kSweep);
  for (v1::Trial& trial : *sweep.mutable_trials()) {
    trial.set_settings(0, trial.number() == 1 ? "TANH" : "RELU");
  }
  EXPECT_THAT(Text(sweep), AllOf(HasSubstr("best test accuracy"), Not(HasSubstr("over units"))));
}

TEST(SweepView, GivesMeanAndDeviationOverFolds) {
  const v1::Sweep sweep = Parsed(R"(
    spec { objective { metric: "test_rmse" }
           axes { field: "training.batch_size" values: ["8", "16"] }
           axes { field: "data.fold.index" values: ["1", "2"] } }
    trials { number: 1 settings: ["8", "1"] state: SUCCEEDED objective: 1 }
    trials { number: 2 settings: ["8", "2"] state: SUCCEEDED objective: 3 }
    trials { number: 3 settings: ["16", "1"] state: SUCCEEDED objective: 5 }
    trials { number: 4 settings: ["16", "2"] state: WAITING })");
  EXPECT_THAT(Text(sweep), AllOf(HasSubstr("mean test RMSE"), HasSubstr("deviation"),
                                 HasSubstr("1.414"), Not(HasSubstr("over index"))));
}

TEST(SweepView, SaysHowManyTrialsItLeavesOut) {
  EXPECT_THAT(Text(Parsed(kSweep), 1), HasSubstr("and 2 more"));
}

std::string LiveText(const v1::Sweep& sweep, int height) {
  std::string text;
  const std::vector<Line> lines = RenderLiveSweep(sweep, /*width=*/80, height);
  EXPECT_LE(static_cast<int>(lines.size()), height);
  for (const Line& line : lines) {
    absl::StrAppend(&text, line.Render(200, /*color=*/false), "\n");
  }
  return text;
}

TEST(SweepView, HasAPlotBesideTheTrialsWhereAScreenHasRoom) {
  EXPECT_THAT(LiveText(Parsed(kSweep), 24),
              AllOf(HasSubstr("90.00 %"), HasSubstr("test accuracy over units"), HasSubstr("★")));
}

TEST(SweepView, HasTheBestTrialsAloneOnAScreenWithoutRoom) {
  EXPECT_THAT(LiveText(Parsed(kSweep), 5),
              AllOf(HasSubstr("90.00 %"), HasSubstr("and 2 more"), Not(HasSubstr("over units"))));
}

TEST(SweepChange, TakesThePlaceOfItsTrialsAndLeavesTheOthers) {
  v1::Sweep sweep = Parsed(kSweep);
  ApplyChange(Parsed(R"(
    display_name: "s" state: SUCCEEDED trials_total: 3 trials_ended: 3 best_trial: 3 best_objective: 0.95
    trials { number: 3 settings: "16" state: SUCCEEDED objective: 0.95 })"),
              sweep);
  EXPECT_EQ(sweep.state(), v1::Sweep::SUCCEEDED);
  EXPECT_EQ(sweep.best_trial(), 3);
  EXPECT_EQ(sweep.spec().objective().metric(), "test_accuracy");
  ASSERT_EQ(sweep.trials_size(), 3);
  EXPECT_EQ(sweep.trials(1).objective(), 0.9);
  EXPECT_EQ(sweep.trials(2).state(), v1::Trial::SUCCEEDED);
}

TEST(AxisNames, AreAsShortAsTheyCanBe) {
  const v1::Sweep sweep = Parsed(R"(spec {
    axes { field: "model.layers[0].dense.units" } axes { field: "model.layers[1].dense.units" }
    axes { field: "training.optimizer.adam.learning_rate" } })");
  EXPECT_THAT(AxisNames(sweep.spec()),
              ElementsAre("layers[0].dense.units", "layers[1].dense.units", "learning_rate"));
}

}  // namespace
}  // namespace hone::client::cli
