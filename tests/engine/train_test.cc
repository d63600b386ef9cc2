#include <gmock/gmock.h>

#include <cmath>

#include "engine/base/cpu.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/train/checkpoints.h"
#include "tests/engine/train_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::train {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST_F(TrainTest, TrainingLearnsThePoints) {
  TrainingConfig config = Points();
  config.epochs = 40;
  config.optimizer = optim::Adam{.learning_rate = 0.02};
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  ASSERT_EQ(recorder_.evaluations.size(), 1u);
  EXPECT_GT(recorder_.evaluations[0].metrics.at("test_accuracy"), 0.9);
  EXPECT_LT(recorder_.metrics.back().values.at("loss"), 0.3);
}

TEST_F(TrainTest, TheLastShortBatchIsTrainedOn) {
  TrainingConfig config = Points();
  config.epochs = 1;
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  EXPECT_EQ(recorder_.started[0].plan.train_examples, 72);
  EXPECT_EQ(recorder_.metrics.back().step, 5);
  EXPECT_EQ(recorder_.metrics.back().samples, 72);
}

TEST_F(TrainTest, TheSameSeedGivesTheSameModel) {
  const TrainingConfig first = Pictures(), second = Pictures();
  ASSERT_EQ(Run(first).value(), EndReason::kCompleted);
  ASSERT_EQ(Run(second).value(), EndReason::kCompleted);
  EXPECT_EQ(ModelSha(first), ModelSha(second));
}

TEST_F(TrainTest, AnotherSeedGivesAnotherModel) {
  const TrainingConfig first = Points();
  TrainingConfig second = Points();
  second.seed = 2;
  ASSERT_EQ(Run(first).value(), EndReason::kCompleted);
  ASSERT_EQ(Run(second).value(), EndReason::kCompleted);
  EXPECT_NE(ModelSha(first), ModelSha(second));
}

// Stops after each step of a run and resumes, with a fresh process's state, until the end.
TEST_F(TrainTest, StoppedAtEveryStepAndResumedIsNeverStopped) {
  for (const bool pictures : {false, true}) {
    TrainingConfig whole = pictures ? Pictures() : Points();
    whole.data.validation_fraction = 0.1;
    whole.schedule.kind = optim::CosineDecay();
    whole.layer_statistics_every = 1;
    TrainingConfig pieces = whole;
    pieces.run_directory = NewRun();
    pieces.resume = true;
    ASSERT_EQ(Run(whole).value(), EndReason::kCompleted);
    recorder_.on_step = [&](int64_t) { stop_ = true; };
    int attempts = 0;
    absl::StatusOr<EndReason> end = EndReason::kCancelled;
    while (end.ok() && *end == EndReason::kCancelled) {
      stop_ = false;
      end = Run(pieces);
      ASSERT_LT(++attempts, 100);
    }
    recorder_.on_step = nullptr;
    stop_ = false;
    ASSERT_EQ(end.value(), EndReason::kCompleted);
    EXPECT_GT(attempts, 5);
    EXPECT_EQ(ModelSha(whole), ModelSha(pieces)) << (pictures ? "pictures" : "points");
  }
}

TEST_F(TrainTest, AccumulatedBatchesSurviveAResumeBitByBit) {
  TrainingConfig whole = Points();
  whole.accumulate_batches = 2;
  whole.layer_statistics_every = 1;
  TrainingConfig pieces = whole;
  pieces.run_directory = NewRun();
  ASSERT_EQ(Run(whole).value(), EndReason::kCompleted);
  EXPECT_EQ(recorder_.metrics.back().step, 12);  // 5 batches an epoch: 2, 2 and 1
  recorder_.on_step = [&](int64_t step) { stop_ = step == 4; };
  ASSERT_EQ(Run(pieces).value(), EndReason::kCancelled);
  stop_ = false;
  recorder_.on_step = nullptr;
  pieces.resume = true;
  ASSERT_EQ(Run(pieces).value(), EndReason::kCompleted);
  EXPECT_EQ(ModelSha(whole), ModelSha(pieces));
}

TEST_F(TrainTest, ACheckpointOfAnotherJobIsNotResumed) {
  TrainingConfig config = Points();
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  config.resume = true;
  config.seed = 9;
  EXPECT_THAT(Run(config), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("another job")));
}

