// What a model that draws makes of what it is asked.
#include <gmock/gmock.h>

#include "engine/predict/predictor.h"
#include "tests/engine/generation_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::train {
namespace {

using ::hone::testing::StatusIs;
using tasks::DrawingQuestion;
using ::testing::AllOf;
using ::testing::HasSubstr;

class DrawingModel : public GenerationTest {
 protected:
  void Train() {
    config_.epochs = 1;
    config_.task = options_;
    ASSERT_EQ(Run(config_).value(), EndReason::kCompleted);
    predictor_ = predict::Predictor::Load(config_.run_directory + "/model", 1).value();
  }
  absl::StatusOr<image::Image> Draw(const tasks::Question& question) {
    HONE_ASSIGN_OR_RETURN(const predict::Example example, predictor_->Read(question, "inputs[0]"));
    HONE_ASSIGN_OR_RETURN(const std::vector<predict::Prediction> drawn,
                          predictor_->Predict({&example, 1}));
    return drawn[0].picture.value();
  }
  std::vector<uint8_t> Pixels(const DrawingQuestion& question) {
    return Draw(question).value().pixels;
  }

  std::unique_ptr<predict::Predictor> predictor_;
};

TEST_F(DrawingModel, DrawsTheSameForTheSameSeedAndNumber) {
  Train();
  const image::Image picture = Draw(DrawingQuestion{}).value();
  EXPECT_EQ(picture.width, 8);
  EXPECT_EQ(picture.channels, 1);
  EXPECT_EQ(Pixels({}), picture.pixels);
  EXPECT_NE(Pixels({.seed = 2}), picture.pixels);
  EXPECT_NE(Pixels({.number = 1}), picture.pixels);
}

TEST_F(DrawingModel, GoesFromOneSeedToAnother) {
  Train();
  EXPECT_EQ(Pixels({.to_seed = 2, .share = 0}), Pixels({}));
  EXPECT_EQ(Pixels({.to_seed = 2, .share = 1}), Pixels({.seed = 2}));
  EXPECT_NE(Pixels({.to_seed = 2, .share = 0.5}), Pixels({}));
}

TEST_F(DrawingModel, DrawsByClassAndCountsRoundWhereNoneIsSaid) {
  options_.conditional = true;
  Train();
  EXPECT_EQ(Pixels({.class_name = "0"}), Pixels({}));
  EXPECT_NE(Pixels({.class_name = "1"}), Pixels({}));
  EXPECT_EQ(Pixels({.number = 3, .class_name = "1"}), Pixels({.number = 3}));
  EXPECT_THAT(Draw(DrawingQuestion{.class_name = "cat"}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("inputs[0]"), HasSubstr("no class cat"),
                             HasSubstr("there are: 0, 1"))));
}

TEST_F(DrawingModel, KnowsNoClassWhereItDoesNotDrawByClass) {
  Train();
  EXPECT_THAT(Draw(DrawingQuestion{.class_name = "1"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("does not draw by class")));
}

TEST_F(DrawingModel, DrawsTheSameWithoutItsDiscriminator) {
  Train();
  const std::vector<uint8_t> pixels = Pixels({});
  predictor_ = predict::Predictor::Load(
                   Without(config_.run_directory + "/model", "discriminator.", "discriminator"), 1)
                   .value();
  EXPECT_EQ(Pixels({}), pixels);
}

TEST_F(DrawingModel, NeedsOfItsGeneratorTheMeanAlone) {
  Train();
  const std::vector<uint8_t> pixels = Pixels({});
  predictor_ = predict::Predictor::Load(
                   Without(Without(config_.run_directory + "/model", "discriminator.", ""),
                           "generator.", ""),
                   1)
                   .value();
  EXPECT_EQ(Pixels({}), pixels);
}

TEST_F(DrawingModel, NamesWhatIsMissingOfItsGenerator) {
  Train();
  const std::string without =
      Without(config_.run_directory + "/model", "generator_average.dense_2", "");
  EXPECT_THAT(predict::Predictor::Load(without, 1).status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("generator_average.dense_2")));
}

TEST_F(DrawingModel, IsAskedForNothingElse) {
  Train();
  EXPECT_THAT(Draw(tasks::PictureQuestion{"no picture"}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("draws pictures"), HasSubstr("a picture"))));
}

}  // namespace
}  // namespace hone::engine::train
