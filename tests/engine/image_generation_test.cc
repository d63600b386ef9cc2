#include "engine/tasks/image_generation.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "engine/graph/reference.h"
#include "engine/image/image.h"
#include "engine/job/evaluator.h"
#include "engine/job/plan.h"
#include "engine/tasks/drawing.h"
#include "engine/tasks/table.h"
#include "tests/engine/generation_testing.h"
#include "tests/support/status_matchers.h"

// Pictures drawn by one network that learns from another one, as a job asks for it.
namespace hone::engine::train {
namespace {

using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ImageGeneration : public GenerationTest {
 protected:
  absl::StatusOr<EndReason> Train(const std::string& directory) {
    config_.task = options_;
    return Attempt(*tasks::MakeTask(config_.task), directory);
  }
  std::vector<models::LayerDescription>& layers(size_t network) {
    return config_.model.networks[network].layers;
  }
  // Of the training steps, the values that a metric took.
  std::vector<double> Told(const std::string& metric) const {
    std::vector<double> values;
    for (const Metrics& metrics : recorder_.metrics) {
      if (const auto found = metrics.values.find(metric); found != metrics.values.end()) {
        values.push_back(found->second);
      }
    }
    return values;
  }
};

TEST_F(ImageGeneration, StoppedAtEveryStepAndResumedIsNeverStopped) {
  ASSERT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
  const auto generator = Values("generator.dense_2.weight"),
             discriminator = Values("discriminator.dense_2.weight"),
             average = Values("generator_average.dense_2.weight");
  const std::vector<tasks::Artifact> artifacts = recorder_.artifacts;
  recorder_.artifacts.clear();
  EXPECT_EQ(InPieces(*tasks::MakeTask(config_.task)), 9);
  EXPECT_EQ(Values("generator.dense_2.weight"), generator);
  EXPECT_EQ(Values("discriminator.dense_2.weight"), discriminator);
  EXPECT_EQ(Values("generator_average.dense_2.weight"), average);
  ASSERT_EQ(recorder_.artifacts.size(), artifacts.size());
  for (size_t i = 0; i < artifacts.size(); ++i) {
    EXPECT_EQ(recorder_.artifacts[i].path, artifacts[i].path);
    EXPECT_EQ(recorder_.artifacts[i].sha256, artifacts[i].sha256);
  }
}

TEST_F(ImageGeneration, LeavesAGridOfDrawingsAtEachEpochsEnd) {
  ASSERT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
  std::vector<std::string> paths;
  for (const tasks::Artifact& artifact : recorder_.artifacts) {
    EXPECT_EQ(artifact.kind, "samples");
    paths.push_back(artifact.path);
  }
  EXPECT_THAT(paths, ElementsAre("artifacts/samples/step-00000003.png",
                                 "artifacts/samples/step-00000006.png",
                                 "artifacts/samples/step-00000009.png"));
  const std::string png = ReadFile(config_.run_directory + "/" + paths[0], 1 << 20).value();
  const image::ImageSize size = image::DecodeSize(png, "grid").value();
  EXPECT_EQ(size.channels, 1);
  EXPECT_EQ(size.height, 8 * 8 + 7 * 2);
  EXPECT_EQ(size.width, 8 * 8 + 7 * 2);
}

TEST_F(ImageGeneration, TellsBothLossesAndHowManyPicturesTheDiscriminatorKnew) {
  ASSERT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
  for (const char* name : {"generator_loss", "discriminator_loss"}) {
    EXPECT_THAT(Told(name), AllOf(::testing::Not(IsEmpty()), Each(::testing::Gt(0)))) << name;
  }
  for (const char* name : {"discriminator_accuracy_real", "discriminator_accuracy_drawn"}) {
    EXPECT_THAT(Told(name),
                AllOf(::testing::Not(IsEmpty()), Each(AllOf(::testing::Ge(0), ::testing::Le(1)))))
        << name;
  }
  EXPECT_THAT(Told("generator_accuracy_drawn"), IsEmpty());
  EXPECT_THAT(Told("variety"), ::testing::Not(IsEmpty()));
}

TEST_F(ImageGeneration, UpdatesTheGeneratorAfterSoManyStepsOfTheDiscriminator) {
  options_.discriminator_steps = 3;
  ASSERT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
  EXPECT_EQ(state_.scalars.at("discriminator_updates"), 9);
  EXPECT_EQ(state_.scalars.at("generator_updates"), 3);
}

TEST_F(ImageGeneration, GivesEachNetworkItsOptimizer) {
  options_.generator_optimizer = optim::Sgd{.learning_rate = 0.5};
  ASSERT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
  const std::vector<CompiledUpdate>& updates = programs_->updates();
  EXPECT_EQ(optim::NameOf(updates[0].optimizer->options()), "adam");
  EXPECT_EQ(optim::NameOf(updates[1].optimizer->options()), "sgd");
}

TEST_F(ImageGeneration, RefusesADecayOverLayersOfSeveralNetworks) {
  config_.layer_decay = 0.5;
  EXPECT_THAT(Train(NewRun()), StatusIs(absl::StatusCode::kInvalidArgument,
                                        HasSubstr("training.layer_decay: must be 1")));
}

TEST_F(ImageGeneration, CutsTheWeightsOfWassersteinsDiscriminatorAlone) {
  options_.loss = AdversarialKind::kWasserstein;
  options_.clip_weights = 0.01;
  ASSERT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
  const auto largest = [&](const std::string& name) {
    const std::vector<float> values = Values(name);
    return std::abs(*std::ranges::max_element(
        values, [](float a, float b) { return std::abs(a) < std::abs(b); }));
  };
  EXPECT_EQ(largest("discriminator.dense_1.weight"), 0.01f);
  EXPECT_LE(largest("discriminator.dense_2.bias"), 0.01f);
  EXPECT_GT(largest("generator.dense_1.weight"), 0.1f);
}

TEST_F(ImageGeneration, TrainsWithEveryLoss) {
  for (const AdversarialKind loss :
       {AdversarialKind::kNonSaturating, AdversarialKind::kLeastSquares, AdversarialKind::kHinge,
        AdversarialKind::kWasserstein}) {
    options_.loss = loss;
    ASSERT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
    const auto after = Values("generator.dense_1.weight");
    programs_->store().Initialize(config_.seed);
    EXPECT_NE(Values("generator.dense_1.weight"), after) << static_cast<int>(loss);
  }
}

TEST_F(ImageGeneration, DrawsWithTheMeanOfTheGeneratorsWeights) {
  config_.steps = 1;
  config_.epochs = 0;
  ASSERT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
  const auto average = Values("generator_average.dense_1.weight");
  programs_->store().Initialize(config_.seed);
  // Before the first update the mean is the generator itself.
  EXPECT_EQ(Values("generator.dense_1.weight"), average);
}

TEST_F(ImageGeneration, KeepsNoMeanWhereNoneIsWanted) {
  options_.average_decay = 0;
  ASSERT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
  EXPECT_THAT(programs_->store().Find("generator_average.dense_1.weight"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("generator.dense_1.weight")));
}

TEST_F(ImageGeneration, CountsNoParameterOfTheMeanAsOneOfTheModel) {
  config_.task = options_;
  ASSERT_EQ(Run(config_).value(), EndReason::kCompleted);
  const job::Plan& plan = recorder_.started.back().plan;
  EXPECT_EQ(plan.parameters, (4 * 8 + 8) + (8 * 64 + 64) + (64 * 8 + 8) + (8 + 1));
  EXPECT_EQ(plan.frozen_parameters, 0);
  EXPECT_THAT(plan.layers,
              Each(::testing::Field(&models::LayerSummary::name,
                                    ::testing::Not(::testing::StartsWith("generator_average")))));
}

TEST_F(ImageGeneration, DrawnByClassReadsTheClassInBothNetworks) {
  options_.conditional = true;
  ASSERT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
  const ParameterStore& store = programs_->store();
  const auto shape = [&](const char* name) { return store.spec(store.Find(name).value()).shape; };
  EXPECT_EQ(shape("generator.dense_1.weight"), (Shape{4 + 2, 8}));
  EXPECT_EQ(shape("discriminator.dense_1.weight"), (Shape{(1 + 2) * 64, 8}));
}

// The mean over three updates of the generator: at the n-th it keeps min(decay, (1 + n) / (10 +
// n)).
TEST_F(ImageGeneration, KeepsOfTheMeanTheDecaysShareAndLessInTheBeginning) {
  options_.average_decay = 0.2;  // above 2 / 11, below 3 / 12
  options_.generator_optimizer = optim::Sgd{.learning_rate = 0.5};
  config_.epochs = 0;
  std::vector<std::vector<float>> generator;  // after so many updates
  for (config_.steps = 1; config_.steps <= 4; ++config_.steps) {
    ASSERT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
    generator.push_back(Values("generator.dense_2.weight"));
  }
  const std::vector<float> average = Values("generator_average.dense_2.weight");
  programs_->store().Initialize(config_.seed);
  const std::vector<float> start = Values("generator.dense_2.weight");
  ASSERT_NE(generator[1], generator[0]);
  for (size_t i = 0; i < average.size(); ++i) {
    double mean = start[i];
    mean = 2.0 / 11 * mean + 9.0 / 11 * generator[0][i];
    mean = 0.2 * mean + 0.8 * generator[1][i];
    mean = 0.2 * mean + 0.8 * generator[2][i];
    ASSERT_NEAR(average[i], mean, 1e-6) << i;
  }
}

TEST_F(ImageGeneration, TellsOfNoiseThatFallsToNothing) {
  options_.instance_noise = 0.5f;
  options_.instance_noise_steps = 4;
  config_.epochs = 0;
  std::vector<double> told;
  for (config_.steps = 1; config_.steps <= 6; ++config_.steps) {
    ASSERT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
    told.push_back(recorder_.metrics.back().values.at("instance_noise"));
  }
  EXPECT_THAT(told, ElementsAre(0.5, 0.375, 0.25, 0.125, 0, 0));
}

TEST_F(ImageGeneration, LearnsFromOtherPicturesWhereThereIsNoise) {
  config_.epochs = 0;
  config_.steps = 1;
  const auto learned = [&](float noise) {
    options_.instance_noise = noise;
    EXPECT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
    return std::pair(Values("discriminator.dense_1.weight"), Values("generator.dense_1.weight"));
  };
  const auto without = learned(0), little = learned(1e-12f), much = learned(0.5f);
  EXPECT_NE(much.first, without.first);
  EXPECT_NE(much.second, without.second);
  // It is the noise and not what else a graph with noise has.
  EXPECT_THAT(little.first, ::testing::Pointwise(::testing::FloatNear(1e-5f), without.first));
}

// A discriminator that adds up the pixels, and a generator that draws nothing but zeros.
class InstanceNoise : public ImageGeneration {
 protected:
  InstanceNoise() {
    options_.loss = AdversarialKind::kWasserstein;
    options_.instance_noise = 0.5f;
    layers(1) = {Of(models::Flatten{}), DenseLayer(1)};
    config_.task = options_;
  }
  // The sum of the loss over 8 pictures by an update's graph, with noise of this deviation.
  absl::StatusOr<double> LossOf(size_t update, double deviation) const {
    const std::unique_ptr<tasks::Task> task = tasks::MakeTask(config_.task);
    HONE_ASSIGN_OR_RETURN(const data::LoadedData data,
                          tasks::LoadExamples(config_.data, config_, *task));
    HONE_ASSIGN_OR_RETURN(
        const tasks::TaskGraph built,
        task->BuildLoss(config_, tasks::InfoOf(data, *task), update, {.batch = 8}));
    HONE_ASSIGN_OR_RETURN(
        const std::vector<DoubleTensor> values,
        Interpret(*built.built.graph, {built.built.request.fetch[tasks::kFetchLossSum]},
                  [&](const Graph::Node& node) {
                    DoubleTensor tensor(node.types[0].shape);
                    std::ranges::fill(tensor.values,
                                      node.name == "instance_noise" ? deviation
                                      : node.name == "features"     ? 100
                                      : node.parameter.name == "discriminator.dense_1.weight" ? 1
                                                                                              : 0);
                    return tensor;
                  }));
    return values[0][0];
  }
};

TEST_F(InstanceNoise, IsAddedToWhatIsJudgedInBothUpdates) {
  for (const size_t update : {0, 1}) {
    const double without = LossOf(update, 0).value();
    const double added = LossOf(update, 0.25).value() - without;
    EXPECT_GT(std::abs(added), 0.1) << update;
    EXPECT_NEAR(LossOf(update, 1).value() - without, 4 * added, 1e-6) << update;
  }
}

TEST_F(InstanceNoise, IsAddedToNothingThatIsEvaluated) {
  const std::unique_ptr<tasks::Task> task = tasks::MakeTask(config_.task);
  const auto data = tasks::LoadExamples(config_.data, config_, *task);
  ASSERT_TRUE(data.ok()) << data.status();
  const auto built = task->BuildEvaluation(config_, tasks::InfoOf(*data, *task), {.batch = 8});
  ASSERT_TRUE(built.ok()) << built.status();
  EXPECT_TRUE(std::ranges::none_of(built->built.graph->nodes(), [](const Graph::Node& node) {
    return node.name == "instance_noise";
  }));
}

TEST_F(ImageGeneration, WarnsOfAGeneratorThatDrawsOnePictureOverAndOver) {
  auto& last = std::get<layers::DenseOptions>(layers(0)[1].kind);
  last.initializer.kind = Initializer::Kind::kZeros;
  options_.generator_optimizer = optim::Sgd{.learning_rate = 1e-9};
  ASSERT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
  EXPECT_THAT(recorder_.warnings, Contains(HasSubstr("step 3: the generator has collapsed")));
  EXPECT_NEAR(Told("variety").back(), 0, 1e-6);
}

TEST_F(ImageGeneration, SaysNothingOfAGeneratorThatDrawsNoise) {
  options_.generator_optimizer = optim::Sgd{.learning_rate = 1e-9};
  auto& last = std::get<layers::DenseOptions>(layers(0)[1].kind);
  last.initializer = {.kind = Initializer::Kind::kNormal, .stddev = 2};
  ASSERT_EQ(Train(NewRun()).value(), EndReason::kCompleted);
  EXPECT_THAT(recorder_.warnings, ::testing::Not(Contains(HasSubstr("collapsed"))));
}

TEST_F(ImageGeneration, RefusesAGeneratorOfOtherPicturesThanTheDatas) {
  layers(0).back() = Of(models::Reshape{{1, 4, 16}});
  EXPECT_THAT(Train(NewRun()), StatusIs(absl::StatusCode::kInvalidArgument,
                                        AllOf(HasSubstr("model.networks[0] (generator)"),
                                              HasSubstr("[1, 8, 8]"), HasSubstr("[1, 4, 16]"))));
}

TEST_F(ImageGeneration, RefusesAColourGeneratorForGreyPictures) {
  layers(0)[1] = DenseLayer(3 * 64, ActivationKind::kTanh);
  layers(0)[2] = Of(models::Reshape{{3, 8, 8}});
  EXPECT_THAT(Train(NewRun()), StatusIs(absl::StatusCode::kInvalidArgument,
                                        AllOf(HasSubstr("(generator)"), HasSubstr("[1, 8, 8]"),
                                              HasSubstr("[3, 8, 8]"))));
}

TEST_F(ImageGeneration, RefusesADiscriminatorOfSeveralNumbers) {
  layers(1).back() = DenseLayer(2);
  EXPECT_THAT(Train(NewRun()), StatusIs(absl::StatusCode::kInvalidArgument,
                                        AllOf(HasSubstr("model.networks[1] (discriminator)"),
                                              HasSubstr("one number"), HasSubstr("[2]"))));
}

TEST_F(ImageGeneration, RefusesANetworkWhoseLayersDoNotMeet) {
  layers(0)[2] = Of(models::Reshape{{1, 8, 9}});
  EXPECT_THAT(Train(NewRun()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("model.networks[0] (generator).layers[2] (reshape_1)")));
}

TEST_F(ImageGeneration, RefusesAJobWithoutADiscriminator) {
  config_.model.networks.pop_back();
  EXPECT_THAT(Train(NewRun()), StatusIs(absl::StatusCode::kInvalidArgument,
                                        HasSubstr("none is called discriminator")));
}

TEST_F(ImageGeneration, RefusesALatentOfNoNumbers) {
  options_.latent = 0;
  EXPECT_THAT(Train(NewRun()), StatusIs(absl::StatusCode::kInvalidArgument,
                                        HasSubstr("image_generation.latent: must be at least 1")));
}

TEST_F(ImageGeneration, RefusesATable) {
  const data::LoadOptions pictures = config_.data;
  config_.data = Points().data;
  EXPECT_THAT(Train(NewRun()), StatusIs(absl::StatusCode::kInvalidArgument,
                                        HasSubstr("image_generation: the data must be pictures")));
}

TEST_F(ImageGeneration, IsEvaluatedByAClassifierThatIsTrainedOnceBefore) {
  options_.evaluation_drawings = 100;
  config_.task = options_;
  ASSERT_EQ(Run(config_).value(), EndReason::kCompleted);
  const std::map<std::string, double> metrics = recorder_.evaluations.back().metrics;
  for (const char* name : {"frechet_distance", "class_share_min", "class_share_min_confident",
                           "classifier_confidence"}) {
    EXPECT_TRUE(metrics.contains(name)) << name;
  }
  EXPECT_GT(metrics.at("frechet_distance"), 0);
  const std::string classifier = config_.run_directory + "/helper/model/model.safetensors";
  const std::string sha = Sha256OfFile(classifier).value();
  const std::string csv =
      ReadFile(config_.run_directory + "/artifacts/evaluation/class-shares.csv", 1 << 20).value();
  EXPECT_THAT(csv, ::testing::StartsWith("class,share,share_confident\n0,"));
  // A second attempt finds it, and comes to the same.
  config_.resume = true;
  recorder_.infos.clear();
  ASSERT_EQ(Run(config_).value(), EndReason::kCompleted);
  EXPECT_EQ(Sha256OfFile(classifier).value(), sha);
  EXPECT_THAT(recorder_.infos, ::testing::Not(Contains(HasSubstr("is trained first"))));
  EXPECT_EQ(recorder_.evaluations.back().metrics.at("frechet_distance"),
            metrics.at("frechet_distance"));
}

TEST_F(ImageGeneration, AnEarlierGeneratorIsMeasuredAgainOnItsData) {
  options_.evaluation_drawings = 100;
  config_.task = options_;
  ASSERT_EQ(Run(config_).value(), EndReason::kCompleted);
  job::EvaluationConfig again;
  again.models = {config_.run_directory + "/model"};
  again.data.path = config_.data.path;
  again.threads = config_.threads;
  again.run_directory = NewRun();
  job::Phase phase;
  const auto result = job::Evaluate(again, stop_, recorder_, phase);
  ASSERT_THAT(result, ::hone::testing::IsOk());
  for (const char* name : {"frechet_distance", "class_share_min", "variety"}) {
    EXPECT_TRUE(result->evaluation.metrics.contains(name)) << name;
  }
}

TEST_F(ImageGeneration, IsPlannedWithTheClassifierThatIsTrainedBefore) {
  options_.evaluation_drawings = 100;
  config_.task = options_;
  job::Phase phase;
  const auto plan = job::PlanJob(config_, /*measure=*/false, &phase);
  ASSERT_TRUE(plan.ok()) << plan.status();
  ASSERT_TRUE(plan->helper.has_value());
  EXPECT_EQ(plan->helper->display_name, "classifier");
  EXPECT_GT(plan->helper->parameters, 10'000);
  EXPECT_GT(plan->helper->total_steps, 0);
}

TEST_F(ImageGeneration, IsEvaluatedByAnEarlierModel) {
  tasks::TrainingConfig classifier = Pictures();
  ASSERT_EQ(Run(classifier).value(), EndReason::kCompleted);
  options_.evaluation_drawings = 100;
  options_.classifier_directory = classifier.run_directory + "/model";
  config_.task = options_;
  ASSERT_EQ(Run(config_).value(), EndReason::kCompleted);
  EXPECT_GT(recorder_.evaluations.back().metrics.at("frechet_distance"), 0);
  EXPECT_FALSE(std::filesystem::exists(config_.run_directory + "/helper"));
}

TEST_F(ImageGeneration, RefusesAClassifierOfOtherExamples) {
  tasks::TrainingConfig classifier = Points();
  ASSERT_EQ(Run(classifier).value(), EndReason::kCompleted);
  options_.evaluation_drawings = 100;
  options_.classifier_directory = classifier.run_directory + "/model";
  config_.task = options_;
  EXPECT_THAT(Run(config_),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("image_generation.evaluation"), HasSubstr("[1, 8, 8]"))));
}

TEST_F(ImageGeneration, ComesBackFromTheModelFile) {
  options_.loss = AdversarialKind::kHinge;
  options_.conditional = true;
  options_.instance_noise = 0.25f;
  const auto task = tasks::MakeTask(options_);
  const auto back = tasks::TaskOptionsFromJson(task->ToJson());
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(tasks::MakeTask(*back)->ToJson(), task->ToJson());
}

TEST(Drawing, IsTheWayBackFromPixels) {
  data::Preprocessing p;
  p.image = {1, 1, 4};
  p.pixel_mean = p.pixel_std = {0.5f};
  const float drawing[] = {-1, 1, 0.2f, 3};
  EXPECT_THAT(tasks::PictureOf(drawing, p).pixels, ElementsAre(0, 255, 153, 255));
}

TEST(Drawing, BetweenTwoNoisesIsAsLongAsTheyAre) {
  std::vector<float> a(100), b(100), between(100);
  tasks::FillNoise(1, 0, a);
  tasks::FillNoise(2, 0, b);
  EXPECT_NE(a, b);
  const auto length = [](const std::vector<float>& x) {
    return std::inner_product(x.begin(), x.end(), x.begin(), 0.0f);
  };
  tasks::Interpolate(a, b, 0.5, between);
  EXPECT_NEAR(length(between), (length(a) + length(b)) / 2, 0.1 * length(a));
  tasks::Interpolate(a, b, 0, between);
  EXPECT_EQ(between, a);
}

TEST(Variety, OfTwoPicturesIsHalfTheirSquaredDistance) {
  EXPECT_DOUBLE_EQ(tasks::VarianceOf(std::vector<float>{0, 0, 3, 4}, 2), 25.0 / 4);
  EXPECT_EQ(tasks::VarianceOf(std::vector<float>{1, 2, 1, 2}, 2), 0);
}

}  // namespace
}  // namespace hone::engine::train
