#include "engine/train/train_step.h"

#include <gmock/gmock.h>

#include <limits>

#include "tests/support/small_net.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::train {
namespace {

using ::hone::engine::testing::GiveExamples;
using ::hone::engine::testing::Net;
using ::hone::testing::IsOk;
using ::testing::Each;
using ::testing::FloatNear;
using ::testing::Pointwise;

// A small net with plain SGD, on `threads` threads.
class Trainee {
 public:
  // Moves all parameters, or the one named.
  Trainee(int threads, Reducer* reducer = nullptr, absl::string_view moved = "")
      : threads_(threads) {
    const Net net(1);
    for (const Graph::Node& node : net.graph.nodes()) {
      if (node.kind == Graph::Node::Kind::kParameter) {
        EXPECT_THAT(store_.Declare(node.parameter), IsOk());
      }
    }
    store_.Allocate(threads);
    store_.Initialize(1);
    optim::ParameterRange range = {0, store_.trainable_slab_size()};
    if (!moved.empty()) {
      const ParameterId id = *store_.Find(moved);
      range = {store_.offset(id), store_.offset(id) + store_.spec(id).shape.elements()};
    }
    optimizer_ = *optim::Optimizer::Create(optim::Sgd{.learning_rate = 0.1}, {range});
    step_.emplace(store_, *optimizer_, threads, reducer);
  }

  Replicas Compile(int64_t batch, int shards) {
    nets_.clear();
    const GraphBuilder build = [this](int64_t n) -> absl::StatusOr<BuiltGraph> {
      nets_.push_back(std::make_unique<Net>(n));
      BuiltGraph built;
      built.request = nets_.back()->Training(store_);
      return built;
    };
    Replicas replicas =
        *Replicas::Compile(build, batch, store_, {.threads = threads_, .shards = shards});
    for (int k = 0; k < shards; ++k) {
      arenas_.emplace_back(replicas.arena_bytes());
    }
    EXPECT_THAT(replicas.Bind(arenas_), IsOk());
    store_.RefreshAll();
    return replicas;
  }

  StepResult Run(const Replicas& replicas, double clip_norm = 0) {
    return *step_->Run(replicas, {.scalars = {}, .learning_rate = 0.1, .clip_norm = clip_norm},
                       Fill);
  }
  void Accumulate(const Replicas& replicas) {
    ASSERT_THAT(step_->Accumulate(replicas, {}, Fill), IsOk());
  }

  std::vector<float> Weights() {
    return {store_.value_slab(), store_.value_slab() + store_.trainable_slab_size()};
  }
  ParameterStore& store() { return store_; }

 private:
  static void Fill(const Program& program, int64_t first, int64_t count) {
    GiveExamples(program, first, first + count);
  }

