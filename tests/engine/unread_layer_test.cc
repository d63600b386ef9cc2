#include <gmock/gmock.h>

#include "tests/engine/train_testing.h"
#include "tests/support/status_matchers.h"

// A layer that nothing reads has nothing to learn from.
namespace hone::engine::train {
namespace {

using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

class UnreadLayer : public TrainTest {
 protected:
  tasks::TrainingConfig Forked() const {
    tasks::TrainingConfig config = Points();
    config.model.layers = {DenseLayer(8, kRelu), DenseLayer(4), DenseLayer(3)};
    config.model.layers[0].name = "trunk";
    config.model.layers[1].name = "aside";
    config.model.layers[2].inputs = {"trunk"};
    return config;
  }
};

TEST_F(UnreadLayer, WithWeightsToLearnIsRefusedByItsName) {
  EXPECT_THAT(Run(Forked()), StatusIs(absl::StatusCode::kInvalidArgument,
                                      AllOf(HasSubstr("aside"), HasSubstr("would never learn"))));
  EXPECT_EQ(phase_, job::Phase::kPlanning);
}

TEST_F(UnreadLayer, ThatIsFrozenIsTakenAsItIs) {
  tasks::TrainingConfig config = Forked();
  config.model.layers[1].frozen = true;
  EXPECT_EQ(Run(config).value(), EndReason::kCompleted);
}

}  // namespace
}  // namespace hone::engine::train
