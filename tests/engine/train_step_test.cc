#include "engine/train/train_step.h"

#include <gmock/gmock.h>

#include <limits>
#include <thread>

#include "engine/base/status.h"
#include "tests/support/memory_world.h"
#include "tests/support/small_net.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::train {
namespace {

using ::hone::engine::testing::GiveExamples;
using ::hone::engine::testing::kClasses;
using ::hone::engine::testing::MemoryWorld;
using ::hone::engine::testing::Net;
using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::Each;
using ::testing::FloatNear;
using ::testing::Pointwise;

// A small net with plain SGD, on `threads` threads.
class Trainee {
 public:
  // Moves all parameters, or the one named.
  explicit Trainee(int threads, World* world = nullptr, absl::string_view moved = "")
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
    step_.emplace(store_, *optimizer_, threads, world);
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
  absl::StatusOr<StepResult> Run(const Replicas& replicas, FillInputs fill, bool stop = false) {
    return step_->Run(replicas, {.scalars = {}, .learning_rate = 0.1, .stop = stop}, fill);
  }
  void Accumulate(const Replicas& replicas) {
    ASSERT_THAT(step_->Accumulate(replicas, {}, Fill), IsOk());
  }
  absl::Status Accumulate(const Replicas& replicas, FillInputs fill) {
    return step_->Accumulate(replicas, {}, fill);
  }

  std::vector<float> Weights() {
    return {store_.value_slab(), store_.value_slab() + store_.trainable_slab_size()};
  }
  ParameterStore& store() { return store_; }

  static absl::Status Fill(const Program& program, int64_t first, int64_t count) {
    GiveExamples(program, first, first + count);
    return absl::OkStatus();
  }
  // The last shard's forward pass fails over a label that is no class.
  static absl::Status FillWrongly(const Program& program, int64_t first, int64_t count) {
    HONE_RETURN_IF_ERROR(Fill(program, first, count));
    if (first > 0) {
      static_cast<int32_t*>(program.input("y"))[0] = kClasses;
    }
    return absl::OkStatus();
  }

 private:
  int threads_;
  ParameterStore store_;
  std::optional<optim::Optimizer> optimizer_;
  std::optional<TrainStep> step_;
  std::vector<std::unique_ptr<Net>> nets_;
  std::vector<Buffer> arenas_;
};

// As if another host had computed the very same batch.
class Twin final : public World {
 public:
  Place place() const override { return {.rank = 0, .size = 2}; }
  absl::Status Exchange(StepReport& report) override {
    ++exchanges;
    HONE_RETURN_IF_ERROR(report.failure);
    report.sums = {2 * report.sums.loss, 2 * report.sums.weight, 2 * report.sums.correct};
    return absl::OkStatus();
  }
  absl::Status Reduce(std::span<float* const> gradients,
                      std::span<const SlabRange> ranges) override {
    ++reductions;
    for (const SlabRange& range : ranges) {
      for (int64_t i = range.begin; i < range.end; ++i) {
        float sum = 0;
        for (const float* slab : gradients) {
          sum += slab[i];
        }
        gradients[0][i] = 2 * sum;
      }
    }
    return absl::OkStatus();
  }

  int exchanges = 0;
  int reductions = 0;
};

class LostHost final : public World {
 public:
  Place place() const override { return {.rank = 0, .size = 2}; }
  absl::Status Exchange(StepReport&) override { return absl::OkStatus(); }
  absl::Status Reduce(std::span<float* const>, std::span<const SlabRange>) override {
    return absl::UnavailableError("host 2 is gone");
  }
};

// Two ranks, each on a thread of its own with `threads` threads, that meet in memory.
class TwoRanks {
 public:
  explicit TwoRanks(int threads) {
    for (int rank = 0; rank < 2; ++rank) {
      trainees_.push_back(std::make_unique<Trainee>(threads, &world_.rank(rank)));
    }
  }

  // Step by step, body(rank, trainee) on both.
  void Run(absl::FunctionRef<void(int, Trainee&)> body) {
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < 2; ++rank) {
      threads.emplace_back([&, rank] { body(rank, (*this)[rank]); });
    }
  }
  Trainee& operator[](int rank) { return *trainees_[static_cast<size_t>(rank)]; }

 private:
  MemoryWorld world_{2};
  std::vector<std::unique_ptr<Trainee>> trainees_;
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
  EXPECT_THAT(step.Run(replicas, {.scalars = {}, .learning_rate = 0.1}, Trainee::Fill),
              StatusIs(absl::StatusCode::kUnavailable, ::testing::HasSubstr("gone")));
  EXPECT_EQ(trainee.Weights(), before);
}

TEST(TrainStep, WhoseShardFailsUpdatesNothingAndReducesNothing) {
  Twin twin;
  Trainee trainee(2, &twin);
  const Replicas replicas = trainee.Compile(8, 2);
  const std::vector<float> before = trainee.Weights();
  EXPECT_THAT(trainee.Run(replicas, Trainee::FillWrongly),
              StatusIs(absl::StatusCode::kInternal, ::testing::HasSubstr("failed")));
  EXPECT_EQ(trainee.Weights(), before);
  EXPECT_EQ(twin.exchanges, 1);  // the others are told
  EXPECT_EQ(twin.reductions, 0);
}

