#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "engine/job/plan.h"
#include "engine/layers/dense.h"
#include "engine/layers/embedding.h"
#include "engine/layers/sequences.h"
#include "engine/ops/cross_entropy.h"
#include "engine/tensor/token_rows.h"
#include "tests/engine/task_testing.h"
#include "tests/support/status_matchers.h"

// A task whose batches are rows of tokens: which programs it gets, and that it learns with them.
namespace hone::engine::train {
namespace {

constexpr int64_t kVocabulary = 12;

// Example `row` has so many tokens, the first of them Token(row, 0).
int64_t LengthOf(int32_t row) { return 1 + row * 7 % 13; }
int32_t Token(int32_t row, int64_t i) {
  return static_cast<int32_t>((row * 5 + i * i) % kVocabulary);
}

int64_t TokensOf(std::span<const int32_t> rows) {
  int64_t tokens = 0;
  for (const int32_t row : rows) {
    tokens += LengthOf(row);
  }
  return tokens;
}

// Whether a sequence's first token is odd.
class FirstToken final : public LossTask {
 public:
  explicit FirstToken(bool in_parts = false) : in_parts_(in_parts) {}

  absl::string_view name() const override { return "first token"; }
  int64_t own_examples(const tasks::TrainingConfig&) const override { return 150; }
  std::vector<int64_t> buckets(const tasks::TrainingConfig&) const override { return {}; }
  int64_t BucketOf(const data::Dataset&, std::span<const int32_t> rows,
                   const tasks::TaskState*) const override {
    return PlannedRows(TokensOf(rows));
  }
  data::RowTokens RowTokens(const data::Dataset&) const override {
    return in_parts_ ? LengthOf : data::RowTokens();
  }

  absl::StatusOr<tasks::TaskGraph> BuildLoss(const tasks::TrainingConfig& config,
                                             const tasks::DataInfo&, size_t,
                                             const tasks::BatchShape& shape) const override {
    tasks::TaskGraph result = tasks::NewTaskGraph(config);
    Graph& graph = *result.built.graph;
    const Value tokens = graph.Input(kTokensInput, {{shape.bucket}, DType::kS32});
    const Value offsets = graph.Input(kOffsetsInput, {{shape.batch + 1}, DType::kS32});
    const Value labels = graph.Input("labels", {{shape.batch}, DType::kS32});
    Value x =
        layers::Embedding(graph, tokens, {.name = "embedding", .rows = kVocabulary, .width = 8});
    x = layers::Recurrent(graph, layers::RecurrentCell::kGru, x, offsets,
                          {.name = "gru", .units = 16, .bidirectional = true}, true);
    layers::DenseOptions dense;
    dense.name = "dense";
    dense.units = 2;
    result.model.output = layers::Dense(graph, x, dense);
    const Loss loss = CrossEntropy(graph, result.model.output, labels, {});
    result.built.request.fetch = {loss.sum, loss.weight, loss.correct};
    return result;
  }

  absl::Status FillInputs(const data::Dataset&, const tasks::Examples& examples,
                          const tasks::TaskState*, const tasks::Inputs& inputs) const override {
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> tokens, inputs.Find<int32_t>(kTokensInput));
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> offsets, inputs.Find<int32_t>(kOffsetsInput));
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> labels, inputs.Find<int32_t>("labels"));
    std::ranges::fill(tokens, 0);
    offsets[0] = 0;
    for (size_t i = 0; i < examples.rows.size(); ++i) {
      const int32_t row = examples.rows[i];
      for (int64_t k = 0; k < LengthOf(row); ++k) {
        tokens[static_cast<size_t>(offsets[i] + k)] = Token(row, k);
      }
      offsets[i + 1] = offsets[i] + static_cast<int32_t>(LengthOf(row));
      labels[i] = Token(row, 0) % 2;
    }
    return absl::OkStatus();
  }

 private:
  bool in_parts_;
};

class TokenRows : public TaskTest {
 protected:
  TokenRows() {
    config_.batch_size = 16;
    config_.threads = 2;
    config_.epochs = 3;
    config_.optimizer = optim::Adam{.learning_rate = 0.02};
    config_.layer_statistics_every = 0;
  }

