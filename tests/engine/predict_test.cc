#include <gmock/gmock.h>

#include "engine/image/image.h"
#include "engine/predict/predictor.h"
#include "tests/engine/train_testing.h"
#include "tests/support/denormals.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::predict {
namespace {

using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

class PredictorTest : public train::TrainTest {
 protected:
  using Cells = std::map<std::string, std::string>;
  static absl::StatusOr<Example> Read(const Predictor& predictor, const Cells& cells) {
    return predictor.Read(tasks::RecordQuestion{cells}, "a row");
  }
};

TEST_F(PredictorTest, ASavedModelKnowsItsPointsAgain) {
  tasks::TrainingConfig config = Points();
  config.epochs = 40;
  config.optimizer = optim::Adam{.learning_rate = 0.02};
  ASSERT_TRUE(Run(config).ok());
  const auto predictor = Predictor::Load(config.run_directory + "/model", 2);
  ASSERT_TRUE(predictor.ok()) << predictor.status();
  std::vector<Example> examples;
  for (int i = 0; i < 40; ++i) {  // a batch of the large program and some of the small
    const auto example = Read(
        **predictor, {{"a", i % 2 == 0 ? "2" : "0"}, {"b", i % 2 == 0 ? "0" : "2"}, {"c", "0"}});
    ASSERT_TRUE(example.ok()) << example.status();
    examples.push_back(*example);
  }
  const auto predictions = (*predictor)->Predict(examples);
  ASSERT_TRUE(predictions.ok()) << predictions.status();
  ASSERT_EQ(predictions->size(), 40u);
  for (size_t i = 0; i < 40; ++i) {
    const Prediction& prediction = (*predictions)[i];
    EXPECT_EQ(prediction.classes[0].name, i % 2 == 0 ? "x" : "y");
    double sum = 0;
    for (const Prediction::Class& c : prediction.classes) {
      sum += c.probability;
    }
    EXPECT_NEAR(sum, 1, 1e-9);
  }
}

TEST_F(PredictorTest, AModelThatAPresetBuildsIsBuiltAgainFromItsFile) {
  tasks::TrainingConfig config = Points();
  config.epochs = 40;
  config.optimizer = optim::Adam{.learning_rate = 0.02};
  config.model.layers.clear();
  config.model.preset = {.name = "mlp", .options = R"({"units": [8, 3], "activation": "tanh"})"};
  ASSERT_TRUE(Run(config).ok());
  const auto predictor = Predictor::Load(config.run_directory + "/model", 1);
  ASSERT_TRUE(predictor.ok()) << predictor.status();
  const auto example = Read(**predictor, {{"a", "2"}, {"b", "0"}, {"c", "0"}});
  ASSERT_TRUE(example.ok()) << example.status();
  const auto predictions = (*predictor)->Predict({&*example, 1});
  ASSERT_TRUE(predictions.ok()) << predictions.status();
  EXPECT_EQ((*predictions)[0].classes[0].name, "x");
}

// As under OMP_THREAD_LIMIT=1.
TEST_F(PredictorTest, WithMoreThreadsThanTheRuntimeGivesIsRefused) {
  const tasks::TrainingConfig config = Points();
  ASSERT_TRUE(Run(config).ok());
  absl::Status status;
#pragma omp teams num_teams(1) thread_limit(1)
  status = Predictor::Load(config.run_directory + "/model", 2).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition,
                               HasSubstr("OpenMP gives this process 1 of 2 threads")));
}

TEST_F(PredictorTest, ComputesOnThreadsThatFlushDenormals) {
  const tasks::TrainingConfig config = Points();
  ASSERT_TRUE(Run(config).ok());
  ::hone::testing::OnANewThread([&] {
    ASSERT_EQ(::hone::testing::ThreadsWithDenormals(2), 2);
    const auto predictor = Predictor::Load(config.run_directory + "/model", 2);
    ASSERT_TRUE(predictor.ok()) << predictor.status();
    EXPECT_EQ(::hone::testing::ThreadsWithDenormals(2), 1);  // the caller has them back
  });
}

TEST_F(PredictorTest, APictureIsBroughtToTheModelsSize) {
  tasks::TrainingConfig config = Pictures();
  config.epochs = 20;
  config.augmentation = {};
  ASSERT_TRUE(Run(config).ok());
  const auto predictor = Predictor::Load(config.run_directory + "/model", 1);
  ASSERT_TRUE(predictor.ok()) << predictor.status();
  image::Image picture{1, 16, 16, std::vector<uint8_t>(256)};
  for (size_t p = 0; p < 256; ++p) {
    picture.pixels[p] = p % 16 < 8 ? 170 : 50;
  }
  const auto png = image::EncodePng(picture);
  ASSERT_TRUE(png.ok());
  const auto example = (*predictor)->Read(tasks::PictureQuestion{*png}, "left.png");
  ASSERT_TRUE(example.ok()) << example.status();
  const auto predictions = (*predictor)->Predict({&*example, 1});
  ASSERT_TRUE(predictions.ok());
  EXPECT_EQ((*predictions)[0].classes[0].name, "0");
}

TEST_F(PredictorTest, RegressionAnswersInTheTargetsOwnUnit) {
  std::string table = "x,y\n";
  for (int i = 0; i < 200; ++i) {
    table += std::to_string(i % 20) + "," + std::to_string(1000 + 50 * (i % 20)) + "\n";
  }
  tasks::TrainingConfig config = Points();
  config.data.path = Write("line.csv", table);
  config.data.task = data::Task::kRegression;
  config.task = tasks::RegressionOptions();
  config.model.layers = {train::DenseLayer(1)};
  config.optimizer = optim::Adam{.learning_rate = 0.05};
  config.epochs = 60;
  ASSERT_TRUE(Run(config).ok());
  const auto predictor = Predictor::Load(config.run_directory + "/model", 1);
  ASSERT_TRUE(predictor.ok()) << predictor.status();
  const auto example = Read(**predictor, {{"x", "10"}});
  ASSERT_TRUE(example.ok()) << example.status();
  const auto predictions = (*predictor)->Predict({&*example, 1});
  ASSERT_TRUE(predictions.ok());
  EXPECT_NEAR((*predictions)[0].values[0], 1500, 10);
}

TEST_F(PredictorTest, AnUnknownColumnIsNamed) {
  const tasks::TrainingConfig config = Points();
  ASSERT_TRUE(Run(config).ok());
  const auto predictor = Predictor::Load(config.run_directory + "/model", 1);
  ASSERT_TRUE(predictor.ok());
  EXPECT_THAT(
      Read(**predictor, {{"a", "1"}, {"b", "1"}, {"c", "1"}, {"colour", "1"}}),
      StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("a row"), HasSubstr("colour"))));
}

TEST_F(PredictorTest, AQuestionOfAnotherKindIsRefusedWithTheKindThatIsTaken) {
  const tasks::TrainingConfig config = Points();
  ASSERT_TRUE(Run(config).ok());
  const auto predictor = Predictor::Load(config.run_directory + "/model", 1);
  ASSERT_TRUE(predictor.ok());
  EXPECT_THAT((*predictor)->Read(tasks::PictureQuestion{"no matter"}, "inputs[2]"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "inputs[2]: the model takes rows of a table, this is a picture"));
}

TEST_F(PredictorTest, AFolderWithoutAModelIsNamed) {
  EXPECT_THAT(Predictor::Load(Path("nothing"), 1),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("nothing")));
}

}  // namespace
}  // namespace hone::engine::predict
