#include "engine/tasks/forecasting.h"

#include <gmock/gmock.h>

#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/data/series.h"
#include "engine/job/evaluator.h"
#include "engine/job/plan.h"
#include "engine/predict/predictor.h"
#include "engine/tasks/table.h"
#include "engine/tensor/token_rows.h"
#include "tests/engine/task_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::train {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Series = data::SeriesOptions;

constexpr int kPoints = 300;
constexpr int kHorizon = 3;

double Sine(int i) { return 20 + 5 * std::sin(0.3 * i); }

// "day,heat,other": a sine, and its half beside it.
std::string SineTable(int points) {
  std::string text = "day,heat,other\n";
  for (int i = 0; i < points; ++i) {
    absl::StrAppend(&text, i, ",", Sine(i), ",", Sine(i) / 2, "\n");
  }
  return text;
}

class ForecastingTest : public TrainTest {
 protected:
  ForecastingTest() {
    Write("sine.csv", SineTable(kPoints));
    config_.task = tasks::ForecastingOptions();
    config_.data.path = Path("sine.csv");
    config_.data.task = data::Task::kForecasting;
    config_.data.series = {.target = "heat", .time = "day", .window = 20, .horizon = kHorizon};
    config_.model = Behind({Of(models::Gru{{.units = 16}})});
    config_.optimizer = optim::Adam{.learning_rate = 0.01};
    config_.epochs = 30;
    config_.batch_size = 16;
    config_.threads = 2;
  }

  // The layers, then the horizon's numbers.
  static models::ModelDescription Behind(std::vector<models::LayerDescription> layers) {
    models::ModelDescription model;
    model.inputs = {std::string(tasks::kPointsInput), std::string(kOffsetsInput)};
    model.layers = std::move(layers);
    model.layers.push_back(DenseLayer(kHorizon));
    return model;
  }

  std::map<std::string, double> Trained() {
    config_.run_directory = NewRun();
    EXPECT_THAT(Run(config_), IsOk());
    return recorder_.evaluations.empty() ? std::map<std::string, double>()
                                         : recorder_.evaluations.back().metrics;
  }
  std::unique_ptr<predict::Predictor> Model() const {
    return predict::Predictor::Load(config_.run_directory + "/model", 2).value();
  }
  static tasks::Prediction::Forecast Ask(predict::Predictor& model, const std::string& csv) {
    const tasks::Example example = model.Read(tasks::SeriesQuestion{csv}, "it").value();
    return model.Predict(std::span(&example, 1)).value()[0].forecast.value();
  }

  tasks::TrainingConfig config_;
};

TEST_F(ForecastingTest, ByEachRecurrentLayerASineIsLearned) {
  for (models::LayerKind kind : {models::LayerKind(models::Lstm{{.units = 16}}),
                                 models::LayerKind(models::Gru{{.units = 16}}),
                                 models::LayerKind(models::SimpleRnn{{.units = 16}})}) {
    config_.model = Behind({Of(std::move(kind))});
    const auto metrics = Trained();
    EXPECT_LT(metrics.at("test_mae"), 0.3 * metrics.at("test_naive_mae"))
        << models::NameOf(config_.model.layers[0].kind);
  }
}

TEST_F(ForecastingTest, ByConvolutionsASineIsLearned) {
  config_.model =
      Behind({Of(layers::Conv1dOptions{
                  .filters = 16, .kernel = 5, .causal = true, .activation = ActivationKind::kTanh}),
              Of(layers::SequencePoolOptions{.kind = SegmentPoolKind::kLast})});
  const auto metrics = Trained();
  EXPECT_LT(metrics.at("test_mae"), 0.3 * metrics.at("test_naive_mae"));
}

TEST_F(ForecastingTest, FromSeveralColumnsASineIsLearned) {
  config_.data.series.columns = {"other"};
  const auto metrics = Trained();
  EXPECT_LT(metrics.at("test_mae"), 0.3 * metrics.at("test_naive_mae"));
}

TEST_F(ForecastingTest, ByLogarithmsAndTheLastValueASineIsLearned) {
  config_.task = tasks::ForecastingOptions{{.loss = tasks::RegressionOptions::Loss::kMae}};
  config_.data.series.scaling = Series::Scaling::kLogStandard;
  config_.data.series.base = Series::Base::kLast;
  const auto metrics = Trained();
  EXPECT_LT(metrics.at("test_mae"), 0.3 * metrics.at("test_naive_mae"));
}