TEST_F(TrainTest, ARunDoesNotGoOnWithOtherDataOfTheSameSize) {
  TrainingConfig config = Points();
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  config.resume = true;
  std::string table = ReadFile(config.data.path).value();
  std::filesystem::create_directories(Path("elsewhere"));
  config.data.path = Write("elsewhere/points.csv", table);
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);  // the same data in another place
  table[table.size() - 2] = 'x';                          // another class for the last row
  Write("elsewhere/points.csv", table);
  EXPECT_THAT(Run(config), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("other data")));
}

TEST_F(TrainTest, ARunThatFindsOnlyGeneratedDigitsMayBeTriedAgain) {
  TrainingConfig config = Pictures();
  config.data.height = config.data.width = 28;
  config.data.limit = 40;
  config.data.classes = {"0", "1"};
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  config.resume = true;
  config.data.path.clear();
  config.data.dataset = "mnist";  // without a mirror and a cache
  EXPECT_THAT(Run(config), StatusIs(absl::StatusCode::kUnavailable,
                                    AllOf(HasSubstr("other data"), HasSubstr("generated"))));
}

TEST_F(TrainTest, MoreThreadsThanTheMachineGivesAreNamed) {
  TrainingConfig config = Points();
  config.epochs = 1;
  config.threads = AvailableThreads() + 1;
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  EXPECT_THAT(recorder_.warnings, Contains(HasSubstr("threads, this machine gives it")));
}

TEST_F(TrainTest, ACheckpointDoesNotKnowWhereItsDataLay) {
  const TrainingConfig config = Points();
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  const auto state = ReadFile(
      checkpoint::CheckpointDirectory(CheckpointRoot(config), recorder_.checkpoints.back().step) +
      "/state.json");
  ASSERT_THAT(state, IsOk());
  EXPECT_THAT(*state, AllOf(HasSubstr("data_fingerprint"), ::testing::Not(HasSubstr("points"))));
}

TEST_F(TrainTest, ASecondRunInTheSameFolderIsRefusedWhileTheFirstGoesOn) {
  TrainingConfig config = Points();
  config.layer_statistics_every = 1;
  absl::Status second;
  recorder_.on_step = [&](int64_t step) {
    if (step == 3) {
      std::atomic<bool> no_patience = true;
      Recorder other;
      second = Trainer(config, no_patience, other).Run().status();
    }
  };
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  EXPECT_THAT(second, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("is in use")));
  recorder_.on_step = nullptr;
  config.resume = true;
  EXPECT_EQ(Run(config).value(), EndReason::kCompleted);  // it is free again
}

TEST_F(TrainTest, TheWeightsAtTheEndAreKeptWhereTheBestOnesAreDamaged) {
  TrainingConfig config = Points();
  config.data.validation_fraction = 0.2;
  config.epochs = 200;
  config.optimizer = optim::Sgd{.learning_rate = 30};
  config.early_stopping = EarlyStopping{.patience = 3, .min_delta = 0};
  ASSERT_EQ(Run(config).value(), EndReason::kEarlyStop);
  int64_t best = 0;
  for (const CheckpointWritten& checkpoint : recorder_.checkpoints) {
    best = checkpoint.best ? checkpoint.step : best;
  }
  std::filesystem::resize_file(
      checkpoint::CheckpointDirectory(CheckpointRoot(config), best) + "/model.safetensors", 100);
  std::filesystem::remove_all(config.run_directory + "/model");
  config.resume = true;
  ASSERT_EQ(Run(config).value(), EndReason::kEarlyStop);
  EXPECT_THAT(recorder_.warnings, Contains(HasSubstr("the weights at the end are kept")));
  EXPECT_NE(ModelSha(config), "no model");
}

TEST_F(TrainTest, ARunTooShortForTheValidationItAsksForIsRefused) {
  TrainingConfig config = Points();
  config.data.validation_fraction = 0.2;
  config.epochs = 0;
  config.steps = 3;
  config.early_stopping = EarlyStopping{};
  EXPECT_THAT(Run(config), StatusIs(absl::StatusCode::kInvalidArgument,
                                    AllOf(HasSubstr("training.steps: must be at least 4"),
                                          HasSubstr("early_stopping"))));
  config.early_stopping.reset();
  config.schedule.kind = optim::Plateau{};
  Phase phase = Phase::kLoading;
  EXPECT_THAT(PlanJob(config, false, &phase),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("schedule.plateau")));
  config.steps = 4;
  EXPECT_EQ(Run(config).value(), EndReason::kCompleted);
}