  int threads_;
  ParameterStore store_;
  std::optional<optim::Optimizer> optimizer_;
  std::optional<TrainStep> step_;
  std::vector<std::unique_ptr<Net>> nets_;
  std::vector<Buffer> arenas_;
};

// As if another host had computed the very same batch.
class Twin final : public Reducer {
 public:
  absl::Status Reduce(std::span<float* const> gradients, int64_t size, BatchSums& sums) override {
    for (float* slab : gradients) {
      std::transform(slab, slab + size, slab, [](float g) { return 2 * g; });
    }
    sums = {2 * sums.loss, 2 * sums.weight, 2 * sums.correct};
    return absl::OkStatus();
  }
};

class LostHost final : public Reducer {
 public:
  absl::Status Reduce(std::span<float* const>, int64_t, BatchSums&) override {
    return absl::UnavailableError("host 2 is gone");
  }
};

TEST(TrainStep, OverShardsMakesTheUpdateOfTheWholeTeam) {
  Trainee team(2), shards(2);
  const Replicas one = team.Compile(10, 1), two = shards.Compile(10, 2);
  for (int i = 0; i < 3; ++i) {
    const StepResult a = team.Run(one), b = shards.Run(two);
    EXPECT_NEAR(a.loss_sum, b.loss_sum, 1e-4);
    EXPECT_EQ(b.weight, 10);
  }
  EXPECT_THAT(team.Weights(), Pointwise(FloatNear(1e-5f), shards.Weights()));
}

TEST(TrainStep, OfTheSameShardsIsTheSameBitForBit) {
  Trainee a(2), b(2);
  const Replicas first = a.Compile(9, 2), second = b.Compile(9, 2);
  for (int i = 0; i < 3; ++i) {
    a.Run(first);
    b.Run(second);
  }
  EXPECT_EQ(a.Weights(), b.Weights());
}

TEST(TrainStep, OfTwoHostsWithTheSameBatchIsThatOfOne) {
  Twin twin;
  Trainee alone(2), together(2, &twin);
  const Replicas a = alone.Compile(8, 2), b = together.Compile(8, 2);
  alone.Run(a);
  const StepResult result = together.Run(b);
  EXPECT_EQ(result.weight, 16);
  EXPECT_THAT(alone.Weights(), Pointwise(FloatNear(1e-6f), together.Weights()));
}

TEST(TrainStep, WhoseReducerFailsLeavesTheWeightsAlone) {
  LostHost lost;
  Trainee trainee(2, &lost);
  const Replicas replicas = trainee.Compile(8, 2);
  const std::vector<float> before = trainee.Weights();
  ParameterStore& store = trainee.store();
  optim::Optimizer optimizer =
      *optim::Optimizer::Create(optim::Sgd{}, {{0, store.trainable_slab_size()}});
  TrainStep step(store, optimizer, 2, &lost);
  const auto fill = [](const Program& program, int64_t first, int64_t count) {
    GiveExamples(program, first, first + count);
  };
  EXPECT_THAT(
      step.Run(replicas, {.scalars = {}, .learning_rate = 0.1}, fill),
      hone::testing::StatusIs(absl::StatusCode::kUnavailable, ::testing::HasSubstr("gone")));
  EXPECT_EQ(trainee.Weights(), before);
}

TEST(TrainStep, WithAccumulatedBatchesIsTheStepOfTheirMean) {
  Trainee once(2), twice(2);
  const Replicas a = once.Compile(8, 2), b = twice.Compile(8, 2);
  once.Run(a);
  twice.Accumulate(b);
  const StepResult result = twice.Run(b);
  EXPECT_EQ(result.weight, 16);
  EXPECT_THAT(once.Weights(), Pointwise(FloatNear(1e-6f), twice.Weights()));
}

TEST(TrainStep, ClipsTheGradientOfTheMeanLossToTheNormAskedFor) {
  Trainee trainee(1);
  const Replicas replicas = trainee.Compile(4, 1);
  const std::vector<float> before = trainee.Weights();
  const StepResult result = trainee.Run(replicas, /*clip_norm=*/0.01);
  EXPECT_GT(result.gradient_norm, 0.01);
  const std::vector<float> after = trainee.Weights();
  double moved = 0;
  for (size_t i = 0; i < after.size(); ++i) {
    moved += (after[i] - before[i]) * (after[i] - before[i]);
  }
  EXPECT_NEAR(std::sqrt(moved), 0.1 * 0.01, 1e-5);
}

TEST(TrainStep, WithAWeightThatIsNotANumberUpdatesNothing) {
  Trainee trainee(2);
  const Replicas replicas = trainee.Compile(8, 2);
  trainee.store().mutable_values(*trainee.store().Find("dense.bias")).f32()[3] =
      std::numeric_limits<float>::quiet_NaN();
  trainee.store().MarkChanged();
  trainee.store().RefreshAll();
  const std::vector<float> before = trainee.Weights();
  EXPECT_FALSE(trainee.Run(replicas).finite);
  const std::vector<float> after = trainee.Weights();
  EXPECT_EQ(0, std::memcmp(before.data(), after.data(), before.size() * sizeof(float)));
}

class CountingPacker final : public Packer {
 public:
  explicit CountingPacker(int* count) : count_(count) {}
  void Pack() const override { ++*count_; }

 private:
  int* count_;
};

TEST(TrainStep, RefreshesTheCopiesOfWhatItMovedAlone) {
  Trainee trainee(2, nullptr, "dense.weight");
  int moved = 0, still = 0;
  for (const auto& [name, count] : {std::pair("dense.weight", &moved), {"conv2.weight", &still}}) {
    const auto make = [&](const void*, void*) { return std::make_unique<CountingPacker>(count); };
    ASSERT_THAT(trainee.store().Packed(*trainee.store().Find(name), "counted", 64, make), IsOk());
  }
  const Replicas replicas = trainee.Compile(8, 2);  // refreshes all
  for (int i = 0; i < 3; ++i) {
    trainee.Run(replicas);
  }
  EXPECT_EQ(moved, 4);
  EXPECT_EQ(still, 1);
}

TEST(ParameterStore, BlendsTowardsAnotherParameter) {
  ParameterStore store;
  const ParameterId online = *store.Declare({.name = "online", .shape = {3}, .initializer = {}});
  const ParameterId target = *store.Declare(
      {.name = "target", .shape = {3}, .initializer = {}, .role = ParameterRole::kBuffer});
  const ParameterId other = *store.Declare({.name = "other", .shape = {4}, .initializer = {}});
  store.Allocate(1);
  std::ranges::fill(store.mutable_values(online).f32(), 4.0f);
  ASSERT_THAT(store.Blend(online, target, 0.25f), IsOk());
  EXPECT_THAT(store.values(target).f32(), Each(1.0f));
  ASSERT_THAT(store.Copy(online, target), IsOk());
  EXPECT_THAT(store.values(target).f32(), Each(4.0f));
  EXPECT_THAT(store.Copy(online, other), hone::testing::StatusIs(absl::StatusCode::kInvalidArgument,
                                                                 ::testing::HasSubstr("[3]")));
}

}  // namespace
}  // namespace hone::engine::train
