// What a sweep is made of, and what it does next.
#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/sweeps/advance.h"
#include "server/sweeps/assign.h"
#include "server/sweeps/search.h"
#include "tests/support/status_matchers.h"

namespace hone::server::sweeps {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kJob[] = R"(
  job {
    classification {} data { dataset: "wine" }
    model { layers { dense { units: 8 } } layers { repeat { times: 1 layers { dense { units: 8 } } } } }
    training { epochs: 9 }
  }
  objective { metric: "test_accuracy" })";

v1::SweepSpec Spec(const std::string& more) {
  v1::SweepSpec spec, change;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(kJob, &spec));
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(more, &change)) << more;
  spec.MergeFrom(change);
  return spec;
}

// Of a spec that is right: as it is before its first trial.
v1::Sweep New(const std::string& more, int parallelism = 1000) {
  const v1::SweepSpec spec = Spec(more);
  EXPECT_THAT(Check(spec), IsOk());
  v1::Sweep sweep;
  *sweep.mutable_spec() = Resolve(spec, 1);
  sweep.mutable_spec()->set_parallelism(parallelism);
  sweep.set_state(v1::Sweep::RUNNING);
  const auto trials = Expand(sweep.spec());
  EXPECT_THAT(trials, IsOk());
  for (const v1::Trial& trial : *trials) {
    *sweep.add_trials() = trial;
  }
  return sweep;
}

std::vector<std::string> Settings(const v1::Sweep& sweep, int axis) {
  std::vector<std::string> settings;
  for (const v1::Trial& trial : sweep.trials()) {
    settings.push_back(trial.settings(axis));
  }
  return settings;
}

v1::Job Succeeded(double accuracy, int64_t steps = 10) {
  v1::Job job;
  job.set_state(v1::Job::SUCCEEDED);
  job.mutable_progress()->set_step(steps);
  (*job.mutable_evaluation()->mutable_metrics())["test_accuracy"] = accuracy;
  return job;
}

constexpr char kThree[] = R"(
  axes { field: "model.layers[0].dense.units" values: ["4", "8", "16"] })";

TEST(Assign, SetsWhatThePathNames) {
  v1::JobSpec job = Spec("").job();
  EXPECT_THAT(Assign("training.optimizer.adam.learning_rate", "0.01", job), IsOk());
  EXPECT_EQ(job.training().optimizer().adam().learning_rate(), 0.01f);
  EXPECT_THAT(Assign("training.optimizer.sgd.momentum", "0.5", job), IsOk());
  EXPECT_TRUE(job.training().optimizer().has_sgd());
  EXPECT_THAT(Assign("model.layers[1].repeat.layers[0].dense.units", "32", job), IsOk());
  EXPECT_EQ(job.model().layers(1).repeat().layers(0).dense().units(), 32);
  EXPECT_THAT(Assign("model.layers[0].dense.activation", "RELU", job), IsOk());
  EXPECT_EQ(job.model().layers(0).dense().activation(), v1::Activation::RELU);
  EXPECT_THAT(Assign("data.fold", R"({"count": 5, "index": 2})", job), IsOk());
  EXPECT_EQ(job.data().fold().index(), 2);
  EXPECT_THAT(Assign("data.deduplicate", "true", job), IsOk());
  EXPECT_THAT(Assign("data.dataset", "my \"set\"", job), IsOk());
  EXPECT_EQ(job.data().dataset(), "my \"set\"");
  EXPECT_THAT(Assign("data.classes", R"(["a", "b"])", job), IsOk());
  EXPECT_THAT(Assign("data.classes[1]", "c", job), IsOk());
  EXPECT_THAT(job.data().classes(), ElementsAre("a", "c"));
  EXPECT_THAT(Assign("model.layers[0]", R"({"flatten": {}})", job), IsOk());
  EXPECT_TRUE(job.model().layers(0).has_flatten());
  EXPECT_EQ(job.model().layers_size(), 2);
}

TEST(Assign, RefusesWhatIsNotThereAndWhatDoesNotFit) {
  struct Wrong {
    const char *path, *value, *says;
  };
  v1::JobSpec job = Spec("").job();
  for (const auto& [path, value, says] : std::vector<Wrong>{
           {"training.optimzer", "1", "training has epochs"},
           {"model.layers[2].dense", "{}", "the list has 2 items"},
           {"model.layers.dense.units", "1", "say which item"},
           {"training.epochs[0]", "1", "is not a list"},
           {"training.epochs.x", "1", "nothing below it"},
           {"training.epochs", "many", "must be a whole number"},
           {"training.clip_norm", "nan", "must be a number"},
           {"training.precision", "F16", "one of F32, BF16"},
           {"data.deduplicate", "yes", "true or false"},
           {"model.layers[0]", R"({"flaten": {}})", ""},
           {"", "1", ""},
           {"labels.x", "1", ""},
       }) {
    EXPECT_THAT(Assign(path, value, job), StatusIs(kInvalid, HasSubstr(says))) << path;
  }
}

