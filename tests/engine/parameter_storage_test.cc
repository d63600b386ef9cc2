#include <gmock/gmock.h>

#include <cmath>

#include "engine/base/cpu.h"
#include "engine/base/team.h"
#include "engine/ops/embedding.h"
#include "engine/ops/linear.h"
#include "engine/ops/mul.h"
#include "tests/support/bound_program.h"
#include "tests/support/status_matchers.h"

// Parameters that are not f32 in memory of our own.
namespace hone::engine {
namespace {

using ::hone::engine::testing::AddParameter;
using ::hone::engine::testing::BoundProgram;
using ::hone::engine::testing::Give;
using ::hone::engine::testing::RandomNumbers;
using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::HasSubstr;

// Memory that somebody else owns, of numbers that bf16 holds exactly.
class Lent {
 public:
  Lent(int64_t count, uint64_t seed) {
    for (const float number : RandomNumbers(count, seed)) {
      bits_->push_back(ToBf16(number));
    }
  }
  BorrowedValues Values() const {
    return {.dtype = DType::kBf16,
            .data = bits_->data(),
            .memory = bits_,
            .sha256 = "ab12",
            .path = "base.safetensors"};
  }
  std::vector<float> Wide() const {
    std::vector<float> wide;
    std::ranges::transform(*bits_, std::back_inserter(wide), FromBf16);
    return wide;
  }
  const void* data() const { return bits_->data(); }

 private:
  std::shared_ptr<std::vector<uint16_t>> bits_ = std::make_shared<std::vector<uint16_t>>();
};

// y = x · w with a frozen w, and the gradient with respect to x, that a scale before it needs.
// Of more rows than a product takes that reads the weights once (ReadsWeightsOnce).
struct Product {
  static constexpr int64_t kRows = 16;

  Graph graph;
  Value y, scale;
  int64_t in, out;