TEST(TrainStep, OfTwoRanksIsThatOfOneWithAsManyShardsBitForBit) {
  for (const int shards : {1, 2}) {
    Trainee alone(2 * shards);
    TwoRanks ranks(shards);
    const Replicas whole = alone.Compile(8, 2 * shards);
    alone.Run(whole);
    const StepResult result = alone.Run(whole);
    ranks.Run([&](int rank, Trainee& trainee) {
      const auto fill = [&](const Program& program, int64_t first, int64_t count) {
        return Trainee::Fill(program, 4 * rank + first, count);
      };
      const Replicas part = trainee.Compile(4, shards);
      ASSERT_THAT(trainee.Run(part, fill), IsOk());
      EXPECT_EQ(trainee.Run(part, fill)->gradient_norm, result.gradient_norm);
    });
    EXPECT_EQ(ranks[0].Weights(), alone.Weights());
    EXPECT_EQ(ranks[1].Weights(), alone.Weights());
  }
}

// Notes what it is asked to add up.
class Notary final : public World {
 public:
  Place place() const override { return {.rank = 0, .size = 2}; }
  absl::Status Exchange(StepReport&) override { return absl::OkStatus(); }
  absl::Status Reduce(std::span<float* const>, std::span<const SlabRange> ranges) override {
    for (const SlabRange& range : ranges) {
      reduced += range.end - range.begin;
    }
    return absl::OkStatus();
  }

  int64_t reduced = 0;
};

TEST(TrainStep, ReducesWhatItsOptimizerMovesAndNoMore) {
  Notary notary;
  Trainee trainee(1, &notary, "dense.weight");
  trainee.Run(trainee.Compile(4, 1));
  EXPECT_EQ(notary.reduced, 64 * kClasses);
}

TEST(TrainStep, OfARankWithoutExamplesIsThatOfTheOthers) {
  Trainee alone(1);
  TwoRanks ranks(1);
  alone.Run(alone.Compile(4, 1));
  ranks.Run([&](int rank, Trainee& trainee) {
    const Replicas part = rank == 0 ? Replicas() : trainee.Compile(4, 1);
    EXPECT_EQ(trainee.Run(part).weight, 4);
  });
  EXPECT_EQ(ranks[0].Weights(), alone.Weights());
  EXPECT_EQ(ranks[1].Weights(), alone.Weights());
}

TEST(TrainStep, ThatFailsOnOneRankEndsAllWithItsName) {
  TwoRanks ranks(2);
  const std::vector<float> before = ranks[0].Weights();
  ranks.Run([&](int rank, Trainee& trainee) {
    const Replicas part = trainee.Compile(8, 2);
    EXPECT_THAT(trainee.Run(part, rank == 1 ? Trainee::FillWrongly : Trainee::Fill),
                StatusIs(absl::StatusCode::kInternal, ::testing::StartsWith("rank 1: ")));
  });
  EXPECT_EQ(ranks[0].Weights(), before);
  EXPECT_EQ(ranks[1].Weights(), before);
}

TEST(TrainStep, WithANumberThatIsNotFiniteOnOneRankUpdatesNothingOnAny) {
  TwoRanks ranks(1);
  const std::vector<float> before = ranks[0].Weights();
  ranks.Run([&](int rank, Trainee& trainee) {
    const auto fill = [&](const Program& program, int64_t first, int64_t count) {
      const absl::Status filled = Trainee::Fill(program, first, count);
      if (rank == 1) {
        *static_cast<float*>(program.input("x")) = std::numeric_limits<float>::infinity();
      }
      return filled;
    };
    EXPECT_FALSE(trainee.Run(trainee.Compile(4, 1), fill)->finite);
  });
  EXPECT_EQ(ranks[0].Weights(), before);
  EXPECT_EQ(ranks[1].Weights(), before);
}

TEST(TrainStep, TellsEveryRankThatOneWantsToStop) {
  TwoRanks ranks(1);
  ranks.Run([&](int rank, Trainee& trainee) {
    const Replicas part = trainee.Compile(4, 1);
    EXPECT_FALSE(trainee.Run(part, Trainee::Fill)->stop);
    EXPECT_TRUE(trainee.Run(part, Trainee::Fill, /*stop=*/rank == 1)->stop);
  });
}

TEST(TrainStep, WithABatchThatCouldNotBeAccumulatedIsThatOfTheOthers) {
  Trainee once(2), twice(2);
  const Replicas a = once.Compile(8, 2), b = twice.Compile(8, 2);
  once.Run(a);
  EXPECT_THAT(twice.Accumulate(b, Trainee::FillWrongly),
              StatusIs(absl::StatusCode::kInternal, ::testing::HasSubstr("failed")));
  EXPECT_EQ(twice.Run(b).weight, 8);
  EXPECT_EQ(once.Weights(), twice.Weights());
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
