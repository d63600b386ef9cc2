#include <gmock/gmock.h>

#include <numeric>
#include <set>

#include "engine/base/rng.h"
#include "engine/layers/dense.h"
#include "engine/ops/full.h"
#include "engine/ops/matmul.h"
#include "engine/ops/regression_loss.h"
#include "tests/engine/task_testing.h"
#include "tests/support/status_matchers.h"

// Rows that have lengths of their own: a batch is of one length, so nothing is padded.
namespace hone::engine {
namespace {

using ::testing::ElementsAre;

int64_t LengthOfRow(int32_t row) { return row % 3 == 0 ? 30 : 10; }

std::vector<int32_t> Range(int32_t size) {
  std::vector<int32_t> rows(static_cast<size_t>(size));
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

TEST(BalanceParts, GivesEachPartAsManyRowsAndAboutAsManyTokens) {
  RandomStream random(1, "lengths");
  std::vector<int64_t> tokens(36);
  std::ranges::generate(tokens, [&] { return 1 + static_cast<int64_t>(random.NextBelow(40)); });
  const auto tokens_of = [&](int32_t row) { return tokens[static_cast<size_t>(row)]; };
  std::vector<int32_t> rows = Range(36);
  data::BalanceScratch scratch;
  data::BalanceParts(rows, 3, tokens_of, scratch);
  EXPECT_THAT(rows, ::testing::UnorderedElementsAreArray(Range(36)));
  std::vector<int64_t> sums;
  for (auto part = rows.begin(); part != rows.end(); part += 12) {
    EXPECT_TRUE(std::is_sorted(part, part + 12)) << "in the order that they had";
    sums.push_back(std::transform_reduce(part, part + 12, int64_t{0}, std::plus(), tokens_of));
  }
  EXPECT_LE(std::ranges::max(sums) - std::ranges::min(sums), 4);
}

TEST(BalanceParts, LeavesEqualRowsAndThoseThatCannotBeSharedOutEvenly) {
  data::BalanceScratch scratch;
  for (const int32_t count : {9, 10}) {
    std::vector<int32_t> rows = Range(count);
    data::BalanceParts(rows, 2, LengthOfRow, scratch);
    EXPECT_EQ(rows == Range(count), count == 9);
  }
  std::vector<int32_t> rows = Range(8);
  data::BalanceParts(
      rows, 2, [](int32_t) { return 7; }, scratch);
  EXPECT_EQ(rows, Range(8));
}

// The lengths of an epoch's batches; each batch is checked to be of one.
std::vector<int64_t> EpochOf(data::Batches& batches, std::multiset<int32_t>& seen) {
  std::vector<int64_t> lengths;
  for (bool ended = false; !ended;) {
    const data::Batch batch = batches.Next();
    EXPECT_EQ(batch.number, static_cast<int64_t>(lengths.size()));
    lengths.push_back(LengthOfRow(batch.rows[0]));
    for (const int32_t row : batch.rows) {
      EXPECT_EQ(LengthOfRow(row), lengths.back());
      seen.insert(row);
    }
    ended = batch.ends_epoch();
  }
  return lengths;
}

TEST(BatchesByBucket, HoldRowsOfOneBucketAndEveryRowOnce) {
  data::Batches batches(Range(100), {.batch_size = 8, .bucket_of = LengthOfRow});
  std::multiset<int32_t> seen;
  EXPECT_EQ(EpochOf(batches, seen).size(), 5u + 9u);  // 34 and 66 rows
  EXPECT_EQ(batches.batches_per_epoch(), 14);
  const std::vector<int32_t> all = Range(100);
  EXPECT_EQ(seen, std::multiset<int32_t>(all.begin(), all.end()));
}

TEST(BatchesByBucket, ComeInAnotherOrderOfLengthsInEveryEpoch) {
  data::Batches batches(Range(100), {.batch_size = 8, .bucket_of = LengthOfRow});
  std::multiset<int32_t> seen;
  const std::vector<int64_t> first = EpochOf(batches, seen), second = EpochOf(batches, seen);
  EXPECT_NE(first, second);
  EXPECT_FALSE(std::ranges::is_sorted(first));
}

TEST(BatchesByBucket, GoOnFromAnyPositionAsIfNeverStopped) {
  const data::BatchesOptions options = {.batch_size = 8, .seed = 9, .bucket_of = LengthOfRow};
  data::Batches whole(Range(50), options);
  for (int step = 0; step < 20; ++step) {
    data::Batches resumed(Range(50), options);
    resumed.Seek(whole.position());
    const data::Batch expected = whole.Next(), got = resumed.Next();
    EXPECT_TRUE(std::ranges::equal(expected.rows, got.rows)) << "step " << step;
    EXPECT_EQ(got.end, expected.end);
    EXPECT_EQ(got.number, expected.number);
  }
}

// As of a checkpoint over rows of other lengths.
TEST(BatchesByBucket, APositionInsideABatchGoesOnAtTheNextOne) {
  for (int64_t next = 0; next < 50; ++next) {
    data::Batches batches(Range(50), {.batch_size = 8, .bucket_of = LengthOfRow});
    batches.Seek({0, next});
    while (batches.position().epoch == 0) {
      const data::Batch batch = batches.Next();
      EXPECT_GE(batch.begin.next, next);
      EXPECT_LE(batch.begin.next + static_cast<int64_t>(batch.rows.size()), 50);
    }
  }
}

TEST(BatchesByBucket, OfOneBucketAreThePlainPermutation) {
  std::vector<int32_t> order = Range(50);
  RandomStream stream(4, "shuffle", 2);
  for (size_t i = order.size(); i > 1; --i) {
    std::swap(order[i - 1], order[static_cast<size_t>(stream.NextBelow(i))]);
  }
  data::Batches batches(
      Range(50), {.batch_size = 50, .seed = 4, .bucket_of = [](int32_t) { return int64_t{7}; }});
  batches.Seek({2, 0});
  EXPECT_TRUE(std::ranges::equal(batches.Next().rows, order));
}

TEST(BatchesByBucket, WithoutShuffleComeLengthByLength) {
  data::Batches batches(Range(7), {.batch_size = 2, .shuffle = false, .bucket_of = LengthOfRow});
  EXPECT_THAT(batches.Next().rows, ElementsAre(1, 2));
  EXPECT_THAT(batches.Next().rows, ElementsAre(4, 5));
  EXPECT_THAT(batches.Next().rows, ElementsAre(0, 3));
  EXPECT_THAT(batches.Next().rows, ElementsAre(6));
}

}  // namespace

namespace train {
namespace {

class NoScore final : public tasks::Scorer {
 public:
  void Add(const float*, std::span<const int32_t> rows) override {
    rows_ += static_cast<double>(rows.size());
  }
  tasks::Evaluation Finish() const override {
    tasks::Evaluation result;
    result.metrics["rows"] = rows_;
    return result;
  }