  tasks::DataInfo Info(const FirstToken& task = FirstToken()) const {
    const data::LoadedData data = tasks::LoadExamples(config_.data, config_, task).value();
    return tasks::InfoOf(data, task, config_, 64);
  }

  // Of a run whose batches are computed in parts.
  void ExpectTheWeightsOfAWhole() {
    ASSERT_EQ(Attempt(FirstToken(), NewRun()).value(), EndReason::kCompleted);
    const std::vector<float> whole = Values("gru.forward.recurrent_weight");
    ASSERT_EQ(Attempt(FirstToken(/*in_parts=*/true), NewRun()).value(), EndReason::kCompleted);
    EXPECT_THAT(Values("gru.forward.recurrent_weight"),
                ::testing::Pointwise(::testing::FloatNear(2e-4F), whole));
  }
};

TEST_F(TokenRows, AreLearnedFrom) {
  config_.epochs = 30;
  ASSERT_EQ(Attempt(FirstToken(), NewRun()).value(), EndReason::kCompleted);
  EXPECT_LT(state_.history.back().values.at("loss"), 0.1);
}

TEST_F(TokenRows, StoppedAtEveryStepHaveTheBitsOfARunLeftAlone) {
  ASSERT_EQ(Attempt(FirstToken(), NewRun()).value(), EndReason::kCompleted);
  const std::vector<float> weight = Values("gru.forward.recurrent_weight");
  const int64_t steps = state_.step;
  EXPECT_EQ(InPieces(FirstToken()), steps);
  EXPECT_EQ(Values("gru.forward.recurrent_weight"), weight);
}

TEST_F(TokenRows, AreCountedByTheBatchesThatTheRunHas) {
  const tasks::DataInfo info = Info();
  std::map<tasks::BatchShape, int64_t> seen;
  std::vector<int32_t> rows(150);
  std::iota(rows.begin(), rows.end(), 0);
  data::Batches batches(rows, {.batch_size = 16, .seed = config_.seed});
  for (int i = 0; i < 3 * 10; ++i) {
    const std::span<const int32_t> batch = batches.Next().rows;
    ++seen[{static_cast<int64_t>(batch.size()), PlannedRows(TokensOf(batch))}];
  }
  EXPECT_GT(seen.size(), tasks::kMostBuckets);
  std::map<tasks::BatchShape, int64_t> counted;
  for (const tasks::ShapeCount& shape : info.train_shapes) {
    counted[shape.shape] = shape.batches;
  }
  EXPECT_EQ(counted, seen);
}

TEST_F(TokenRows, HaveAProgramForEachShapeThatOccursAndNoOther) {
  const tasks::DataInfo info = Info();
  const auto programs = Programs::Compile(config_, info, FirstToken());
  ASSERT_TRUE(programs.ok()) << programs.status();
  const std::vector<ShapePrograms>& compiled = (*programs)->updates()[0].shapes;
  ASSERT_EQ(compiled.size(), info.train_shapes.size());
  for (size_t i = 0; i < compiled.size(); ++i) {
    EXPECT_EQ(compiled[i].shape, info.train_shapes[i].shape);
    EXPECT_EQ(compiled[i].replicas.shards(), 1);
  }
}

TEST_F(TokenRows, InPartsAreComputedByAThreadEach) {
  const FirstToken task(/*in_parts=*/true);
  const tasks::DataInfo info = Info(task);
  const auto programs = Programs::Compile(config_, info, task);
  ASSERT_TRUE(programs.ok()) << programs.status();
  ASSERT_TRUE((*programs)->Bind().ok());
  ASSERT_EQ((*programs)->parts(), 2);
  for (const ShapePrograms& compiled : (*programs)->updates()[0].shapes) {
    // An epoch's last batch is too small.
    const int shards = compiled.shape.batch == 16 ? 2 : 1;
    ASSERT_EQ(compiled.replicas.shards(), shards);
    for (int k = 0; k < shards; ++k) {
      EXPECT_EQ(tasks::Inputs(compiled.replicas.program(k), {})
                        .Find<int32_t>(kTokensInput)
                        .value()
                        .size() *
                    static_cast<size_t>(shards),
                static_cast<size_t>(compiled.shape.bucket));
    }
  }
}