TEST(Expand, AGridHasEveryCombinationTheLastAxisFirst) {
  const v1::Sweep sweep = New(absl::StrCat(
      kThree, R"(axes { field: "model.layers[1].repeat.times" range { from: 1 to: 2 } })"));
  EXPECT_THAT(Settings(sweep, 0), ElementsAre("4", "4", "8", "8", "16", "16"));
  EXPECT_THAT(Settings(sweep, 1), ElementsAre("1", "2", "1", "2", "1", "2"));
}

TEST(Expand, RangesAreEvenlySpacedAndLogRangesByFactors) {
  EXPECT_THAT(
      Settings(New(R"(axes { field: "training.clip_norm" range { from: 0 to: 1 count: 3 }})"), 0),
      ElementsAre("0", "0.5", "1"));
  EXPECT_THAT(Settings(New(R"(axes { field: "training.optimizer.adam.learning_rate"
                             log_range { from: 0.0001 to: 0.01 count: 3 } })"),
                       0),
              ElementsAre("0.0001", "0.001", "0.01"));
  EXPECT_THAT(Settings(New(R"(axes { field: "training.batch_size"
                                     log_range { from: 1 to: 4 count: 5 } })"),
                       0),
              ElementsAre("1", "2", "3", "4"))
      << "whole numbers, each once";
}

TEST(Expand, RandomTrialsDependOnTheSeedAlone) {
  const std::string axes =
      absl::StrCat(kThree, R"(axes { field: "training.optimizer.adam.learning_rate"
                        log_range { from: 0.0001 to: 0.01 } }
                 axes { field: "model.layers[1].repeat.times" range { from: 2 to: 4 } })");
  const v1::Sweep one = New(absl::StrCat(axes, "random { trials: 40 seed: 3 }"));
  const v1::Sweep again = New(absl::StrCat(axes, "random { trials: 50 seed: 3 }"));
  const v1::Sweep other = New(absl::StrCat(axes, "random { trials: 40 seed: 4 }"));
  ASSERT_EQ(one.trials_size(), 40);
  for (int i = 0; i < 40; ++i) {
    EXPECT_THAT(one.trials(i).settings(), ::testing::ElementsAreArray(again.trials(i).settings()));
  }
  EXPECT_NE(Settings(one, 1), Settings(other, 1));
  const std::vector<std::string> times = Settings(one, 2);
  EXPECT_EQ(std::set<std::string>(times.begin(), times.end()),
            (std::set<std::string>{"2", "3", "4"}));
  for (const std::string& rate : Settings(one, 1)) {
    EXPECT_GE(std::stod(rate), 0.0001);
    EXPECT_LE(std::stod(rate), 0.01);
  }
}

TEST(Expand, AMillionTrialsAreRefused) {
  std::string axes;
  for (const char* field : {"training.clip_norm", "training.clip_value"}) {
    absl::StrAppend(&axes, "axes { field: \"", field, "\" range { from: 0 to: 1 count: 1000 } }");
  }
  EXPECT_THAT(Check(Spec(axes)), IsOk());
  EXPECT_THAT(Expand(Resolve(Spec(axes), 1)),
              StatusIs(kInvalid, HasSubstr("make 1000000 trials together, at most 1000")));
}

