// Several trainers, each on a thread of its own, that train one model together.
#include <gmock/gmock.h>

#include <limits>
#include <memory>
#include <thread>

#include "engine/base/status.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/graph/sum.h"
#include "engine/train/checkpoints.h"
#include "engine/train/loop.h"
#include "engine/train/run_progress.h"
#include "tests/engine/task_testing.h"
#include "tests/support/memory_world.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::train {
namespace {

using ::hone::engine::testing::MemoryWorld;
using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

// What one rank does wrong at the beginning of a step, or does not.
struct Fault {
  std::function<absl::Status()> at_step;
  int64_t step = 3;
  bool wrong_label = false;  // so that the forward pass fails
  bool loss_is_nan = false;
};

class StepOfFault final : public tasks::TaskState {
 public:
  explicit StepOfFault(const Fault& fault) : fault_(fault) {}
  absl::Status BeginStep(const tasks::StepContext& context) override {
    due_ = context.step == fault_.step;
    return due_ && fault_.at_step ? fault_.at_step() : absl::OkStatus();
  }
  void Save(checkpoint::RunState&) const override {}
  absl::Status Restore(const checkpoint::RunState&) override { return absl::OkStatus(); }
  bool due() const { return due_; }

 private:
  const Fault& fault_;
  bool due_ = false;
};

// Classification of a rank, with its fault.
class Faulty final : public ChangedClassification {
 public:
  explicit Faulty(Fault fault = {}) : fault_(std::move(fault)) {}

  absl::string_view name() const override { return "faulty"; }
  absl::StatusOr<tasks::TaskGraph> BuildLoss(const tasks::TrainingConfig& config,
                                             const tasks::DataInfo& info, size_t update,
                                             const tasks::BatchShape& shape) const override {
    HONE_ASSIGN_OR_RETURN(tasks::TaskGraph result,
                          ChangedClassification::BuildLoss(config, info, update, shape));
    Graph& graph = *result.built.graph;
    Value& loss = result.built.request.fetch[0];
    loss = Sum(graph, loss, graph.Input("spoil", {Shape{}, DType::kF32}));
    return result;
  }
  std::unique_ptr<tasks::TaskState> NewState(const tasks::TrainingConfig&) const override {
    return std::make_unique<StepOfFault>(fault_);
  }
  absl::Status FillInputs(const data::Dataset& dataset, const tasks::Examples& examples,
                          const tasks::TaskState* state,
                          const tasks::Inputs& inputs) const override {
    HONE_RETURN_IF_ERROR(ChangedClassification::FillInputs(dataset, examples, state, inputs));
    HONE_ASSIGN_OR_RETURN(const std::span<float> spoil, inputs.Find<float>("spoil"));
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> labels, inputs.Find<int32_t>("targets"));
    if (spoil.empty()) {
      return absl::OkStatus();  // an evaluation
    }
    const bool due = static_cast<const StepOfFault*>(state)->due();
    spoil[0] = due && fault_.loss_is_nan ? std::numeric_limits<float>::quiet_NaN() : 0;
    if (due && fault_.wrong_label) {
      labels[0] = 1000;
    }
    return absl::OkStatus();
  }

 private:
  Fault fault_;
  std::unique_ptr<tasks::Task> task_ = tasks::MakeClassification({});
};

// A loop of one rank, and what it came to.
struct Rank {
  absl::Status Run(const tasks::TrainingConfig& config, const Faulty& task, World* world) {
    HONE_ASSIGN_OR_RETURN(const data::LoadedData data,
                          tasks::LoadExamples(config.data, config, task));
    const tasks::DataInfo info = tasks::InfoOf(data, task);
    HONE_ASSIGN_OR_RETURN(programs, Programs::Compile(config, info, task, {},
                                                      world == nullptr ? Place() : world->place()));
    HONE_RETURN_IF_ERROR(programs->Bind());
    programs->store().Initialize(config.seed);
    programs->store().RefreshAll();
    TrainingLoop loop({config, data, info, task, *programs, stop, recorder, world},
                      InitialState(config, info));
    const absl::StatusOr<EndReason> ended = loop.Run();
    step = loop.state().step;
    HONE_RETURN_IF_ERROR(ended.status());
    end = *ended;
    return absl::OkStatus();
  }