TEST_F(TokenRows, AreComputedAsAWholeWherePartsWouldDifferTooMuch) {
  config_.threads = 8;  // two sequences each
  EXPECT_EQ(Info(FirstToken(/*in_parts=*/true)).train_in_parts.parts, 1);
}

TEST_F(TokenRows, ThatOneThreadComputesAreNotPlannedForInParts) {
  const FirstToken task(/*in_parts=*/true);
  const tasks::DataInfo info = Info(task);
  ASSERT_EQ(info.train_in_parts.parts, 2);
  config_.one_thread_if_small = true;
  const auto programs = Programs::Compile(config_, info, task);
  ASSERT_TRUE(programs.ok()) << programs.status();
  EXPECT_EQ((*programs)->threads(), 1);
  EXPECT_EQ((*programs)->parts(), 1);
  EXPECT_EQ((*programs)->updates()[0].shapes.size(), info.train_shapes.size());
}

TEST_F(TokenRows, InPartsComeToTheWeightsOfAWhole) { ExpectTheWeightsOfAWhole(); }

TEST_F(TokenRows, InPartsAddUpTheGradientsOfSeveralBatches) {
  config_.accumulate_batches = 3;
  ExpectTheWeightsOfAWhole();
}

TEST_F(TokenRows, InPartsStoppedAtEveryStepHaveTheBitsOfARunLeftAlone) {
  const FirstToken task(/*in_parts=*/true);
  ASSERT_EQ(Attempt(task, NewRun()).value(), EndReason::kCompleted);
  const std::vector<float> weight = Values("gru.forward.recurrent_weight");
  const int64_t steps = state_.step;
  EXPECT_EQ(InPieces(task), steps);
  EXPECT_EQ(Values("gru.forward.recurrent_weight"), weight);
}

TEST(TrainingBucketOf, IsThatOfThePartWhichNeedsTheMostTimesTheParts) {
  const FirstToken task;
  const std::vector<int32_t> rows = {0, 2, 1, 6};  // 1, 2; 8 and 4 tokens
  EXPECT_EQ(tasks::TrainingBucketOf({}, task, rows, nullptr, 1), PlannedRows(15));
  EXPECT_EQ(tasks::TrainingBucketOf({}, task, rows, nullptr, 2), 2 * PlannedRows(12));
  EXPECT_EQ(tasks::TrainingBucketOf({}, task, rows, nullptr, 3), PlannedRows(15))
      << "no equal parts";
}

TEST(MadeUpTokens, AreAsManyInEachPartOfABatch) {
  for (const int64_t batch : {6, 12}) {
    for (const int64_t parts : {2, 3}) {
      const int64_t bucket = parts * 40;
      for (int64_t k = 0; k < parts; ++k) {
        int64_t tokens = 0;
        for (int64_t i = k * batch / parts; i < (k + 1) * batch / parts; ++i) {
          tokens += tasks::MadeUpTokens(bucket, batch, i + batch);
        }
        EXPECT_EQ(tokens, 40) << "part " << k << " of " << parts << ", batch " << batch;
      }
    }
  }
}

TEST_F(TokenRows, ArePlannedForAsTheyOccur) {
  const tasks::DataInfo info = Info();
  const auto programs = Programs::Compile(config_, info, FirstToken());
  ASSERT_TRUE(programs.ok()) << programs.status();
  int64_t examples = 0;
  for (const data::BucketRows& rows : (*programs)->training_rows()) {
    examples += rows.rows;
  }
  EXPECT_EQ(examples, 3 * 9 * 16);  // of three epochs' whole batches
  const job::Plan plan = job::MakePlan(config_, info, **programs, true);
  EXPECT_GT(plan.training_flops_per_example, 0);
}

}  // namespace
}  // namespace hone::engine::train
