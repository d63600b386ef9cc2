#include "engine/train/frozen_trunk.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <map>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "engine/base/cpu.h"
#include "engine/tasks/table.h"
#include "engine/train/trunk_features.h"
#include "tests/engine/train_testing.h"
#include "tests/support/status_matchers.h"

// A frozen trunk is run once, and what it gives is kept: with the bits of a job that runs it in
// every epoch.
namespace hone::engine::train {
namespace {

using ::hone::testing::IsOk;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

class FrozenTrunkTest : public TrainTest {
 protected:
  using Layers = std::vector<models::LayerDescription>;

  static models::LayerDescription Frozen(models::LayerDescription layer) {
    layer.frozen = true;
    return layer;
  }
  static models::LayerDescription Conv(int64_t filters) {
    layers::Conv2dOptions conv;
    conv.filters = filters;
    conv.kernel = 3;
    conv.activation = kRelu;
    return Of(conv);
  }
  static models::LayerDescription Named(models::LayerDescription layer, const std::string& name,
                                        const std::vector<std::string>& inputs) {
    layer.name = name;
    layer.inputs = inputs;
    return layer;
  }

  // On the points, whose training part is 72 examples.
  tasks::TrainingConfig OnPoints(const Layers& layers) const {
    tasks::TrainingConfig config = Points();
    config.model.layers = layers;
    return config;
  }
  tasks::TrainingConfig HeadOnPoints() const {
    tasks::TrainingConfig config = OnPoints({Frozen(DenseLayer(8, kRelu)), DenseLayer(3)});
    config.batch_size = 18;  // none is short: products of fewer rows may be other kernels'
    return config;
  }
  // On the pictures, as they are, some of them held out. An epoch's last batch is short.
  tasks::TrainingConfig OnPictures(const Layers& layers) const {
    tasks::TrainingConfig config = Pictures();
    config.augmentation = {};
    config.data.validation_fraction = 0.2;
    config.model.layers = layers;
    return config;
  }
  tasks::TrainingConfig HeadOnPictures() const {
    return OnPictures({Frozen(Conv(4)), Of(models::MaxPool2d{}), Of(models::Flatten{}),
                       DenseLayer(8, kRelu), DenseLayer(2)});
  }

  static std::optional<FrozenTrunk> Find(
      const tasks::TrainingConfig& config,
      const std::function<void(tasks::DataInfo&)>& change = [](tasks::DataInfo&) {}) {
    tasks::DataInfo info = tasks::InfoOf(data::Inspect(config.data).value(), config.data);
    change(info);
    const auto trunk = FindTrunk(config, info, *tasks::MakeTask(config.task));
    EXPECT_THAT(trunk, IsOk());
    return trunk.ok() ? *trunk : std::nullopt;
  }