  std::vector<float> Weights() const {
    ParameterStore& store = programs->store();
    return {store.value_slab(), store.value_slab() + store.trainable_slab_size()};
  }

  std::atomic<bool> stop = false;
  Recorder recorder;
  std::unique_ptr<Programs> programs;
  absl::Status status;
  std::optional<EndReason> end;
  int64_t step = 0;
};

class WorldTest : public TrainTest {
 protected:
  // All ranks, each with one thread; the last of them has the fault.
  std::vector<std::unique_ptr<Rank>> RunRanks(tasks::TrainingConfig config, int size,
                                              const Fault& fault = {}) {
    config.threads = 1;
    MemoryWorld world(size);
    std::vector<std::unique_ptr<Rank>> ranks;
    std::vector<std::jthread> threads;
    for (int r = 0; r < size; ++r) {
      ranks.push_back(std::make_unique<Rank>());
    }
    for (int r = 0; r < size; ++r) {
      threads.emplace_back([&, r] {
        const Faulty task(r == size - 1 ? fault : Fault());
        Rank& rank = *ranks[static_cast<size_t>(r)];
        rank.status = rank.Run(config, task, &world.rank(r));
        world.Leave(r);
      });
    }
    threads.clear();
    return ranks;
  }

  // Dropout and augmentation, whose random numbers are keyed by example; early stopping.
  tasks::TrainingConfig Job() const {
    tasks::TrainingConfig config = Pictures();
    config.data.validation_fraction = 0.2;
    config.batch_size = 28;  // 56 examples in two
    config.schedule.kind = optim::CosineDecay();
    return config;
  }
};

TEST_F(WorldTest, OfTwoRanksEndsWithTheBitsOfOneTrainerWithTwoShards) {
  const tasks::TrainingConfig config = Job();
  Rank alone;
  ASSERT_THAT(alone.Run(config, Faulty(), nullptr), IsOk());
  ASSERT_EQ(alone.programs->training(0, 28).shards(), 2);
  const auto ranks = RunRanks(config, 2);
  for (const auto& rank : ranks) {
    ASSERT_THAT(rank->status, IsOk());
    EXPECT_EQ(rank->end, EndReason::kCompleted);
    EXPECT_EQ(rank->step, 6);
    EXPECT_EQ(rank->Weights(), alone.Weights());
  }
}

TEST_F(WorldTest, HasTheSameBitsOnAllRanksAlsoWhereABatchIsShorterThanTheWorld) {
  tasks::TrainingConfig config = Points();
  config.batch_size = 5;  // the last of 72 examples are two
  const auto ranks = RunRanks(config, 3);
  for (const auto& rank : ranks) {
    ASSERT_THAT(rank->status, IsOk());
    EXPECT_EQ(rank->step, 60);
    EXPECT_EQ(rank->Weights(), ranks[0]->Weights());
  }
}

TEST_F(WorldTest, AddsUpWhatAccumulatedOnEachRank) {
  tasks::TrainingConfig config = Points();
  config.batch_size = 24;
  config.accumulate_batches = 2;  // two, then one
  const auto ranks = RunRanks(config, 2);
  ASSERT_THAT(ranks[0]->status, IsOk());
  ASSERT_THAT(ranks[1]->status, IsOk());
  EXPECT_EQ(ranks[0]->Weights(), ranks[1]->Weights());
  Rank alone;
  ASSERT_THAT(alone.Run(config, Faulty(), nullptr), IsOk());
  EXPECT_THAT(ranks[0]->Weights(),
              ::testing::Pointwise(::testing::FloatNear(1e-5f), alone.Weights()));
}

TEST_F(WorldTest, WhoseRankFailsInItsForwardPassEndsEverywhereWithItsName) {
  const auto ranks = RunRanks(Job(), 2, {.at_step = {}, .wrong_label = true});
  for (const auto& rank : ranks) {
    EXPECT_THAT(rank->status, StatusIs(absl::StatusCode::kInternal, StartsWith("rank 1: ")));
    EXPECT_EQ(rank->step, 2);
  }
  EXPECT_EQ(ranks[0]->Weights(), ranks[1]->Weights());
}

