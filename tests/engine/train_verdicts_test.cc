// What is said of layers that do not learn, and of a fit that is none.
#include <gmock/gmock.h>

#include <vector>

#include "tests/engine/train_testing.h"

namespace hone::engine::train {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

TEST_F(TrainTest, DeadUnitsAreSeenWithABiasAndWithoutAndBehindALayerOfTheirFunction) {
  for (const bool bias : {true, false}) {
    for (const bool own : {true, false}) {
      tasks::TrainingConfig config = Points();
      layers::DenseOptions zeros;
      zeros.units = 8;
      zeros.use_bias = bias;
      zeros.initializer = {.kind = Initializer::Kind::kZeros};
      zeros.activation = own ? kRelu : ActivationKind::kNone;
      config.model.layers = {Of(zeros), DenseLayer(3)};
      if (!own) {
        config.model.layers.insert(config.model.layers.begin() + 1, Of(models::Activation{}));
      }
      config.epochs = 0;
      config.steps = 150;
      config.layer_statistics_every = 10;
      recorder_ = Recorder();
      ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
      EXPECT_EQ(recorder_.statistics.back().layers[0].dead_share, 1) << bias << own;
      EXPECT_EQ(recorder_.statistics.back().layers[0].verdict, "dead") << bias << own;
    }
  }
}

TEST_F(TrainTest, LivingUnitsAreNotDeadForWantOfABias) {
  tasks::TrainingConfig config = Pictures();
  std::get<layers::Conv2dOptions>(config.model.layers[0].kind).use_bias = false;
  config.layer_statistics_every = 3;
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  EXPECT_EQ(recorder_.statistics.back().layers[0].dead_share, 0);
}

TEST_F(TrainTest, ADeepSigmoidNetIsReportedAsVanishingAndAReluNetIsNot) {
  for (const bool sigmoid : {true, false}) {
    tasks::TrainingConfig config = Points();
    config.model.layers.clear();
    for (int i = 0; i < 15; ++i) {
      layers::DenseOptions dense;
      dense.units = 16;
      dense.activation = sigmoid ? ActivationKind::kSigmoid : kRelu;
      dense.initializer.kind =
          sigmoid ? Initializer::Kind::kGlorotUniform : Initializer::Kind::kKaimingNormal;
      config.model.layers.push_back(Of(dense));
    }
    config.model.layers.push_back(DenseLayer(3));
    config.epochs = 0;
    config.steps = 150;
    config.layer_statistics_every = 10;
    config.optimizer = optim::Sgd{.learning_rate = 0.01};
    recorder_ = Recorder();
    ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
    if (sigmoid) {
      EXPECT_EQ(recorder_.statistics.back().layers[0].verdict, "vanishing");
      EXPECT_THAT(recorder_.warnings, Contains(HasSubstr("vanishing")));
    } else {
      EXPECT_EQ(recorder_.statistics.back().layers[0].verdict, "");
    }
  }
}

TEST(LayerVerdicts, OneBadBatchIsNoVerdict) {
  LayerVerdicts verdicts(2);
  const auto judge = [&](int64_t step, double gradient) {
    LayerStatistics statistics{
        .step = step,
        .layers = {{.name = "a", .gradient_norm = gradient, .weight_norm = 1, .verdict = ""},
                   {.name = "b", .gradient_norm = 1, .weight_norm = 1, .verdict = ""}}};
    verdicts.Judge(statistics, std::vector<size_t>{1, 1});
    return statistics.layers[0].verdict;
  };
  EXPECT_EQ(judge(50, 1e-6), "");
  EXPECT_EQ(judge(100, 1e-6), "");
  EXPECT_EQ(judge(150, 1e-6), "vanishing");
  EXPECT_EQ(judge(200, 1), "");
}

TEST(LayerVerdicts, MeasureALayerByTheLastOneOfItsOwnUpdate) {
  LayerVerdicts verdicts(4);
  LayerStatistics statistics;
  for (const int64_t step : {100, 200}) {
    statistics = {.step = step, .layers = {}};
    // The second update's gradients are all a million times smaller.
    for (const double gradient : {1.0, 1.0, 1e-6, 1e-6}) {
      statistics.layers.push_back(
          {.name = "layer", .gradient_norm = gradient, .weight_norm = 1, .verdict = ""});
    }
    verdicts.Judge(statistics, std::vector<size_t>{1, 1, 3, 3});
  }
  for (const LayerStatistics::Layer& layer : statistics.layers) {
    EXPECT_EQ(layer.verdict, "");
  }
}

TEST(FitVerdict, AGapBetweenTrainingAndOthersIsOverfitting) {
  FitNumbers numbers;
  numbers.classes = 10;
  numbers.training_accuracy = 0.99;
  numbers.held_out_accuracy = 0.80;
  EXPECT_EQ(JudgeFit(numbers).verdict, "overfitting");
  numbers.held_out_accuracy = 0.98;
  EXPECT_EQ(JudgeFit(numbers).verdict, "");
  numbers.training_accuracy = 0.3;
  EXPECT_EQ(JudgeFit(numbers).verdict, "underfitting");
}

}  // namespace
}  // namespace hone::engine::train
