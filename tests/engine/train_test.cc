#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <vector>

#include "engine/base/cpu.h"
#include "engine/base/files.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/tasks/table.h"
#include "tests/engine/train_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::train {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

TEST_F(TrainTest, TrainingLearnsThePoints) {
  tasks::TrainingConfig config = Points();
  config.epochs = 40;
  config.optimizer = optim::Adam{.learning_rate = 0.02};
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  ASSERT_EQ(recorder_.evaluations.size(), 1u);
  EXPECT_GT(recorder_.evaluations[0].metrics.at("test_accuracy"), 0.9);
  EXPECT_LT(recorder_.metrics.back().values.at("loss"), 0.3);
}

TEST_F(TrainTest, TheLastShortBatchIsTrainedOn) {
  tasks::TrainingConfig config = Points();
  config.epochs = 1;
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  EXPECT_EQ(recorder_.started[0].plan.train_examples, 72);
  EXPECT_EQ(recorder_.metrics.back().step, 5);
  EXPECT_EQ(recorder_.metrics.back().samples, 72);
}

TEST_F(TrainTest, RowsOfATableAreChangedByTheSeedAlone) {
  tasks::TrainingConfig plain = Points(), first = Points(), second = Points();
  first.table_augmentation = second.table_augmentation = {.noise = 0.3f, .cell_dropout = 0.2f};
  for (const tasks::TrainingConfig& config : {plain, first, second}) {
    ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  }
  EXPECT_EQ(ModelSha(first), ModelSha(second));
  EXPECT_NE(ModelSha(first), ModelSha(plain));
}

TEST_F(TrainTest, AugmentationThatIsNotOfTheDataIsRefused) {
  tasks::TrainingConfig points = Points();
  points.augmentation = {.shift = 0.1f};
  EXPECT_THAT(Run(points), StatusIs(absl::StatusCode::kInvalidArgument,
                                    HasSubstr("data.image.augmentation: changes pictures")));
  tasks::TrainingConfig pictures = Pictures();
  pictures.table_augmentation = {.noise = 0.1f};
  EXPECT_THAT(Run(pictures), StatusIs(absl::StatusCode::kInvalidArgument,
                                      HasSubstr("data.table.augmentation: changes rows")));
}

TEST_F(TrainTest, TheSameSeedGivesTheSameModel) {
  const tasks::TrainingConfig first = Pictures(), second = Pictures();
  ASSERT_EQ(Run(first).value(), EndReason::kCompleted);
  ASSERT_EQ(Run(second).value(), EndReason::kCompleted);
  EXPECT_EQ(ModelSha(first), ModelSha(second));
}

TEST_F(TrainTest, AnotherSeedGivesAnotherModel) {
  const tasks::TrainingConfig first = Points();
  tasks::TrainingConfig second = Points();
  second.seed = 2;
  ASSERT_EQ(Run(first).value(), EndReason::kCompleted);
  ASSERT_EQ(Run(second).value(), EndReason::kCompleted);
  EXPECT_NE(ModelSha(first), ModelSha(second));
}

TEST_F(TrainTest, MoreThreadsThanTheMachineGivesAreNamed) {
  tasks::TrainingConfig config = Points();
  config.epochs = 1;
  config.threads = AvailableThreads() + 1;
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  EXPECT_THAT(recorder_.warnings, Contains(HasSubstr("threads, this machine gives it")));
}

TEST_F(TrainTest, ARunTooShortForTheValidationItAsksForIsRefused) {
  tasks::TrainingConfig config = Points();
  config.data.validation_fraction = 0.2;
  config.epochs = 0;
  config.steps = 3;
  config.early_stopping = tasks::EarlyStopping{};
  EXPECT_THAT(Run(config), StatusIs(absl::StatusCode::kInvalidArgument,
                                    AllOf(HasSubstr("training.steps: must be at least 4"),
                                          HasSubstr("early_stopping"))));
  config.early_stopping.reset();
  config.schedule.kind = optim::Plateau{};
  job::Phase phase = job::Phase::kLoading;
  EXPECT_THAT(job::PlanJob(config, false, &phase),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("schedule.plateau")));
  config.steps = 4;
  EXPECT_EQ(Run(config).value(), EndReason::kCompleted);
}