TEST(JobOf, HasTheTrialsSettingsAndName) {
  v1::Sweep sweep = New(absl::StrCat(kThree, R"(display_name: "s"
      axes { field: "training.steps" values: ["7"] })"));
  const auto job = JobOf(sweep.spec(), sweep.trials(2));
  ASSERT_THAT(job, IsOk());
  EXPECT_EQ(job->display_name(), "s-003");
  EXPECT_EQ(job->model().layers(0).dense().units(), 16);
  EXPECT_EQ(job->training().steps(), 7);
  EXPECT_EQ(job->training().epochs(), 0) << "the template's length gives way";
}

struct Wrong {
  std::string more;
  std::string says;
};
class WrongSweep : public ::testing::TestWithParam<Wrong> {};

TEST_P(WrongSweep, IsRefusedWithTheField) {
  EXPECT_THAT(Check(Spec(GetParam().more)), StatusIs(kInvalid, HasSubstr(GetParam().says)));
}

INSTANTIATE_TEST_SUITE_P(
    All, WrongSweep,
    ::testing::Values(
        Wrong{"", "axes: must be between 1 and 16, got 0"},
        Wrong{R"(axes { field: "training.epoch" values: "1" })",
              "axes[0].field: there is no field"},
        Wrong{R"(axes { field: "training.epochs" })", "axes[0]: must have one of"},
        Wrong{R"(axes { field: "training.epochs" values: "1" range { from: 1 to: 2 } })",
              "axes[0]: must have one of"},
        Wrong{R"(axes { field: "training.epochs" values: ["1", "x"] })",
              "axes[0].values[1]: must be"},
        Wrong{R"(axes { field: "training.epochs" values: ["1", "1"] })",
              "axes[0].values[1]: is given twice"},
        Wrong{R"(axes { field: "training.epochs" range { from: 3 to: 3 } })",
              "axes[0].range: must have"},
        Wrong{R"(axes { field: "training.epochs" range { from: 1 to: 5000 } })",
              "axes[0].range.count: must be given"},
        Wrong{R"(axes { field: "training.clip_norm" range { from: 1 to: 5 } })",
              "axes[0].range.count: must be between 2"},
        Wrong{R"(axes { field: "training.clip_norm" log_range { from: 0 to: 5 count: 3 } })",
              "axes[0].log_range.from: must be greater than 0"},
        Wrong{R"(axes { field: "data.dataset" range { from: 1 to: 5 count: 3 } })",
              "axes[0].range: dataset is no number"},
        Wrong{R"(axes { field: "training.epochs" values: "1" }
                 axes { field: "training.epochs" values: "2" })",
              "axes[1].field: is that of an axis above"},
        Wrong{R"(random {})", "random.trials: must be between 1 and 1000"},
        Wrong{R"(random { trials: 1001 })", "random.trials"},
        Wrong{R"(halving { first: 9 })", "halving.first: must be between 0 and 8"},
        Wrong{R"(halving { keep_one_in: 1 })", "halving.keep_one_in"},
        Wrong{R"(halving {} axes { field: "training.epochs" values: "1" })",
              "must not be the length of the training"},
        Wrong{R"(objective { goal: 7 })", "objective.goal"},
        Wrong{R"(parallelism: 65)", "parallelism: must be between 0 and 64"},
        Wrong{R"(budget { steps: -1 })", "budget.steps"},
        Wrong{R"(budget { seconds: -1 })", "budget.seconds"},
        Wrong{R"(display_name: "a\nb")", "display_name"}));

TEST(Check, AnObjectiveAndAJobMustBeGiven) {
  v1::SweepSpec spec = Spec(kThree);
  spec.clear_objective();
  EXPECT_THAT(Check(spec), StatusIs(kInvalid, HasSubstr("objective.metric: must be given")));
  spec = Spec(kThree);
  spec.clear_job();
  EXPECT_THAT(Check(spec), StatusIs(kInvalid, HasSubstr("job: must be given")));
}

TEST(Resolve, WritesEveryDefaultOut) {
  v1::SweepSpec spec = Resolve(Spec(kThree), 3);
  EXPECT_TRUE(spec.has_grid());
  EXPECT_EQ(spec.parallelism(), 3);
  EXPECT_EQ(spec.objective().goal(), v1::Objective::MAXIMIZE);
  spec = Spec(absl::StrCat(kThree, "halving {}"));
  spec.mutable_objective()->set_metric("validation_loss");
  spec = Resolve(spec, 3);
  EXPECT_EQ(spec.objective().goal(), v1::Objective::MINIMIZE);
  EXPECT_EQ(spec.halving().first(), 1);
  EXPECT_EQ(spec.halving().keep_one_in(), 3);
  EXPECT_EQ(spec.halving().seed(), 1u);
  EXPECT_EQ(Resolve(spec, 8).SerializeAsString(), spec.SerializeAsString());
}

TEST(Resolve, ErrorsAreMinimized) {
  for (const char* metric : {"test_rmse", "test_mae", "test_mase", "validation_perplexity"}) {
    v1::SweepSpec spec = Spec(kThree);
    spec.mutable_objective()->set_metric(metric);
    EXPECT_EQ(Resolve(spec, 3).objective().goal(), v1::Objective::MINIMIZE) << metric;
  }
}

