#include <gmock/gmock.h>
#include <sys/mman.h>

#include "engine/base/cpu.h"
#include "engine/graph/sum.h"
#include "engine/ops/activation.h"
#include "engine/ops/cross_entropy.h"
#include "engine/ops/embedding.h"
#include "engine/ops/matmul.h"
#include "tests/engine/task_testing.h"
#include "tests/support/status_matchers.h"

// A sparse table beside a tied one, trained by the loop: in shards, over several batches, lazily,
// and when it is stopped and goes on.
namespace hone::engine::train {
namespace {

using ::hone::testing::StatusIs;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;

constexpr int64_t kWidth = 24;

// Words looked up twice in one table; the classes' table is read by a lookup and by the product
// that gives the logits.
class Words final : public LossTask {
 public:
  explicit Words(bool sparse = true, int64_t rows = 400) : sparse_(sparse), rows_(rows) {}

  absl::string_view name() const override { return "words"; }
  absl::StatusOr<tasks::TaskGraph> BuildLoss(const tasks::TrainingConfig&,
                                             const tasks::DataInfo& info, size_t,
                                             const tasks::BatchShape& shape) const override {
    tasks::TaskGraph result;
    result.built.graph = std::make_unique<Graph>();
    Graph& graph = *result.built.graph;
    const auto input = [&](const char* name) {
      return graph.Input(name, {{shape.batch}, DType::kS32});
    };
    const auto table = [&](const std::string& layer, int64_t rows) {
      graph.set_scope(layer);
      result.model.layers.emplace_back().name = layer;
      return graph.Parameter({.name = layer + ".table",
                              .shape = {rows, kWidth},
                              .initializer = {.kind = Initializer::Kind::kNormal, .stddev = 0.3f},
                              .sparse = sparse_});
    };
    const Value words = table("words", rows_);
    const Value x = Sum(graph, Embedding(graph, words, input("first")),
                        Embedding(graph, words, input("second")));
    const Value classes = table("classes", info.classes());
    const Value h = Activation(graph, Sum(graph, x, Embedding(graph, classes, input("guess"))),
                               ActivationKind::kTanh);
    const Value logits = MatMul(graph, h, classes, {.transpose_b = true});
    const Loss loss = CrossEntropy(graph, logits, input("labels"), {});
    result.built.request = {
        .graph = &graph, .fetch = {loss.sum, loss.weight, loss.correct}, .gradients = {}};
    return result;
  }
  // Words are among the first 60 rows.
  absl::Status FillInputs(const data::Dataset& dataset, const tasks::Examples& examples,
                          const tasks::TaskState*, const tasks::Inputs& inputs) const override {
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> labels, inputs.Find<int32_t>("labels"));
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> first, inputs.Find<int32_t>("first"));
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> second, inputs.Find<int32_t>("second"));
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> guess, inputs.Find<int32_t>("guess"));
    dataset.Gather(examples.rows, nullptr, labels.data());
    for (size_t i = 0; i < examples.rows.size(); ++i) {
      const int32_t row = examples.rows[i];
      first[i] = row * 7 % 60;
      second[i] = row * 11 % 60;
      guess[i] = row % 3;
    }
    return absl::OkStatus();
  }

 private:
  bool sparse_;
  int64_t rows_;
};

class SparseTraining : public TaskTest {
 protected:
  SparseTraining() {
    config_ = AllPoints();
    config_.epochs = 2;
    config_.optimizer = optim::Adam{.learning_rate = 0.02};
  }
  // The words after a whole run.
  std::vector<float> Trained(const Words& task) {
    EXPECT_EQ(Attempt(task, NewRun()).value(), EndReason::kCompleted);
    return Values("words.table");
  }
};

TEST_F(SparseTraining, GivesRowsOfTheWordsAndASlabToTheTiedTable) {
  Trained(Words());
  const ParameterStore& store = programs_->store();
  EXPECT_TRUE(store.gives_rows(*store.Find("words.table")));
  EXPECT_FALSE(store.gives_rows(*store.Find("classes.table")));
  EXPECT_EQ(store.gradient_slab_size(), 5 * 16);  // 3 × 24, padded
}

TEST_F(SparseTraining, LearnsWhatDenseGradientsTeach) {
  for (const int threads : {1, 2}) {
    config_.threads = threads;
    const std::vector<float> dense = Trained(Words(false)), tied = Values("classes.table");
    const std::vector<float> sparse = Trained(Words(true));
    EXPECT_THAT(sparse, Pointwise(FloatNear(2e-4f), dense)) << threads << " threads";
    EXPECT_THAT(Values("classes.table"), Pointwise(FloatNear(2e-4f), tied));
  }
}

TEST_F(SparseTraining, InShardsAddsUpTheRowsOfAll) {
  config_.threads = 1;
  const std::vector<float> one = Trained(Words());
  config_.threads = 2;
  const std::vector<float> two = Trained(Words());
  ASSERT_EQ(programs_->training(0, 16).shards(), 2);
  EXPECT_THAT(two, Pointwise(FloatNear(2e-4f), one));
}

