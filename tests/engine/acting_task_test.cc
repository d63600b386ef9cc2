#include <gmock/gmock.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "engine/base/rng.h"
#include "engine/layers/dense.h"
#include "engine/ops/mul.h"
#include "engine/ops/regression_loss.h"
#include "engine/tasks/model_file.h"
#include "tests/engine/task_testing.h"
#include "tests/support/status_matchers.h"

// A task that acts: a small deep Q-network (Mnih et al. 2015) in a corridor. It has no data set,
// runs programs of its own between updates, and keeps a replay buffer and a target network.
namespace hone::engine::train {
namespace {

constexpr int64_t kCells = 5, kActions = 2, kBatch = 16;
constexpr size_t kCapacity = 200;
constexpr float kDiscount = 0.9f;

struct Transition {
  int8_t cell = 0, action = 0, next = 0, ends = 0;
};

void OneHot(int64_t cell, float* out) {
  std::fill_n(out, kCells, 0.0f);
  out[cell] = 1;
}

// Walks from the left end; the right one gives a reward and ends the episode.
class Walker final : public tasks::TaskState {
 public:
  explicit Walker(uint64_t seed) : seed_(seed) {}

  absl::Status BeginStep(const tasks::StepContext& context) override {
    RandomStream random(seed_, "walker", static_cast<uint64_t>(context.step));
    epsilon_ = std::max(0.1, epsilon_ * 0.98);
    for (int i = 0; i < 4; ++i) {
      HONE_RETURN_IF_ERROR(Act(context.programs, random));
    }
    HONE_RETURN_IF_ERROR(MoveTarget(context.programs.store(), context.step == 1 ? 1 : 0.1f));
    return MakeBatch(context, random);
  }
  void AddMetrics(std::map<std::string, double>& values) const override {
    values["epsilon"] = epsilon_;
  }
  void Save(checkpoint::RunState& state) const override {
    state.scalars["epsilon"] = epsilon_;
    state.scalars["cell"] = cell_;
    state.sections["replay"] = {reinterpret_cast<const char*>(replay_.data()),
                                replay_.size() * sizeof(Transition)};
  }
  absl::Status Restore(const checkpoint::RunState& state) override {
    epsilon_ = state.scalars.at("epsilon");
    cell_ = static_cast<int8_t>(state.scalars.at("cell"));
    const std::string& bytes = state.sections.at("replay");
    replay_.resize(bytes.size() / sizeof(Transition));
    std::memcpy(replay_.data(), bytes.data(), bytes.size());
    return absl::OkStatus();
  }

  // The step's examples, made by BeginStep: one-hot cells, and the wanted value of the action
  // taken.
  std::vector<float> cells = std::vector<float>(kBatch * kCells);
  std::vector<float> taken = std::vector<float>(kBatch * kActions);
  std::vector<float> wanted = std::vector<float>(kBatch * kActions);

 private:
  absl::Status Act(tasks::TaskPrograms& programs, RandomStream& random) {
    HONE_ASSIGN_OR_RETURN(const Program* act, programs.forward("act", {.batch = 1}));
    OneHot(cell_, static_cast<float*>(act->input("cells")));
    HONE_RETURN_IF_ERROR(programs.Run(*act, {}));
    const auto* value = static_cast<const float*>(act->fetched(0));
    const bool greedy = random.NextUnit() >= epsilon_;
    const bool right = greedy ? value[1] > value[0] : random.NextBelow(2) == 1;
    Transition seen = {.cell = cell_, .action = right};
    seen.next = static_cast<int8_t>(right ? cell_ + 1 : std::max(0, cell_ - 1));
    seen.ends = seen.next == kCells - 1;
    if (replay_.size() == kCapacity) {
      replay_.erase(replay_.begin());
    }
    replay_.push_back(seen);
    cell_ = seen.ends ? int8_t{0} : seen.next;
    return absl::OkStatus();
  }

  static absl::Status MoveTarget(ParameterStore& store, float rate) {
    for (const char* name : {"hidden.weight", "hidden.bias", "values.weight", "values.bias"}) {
      HONE_ASSIGN_OR_RETURN(const ParameterId from, store.Find(absl::StrCat("online.", name)));
      HONE_ASSIGN_OR_RETURN(const ParameterId to, store.Find(absl::StrCat("target.", name)));
      HONE_RETURN_IF_ERROR(store.Blend(from, to, rate));
    }
    return absl::OkStatus();
  }