// One that goes on, with the trials of kThree and `more`.
class SweepTest : public ::testing::Test {
 protected:
  void Make(const std::string& more = "", int parallelism = 1000) {
    sweep_ = New(absl::StrCat(kThree, more), parallelism);
  }
  v1::Trial& Trial(int number) { return *sweep_.mutable_trials(number - 1); }
  // The trials that begin or go on now.
  std::vector<int> Next(double seconds = 0) { return Advance(sweep_, seconds); }
  void Begin(int number) {
    ASSERT_EQ(Trial(number).state(), v1::Trial::WAITING) << number;
    Trial(number).set_state(v1::Trial::RUNNING);
  }
  // Ends one that runs as its job has.
  void End(int number, const v1::Job& job) { TakeResult(sweep_.spec(), job, {}, Trial(number)); }
  // Begins trials, the first one with `number`, and ends them with these accuracies.
  void Succeed(int number, const std::vector<double>& accuracies, int64_t steps = 10) {
    for (const double accuracy : accuracies) {
      Begin(number);
      End(number++, Succeeded(accuracy, steps));
    }
  }
  // What the job of a trial would train for before it waits for others.
  int64_t StopAfter(int number) {
    return JobOf(sweep_.spec(), Trial(number))->training().stop_after();
  }

  v1::Sweep sweep_;
};

TEST_F(SweepTest, BeginsAsManyTrialsAsAreAllowedAtATime) {
  Make("", 2);
  EXPECT_THAT(Next(), ElementsAre(1, 2));
  Begin(1);
  EXPECT_THAT(Next(), ElementsAre(2));
  Begin(2);
  EXPECT_THAT(Next(), IsEmpty());
}

TEST_F(SweepTest, EndsWithTheBestTrialByItsGoal) {
  for (const bool minimize : {false, true}) {
    Make(minimize ? "objective { goal: MINIMIZE }" : "");
    Succeed(1, {0.5, 0.9, 0.7});
    EXPECT_THAT(Next(), IsEmpty());
    EXPECT_EQ(sweep_.state(), v1::Sweep::SUCCEEDED);
    EXPECT_EQ(sweep_.best_trial(), minimize ? 1 : 2);
    EXPECT_EQ(sweep_.trials_ended(), 3);
    EXPECT_EQ(Ranked(sweep_).front()->number(), sweep_.best_trial());
  }
}

TEST_F(SweepTest, ATrialThatFailsLeavesTheOthersAlone) {
  Make();
  v1::Job failed;
  failed.set_state(v1::Job::FAILED);
  failed.set_message("the loss is not finite");
  Begin(1);
  End(1, failed);
  EXPECT_THAT(Next(), ElementsAre(2, 3));
  Succeed(2, {0.5, 0.6});
  Next();
  EXPECT_EQ(sweep_.state(), v1::Sweep::SUCCEEDED);
  EXPECT_EQ(sweep_.best_trial(), 3);
}

TEST_F(SweepTest, FailsWhereAllItsTrialsDoAndSaysWhy) {
  Make();
  for (int number = 1; number <= 3; ++number) {
    TakeLoss("layers do not fit", Trial(number));
  }
  Next();
  EXPECT_EQ(sweep_.state(), v1::Sweep::FAILED);
  EXPECT_THAT(sweep_.message(), HasSubstr("trial 1: layers do not fit"));
}

TEST_F(SweepTest, AnObjectiveThatNoTrialReportsEndsItWithTheNamesThereAre) {
  Make(R"(objective { metric: "tset_accuracy" })", 2);
  Begin(2);
  Succeed(1, {0.5});
  EXPECT_THAT(Next(), IsEmpty());
  EXPECT_EQ(sweep_.state(), v1::Sweep::STOPPING);
  EXPECT_THAT(sweep_.message(), HasSubstr("reports no metric `tset_accuracy`; it reports: "
                                          "test_accuracy"));
  TakeLoss("cancelled", Trial(2));
  Next();
  EXPECT_EQ(sweep_.state(), v1::Sweep::FAILED);
}

TEST_F(SweepTest, TheObjectiveMayBeTheLatestOfTheCurves) {
  Make(R"(objective { metric: "mean_return" })");
  v1::Job job = Succeeded(0.5);
  (*job.mutable_metrics())["mean_return"] = 475;
  Begin(1);
  End(1, job);
  EXPECT_EQ(Trial(1).objective(), 475);
}