TEST_F(ForecastingTest, StoppedAndResumedIsNeverStopped) {
  config_.data.validation_fraction = 0.1;
  config_.epochs = 2;
  ExpectSameBitsInPieces(config_);
}

TEST_F(ForecastingTest, TheLogTellsHowItStandsBesideTheNaiveForecast) {
  config_.epochs = 1;
  Trained();
  EXPECT_THAT(recorder_.infos, ::testing::Contains(HasSubstr("of the naive forecast's")));
}

// Numbers said by hand to the scorer of a series 1 3 2 4 | 5 9.
class ForecastScores : public ForecastingTest {
 protected:
  std::map<std::string, double> Of(int64_t period, std::vector<float> said) {
    data::LoadOptions options;
    options.path = Write("few.csv", "y\n1\n3\n2\n4\n5\n9\n");
    options.test_fraction = 0.34;
    options.series = {.window = 1, .period = period, .scaling = Series::Scaling::kUnscaled};
    const data::LoadedData data = data::LoadSeries(options).value();
    const auto task = tasks::MakeTask(tasks::ForecastingOptions());
    const tasks::DataInfo info = tasks::InfoOf(data);
    const auto scorer = task->NewScorer(data.dataset, info);
    scorer->Add(said.data(), data.splits.test);
    return scorer->Finish().metrics;
  }
};

TEST_F(ForecastScores, AreErrorsInTheTargetsUnitAndOfItsNaiveForecast) {
  const auto metrics = Of(1, {6, 7});  // off by 1 and 2; a step of the training part is 5 / 3
  EXPECT_DOUBLE_EQ(metrics.at("mae"), 1.5);
  EXPECT_DOUBLE_EQ(metrics.at("rmse"), std::sqrt(2.5));
  EXPECT_DOUBLE_EQ(metrics.at("mase"), 0.9);
}

TEST_F(ForecastScores, StandBesideThoseOfTheNaiveForecast) {
  const auto metrics = Of(1, {6, 7});  // it says 4 and 5
  EXPECT_DOUBLE_EQ(metrics.at("naive_mae"), 2.5);
  EXPECT_DOUBLE_EQ(metrics.at("naive_rmse"), std::sqrt(8.5));
  EXPECT_DOUBLE_EQ(metrics.at("naive_mase"), 1.5);
  EXPECT_FALSE(metrics.contains("seasonal_naive_mae"));
}

TEST_F(ForecastScores, WithAPeriodStandBesideTheSeasonalNaiveForecastToo) {
  const auto metrics = Of(2, {6, 7});  // it says 2 and 4; in the training part it is off by 1
  EXPECT_DOUBLE_EQ(metrics.at("mase"), 1.5);
  EXPECT_DOUBLE_EQ(metrics.at("seasonal_naive_mae"), 4);
  EXPECT_DOUBLE_EQ(metrics.at("seasonal_naive_mase"), 4);
  EXPECT_DOUBLE_EQ(metrics.at("naive_mae"), 2.5);
}

TEST_F(ForecastingTest, AnAnswerIsWhatTheTestHasMeasured) {
  config_.data.test_fraction = 0.01;  // one horizon
  config_.epochs = 3;
  const auto metrics = Trained();
  const auto forecast = Ask(*Model(), SineTable(kPoints - kHorizon));
  ASSERT_THAT(forecast.values, SizeIs(kHorizon));
  double off = 0;
  for (int i = 0; i < kHorizon; ++i) {
    off += std::abs(forecast.values[static_cast<size_t>(i)] - Sine(kPoints - kHorizon + i));
  }
  EXPECT_NEAR(off / kHorizon, metrics.at("test_mae"), 1e-3);
}

TEST_F(ForecastingTest, AnAnswerHasTheTimesThatComeNextAndTheHistory) {
  config_.epochs = 1;
  Trained();
  const auto forecast = Ask(*Model(), SineTable(60));
  EXPECT_EQ(forecast.target, "heat");
  EXPECT_THAT(forecast.times, ElementsAre("60", "61", "62"));
  ASSERT_THAT(forecast.history, SizeIs(48));
  EXPECT_NEAR(forecast.history.back(), Sine(59), 1e-4);
  EXPECT_EQ(forecast.history_times.back(), "59");
}

TEST_F(ForecastingTest, WithoutTheColumnOfTimesAnAnswerHasNone) {
  config_.epochs = 1;
  Trained();
  std::string text = "heat\n";
  for (int i = 0; i < 25; ++i) {
    absl::StrAppend(&text, Sine(i), "\n");
  }
  const auto forecast = Ask(*Model(), text);
  EXPECT_THAT(forecast.times, IsEmpty());
  EXPECT_THAT(forecast.values, SizeIs(kHorizon));
}