TEST_F(TrainTest, AnExcludedLayersWeightsDoNotDecay) {
  std::vector<float> weights[2];
  for (const bool excluded : {false, true}) {
    tasks::TrainingConfig config = Points();
    config.optimizer = optim::AdamW{.learning_rate = 0.1, .weight_decay = 1};
    config.model.layers[0].name = "trunk";
    if (excluded) {
      config.parameter_rules = {{.parameters = "trunk", .weight_decay = 0.0f}};
    }
    config.epochs = 20;
    ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
    std::vector<float>& values = weights[excluded ? 1 : 0];
    values.resize(24);
    const auto model = checkpoint::LoadModel(config.run_directory + "/model");
    ASSERT_THAT(model, IsOk());
    ASSERT_THAT(model->tensors.Read("trunk.weight", {3, 8}, values), IsOk());
  }
  const auto size = [](const std::vector<float>& values) {
    double sum = 0;
    for (const float value : values) {
      sum += value * value;
    }
    return sum;
  };
  EXPECT_GT(size(weights[1]), 2 * size(weights[0]));
}

TEST_F(TrainTest, AFrozenLayerKeepsItsBytes) {
  tasks::TrainingConfig config = Points();
  config.model.layers[0].frozen = true;
  config.model.layers[0].name = "trunk";
  config.epochs = 1;
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  ParameterSpec spec;
  spec.name = "trunk.weight";
  spec.shape = {3, 8};
  spec.initializer = {.kind = Initializer::Kind::kGlorotUniform, .fan_in = 3, .fan_out = 8};
  std::vector<float> start(24), end(24);
  FillInitial(spec, config.seed, start);
  const auto model = checkpoint::LoadModel(config.run_directory + "/model");
  ASSERT_TRUE(model.ok()) << model.status();
  ASSERT_TRUE(model->tensors.Read("trunk.weight", spec.shape, end).ok());
  EXPECT_EQ(start, end);
  EXPECT_EQ(recorder_.started[0].plan.frozen_parameters, 32);
}

TEST_F(TrainTest, RegressionIsMeasuredInTheTargetsOwnUnit) {
  std::string table = "x,y\n";
  RandomStream random(3, "line");
  for (int i = 0; i < 200; ++i) {
    const double x = random.NextUniform(-1, 1);
    table += std::to_string(x) + "," + std::to_string(5000 + 1000 * x) + "\n";
  }
  tasks::TrainingConfig config = Points();
  config.data.path = Write("line.csv", table);
  config.data.task = data::Task::kRegression;
  config.task = tasks::RegressionOptions();
  config.model.layers = {DenseLayer(1)};
  config.optimizer = optim::Adam{.learning_rate = 0.05};
  config.epochs = 60;
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  const std::map<std::string, double>& metrics = recorder_.evaluations[0].metrics;
  EXPECT_GT(metrics.at("test_r2"), 0.99);
  EXPECT_LT(metrics.at("test_mae"), 60);
  EXPECT_GT(metrics.at("test_mae"), 1e-4);
}

TEST_F(TrainTest, BinaryClassificationLearnsWithOneUnit) {
  tasks::TrainingConfig config = Pictures();
  config.task = tasks::ClassificationOptions{.class_weights = {}, .binary = true};
  config.augmentation = {};
  config.model.layers = {Of(models::Flatten{}), DenseLayer(1, ActivationKind::kSigmoid)};
  config.epochs = 20;
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  EXPECT_GT(recorder_.evaluations[0].metrics.at("test_accuracy"), 0.9);
}

TEST_F(TrainTest, BatchNormalisationTrainsAndItsStatisticsAreInTheModel) {
  tasks::TrainingConfig config = Pictures();
  config.model.layers.insert(config.model.layers.begin() + 1, Of(models::BatchNorm{}));
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  EXPECT_EQ(recorder_.started[0].plan.shards, 1);  // statistics of the whole batch
  const auto model = checkpoint::LoadModel(config.run_directory + "/model");
  ASSERT_TRUE(model.ok());
  std::vector<float> mean(4);
  ASSERT_TRUE(model->tensors.Read("batch_norm_1.running_mean", {4}, mean).ok());
  EXPECT_THAT(mean, Contains(::testing::Not(0.0f)));
}

TEST_F(TrainTest, ALastLayerThatDoesNotFitTheClassesIsNamed) {
  tasks::TrainingConfig config = Points();
  config.model.layers.back() = DenseLayer(7);
  EXPECT_THAT(Run(config),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("dense_2"), HasSubstr("3 units"), HasSubstr("[7]"))));
  EXPECT_EQ(phase_, job::Phase::kPlanning);
}

