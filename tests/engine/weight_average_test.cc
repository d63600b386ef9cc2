#include "engine/train/weight_average.h"

#include <gmock/gmock.h>

#include <cmath>

#include "engine/base/status.h"
#include "engine/checkpoint/checkpoint.h"
#include "tests/engine/train_testing.h"
#include "tests/support/status_matchers.h"

// Jobs whose model is a mean of the weights over the steps.
namespace hone::engine::train {
namespace {

using ::hone::testing::IsOk;

class WeightAverageTest : public TrainTest {
 protected:
  WeightAverageTest() : config_(Points()) {
    config_.epochs = 0;
    config_.steps = 1;
    config_.optimizer = optim::Sgd{.learning_rate = 0.5};
  }
  // Of the published model, after so many steps.
  std::vector<float> Published(const std::string& name = "dense_1.weight") {
    config_.run_directory = NewRun();
    EXPECT_THAT(Run(config_), IsOk());
    const auto model = checkpoint::LoadModel(config_.run_directory + "/model");
    EXPECT_THAT(model, IsOk());
    const checkpoint::FileTensor* tensor = model->tensors.Find(name).value();
    std::vector<float> values(static_cast<size_t>(tensor->shape.elements()));
    EXPECT_THAT(model->tensors.Read(*tensor, values), IsOk());
    return values;
  }

  tasks::TrainingConfig config_;
};

TEST_F(WeightAverageTest, OneStepCountsNineElevenths) {
  const std::vector<float> last = Published();
  config_.average_decay = 0.999;
  const std::vector<float> mean = Published();
  config_.average_decay = 0;
  config_.optimizer = optim::Sgd{.learning_rate = 1e-30};
  const std::vector<float> first = Published();
  for (size_t i = 0; i < mean.size(); ++i) {
    EXPECT_NEAR(mean[i], first[i] + 9.0 / 11 * double{last[i] - first[i]}, 1e-6);
  }
  EXPECT_NE(mean, last);
}

TEST_F(WeightAverageTest, ADecayOfNearlyNothingFollowsTheWeights) {
  config_.steps = 7;
  const std::vector<float> last = Published();
  config_.average_decay = 1e-9;
  EXPECT_THAT(Published(), ::testing::Pointwise(::testing::FloatNear(1e-6f), last));
}

// One step of 9/11 of the rate ends where the mean of one whole step is.
TEST_F(WeightAverageTest, ItIsTheMeanThatIsValidated) {
  config_.data.validation_fraction = 0.2;
  const auto loss = [this](double rate, double decay) {
    config_.optimizer = optim::Sgd{.learning_rate = rate};
    config_.average_decay = decay;
    Published();
    return recorder_.metrics.back().values.at("validation_loss");
  };
  const double of_mean = loss(0.5, 0.999);
  EXPECT_NEAR(of_mean, loss(0.5 * 9 / 11, 0), 1e-5);
  EXPECT_GT(std::abs(of_mean - loss(0.5, 0)), 1e-4);
}

TEST_F(WeightAverageTest, TheModelHasTheMeansInTheWeightsPlaceAndNothingBeside) {
  config_.average_decay = 0.9;
  Published();
  const auto model = checkpoint::LoadModel(config_.run_directory + "/model");
  ASSERT_THAT(model, IsOk());
  EXPECT_EQ(model->tensors.tensors().size(), 4u);
}

TEST_F(WeightAverageTest, ALayerThatIsCalledAverageIsPublishedWithItsWeights) {
  config_.model.layers.front().name = "average";
  for (const double decay : {0.0, 0.9}) {
    config_.average_decay = decay;
    Published("average.weight");
    const auto model = checkpoint::LoadModel(config_.run_directory + "/model");
    ASSERT_THAT(model, IsOk());
    EXPECT_EQ(model->tensors.tensors().size(), 4u) << decay;
  }
}

TEST_F(WeightAverageTest, StoppedAtEveryStepAndResumedIsNeverStopped) {
  config_.steps = 12;
  config_.average_decay = 0.9;
  config_.data.validation_fraction = 0.2;
  ExpectSameBitsInPieces(config_);
}

TEST_F(WeightAverageTest, TrainingGoesOnFromTheWeightsBehindAValidation) {
  config_.steps = 0;
  config_.epochs = 3;
  config_.data.validation_fraction = 0.2;
  Published();
  const double plain = recorder_.evaluations.back().metrics.at("loss");
  config_.average_decay = 0.9;
  Published();
  EXPECT_EQ(recorder_.evaluations.back().metrics.at("loss"), plain);
}

}  // namespace
}  // namespace hone::engine::train