  absl::Status MakeBatch(const tasks::StepContext& context, RandomStream& random) {
    HONE_ASSIGN_OR_RETURN(const Program* target,
                          context.programs.forward("target", {.batch = kBatch}));
    auto* next = static_cast<float*>(target->input("cells"));
    std::vector<Transition> batch;
    for (int64_t i = 0; i < kBatch; ++i) {
      batch.push_back(replay_[random.NextBelow(replay_.size())]);
      OneHot(batch.back().next, next + i * kCells);
    }
    HONE_RETURN_IF_ERROR(context.programs.Run(*target, {}));
    const auto* values = static_cast<const float*>(target->fetched(0));
    std::ranges::fill(taken, 0);
    std::ranges::fill(wanted, 0);
    for (int64_t i = 0; i < context.examples; ++i) {
      const Transition& seen = batch[static_cast<size_t>(i)];
      const auto place = static_cast<size_t>(i * kActions + seen.action);
      OneHot(seen.cell, cells.data() + i * kCells);
      taken[place] = 1;
      wanted[place] = seen.ends ? 1 : kDiscount * std::max(values[2 * i], values[2 * i + 1]);
    }
    return absl::OkStatus();
  }

  uint64_t seed_;
  double epsilon_ = 1;
  int8_t cell_ = 0;
  std::vector<Transition> replay_;
};

class Corridor final : public LossTask {
 public:
  absl::string_view name() const override { return "corridor"; }
  std::vector<tasks::UpdateSpec> updates() const override {
    return {{.name = "", .parameters = "online."}};
  }
  int64_t own_examples(const tasks::TrainingConfig&) const override { return 36; }  // 16, 16 and 4

  absl::StatusOr<tasks::TaskGraph> BuildLoss(const tasks::TrainingConfig&, const tasks::DataInfo&,
                                             size_t,
                                             const tasks::BatchShape& shape) const override {
    tasks::TaskGraph result;
    Graph& graph = Begin(result);
    const TensorType actions = {{shape.batch, kActions}, DType::kF32};
    const Value values = Net(graph, "online", shape.batch);
    const Loss loss =
        RegressionLoss(graph, Mul(graph, values, graph.Input("taken", actions)),
                       graph.Input("wanted", actions), RegressionKind::kMeanSquaredError);
    result.built.request.fetch = {loss.sum, loss.weight, graph.Constant(0)};
    return result;
  }
  std::vector<tasks::ForwardSpec> forwards(const tasks::TrainingConfig&) const override {
    return {{.name = "act", .shape = {.batch = 1}}, {.name = "target", .shape = {.batch = kBatch}}};
  }
  absl::StatusOr<tasks::TaskGraph> BuildForward(const tasks::TrainingConfig&,
                                                const tasks::DataInfo&,
                                                const tasks::ForwardSpec& spec) const override {
    tasks::TaskGraph result;
    Graph& graph = Begin(result);
    const std::string net = spec.name == "act" ? "online" : "target";
    result.built.request.fetch = {Net(graph, net, spec.shape.batch)};
    return result;
  }

  std::unique_ptr<tasks::TaskState> NewState(const tasks::TrainingConfig& config) const override {
    return std::make_unique<Walker>(config.seed);
  }
  absl::Status FillInputs(const data::Dataset&, const tasks::Examples& examples,
                          const tasks::TaskState* state,
                          const tasks::Inputs& inputs) const override {
    const auto& walker = *static_cast<const Walker*>(state);
    const auto fill = [&](const char* name, const std::vector<float>& from,
                          int64_t width) -> absl::Status {
      HONE_ASSIGN_OR_RETURN(const std::span<float> to, inputs.Find<float>(name));
      std::copy_n(from.data() + examples.first * width, to.size(), to.data());
      return absl::OkStatus();
    };
    HONE_RETURN_IF_ERROR(fill("cells", walker.cells, kCells));
    HONE_RETURN_IF_ERROR(fill("taken", walker.taken, kActions));
    return fill("wanted", walker.wanted, kActions);
  }

