#include "engine/job/pretrained.h"

#include <gmock/gmock.h>

#include "engine/base/status.h"
#include "engine/checkpoint/checkpoint.h"
#include "tests/engine/train_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::train {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

// A job on the pictures that goes on from a finished one: conv2d_1, …, dense_1.
class PretrainedTest : public TrainTest {
 protected:
  PretrainedTest() : first_(Pictures()) { EXPECT_EQ(Run(first_).value(), EndReason::kCompleted); }

  tasks::PretrainedOptions From(int64_t drop_layers, std::vector<std::string> freeze) const {
    return {.directory = first_.run_directory + "/model",
            .drop_layers = drop_layers,
            .freeze = std::move(freeze)};
  }
  // With one dense layer in the place of those dropped.
  absl::StatusOr<tasks::TrainingConfig> Second(const tasks::PretrainedOptions& pretrained) const {
    tasks::TrainingConfig config = Pictures();
    config.seed = 5;
    config.pretrained = pretrained;
    models::ModelDescription head;
    if (pretrained.drop_layers > 0) {
      head.layers = {DenseLayer(2)};
    }
    HONE_ASSIGN_OR_RETURN(config.model, job::WithPretrained(pretrained, head));
    return config;
  }
  static std::vector<float> Weights(const tasks::TrainingConfig& config, const std::string& name) {
    const auto model = checkpoint::LoadModel(config.run_directory + "/model");
    const checkpoint::FileTensor* tensor = model->tensors.Find(name).value();
    std::vector<float> values(static_cast<size_t>(tensor->shape.elements()));
    EXPECT_THAT(model->tensors.Read(*tensor, values), IsOk());
    return values;
  }

  const tasks::TrainingConfig first_;
};

TEST_F(PretrainedTest, FrozenLayersKeepTheirBitsAndTheHeadIsLearned) {
  const auto second = Second(From(1, {"conv2d_1"}));
  ASSERT_THAT(second, IsOk());
  ASSERT_EQ(Run(*second).value(), EndReason::kCompleted);
  EXPECT_EQ(Weights(*second, "conv2d_1.weight"), Weights(first_, "conv2d_1.weight"));
  EXPECT_EQ(Weights(*second, "conv2d_1.bias"), Weights(first_, "conv2d_1.bias"));
  EXPECT_NE(Weights(*second, "dense_1.weight"), Weights(first_, "dense_1.weight"));
}

TEST_F(PretrainedTest, LayersThatAreNotFrozenBeginWithTheEarlierWeightsAndLearn) {
  auto second = Second(From(0, {}));
  ASSERT_THAT(second, IsOk());
  second->epochs = 0;
  second->steps = 1;
  second->optimizer = optim::Sgd{.learning_rate = 1e-6};
  ASSERT_EQ(Run(*second).value(), EndReason::kCompleted);
  const std::vector<float> before = Weights(first_, "dense_1.weight");
  const std::vector<float> after = Weights(*second, "dense_1.weight");
  EXPECT_NE(after, before);
  EXPECT_THAT(after, ::testing::Pointwise(::testing::FloatNear(1e-4f), before));
}

TEST_F(PretrainedTest, StoppedAtEveryStepAndResumedIsNeverStopped) {
  auto whole = Second(From(1, {"*"})), pieces = Second(From(1, {"*"}));
  ASSERT_THAT(whole, IsOk());
  ASSERT_EQ(Run(*whole).value(), EndReason::kCompleted);
  pieces->resume = true;
  pieces->layer_statistics_every = 1;
  recorder_.on_step = [&](int64_t) { stop_ = true; };
  absl::StatusOr<EndReason> end = EndReason::kCancelled;
  for (int attempts = 0; end.ok() && *end == EndReason::kCancelled; ++attempts) {
    stop_ = false;
    end = Run(*pieces);
    ASSERT_LT(attempts, 100);
  }
  EXPECT_EQ(ModelSha(*pieces), ModelSha(*whole));
}

TEST_F(PretrainedTest, MoreLayersDroppedThanThereAreIsRefusedWithTheirNames) {
  EXPECT_THAT(Second(From(5, {})).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("drop_layers"), HasSubstr("conv2d_1, max_pool2d_1"))));
}

TEST_F(PretrainedTest, ALayerToFreezeThatIsNotKeptIsRefused) {
  EXPECT_THAT(Second(From(1, {"dense_1"})).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("freeze"), HasSubstr("dense_1"))));
}

TEST_F(PretrainedTest, NothingLeftToLearnIsRefused) {
  const auto second = Second(From(0, {"*"}));
  ASSERT_THAT(second, IsOk());
  EXPECT_THAT(Run(*second).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nothing can be learned")));
}

TEST_F(PretrainedTest, ExamplesOfAnotherShapeAreRefused) {
  auto second = Second(From(1, {}));
  ASSERT_THAT(second, IsOk());
  second->data.height = second->data.width = 12;
  EXPECT_THAT(Run(*second).status(), StatusIs(absl::StatusCode::kInvalidArgument,
                                              AllOf(HasSubstr("[1, 8, 8]"), HasSubstr("12"))));
}

TEST_F(PretrainedTest, PixelsBroughtToNumbersInAnotherWayAreRefused) {
  auto second = Second(From(1, {}));
  ASSERT_THAT(second, IsOk());
  second->data.pixel_mean = {0.5f};
  EXPECT_THAT(Run(*second).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("data.image")));
}

TEST_F(PretrainedTest, AModelThatIsNotThereIsNotFound) {
  EXPECT_THAT(Second({.directory = Path("nowhere"), .drop_layers = 0, .freeze = {}}).status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("model.pretrained")));
}

}  // namespace
}  // namespace hone::engine::train