TEST_F(SweepTest, StoppedItEndsWhenItsTrialsHave) {
  Make("", 1);
  Begin(1);
  Stop(v1::Sweep::CANCELLED, "cancelled by the user", sweep_);
  EXPECT_THAT(Next(), IsEmpty());
  EXPECT_EQ(sweep_.state(), v1::Sweep::STOPPING);
  EXPECT_EQ(Trial(2).state(), v1::Trial::CANCELLED);
  v1::Job cancelled;
  cancelled.set_state(v1::Job::CANCELLED);
  End(1, cancelled);
  Next();
  EXPECT_EQ(sweep_.state(), v1::Sweep::CANCELLED);
}

TEST_F(SweepTest, BeyondTheBudgetOfStepsNoTrialBegins) {
  Make("budget { steps: 10 }", 1);
  Succeed(1, {0.5});
  EXPECT_THAT(Next(), IsEmpty());
  EXPECT_EQ(sweep_.state(), v1::Sweep::SUCCEEDED);
  EXPECT_EQ(Trial(2).state(), v1::Trial::STOPPED);
  EXPECT_THAT(Trial(2).message(), HasSubstr("budget of 10 steps"));
}

TEST_F(SweepTest, BeyondTheBudgetOfSecondsNoTrialBegins) {
  Make("budget { seconds: 60 }", 1);
  EXPECT_THAT(Next(59), ElementsAre(1));
  Succeed(1, {0.5});
  EXPECT_THAT(Next(61), IsEmpty());
  EXPECT_EQ(sweep_.state(), v1::Sweep::SUCCEEDED);
}

// Nine trials for one epoch, three for three, one for all nine.
class HalvingTest : public SweepTest {
 protected:
  HalvingTest() {
    Make(R"(axes { field: "model.layers[1].repeat.times" range { from: 1 to: 3 } } halving {})");
  }
};

TEST_F(HalvingTest, AllTrainForTheFirstLengthAndWaitForTheLastOne) {
  EXPECT_THAT(Rungs(sweep_.spec()), ElementsAre(1, 3, 9));
  EXPECT_THAT(Next(), SizeIs(9));
  EXPECT_EQ(StopAfter(1), 1);
  Succeed(1, {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8});
  EXPECT_THAT(Next(), ElementsAre(9));
}

TEST_F(HalvingTest, TheBestThirdGoesOnAndThatWhichTrainedLongestIsTheBest) {
  Next();
  Succeed(1, {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9});
  EXPECT_THAT(Next(), ElementsAre(7, 8, 9));
  EXPECT_EQ(Trial(6).state(), v1::Trial::STOPPED);
  EXPECT_EQ(StopAfter(9), 3);
  Succeed(7, {0.99, 0.5, 0.6}, 30);
  EXPECT_THAT(Next(), ElementsAre(7));
  EXPECT_EQ(StopAfter(7), 0);
  Succeed(7, {0.4}, 90);
  EXPECT_THAT(Next(), IsEmpty());
  EXPECT_EQ(sweep_.state(), v1::Sweep::SUCCEEDED);
  EXPECT_EQ(sweep_.best_trial(), 7) << "whatever the others had before";
}

TEST_F(HalvingTest, ATrialThatFailsMakesRoomForNobodyElse) {
  Next();
  Succeed(1, {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9});
  Next();
  Succeed(7, {0.7, 0.8}, 30);
  TakeLoss("lost", Trial(9));
  EXPECT_THAT(Next(), ElementsAre(8));
  TakeLoss("lost", Trial(8));
  EXPECT_THAT(Next(), IsEmpty());
  EXPECT_EQ(sweep_.state(), v1::Sweep::SUCCEEDED);
  EXPECT_EQ(sweep_.best_trial(), 7);
}

TEST(TakeResult, CountsTheLayersByVerdict) {
  v1::LayerStatistics statistics;
  for (const char* verdict : {"vanishing", "", "vanishing", "dead"}) {
    statistics.add_layers()->set_verdict(verdict);
  }
  v1::Trial trial;
  trial.set_rung(1);
  TakeResult(Resolve(Spec(kThree), 1), Succeeded(0.5), statistics, trial);
  EXPECT_EQ(trial.verdicts().at("vanishing"), 2);
  EXPECT_EQ(trial.verdicts().at("dead"), 1);
  EXPECT_EQ(trial.verdicts().size(), 2u);
}

}  // namespace
}  // namespace hone::server::sweeps