TEST_F(SparseTraining, OverSeveralBatchesAddsUpTheirRows) {
  config_.accumulate_batches = 3;
  const std::vector<float> dense = Trained(Words(false));
  EXPECT_THAT(Trained(Words(true)), Pointwise(FloatNear(2e-4f), dense));
}

TEST_F(SparseTraining, LazilyIsAnotherOptimizerThanExactly) {
  const std::vector<float> exact = Trained(Words());
  config_.optimizer = optim::Adam{.learning_rate = 0.02, .lazy = true};
  EXPECT_NE(Trained(Words()), exact);
}

TEST_F(SparseTraining, CannotBeLazyWhereNoTableGivesRows) {
  config_.optimizer = optim::AdamW{.lazy = true};
  EXPECT_THAT(Attempt(Words(false), NewRun()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("training.optimizer.adamw.lazy: must be false")));
}

TEST_F(SparseTraining, StoppedAtEveryStepAndResumedIsNeverStopped) {
  for (const bool lazy : {false, true}) {
    config_.optimizer = optim::Adam{.learning_rate = 0.02, .lazy = lazy};
    const std::vector<float> whole = Trained(Words());
    EXPECT_GT(InPieces(Words()), 5);
    EXPECT_EQ(Values("words.table"), whole) << (lazy ? "lazy" : "exact");
  }
}

TEST_F(SparseTraining, IsSeenInTheLayerStatistics) {
  Trained(Words());
  const std::vector<LayerStatistics::Layer>& layers = recorder_.statistics.back().layers;
  ASSERT_EQ(layers.size(), 2u);
  for (const LayerStatistics::Layer& layer : layers) {
    EXPECT_GT(layer.gradient_norm, 0) << layer.name;
    EXPECT_GT(layer.weight_norm, 0) << layer.name;
  }
}

// Of a program that computes in this type.
class LazyStep : public SparseTraining, public ::testing::WithParamInterface<DType> {};

// The memory of rows that no batch names cannot even be read while steps run: who touches it is
// killed, such as who packs a copy of the table in bf16.
TEST_P(LazyStep, PassesNowhereOverTheTable) {
  if (GetParam() == DType::kBf16 && !HasBf16()) {
    GTEST_SKIP() << "this processor does not multiply bf16";
  }
  config_.compute = GetParam();
  constexpr int64_t kRows = 4000;
  const Words task(true, kRows);
  config_.optimizer = optim::Adam{.lazy = true};
  config_.layer_statistics_every = 0;
  const data::LoadedData data = tasks::LoadExamples(config_.data, config_, task).value();
  programs_ = Programs::Compile(config_, tasks::InfoOf(data, task), task).value();
  ASSERT_TRUE(programs_->Bind().ok());
  ParameterStore& store = programs_->store();
  store.Initialize(1);
  store.RefreshAll();
  optim::Optimizer& optimizer = *programs_->updates()[0].optimizer;
  const int64_t table = store.offset(*store.Find("words.table"));
  const auto lock = [&](int protection) {
    constexpr uintptr_t kPage = 4096;
    for (float* begin :
         {store.value_slab() + table, optimizer.state(0).data() + (table - optimizer.state_begin()),
          optimizer.state(1).data() + (table - optimizer.state_begin())}) {
      const auto from = reinterpret_cast<uintptr_t>(begin + 60 * kWidth);
      const auto to = reinterpret_cast<uintptr_t>(begin + kRows * kWidth);
      const uintptr_t first = (from + kPage - 1) / kPage * kPage;
      ASSERT_EQ(::mprotect(reinterpret_cast<void*>(first), to / kPage * kPage - first, protection),
                0);
    }
  };
  TrainStep step(store, optimizer, config_.threads);
  lock(PROT_NONE);
  std::vector<int32_t> rows(16);
  for (int64_t number = 1; number <= 3; ++number) {
    for (size_t i = 0; i < rows.size(); ++i) {
      rows[i] = data.splits.train[i + static_cast<size_t>(number)];
    }
    const auto fill = [&](const Program& program, int64_t first, int64_t count) {
      return task.FillInputs(
          data.dataset,
          {.rows = std::span(rows).subspan(static_cast<size_t>(first), static_cast<size_t>(count))},
          nullptr, tasks::Inputs(program, {count, 0}));
    };
    const auto result =
        step.Run(programs_->training(0, 16),
                 {.scalars = {}, .update_number = number, .learning_rate = 0.01}, fill);
    EXPECT_TRUE(result.ok() && result->finite);
  }
  lock(PROT_READ | PROT_WRITE);
}

INSTANTIATE_TEST_SUITE_P(Types, LazyStep, ::testing::Values(DType::kF32, DType::kBf16),
                         [](const auto& type) { return std::string(NameOf(type.param)); });

}  // namespace
}  // namespace hone::engine::train