TEST_F(TrainTest, DeadUnitsAreSeenWithABiasAndWithoutAndBehindALayerOfTheirFunction) {
  for (const bool bias : {true, false}) {
    for (const bool own : {true, false}) {
      TrainingConfig config = Points();
      layers::DenseOptions zeros;
      zeros.units = 8;
      zeros.use_bias = bias;
      zeros.initializer = {.kind = Initializer::Kind::kZeros};
      zeros.activation = own ? kRelu : layers::ActivationKind::kNone;
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
  TrainingConfig config = Pictures();
  std::get<layers::Conv2dOptions>(config.model.layers[0].kind).use_bias = false;
  config.layer_statistics_every = 3;
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  EXPECT_EQ(recorder_.statistics.back().layers[0].dead_share, 0);
}

TEST_F(TrainTest, AnExcludedLayersWeightsDoNotDecay) {
  std::vector<float> weights[2];
  for (const bool excluded : {false, true}) {
    TrainingConfig config = Points();
    config.optimizer = optim::AdamW{.learning_rate = 0.1, .weight_decay = 1};
    config.model.layers[0].name = "trunk";
    if (excluded) {
      config.weight_decay_exclude = {"trunk"};
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
  TrainingConfig config = Points();
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

TEST_F(TrainTest, ANonFiniteLossEndsTheRunWithItsStepAndAFiniteCheckpoint) {
  std::string table = "x,y\n";
  for (int i = 0; i < 64; ++i) {
    table += std::to_string(i) + "," + std::to_string(3 * i) + "\n";
  }
  TrainingConfig config = Points();
  config.data.path = Write("line.csv", table);
  config.data.task = data::Task::kRegression;
  config.task = RegressionOptions();
  config.model.layers = {DenseLayer(1)};
  config.optimizer = optim::Sgd{.learning_rate = 1e6};
  config.checkpoints.every_steps = 1;
  config.epochs = 50;
  EXPECT_THAT(Run(config), StatusIs(absl::StatusCode::kOutOfRange,
                                    AllOf(HasSubstr("step"), HasSubstr("not finite"))));
  EXPECT_GT(failed_step_, 1);
  const auto last = checkpoint::LatestCheckpoint(CheckpointRoot(config));
  ASSERT_TRUE(last.ok()) << last.status();
  EXPECT_EQ(last->state.step, failed_step_ - 1);
  for (const checkpoint::FileTensor& tensor : last->model.tensors()) {
    std::vector<float> values(static_cast<size_t>(tensor.shape.elements()));
    ASSERT_TRUE(last->model.Read(tensor, values).ok());
    for (const float value : values) {
      EXPECT_TRUE(std::isfinite(value)) << tensor.name;
    }
  }
}

TEST_F(TrainTest, EarlyStoppingEndsTheRunAndKeepsTheBestWeights) {
  TrainingConfig config = Points();
  config.data.validation_fraction = 0.2;
  config.epochs = 200;
  config.optimizer = optim::Sgd{.learning_rate = 30};  // jumps about
  config.early_stopping = EarlyStopping{.patience = 3, .min_delta = 0};
  ASSERT_EQ(Run(config).value(), EndReason::kEarlyStop);
  double best = 1e30;
  int64_t best_step = 0;
  for (const Metrics& metrics : recorder_.metrics) {
    const auto loss = metrics.values.find("validation_loss");
    if (loss != metrics.values.end() && loss->second < best) {
      best = loss->second;
      best_step = metrics.step;
    }
  }
  EXPECT_LT(best_step, recorder_.metrics.back().step);
  const auto kept = Sha256OfFile(
      checkpoint::CheckpointDirectory(CheckpointRoot(config), best_step) + "/model.safetensors");
  EXPECT_EQ(kept.value_or("not kept"), ModelSha(config));
}

TEST_F(TrainTest, RegressionIsMeasuredInTheTargetsOwnUnit) {
  std::string table = "x,y\n";
  RandomStream random(3, "line");
  for (int i = 0; i < 200; ++i) {
    const double x = random.NextUniform(-1, 1);
    table += std::to_string(x) + "," + std::to_string(5000 + 1000 * x) + "\n";
  }
  TrainingConfig config = Points();
  config.data.path = Write("line.csv", table);
  config.data.task = data::Task::kRegression;
  config.task = RegressionOptions();
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
  TrainingConfig config = Pictures();
  config.task = ClassificationOptions{.class_weights = {}, .binary = true};
  config.augmentation = {};
  config.model.layers = {Of(models::Flatten{}), DenseLayer(1, layers::ActivationKind::kSigmoid)};
  config.epochs = 20;
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  EXPECT_GT(recorder_.evaluations[0].metrics.at("test_accuracy"), 0.9);
}

TEST_F(TrainTest, BatchNormalisationTrainsAndItsStatisticsAreInTheModel) {
  TrainingConfig config = Pictures();
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
  TrainingConfig config = Points();
  config.model.layers.back() = DenseLayer(7);
  EXPECT_THAT(Run(config),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("dense_2"), HasSubstr("3 units"), HasSubstr("[7]"))));
  EXPECT_EQ(phase_, Phase::kPlanning);
}

TEST_F(TrainTest, ANetLargerThanTheMemoryIsRefusedBeforeItIsAllocated) {
  TrainingConfig config = Points();
  config.model.layers = {DenseLayer(int64_t{1} << 21), DenseLayer(int64_t{1} << 21), DenseLayer(3)};
  EXPECT_THAT(Run(config).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("MiB of memory, there are")));
  EXPECT_EQ(phase_, Phase::kPlanning);
}

TEST_F(TrainTest, CheckpointsAreWrittenEverySoManySteps) {
  TrainingConfig config = Points();
  config.checkpoints.every_steps = 7;
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  std::vector<int64_t> steps;
  for (const CheckpointWritten& checkpoint : recorder_.checkpoints) {
    steps.push_back(checkpoint.step);
  }
  EXPECT_THAT(steps, ::testing::ElementsAre(7, 14, 20));
}

// Epochs of a millisecond: the first one's end and the last one's have a checkpoint, few between.
TEST_F(TrainTest, ShortEpochsAreNotSpentOnCheckpointsAndEvents) {
  TrainingConfig config = Points();
  config.epochs = 6000;
  config.layer_statistics_every = 0;
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  EXPECT_EQ(recorder_.checkpoints.front().step, 5);
  EXPECT_EQ(recorder_.checkpoints.back().step, 30'000);
  EXPECT_LT(recorder_.checkpoints.size(), 600u);
  EXPECT_LT(recorder_.metrics.size(), 600u);
  const auto latest = checkpoint::LatestCheckpoint(CheckpointRoot(config));
  ASSERT_THAT(latest, IsOk());
  EXPECT_LE(latest->state.history.size(), 4096u);
  EXPECT_EQ(latest->state.history.back().epoch, 6000);
}

TEST_F(TrainTest, ADeepSigmoidNetIsReportedAsVanishingAndAReluNetIsNot) {
  for (const bool sigmoid : {true, false}) {
    TrainingConfig config = Points();
    config.model.layers.clear();
    for (int i = 0; i < 15; ++i) {
      layers::DenseOptions dense;
      dense.units = 16;
      dense.activation = sigmoid ? layers::ActivationKind::kSigmoid : kRelu;
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

TEST_F(TrainTest, AProfileHasEveryPartOfAStepAndASumByOp) {
  TrainingConfig config = Pictures();
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
  TrainingConfig config = Pictures();
  config.data = options;
  config.batch_size = 24;
  const DataInfo info = InfoOf(*data);
  const std::unique_ptr<Task> task = MakeTask(config.task);
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
    filler.Fill(program, {.rows = rows, .epoch = 3});
    const auto* bytes = static_cast<const uint8_t*>(program.input("features"));
    filled[threads - 1].assign(bytes, bytes + 12 * 96 * 96);
  }
  EXPECT_EQ(filled[0], filled[1]);
}

TEST_F(TrainTest, TheModelFileHoldsNoClockAndNoMachine) {
  const TrainingConfig config = Points();
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  const auto json = ReadFile(config.run_directory + "/model/model.json");
  ASSERT_TRUE(json.ok());
  for (const char* word : {"seconds", "memory", "run-", "attempt"}) {
    EXPECT_THAT(*json, ::testing::Not(HasSubstr(word)));
  }
  EXPECT_THAT(*json, HasSubstr("test_accuracy"));
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