  Product(int64_t in_units, int64_t out_units) : in(in_units), out(out_units) {
    scale = AddParameter(graph, "scale", {kRows, in});
    const Value x = Mul(graph, graph.Input("x", {Shape{kRows, in}, DType::kF32}), scale);
    y = Linear(graph, x, AddParameter(graph, "w", {in, out}, ParameterRole::kFrozen), {});
  }
  ProgramRequest Forward() const { return {.graph = &graph, .fetch = {y}, .gradients = {}}; }
  ProgramRequest Training() {
    const Value weights = AddParameter(graph, "ones", {out, 1}, ParameterRole::kFrozen);
    const Value sum = Linear(graph, y, weights, {});
    const Value ones = graph.Input("dsum", {Shape{kRows, 1}, DType::kF32});
    const std::vector<Value> gradients = Differentiate(graph, {{sum, ones}}, {scale});
    return {.graph = &graph, .fetch = {sum}, .gradients = {{gradients[0], 0}}};
  }
};

ParameterStore StoreWith(const Graph& graph, const Lent* lent) {
  ParameterStore store;
  for (const Graph::Node& node : graph.nodes()) {
    if (node.kind == Graph::Node::Kind::kParameter) {
      EXPECT_THAT(store.Declare(node.parameter), IsOk());
    }
  }
  if (lent != nullptr) {
    EXPECT_THAT(store.Borrow(*store.Find("w"), lent->Values()), IsOk());
  }
  store.Allocate(1);
  store.Initialize(1);
  return store;
}

std::vector<float> ResultOf(const ProgramRequest& request, ParameterStore& store, DType compute,
                            int64_t count) {
  const auto bound = BoundProgram::Make(request, store, {.compute = compute});
  EXPECT_THAT(bound, IsOk());
  const int64_t inputs = request.graph->nodes()[1].types[0].shape.elements();
  Give(bound->program, "x", RandomNumbers(inputs, 5));
  if (bound->program.input("dsum") != nullptr) {
    Give(bound->program, "dsum", std::vector<float>(Product::kRows, 1.0f));
  }
  EXPECT_THAT(bound->program.Run({}), IsOk());
  const auto* values = static_cast<const float*>(bound->program.fetched(0));
  return {values, values + count};
}

TEST(ABorrowedParameter, IsReadWhereItLies) {
  const Product product(16, 24);
  const Lent lent(16 * 24, 3);
  const ParameterStore store = StoreWith(product.graph, &lent);
  const ParameterId id = *store.Find("w");
  EXPECT_EQ(store.values(id).data, lent.data());
  EXPECT_EQ(store.values(id).dtype, DType::kBf16);
}

TEST(ABorrowedParameter, TakesNoRoomInTheStore) {
  const Product product(64, 64);
  const Lent lent(64 * 64, 3);
  ParameterStore store = StoreWith(product.graph, &lent);
  EXPECT_EQ(store.SlabBytes(1), 2 * Product::kRows * 64 * 4);  // the scale and its gradient
  EXPECT_EQ(store.borrowed_bytes(), 2 * 64 * 64);
  EXPECT_EQ(store.mutable_values(*store.Find("w")).data, nullptr);
}

TEST(ABorrowedParameter, GivesTheBitsOfTheSameValuesInFloats) {
  const Product product(16, 24);
  const Lent lent(16 * 24, 3);
  ParameterStore borrowing = StoreWith(product.graph, &lent);
  ParameterStore owning = StoreWith(product.graph, nullptr);
  owning.mutable_values(*owning.Find("w")).CopyFrom(lent.Wide());
  owning.MarkChanged();
  const std::vector<float> expected =
      ResultOf(product.Forward(), owning, DType::kF32, Product::kRows * 24);
  EXPECT_EQ(ResultOf(product.Forward(), borrowing, DType::kF32, Product::kRows * 24), expected);
}

TEST(ABorrowedParameter, IsNotCopiedForABf16Product) {
  if (!HasBf16()) {
    GTEST_SKIP() << "this processor does not multiply bfloat16 numbers";
  }
  const Product product(256, 256);
  const Lent lent(256 * 256, 3);
  ParameterStore store = StoreWith(product.graph, &lent);
  const auto bound = BoundProgram::Make(product.Forward(), store, {.compute = DType::kBf16});
  ASSERT_THAT(bound, IsOk());
  EXPECT_EQ(store.packed_bytes(/*borrowed_only=*/true), 0);
  EXPECT_LT(bound->program.arena_bytes(), 2 * 256 * 256);
}

TEST(ABorrowedParameter, InABf16ProductGivesWhatAPackedCopyDoes) {
  if (!HasBf16()) {
    GTEST_SKIP() << "this processor does not multiply bfloat16 numbers";
  }
  Product product(64, 64);
  const Lent lent(64 * 64, 3);
  const ProgramRequest training = product.Training();
  ParameterStore borrowing = StoreWith(product.graph, &lent);
  ParameterStore owning = StoreWith(product.graph, nullptr);
  owning.mutable_values(*owning.Find("w")).CopyFrom(lent.Wide());
  owning.MarkChanged();
  const std::vector<float> a = ResultOf(training, borrowing, DType::kBf16, Product::kRows);
  const std::vector<float> b = ResultOf(training, owning, DType::kBf16, Product::kRows);
  EXPECT_THAT(a, ::testing::Pointwise(::testing::FloatNear(0.05f), b));
  const std::span<float> gradient = borrowing.gradients(0, 0), other = owning.gradients(0, 0);
  double difference = 0, norm = 0;
  for (size_t i = 0; i < gradient.size(); ++i) {
    difference += (gradient[i] - other[i]) * (gradient[i] - other[i]);
    norm += other[i] * other[i];
  }
  EXPECT_LT(std::sqrt(difference / norm), 0.01);
}

// Two of 2200 × 2200: as f32 each is more than what is copied.
TEST(ABorrowedParameter, ThatIsLargeIsConvertedForEachReaderAlone) {
  constexpr int64_t kSide = 2200;
  Product product(kSide, kSide);
  const Lent lent(kSide * kSide, 3);
  const ProgramRequest training = product.Training();
  ParameterStore store = StoreWith(product.graph, &lent);
  const auto bound = BoundProgram::Make(training, store);
  ASSERT_THAT(bound, IsOk());
  EXPECT_EQ(store.packed_bytes(/*borrowed_only=*/true), 0);
  int64_t converted = 0;
  for (const Program::Step& step : bound->program.steps()) {
    converted += step.op == "reorder";
  }
  EXPECT_EQ(converted, 2);  // forward and backward
  EXPECT_LT(bound->program.arena_bytes(), 3 * 2 * kSide * kSide);
}

TEST(ABorrowedParameter, GivesAnEmbeddingItsRowsWithoutACopyOfTheTable) {
  Graph graph;
  const Value table = AddParameter(graph, "w", {5000, 64}, ParameterRole::kFrozen);
  const Value y = Embedding(graph, table, graph.Input("x", {Shape{3}, DType::kS32}));
  const Lent lent(5000 * 64, 3);
  ParameterStore store = StoreWith(graph, &lent);
  const auto bound = BoundProgram::Make({.graph = &graph, .fetch = {y}, .gradients = {}}, store);
  ASSERT_THAT(bound, IsOk());
  Give(bound->program, "x", std::vector<int32_t>{4999, 7, 7});
  ASSERT_THAT(bound->program.Run({}), IsOk());
  const std::vector<float> wide = lent.Wide();
  const auto* rows = static_cast<const float*>(bound->program.fetched(0));
  EXPECT_TRUE(std::equal(rows, rows + 64, wide.end() - 64));
  EXPECT_TRUE(std::equal(rows + 128, rows + 192, wide.begin() + 7 * 64));
  EXPECT_EQ(store.packed_bytes(), 0);
  EXPECT_LT(bound->program.arena_bytes(), 10'000);
}

TEST(ABorrowedParameter, IsNeverInitialised) {
  const Product product(16, 24);
  const Lent lent(16 * 24, 3);
  const std::vector<float> before = lent.Wide();
  StoreWith(product.graph, &lent);
  EXPECT_EQ(lent.Wide(), before);
}

TEST(ABorrowedParameter, MustBeFrozen) {
  ParameterStore store;
  const ParameterId id = *store.Declare({.name = "w", .shape = {4}, .initializer = {}});
  EXPECT_THAT(store.Borrow(id, Lent(4, 3).Values()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("w is trainable")));
}

TEST(ABorrowedParameter, MustBeginAtAMultipleOfItsSize) {
  ParameterStore store;
  const ParameterId id = *store.Declare(
      {.name = "w", .shape = {4}, .initializer = {}, .role = ParameterRole::kFrozen});
  BorrowedValues values = Lent(8, 3).Values();
  values.data = static_cast<const char*>(values.data) + 1;
  EXPECT_THAT(store.Borrow(id, values),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("base.safetensors")));
}

// What comes from an earlier model or a checkpoint is not made up first.
TEST(AStore, InitialisesOnlyWhatIsWanted) {
  ParameterStore store;
  for (const char* name : {"taken", "new"}) {
    ASSERT_THAT(
        store.Declare(
            {.name = name, .shape = {64}, .initializer = {.kind = Initializer::Kind::kNormal}}),
        IsOk());
  }
  store.Allocate(1);
  std::ranges::fill(store.mutable_values(0).f32(), 7.0f);
  store.Initialize(1, [](ParameterId id) { return id == 1; });
  EXPECT_THAT(store.values(0).f32(), ::testing::Each(7.0f));
  EXPECT_THAT(store.values(1).f32(), ::testing::Not(::testing::Contains(0.0f)));
}

TEST(AParameterInBf16, TakesHalfTheRoomAndKeepsItsRoundedStart) {
  ParameterStore wide, narrow;
  ParameterSpec spec = {.name = "w",
                        .shape = {32, 64},
                        .initializer = {.kind = Initializer::Kind::kNormal},
                        .role = ParameterRole::kFrozen};
  ASSERT_THAT(wide.Declare(spec), IsOk());
  spec.dtype = DType::kBf16;
  ASSERT_THAT(narrow.Declare(spec), IsOk());
  for (ParameterStore* store : {&wide, &narrow}) {
    store->Allocate(0);
    store->Initialize(9);
  }
  EXPECT_EQ(narrow.SlabBytes(0) * 2, wide.SlabBytes(0));
  std::vector<float> rounded(32 * 64);
  narrow.values(0).CopyTo(rounded);
  const std::span<const float> exact = wide.values(0).f32();
  for (size_t i = 0; i < rounded.size(); ++i) {
    ASSERT_EQ(rounded[i], FromBf16(ToBf16(exact[i])));
  }
}

TEST(AParameterInBf16, CannotBeTrained) {
  ParameterStore store;
  EXPECT_THAT(store.Declare({.name = "w", .shape = {4}, .initializer = {}, .dtype = DType::kBf16}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("must be f32")));
}

}  // namespace
}  // namespace hone::engine