TEST_F(ForecastingTest, QuestionsThatItCannotReadAreRefused) {
  config_.epochs = 1;
  Trained();
  const auto model = Model();
  EXPECT_THAT(model->Read(tasks::SeriesQuestion{SineTable(19)}, "it"),
              StatusIs(kInvalid, HasSubstr("it: has 19 points; the model needs the last 20")));
  EXPECT_THAT(model->Read(tasks::SeriesQuestion{"day,cold\n1,2\n2,3\n"}, "it"),
              StatusIs(kInvalid, HasSubstr("there is no column 'heat'")));
  EXPECT_THAT(model->Read(tasks::TextQuestion{"warm?"}, "it"),
              StatusIs(kInvalid, HasSubstr("the model takes a series")));
}

TEST_F(ForecastingTest, TheLastLayerMustHaveTheHorizonsUnits) {
  config_.model.layers.back() = DenseLayer(kHorizon + 1);
  config_.run_directory = NewRun();
  EXPECT_THAT(Run(config_), StatusIs(kInvalid, HasSubstr("must have 3 units")));
}

TEST_F(ForecastingTest, ByItsPlanFewerLearnedPositionsThanAWindowHasPointsAreRefused) {
  config_.model =
      Behind({Of(layers::PositionsOptions{.length = 19}), Of(models::Gru{{.units = 4}})});
  config_.run_directory = NewRun();
  job::Phase phase;
  EXPECT_THAT(job::PlanJob(config_, /*measure=*/false, &phase),
              StatusIs(kInvalid, HasSubstr("length must be at least 20")));
}

TEST_F(ForecastingTest, ARowForEachPointIsNoForecast) {
  config_.model = Behind({Of(models::Gru{{.units = 4, .return_sequences = true}})});
  config_.run_directory = NewRun();
  EXPECT_THAT(Run(config_), StatusIs(kInvalid, HasSubstr("one row must be made of each window")));
}

TEST_F(ForecastingTest, OnTheTestPartAnEvaluationHasTheTrainingsNumbers) {
  config_.epochs = 2;
  const auto then = Trained();
  job::EvaluationConfig config;
  config.models = {config_.run_directory + "/model"};
  config.data.path = config_.data.path;
  config.part = job::EvaluationConfig::Part::kTest;
  config.threads = 2;
  config.run_directory = NewRun();
  job::Phase phase;
  const auto result = job::Evaluate(config, stop_, recorder_, phase);
  ASSERT_THAT(result, IsOk());
  for (const char* name : {"test_mae", "test_mase", "test_naive_rmse"}) {
    EXPECT_NEAR(result->evaluation.metrics.at(name), then.at(name), 1e-5) << name;
  }
}

TEST_F(ForecastingTest, OfLongWindowsAnEvaluationTakesFewerAtATime) {
  const auto task = tasks::MakeTask(config_.task);
  EXPECT_EQ(task->evaluation_batch(config_), 64);
  config_.data.series.window = 1024;
  EXPECT_EQ(task->evaluation_batch(config_), 64);
  config_.data.series.window = 20000;
  EXPECT_EQ(task->evaluation_batch(config_), 3);
  config_.data.series.window = 1 << 20;
  EXPECT_EQ(task->evaluation_batch(config_), 1);
}

TEST_F(ForecastingTest, OfAModelThatIsEvaluatedItsOwnWindowCounts) {
  config_.data.series.window = 0;
  data::SeriesFormat format;
  format.columns = {"heat"};
  format.window = 20000;
  format.mean = {0};
  format.std = {1};
  data::Preprocessing known;
  known.own = format.ToJson();
  config_.data.as = std::make_shared<const data::Preprocessing>(known);
  EXPECT_EQ(tasks::MakeTask(config_.task)->evaluation_batch(config_), 3);
}

TEST(ForecastingTask, ComesBackFromItsModelFile) {
  const tasks::ForecastingOptions options{
      {.loss = tasks::RegressionOptions::Loss::kHuber, .huber_delta = 2}};
  const auto json = tasks::MakeTask(options)->ToJson();
  const auto back = tasks::TaskOptionsFromJson(json);
  ASSERT_THAT(back, IsOk());
  EXPECT_EQ(tasks::MakeTask(*back)->ToJson(), json);
  EXPECT_EQ(json.at("kind"), "forecasting");
}

}  // namespace
}  // namespace hone::engine::train