TEST_F(WorldTest, WhoseRankFailsBetweenStepsLeavesNobodyWaiting) {
  const auto ranks =
      RunRanks(Job(), 2, {.at_step = [] { return absl::DataLossError("the maze is gone"); }});
  EXPECT_THAT(ranks[0]->status, StatusIs(absl::StatusCode::kDataLoss, "rank 1: the maze is gone"));
  EXPECT_THAT(ranks[1]->status, StatusIs(absl::StatusCode::kDataLoss, "the maze is gone"));
}

TEST_F(WorldTest, WithALossThatIsNotFiniteOnOneRankEndsOnAllWithUntouchedWeights) {
  tasks::TrainingConfig config = Job();
  config.schedule = {};
  const auto ranks = RunRanks(config, 2, {.at_step = {}, .loss_is_nan = true});
  config.steps = 2;
  const auto before = RunRanks(config, 2);
  for (const auto& rank : ranks) {
    EXPECT_THAT(rank->status,
                StatusIs(absl::StatusCode::kOutOfRange, StartsWith("step 3: the loss")));
    EXPECT_EQ(rank->Weights(), before[0]->Weights());
  }
}

TEST_F(WorldTest, StopsOnAllRanksAtTheSameStepWhenOneIsAskedTo) {
  std::atomic<bool>* stop = nullptr;
  const tasks::TrainingConfig config = Job();
  std::vector<std::unique_ptr<Rank>> ranks;
  MemoryWorld world(2);
  for (int r = 0; r < 2; ++r) {
    ranks.push_back(std::make_unique<Rank>());
  }
  stop = &ranks[1]->stop;
  {
    std::vector<std::jthread> threads;
    for (int r = 0; r < 2; ++r) {
      threads.emplace_back([&, r] {
        const Faulty task(r == 0 ? Fault() : Fault{.at_step = [&] {
          *stop = true;
          return absl::OkStatus();
        }});
        Rank& rank = *ranks[static_cast<size_t>(r)];
        rank.status = rank.Run(config, task, &world.rank(r));
        world.Leave(r);
      });
    }
  }
  for (const auto& rank : ranks) {
    ASSERT_THAT(rank->status, IsOk());
    EXPECT_EQ(rank->end, EndReason::kCancelled);
    EXPECT_EQ(rank->step, 3);
  }
  EXPECT_EQ(checkpoint::LatestCheckpoint(CheckpointRoot(config))->state.step, 3);
}

TEST_F(WorldTest, RefusesAModelThatSeesTheWholeBatch) {
  tasks::TrainingConfig config = Points();
  config.model.layers.insert(config.model.layers.begin() + 1, Of(models::BatchNorm{}));
  const auto ranks = RunRanks(config, 2);
  for (const auto& rank : ranks) {
    EXPECT_THAT(rank->status,
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr("on several hosts"), HasSubstr("a part of a batch"))));
  }
}

// Whole jobs, of which all ranks share the run's folder.
class TrainersTest : public TrainTest {
 protected:
  std::vector<absl::StatusOr<EndReason>> RunTrainers(
      const std::vector<tasks::TrainingConfig>& configs) {
    const auto size = configs.size();
    MemoryWorld world(static_cast<int>(size));
    std::vector<absl::StatusOr<EndReason>> ends(size);
    std::vector<std::jthread> threads;
    for (size_t r = 0; r < size; ++r) {
      threads.emplace_back([&, r] {
        job::Trainer trainer(configs[r], stops_[r], recorders_[r],
                             &world.rank(static_cast<int>(r)));
        ends[r] = trainer.Run();
        world.Leave(static_cast<int>(r));
      });
    }
    threads.clear();
    return ends;
  }

  static std::vector<tasks::TrainingConfig> OnTwoRanks(tasks::TrainingConfig config) {
    config.threads = 1;
    return {config, config};
  }

  tasks::TrainingConfig Job() const {
    tasks::TrainingConfig config = Points();
    config.batch_size = 24;  // three to an epoch
    config.layer_statistics_every = 1;
    return config;
  }