 private:
  double rows_ = 0;
};

// Sequences of a row's own length around its own value; twice that value plus one is learned.
class Lengths final : public LossTask {
 public:
  absl::string_view name() const override { return "lengths"; }
  std::vector<int64_t> buckets(const tasks::TrainingConfig&) const override { return {10, 30}; }
  data::RowBucket RowBuckets(const data::Dataset& dataset) const override {
    return dataset.has_classes() ? LengthOfRow : [](int32_t) { return int64_t{30}; };
  }
  absl::StatusOr<data::Dataset> MakeUpExamples(const tasks::TrainingConfig&, const tasks::DataInfo&,
                                               int64_t, int64_t) const override {
    return data::Dataset();
  }

  absl::StatusOr<tasks::TaskGraph> BuildLoss(const tasks::TrainingConfig&, const tasks::DataInfo&,
                                             size_t,
                                             const tasks::BatchShape& shape) const override {
    tasks::TaskGraph result;
    result.built.graph = std::make_unique<Graph>();
    Graph& graph = *result.built.graph;
    const int64_t time = shape.bucket;
    const Value steps = graph.Input("steps", {{shape.batch, time}, DType::kF32});
    const Value mean = MatMul(graph, steps, Full(graph, {time, 1}, 1 / static_cast<double>(time)));
    layers::DenseOptions options;
    options.name = "dense";
    options.units = 1;
    result.model.output = layers::Dense(graph, mean, options);
    const Loss loss = RegressionLoss(graph, result.model.output,
                                     graph.Input("wanted", {{shape.batch, 1}, DType::kF32}),
                                     RegressionKind::kMeanSquaredError);
    result.built.request = {
        .graph = &graph, .fetch = {loss.sum, loss.weight, graph.Constant(0)}, .gradients = {}};
    return result;
  }
  absl::StatusOr<tasks::TaskGraph> BuildEvaluation(const tasks::TrainingConfig& config,
                                                   const tasks::DataInfo& info,
                                                   const tasks::BatchShape& shape) const override {
    HONE_ASSIGN_OR_RETURN(tasks::TaskGraph result, BuildLoss(config, info, 0, shape));
    result.built.request.fetch.push_back(result.model.output);
    return result;
  }
  absl::Status FillInputs(const data::Dataset& dataset, const tasks::Examples& examples,
                          const tasks::TaskState*, const tasks::Inputs& inputs) const override {
    const data::RowBucket bucket_of = RowBuckets(dataset);
    HONE_ASSIGN_OR_RETURN(const std::span<float> steps, inputs.Find<float>("steps"));
    HONE_ASSIGN_OR_RETURN(const std::span<float> wanted, inputs.Find<float>("wanted"));
    float* next = steps.data();
    for (size_t i = 0; i < examples.rows.size(); ++i) {
      const int32_t row = examples.rows[i];
      if (bucket_of(row) != inputs.shape().bucket) {
        return absl::InternalError("a row of another bucket");
      }
      RandomStream random(3, "value", static_cast<uint64_t>(row));
      const float value = random.NextUniform(-1, 1);
      next = std::fill_n(next, inputs.shape().bucket, value);
      wanted[i] = 2 * value + 1;
    }
    return absl::OkStatus();
  }
  std::unique_ptr<tasks::Scorer> NewScorer(const data::Dataset&,
                                           const tasks::DataInfo&) const override {
    return std::make_unique<NoScore>();
  }
};

class RowBuckets : public TaskTest {
 protected:
  RowBuckets() {
    config_ = Points();
    config_.data.validation_fraction = 0.2;
    config_.optimizer = optim::Adam{.learning_rate = 0.05};
    config_.epochs = 3;
    config_.layer_statistics_every = 1;
  }
};

TEST_F(RowBuckets, AreLearnedFromAndValidatedInTheirOwnLengths) {
  config_.epochs = 60;
  ASSERT_EQ(Attempt(Lengths(), NewRun()).value(), EndReason::kCompleted);
  EXPECT_NEAR(Values("dense.weight")[0], 2, 0.05);
  EXPECT_NEAR(Values("dense.bias")[0], 1, 0.05);
  EXPECT_LT(state_.history.back().values.at("validation_loss"), 0.01);
  EXPECT_EQ(state_.history.back().values.at("validation_rows"), 14);
}

TEST_F(RowBuckets, StoppedAtEveryStepHaveTheBitsOfARunLeftAlone) {
  ASSERT_EQ(Attempt(Lengths(), NewRun()).value(), EndReason::kCompleted);
  const auto weight = Values("dense.weight");
  const int64_t steps = state_.step;
  EXPECT_EQ(InPieces(Lengths()), steps);
  EXPECT_EQ(Values("dense.weight"), weight);
}

TEST_F(RowBuckets, HaveAnEpochOfAsManyStepsAsThereAreBatches) {
  const data::LoadedData data = tasks::LoadExamples(config_.data, config_, Lengths()).value();
  const tasks::DataInfo info = tasks::InfoOf(data, Lengths());
  ASSERT_EQ(Attempt(Lengths(), NewRun()).value(), EndReason::kCompleted);
  EXPECT_EQ(LengthOf(config_, info).total_steps, state_.step);
  EXPECT_EQ(state_.epoch, 3);
  const int64_t even = (info.train + config_.batch_size - 1) / config_.batch_size;
  EXPECT_GT(LengthOf(config_, info).steps_per_epoch, even);
}

TEST_F(RowBuckets, ArePlannedForAsTheyOccur) {
  const data::LoadedData data = tasks::LoadExamples(config_.data, config_, Lengths()).value();
  const tasks::DataInfo info = tasks::InfoOf(data, Lengths());
  const auto programs = Programs::Compile(config_, info, Lengths());
  ASSERT_TRUE(programs.ok()) << programs.status();
  EXPECT_EQ((*programs)->training_rows().size(), 2u);
  job::Plan plan = job::MakePlan(config_, info, **programs, true);
  EXPECT_GT(plan.training_flops_per_example, 0);
  ASSERT_TRUE(job::Measure(config_, info, Lengths(), **programs, plan).ok());
  EXPECT_GT(*plan.step_seconds, 0);
}

}  // namespace
}  // namespace train
}  // namespace hone::engine