  // What a run ends with, but for the numbers of the clock and the machine.
  struct Outcome {
    std::string model;
    std::map<std::string, double> metrics;
    friend bool operator==(const Outcome&, const Outcome&) = default;
  };
  Outcome OutcomeOf(tasks::TrainingConfig config, bool cache) {
    config.run_directory = NewRun();
    config.cache_frozen = cache;
    EXPECT_EQ(Run(config).value(), EndReason::kCompleted);
    EXPECT_EQ(recorder_.started.back().plan.trunk_bytes > 0, cache);
    Outcome outcome = {ModelSha(config), recorder_.evaluations.back().metrics};
    for (const char* name : {"samples_per_second", "wall_seconds", "peak_memory_bytes"}) {
      outcome.metrics.erase(name);
    }
    return outcome;
  }
  void ExpectSameBits(const tasks::TrainingConfig& config, const std::string& what) {
    const Outcome cached = OutcomeOf(config, true), uncached = OutcomeOf(config, false);
    EXPECT_EQ(cached.model, uncached.model) << what;
    EXPECT_EQ(cached.metrics, uncached.metrics) << what;
  }
};

TEST_F(FrozenTrunkTest, GivesTheLossesAndWeightsOfAJobThatRunsItInEveryEpoch) {
  const models::Dropout dropout{.rate = 0.3f};
  const tasks::TrainingConfig jobs[] = {
      HeadOnPictures(),
      OnPictures({Frozen(Conv(16)), Conv(16), Of(models::GlobalAvgPool2d{}), DenseLayer(2)}),
      OnPictures({Frozen(Conv(4)), Frozen(Of(models::BatchNorm{})), Of(models::Flatten{}),
                  Of(dropout), DenseLayer(2)}),
      HeadOnPoints(),
  };
  for (size_t i = 0; i < std::size(jobs); ++i) {
    for (const int threads : {1, 2}) {
      tasks::TrainingConfig config = jobs[i];
      config.threads = threads;
      ExpectSameBits(config, absl::StrCat("job ", i, ", ", threads, " threads"));
    }
  }
}

TEST_F(FrozenTrunkTest, GivesTheSameBitsInBf16) {
  if (!HasBf16()) {
    GTEST_SKIP() << "this processor does not compute in bf16";
  }
  tasks::TrainingConfig config = HeadOnPictures();
  config.compute = DType::kBf16;
  ExpectSameBits(config, "bf16");
}

TEST_F(FrozenTrunkTest, GivesTheSameBitsWhereTheBackwardPassComputesAgainAndGradientsAddUp) {
  tasks::TrainingConfig config = HeadOnPictures();
  config.recompute = tasks::Recompute::kAlways;
  config.accumulate_batches = 2;
  config.average_decay = 0.9;
  ExpectSameBits(config, "recomputed");
}

TEST_F(FrozenTrunkTest, OfAJobThatIsStoppedAtEveryStepAndResumedGivesTheBitsOfOneLeftAlone) {
  ExpectSameBitsInPieces(HeadOnPictures());
}

TEST_F(FrozenTrunkTest, StopsWhileItRunsAndTheJobIsGoneOnWith) {
  const Outcome whole = OutcomeOf(HeadOnPictures(), true);
  tasks::TrainingConfig config = HeadOnPictures();
  config.resume = true;
  recorder_.checkpoints.clear();
  recorder_.on_progress = [this](const std::string& phase) { stop_ = phase == "training"; };
  EXPECT_EQ(Run(config).value(), EndReason::kCancelled);
  EXPECT_TRUE(recorder_.checkpoints.empty());
  recorder_.on_progress = nullptr;
  stop_ = false;
  EXPECT_EQ(Run(config).value(), EndReason::kCompleted);
  EXPECT_EQ(ModelSha(config), whole.model);
}

TEST_F(FrozenTrunkTest, ReachesToTheLastValueThatProductsOrDropoutRead) {
  EXPECT_EQ(Find(HeadOnPictures())->layer, "flatten_1");
  EXPECT_EQ(
      Find(OnPictures({Frozen(Conv(4)), Conv(4), Of(models::Flatten{}), DenseLayer(2)}))->layer,
      "conv2d_1");
  const auto trunk = Find(OnPoints({Frozen(DenseLayer(6)), Frozen(DenseLayer(8, kRelu)),
                                    Of(models::Dropout{.rate = 0.5f}), DenseLayer(3)}));
  ASSERT_TRUE(trunk.has_value());
  EXPECT_EQ(trunk->layer, "dense_2");
  EXPECT_EQ(trunk->numbers, 8);
  EXPECT_EQ(trunk->bytes(), 72 * 8 * 4);
}

TEST_F(FrozenTrunkTest, IsFrozenByRulesToo) {
  tasks::TrainingConfig config = OnPoints({DenseLayer(8, kRelu), DenseLayer(3)});
  EXPECT_FALSE(Find(config).has_value());
  config.parameter_rules = {{.parameters = "dense_1", .freeze = true}};
  EXPECT_TRUE(Find(config).has_value());
  config.parameter_rules = {{.parameters = "*.weight", .freeze = true}};
  EXPECT_FALSE(Find(config).has_value()) << "biases are learned";
  config.parameter_rules = {{.parameters = "dense_1", .freeze_until_step = 3}};
  EXPECT_FALSE(Find(config).has_value()) << "it is frozen until a step";
}

TEST_F(FrozenTrunkTest, ThatIsNotTheSameInEveryEpochIsNoTrunk) {
  tasks::TrainingConfig config = HeadOnPictures();
  config.augmentation = Pictures().augmentation;
  EXPECT_FALSE(Find(config).has_value()) << "pictures are changed";
  config = HeadOnPoints();
  config.table_augmentation.noise = 0.1f;
  EXPECT_FALSE(Find(config).has_value()) << "rows are changed";
  EXPECT_FALSE(
      Find(OnPoints({Of(models::Dropout{.rate = 0.5f}), Frozen(DenseLayer(8)), DenseLayer(3)}))
          .has_value())
      << "dropout";
  EXPECT_FALSE(
      Find(OnPoints({Frozen(DenseLayer(8)), Of(models::BatchNorm{}), DenseLayer(3)})).has_value())
      << "a batch's statistics";
}

TEST_F(FrozenTrunkTest, WhoseLayersAreReadFromBehindItIsNotCut) {
  const auto trunk = Find(OnPoints(
      {Named(Frozen(DenseLayer(8)), "trunk", {}), Named(DenseLayer(8), "own", {"trunk"}),
       Named(Of(models::Add{}), "sum", {"own", "trunk"}), Named(DenseLayer(3), "head", {"sum"})}));
  EXPECT_FALSE(trunk.has_value());
  // One that goes around a layer of the trunk itself is a part of it.
  const auto around = Find(OnPoints({Named(Frozen(DenseLayer(8)), "first", {}),
                                     Named(Frozen(DenseLayer(8)), "second", {"first"}),
                                     Named(Of(models::Add{}), "sum", {"second", "first"}),
                                     Named(DenseLayer(3), "head", {"sum"})}));
  ASSERT_TRUE(around.has_value());
  EXPECT_EQ(around->layer, "sum");
}

TEST_F(FrozenTrunkTest, IsRunInTheStepsOfAJobThatSeesItsExamplesOnceOrSaysSo) {
  tasks::TrainingConfig config = HeadOnPoints();
  config.epochs = 1;
  EXPECT_FALSE(Find(config).has_value());
  config.epochs = 2;
  EXPECT_TRUE(Find(config).has_value());
  config.cache_frozen = false;
  EXPECT_FALSE(Find(config).has_value());
}

TEST_F(FrozenTrunkTest, ThatGivesMoreThanTheBoundIsNotKept) {
  const auto of = [&](int64_t examples) {
    return Find(HeadOnPoints(), [&](tasks::DataInfo& info) { info.train = examples; });
  };
  EXPECT_TRUE(of(kMostTrunkBytes / 32).has_value());
  EXPECT_FALSE(of(kMostTrunkBytes / 32 + 1).has_value());
}

TEST_F(FrozenTrunkTest, ThatGivesMuchIsKeptInAFileWithoutAName) {
  constexpr int64_t kUnits = 130'000;
  tasks::TrainingConfig config = OnPoints({Frozen(DenseLayer(kUnits, kRelu)), DenseLayer(3)});
  config.epochs = 2;
  config.batch_size = 24;  // 12 rows a thread are whole blocks, whatever the kernel
  ASSERT_GT(72 * kUnits * 4, TrunkFeatures::kMemoryBytes);
  ExpectSameBits(config, "in a file");
  EXPECT_THAT(recorder_.infos, Contains(HasSubstr("in a file of the run's folder")));
  for (const auto& entry : std::filesystem::recursive_directory_iterator(Path(""))) {
    EXPECT_THAT(entry.path().filename().string(), Not(HasSubstr("spool")));
  }
}

TEST_F(FrozenTrunkTest, IsAPartOfThePlan) {
  tasks::TrainingConfig config = HeadOnPoints();
  job::Phase phase = job::Phase::kLoading;
  const auto plan = job::PlanJob(config, /*measure=*/true, &phase);
  ASSERT_THAT(plan, IsOk());
  EXPECT_EQ(plan->trunk_bytes, 72 * 8 * 4);
  EXPECT_GT(plan->seconds.value(), 0);
  ASSERT_EQ(plan->layers.size(), 3u);  // the input, the trunk and the head
  EXPECT_EQ(plan->frozen_parameters, 32);
  EXPECT_EQ(plan->trainable_parameters, 27);
}

TEST(TrunkFeatures, GivesRowsInTheOrderThatIsAskedForFromMemoryAndFromAFile) {
  constexpr int64_t kExamples = 3;
  // The larger one is above the bound.
  for (const int64_t numbers : {int64_t{4}, TrunkFeatures::kMemoryBytes / 8}) {
    TrunkFeatures features(
        {.numbers = numbers, .examples = kExamples, .rows = 5, .folder = ::testing::TempDir()});
    std::vector<float> given(static_cast<size_t>(kExamples * numbers));
    std::iota(given.begin(), given.end(), 0.0f);
    const std::vector<int32_t> first = {4, 1}, second = {2}, asked = {1, 2, 4}, unknown = {1, 0};
    ASSERT_THAT(features.Add(first, given.data()), IsOk());
    ASSERT_THAT(features.Add(second, given.data() + 2 * numbers), IsOk());
    ASSERT_THAT(features.Finish(), IsOk());
    EXPECT_TRUE(features.Holds(asked));
    EXPECT_FALSE(features.Holds(unknown));
    std::vector<float> out(given.size());
    features.Gather(asked, out.data());
    const auto n = static_cast<size_t>(numbers);
    EXPECT_EQ(out[0], given[n]);
    EXPECT_EQ(out[n], given[2 * n]);
    EXPECT_EQ(out[3 * n - 1], given[n - 1]);
  }
}

TEST(TrunkFeatures, RefusesMoreExamplesThanWereAnnounced) {
  TrunkFeatures features({.numbers = 1, .examples = 1, .rows = 3, .folder = ""});
  const std::vector<int32_t> rows = {0, 1};
  const std::vector<float> given = {1, 2};
  EXPECT_THAT(features.Add(rows, given.data()),
              ::hone::testing::StatusIs(absl::StatusCode::kInternal, HasSubstr("more examples")));
}

}  // namespace
}  // namespace hone::engine::train