  std::atomic<bool> stops_[2] = {false, false};
  Recorder recorders_[2];
};

TEST_F(TrainersTest, LeaveTheModelOfOneAndRankZeroAloneTells) {
  tasks::TrainingConfig config = Job(), alone = config;
  alone.run_directory = NewRun();
  ASSERT_THAT(Run(alone), IsOk());
  for (const absl::StatusOr<EndReason>& end : RunTrainers(OnTwoRanks(config))) {
    EXPECT_EQ(end.value(), EndReason::kCompleted);
  }
  EXPECT_EQ(ModelSha(config), ModelSha(alone));
  ASSERT_THAT(recorders_[0].metrics, Not(IsEmpty()));
  // How many metrics there are on the way is the clock's matter.
  EXPECT_EQ(recorders_[0].metrics.back().step, recorder_.metrics.back().step);
  EXPECT_EQ(recorders_[0].statistics.size(), recorder_.statistics.size());
  EXPECT_THAT(recorders_[0].checkpoints, Not(IsEmpty()));
  EXPECT_THAT(recorders_[1].started, IsEmpty());
  EXPECT_THAT(recorders_[1].metrics, IsEmpty());
  EXPECT_THAT(recorders_[1].statistics, IsEmpty());
  EXPECT_THAT(recorders_[1].checkpoints, IsEmpty());
  EXPECT_THAT(recorders_[1].evaluations, IsEmpty());
  EXPECT_THAT(recorders_[1].artifacts, IsEmpty());
}

TEST_F(TrainersTest, StoppedAndResumedAreNeverStopped) {
  tasks::TrainingConfig config = Job(), alone = config;
  alone.run_directory = NewRun();
  ASSERT_THAT(Run(alone), IsOk());
  config.resume = true;
  recorders_[0].on_step = [&](int64_t step) { stops_[0] = step == 4; };
  for (const absl::StatusOr<EndReason>& end : RunTrainers(OnTwoRanks(config))) {
    EXPECT_EQ(end.value(), EndReason::kCancelled);
  }
  stops_[0] = false;
  for (const absl::StatusOr<EndReason>& end : RunTrainers(OnTwoRanks(config))) {
    EXPECT_EQ(end.value(), EndReason::kCompleted);
  }
  EXPECT_EQ(ModelSha(config), ModelSha(alone));
}

TEST_F(TrainersTest, WithDifferentJobsEndBeforeTheFirstStepWithWhatIsDifferent) {
  const auto expect = [&](const char* what, const tasks::TrainingConfig& other) {
    std::vector<tasks::TrainingConfig> configs = OnTwoRanks(Job());
    configs[1] = other;
    configs[1].threads = other.threads == 2 ? 1 : other.threads;
    configs[1].run_directory = configs[0].run_directory;
    for (const absl::StatusOr<EndReason>& end : RunTrainers(configs)) {
      EXPECT_THAT(end, StatusIs(absl::StatusCode::kInvalidArgument,
                                AllOf(HasSubstr("different jobs: "), HasSubstr(what))));
    }
    EXPECT_THAT(recorders_[0].statistics, IsEmpty());
  };
  tasks::TrainingConfig other = Job();
  other.seed = 9;
  // The seed splits the data as well.
  expect("on rank 1", other);
  other = Job();
  other.optimizer = optim::Adam{.learning_rate = 0.5};
  expect("training.optimizer is adam 0.001", other);
  other = Job();
  other.model.layers[0] = DenseLayer(8);
  expect("model is ", other);
  other = Job();
  other.threads = 3;
  expect("training.threads is 1 on rank 0, 3 on rank 1", other);
  other = Job();
  other.early_stopping = tasks::EarlyStopping{};
  expect("training.early_stopping is absent on rank 0", other);
}

TEST_F(TrainersTest, OfWhichOneFindsNoDataEndAll) {
  std::vector<tasks::TrainingConfig> configs = OnTwoRanks(Job());
  configs[1].data.path = Path("nowhere.csv");
  const auto ends = RunTrainers(configs);
  EXPECT_THAT(ends[0], StatusIs(ends[1].status().code(), StartsWith("rank 1: ")));
}

}  // namespace
}  // namespace hone::engine::train