TEST_F(TrainTest, ANetLargerThanTheMemoryIsRefusedBeforeItIsAllocated) {
  tasks::TrainingConfig config = Points();
  config.model.layers = {DenseLayer(int64_t{1} << 21), DenseLayer(int64_t{1} << 21), DenseLayer(3)};
  EXPECT_THAT(Run(config).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("MiB of memory, there are")));
  EXPECT_EQ(phase_, job::Phase::kPlanning);
}

TEST_F(TrainTest, ABatchWhoseValuesDoNotFitBesideTheWeightsIsRefusedBeforeItIsAllocated) {
  tasks::TrainingConfig config = Points();
  config.batch_size = 64;
  config.model.layers = {DenseLayer(2000, kRelu), DenseLayer(3)};
  config.memory_bytes = int64_t{1} << 20;
  EXPECT_THAT(Run(config).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("training.batch_size")));
  EXPECT_EQ(phase_, job::Phase::kPlanning);
}

TEST_F(TrainTest, AProfileHasEveryPartOfAStepAndASumByOp) {
  tasks::TrainingConfig config = Pictures();
  const std::string without = [&] {
    EXPECT_EQ(Run(config).value(), EndReason::kCompleted);
    return ModelSha(config);
  }();
  config.run_directory = NewRun();
  config.profile = true;
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  EXPECT_EQ(ModelSha(config), without);
  const std::string& table = recorder_.infos.back();
  for (const char* part :
       {"fill the batch", "conv2d", "backward", "read the gradients", "write the weights",
        "repack the weights", "wait for other threads", "by op\n", "the whole step"}) {
    EXPECT_THAT(table, HasSubstr(part));
  }
}

TEST_F(TrainTest, ABatchFilledByATeamIsTheSameBatch) {
  std::string pixels, labels;
  RandomStream random(1, "large pictures");
  for (int i = 0; i < 24; ++i) {
    labels += static_cast<char>(i % 2);
    for (int p = 0; p < 96 * 96; ++p) {
      pixels += static_cast<char>(random.NextBelow(100) + 100 * (i % 2));
    }
  }
  for (const char* part : {"train", "t10k"}) {
    Write(std::string("large/") + part + "-images-idx3-ubyte", data::IdxImages(24, 96, 96, pixels));
    Write(std::string("large/") + part + "-labels-idx1-ubyte", data::IdxLabels(24, labels));
  }
  data::LoadOptions options;
  options.path = Path("large");
  const auto data = data::Load(options);
  ASSERT_THAT(data, IsOk());
  tasks::TrainingConfig config = Pictures();
  config.data = options;
  config.batch_size = 24;
  const tasks::DataInfo info = tasks::InfoOf(*data);
  const std::unique_ptr<tasks::Task> task = tasks::MakeTask(config.task);
  const auto programs = Programs::Compile(config, info, *task);
  ASSERT_THAT(programs, IsOk());
  ASSERT_THAT((*programs)->Bind(), IsOk());
  const Program& program = (*programs)->training(0, 24).program(0);
  const std::vector<int32_t> rows = {3, 1, 7, 20, 5, 6, 0, 2, 9, 11, 23, 17};
  std::vector<uint8_t> filled[2];
  for (const int threads : {1, 2}) {
    BatchFiller filler(data->dataset, *task, nullptr);
    filler.Augment({.shift = 0.2f, .rotate_degrees = 20}, 5);
    filler.Share(threads);
    ASSERT_THAT(filler.Fill(tasks::Inputs(program, {.batch = 12}), {.rows = rows, .epoch = 3}),
                IsOk());
    const auto* bytes = static_cast<const uint8_t*>(program.input("features"));
    filled[threads - 1].assign(bytes, bytes + 12 * 96 * 96);
  }
  EXPECT_EQ(filled[0], filled[1]);
}

TEST_F(TrainTest, TheModelFileHoldsNoClockAndNoMachine) {
  const tasks::TrainingConfig config = Points();
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  const auto json = ReadFile(config.run_directory + "/model/model.json");
  ASSERT_TRUE(json.ok());
  for (const char* word : {"seconds", "memory", "run-", "attempt"}) {
    EXPECT_THAT(*json, ::testing::Not(HasSubstr(word)));
  }
  EXPECT_THAT(*json, HasSubstr("test_accuracy"));
}

}  // namespace
}  // namespace hone::engine::train