 private:
  static Graph& Begin(tasks::TaskGraph& result) {
    result.built.graph = std::make_unique<Graph>();
    result.built.request.graph = result.built.graph.get();
    return *result.built.graph;
  }
  static Value Net(Graph& graph, const std::string& net, int64_t batch) {
    Value x = graph.Input("cells", {{batch, kCells}, DType::kF32});
    for (const auto& [name, units] : {std::pair("hidden", int64_t{16}), {"values", kActions}}) {
      layers::DenseOptions options;
      options.name = absl::StrCat(net, ".", name);
      options.units = units;
      options.frozen = net == "target";
      options.activation = units == kActions ? ActivationKind::kNone : ActivationKind::kRelu;
      x = layers::Dense(graph, x, options);
    }
    return x;
  }
};

class ActingTask : public TaskTest {
 protected:
  ActingTask() {
    config_.batch_size = kBatch;
    config_.threads = 2;  // two shards of 8, and a team for the short batch
    config_.epochs = 5;
    config_.optimizer = optim::Adam{.learning_rate = 0.01};
    config_.layer_statistics_every = 1;
  }
};

TEST_F(ActingTask, LearnsTheWayThroughTheOneLoopWithoutADataSet) {
  config_.epochs = 100;
  config_.layer_statistics_every = 0;
  ASSERT_EQ(Attempt(Corridor(), NewRun()).value(), EndReason::kCompleted);
  const Program* act = programs_->forward("act", {.batch = 1}).value();
  float right = 0;
  for (int64_t cell = 0; cell < kCells - 1; ++cell) {
    OneHot(cell, static_cast<float*>(act->input("cells")));
    ASSERT_TRUE(programs_->Run(*act, {}).ok());
    const auto* values = static_cast<const float*>(act->fetched(0));
    EXPECT_GT(values[1], values[0]) << "in cell " << cell;
    right = values[1];
  }
  EXPECT_NEAR(right, 1, 0.1);  // the reward is next
  EXPECT_EQ(recorder_.metrics.back().values.at("epsilon"), state_.scalars["epsilon"]);
}

TEST_F(ActingTask, StoppedAtEveryStepAndResumedIsNeverStopped) {
  ASSERT_EQ(Attempt(Corridor(), NewRun()).value(), EndReason::kCompleted);
  const checkpoint::RunState whole = state_;
  const auto online = Values("online.hidden.weight"), target = Values("target.hidden.weight");
  EXPECT_EQ(InPieces(Corridor()), 15);
  EXPECT_EQ(Values("online.hidden.weight"), online);
  EXPECT_EQ(Values("target.hidden.weight"), target);
  EXPECT_EQ(state_.sections, whole.sections);
  EXPECT_EQ(state_.scalars["epsilon"], whole.scalars.at("epsilon"));
  EXPECT_EQ(state_.scalars["cell"], whole.scalars.at("cell"));
}

TEST_F(ActingTask, KilledBetweenCheckpointsItGoesOnAsIfItHadNotBeen) {
  ASSERT_EQ(Attempt(Corridor(), NewRun()).value(), EndReason::kCompleted);
  const checkpoint::RunState whole = state_;
  const auto online = Values("online.hidden.weight");
  config_.checkpoints.every_steps = 4;
  recorder_.on_step = [this](int64_t step) { stop_ = step == 7; };
  const std::string killed = NewRun();
  ASSERT_EQ(Attempt(Corridor(), killed).value(), EndReason::kCancelled);
  stop_ = false;
  // A kill leaves no checkpoint of its own: steps 5 to 7 are made again.
  std::filesystem::remove_all(checkpoint::CheckpointDirectory(CheckpointRoot(config_), 7));
  std::vector<int64_t> steps;
  recorder_.on_step = [&](int64_t step) { steps.push_back(step); };
  ASSERT_EQ(Attempt(Corridor(), killed).value(), EndReason::kCompleted);
  EXPECT_EQ(steps.front(), 5);
  EXPECT_EQ(Values("online.hidden.weight"), online);
  EXPECT_EQ(state_.sections, whole.sections);
}

TEST_F(ActingTask, MovesItsTargetNetworkBySoftCopiesAlone) {
  config_.steps = 1;
  ASSERT_EQ(Attempt(Corridor(), NewRun()).value(), EndReason::kCompleted);
  const auto online = Values("online.values.weight"), target = Values("target.values.weight");
  programs_->store().Initialize(config_.seed);
  EXPECT_EQ(target, Values("online.values.weight"));  // copied before the first update
  EXPECT_NE(online, target);
}

TEST_F(ActingTask, NamesItsProgramsWhereOneIsAskedForThatIsNotThere) {
  config_.steps = 1;
  ASSERT_EQ(Attempt(Corridor(), NewRun()).value(), EndReason::kCompleted);
  EXPECT_THAT(programs_->forward("dream", {.batch = 1}),
              hone::testing::StatusIs(absl::StatusCode::kNotFound,
                                      ::testing::HasSubstr("act for 1 examples in bucket 0")));
}

TEST(ModelTensors, LeaveOutWhatIsOnlyMemoryBetweenRuns) {
  ParameterStore store;
  for (const auto& [name, role] : {std::pair("weight", ParameterRole::kTrainable),
                                   {"mean", ParameterRole::kBuffer},
                                   {"cache", ParameterRole::kTransient}}) {
    ASSERT_TRUE(store.Declare({.name = name, .shape = {3}, .initializer = {}, .role = role}).ok());
  }
  store.Allocate(1);
  std::vector<std::string> names;
  for (const checkpoint::TensorToWrite& tensor : tasks::ModelTensors(store)) {
    names.push_back(tensor.name);
  }
  EXPECT_THAT(names, ::testing::ElementsAre("weight", "mean"));
}

}  // namespace
}  // namespace hone::engine::train
