#include <gmock/gmock.h>

#include "engine/base/cpu.h"
#include "engine/graph/sum.h"
#include "engine/ops/concat.h"
#include "engine/ops/matmul.h"
#include "engine/ops/scale.h"
#include "engine/ops/write_at.h"
#include "engine/plan/replicas.h"
#include "tests/support/bound_program.h"
#include "tests/support/small_net.h"
#include "tests/support/status_matchers.h"

// State in the store that outlives a run: a key/value cache that grows by a row at a time, and the
// versions of packed copies.
namespace hone::engine {
namespace {

using ::hone::engine::testing::AddParameter;
using ::hone::engine::testing::BoundProgram;
using ::hone::engine::testing::Give;
using ::hone::engine::testing::StoreOf;
using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Writes a row into the cache [4, 3] and fetches the sums of the cache's rows.
struct Cache {
  Graph graph;
  Value state, written, sums;

  explicit Cache(int64_t rows = 1) {
    state = AddParameter(graph, "cache", {4, 3}, ParameterRole::kTransient);
    written = WriteAt(graph, state, graph.Input("row", {{rows, 3}, DType::kF32}),
                      graph.Input("position", {Shape{}, DType::kS32}), 0);
    sums = MatMul(graph, written, graph.Input("ones", {{3, 1}, DType::kF32}));
    graph.Update(state, written);
  }
  ProgramRequest Request() const {
    return {.graph = &graph, .fetch = {sums}, .gradients = {}, .update_buffers = true};
  }
};

std::vector<float> Append(const Program& program, int32_t position, std::vector<float> row) {
  Give(program, "row", row);
  Give(program, "position", std::vector<int32_t>{position});
  Give(program, "ones", std::vector<float>{1, 1, 1});
  EXPECT_THAT(program.Run({}), IsOk());
  const auto* sums = static_cast<const float*>(program.fetched(0));
  return {sums, sums + 4};
}

ParameterStore ZeroStore(const Graph& graph) {
  ParameterStore store = *StoreOf(graph);
  for (ParameterId id = 0; id < store.size(); ++id) {
    std::ranges::fill(store.mutable_values(id).f32(), 0.0f);
  }
  return store;
}

TEST(State, GrowsByARowAndIsThereInTheNextRun) {
  const Cache cache;
  ParameterStore store = ZeroStore(cache.graph);
  const auto bound = BoundProgram::Make(cache.Request(), store);
  ASSERT_THAT(bound, IsOk());
  EXPECT_THAT(Append(bound->program, 0, {1, 1, 1}), ElementsAre(3, 0, 0, 0));
  EXPECT_THAT(Append(bound->program, 1, {2, 2, 2}), ElementsAre(3, 6, 0, 0));
  EXPECT_THAT(Append(bound->program, 3, {1, 2, 3}), ElementsAre(3, 6, 0, 6));
}

TEST(State, IsSharedBetweenPrograms) {
  const Cache one, two(/*rows=*/2);
  ParameterStore store = ZeroStore(one.graph);
  const auto prefill = BoundProgram::Make(two.Request(), store);
  const auto decode = BoundProgram::Make(one.Request(), store);
  ASSERT_THAT(prefill, IsOk());
  ASSERT_THAT(decode, IsOk());
  EXPECT_THAT(Append(prefill->program, 0, {1, 0, 0, 2, 0, 0}), ElementsAre(1, 2, 0, 0));
  EXPECT_THAT(Append(decode->program, 2, {3, 0, 0}), ElementsAre(1, 2, 3, 0));
}

TEST(State, IsWrittenInPlaceWithoutACopyOfTheRest) {
  const Cache cache;
  ParameterStore store = ZeroStore(cache.graph);
  ProgramRequest request = cache.Request();
  request.fetch = {cache.written};
  const auto bound = BoundProgram::Make(request, store);
  ASSERT_THAT(bound, IsOk());
  EXPECT_EQ(bound->program.fetched(0), store.values(0).data);
  ASSERT_EQ(bound->program.steps().size(), 1u);
  EXPECT_EQ(bound->program.steps()[0].op, "write_at");
  EXPECT_THAT(bound->program.updated(), ElementsAre(0));
}

TEST(State, ThatIsStillReadAsItWasIsNotOverwritten) {
  Cache cache;
  // Behind the write in the order of the nodes.
  const Value doubled = ScaleBy(cache.graph, cache.state, cache.graph.Constant(2));
  ParameterStore store = ZeroStore(cache.graph);
  std::ranges::fill(store.mutable_values(0).f32(), 1.0f);
  ProgramRequest request = cache.Request();
  request.fetch = {cache.sums, doubled};
  const auto bound = BoundProgram::Make(request, store);
  ASSERT_THAT(bound, IsOk());
  EXPECT_THAT(Append(bound->program, 0, {5, 5, 5}), ElementsAre(15, 3, 3, 3));
  EXPECT_THAT(std::span(static_cast<const float*>(bound->program.fetched(1)), 12),
              ::testing::Each(2));
  EXPECT_THAT(store.values(0).f32().subspan(0, 4), ElementsAre(5, 5, 5, 1));
}

TEST(State, IsReadAsItWasBeforeItIsChangedInPlace) {
  Cache cache;
  const Value doubled = ScaleBy(cache.graph, cache.state, cache.graph.Constant(2));
  ParameterStore store = ZeroStore(cache.graph);
  ProgramRequest request = cache.Request();
  request.fetch = {cache.written, doubled};
  const auto bound = BoundProgram::Make(request, store);
  ASSERT_THAT(bound, IsOk());
  std::vector<std::string> ops;
  for (const Program::Step& step : bound->program.steps()) {
    ops.push_back(step.op);
  }
  EXPECT_THAT(ops, ElementsAre("scale", "write_at"));
  EXPECT_EQ(bound->program.fetched(0), store.values(0).data);
}

TEST(State, ThatWouldHaveToBeCopiedNamesTheReaderInTheWay) {
  Cache cache;
  cache.graph.set_scope("attention");
  // It needs the new state and the old one.
  const Value both = Sum(cache.graph, cache.written, cache.state);
  ParameterStore store = ZeroStore(cache.graph);
  ProgramRequest request = cache.Request();
  request.fetch = {both};
  EXPECT_THAT(Program::Compile(request, store, {}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("state cache"), HasSubstr("attention (add)"))));
}

TEST(State, ThatWouldHaveToBeCopiedForAReaderOfAPartOfItNamesTheReader) {
  Cache cache;
  cache.graph.set_scope("attention");
  const Value row = Slice(cache.graph, cache.state, 1, 2, /*axis=*/0);
  const Value product = MatMul(cache.graph, row, cache.written, {.transpose_b = true});
  ParameterStore store = ZeroStore(cache.graph);
  ProgramRequest request = cache.Request();
  request.fetch = {product};
  EXPECT_THAT(Program::Compile(request, store, {}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("attention (matmul)")));
}

TEST(State, ThatIsFetchedAsItWasIsRefused) {
  Cache cache;
  ParameterStore store = ZeroStore(cache.graph);
  ProgramRequest request = cache.Request();
  request.fetch = {cache.state};
  EXPECT_THAT(Program::Compile(request, store, {}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("a fetch reads it")));
}

TEST(State, IsChangedInPlaceByOneWriteAfterAnother) {
  Graph graph;
  const Value state = AddParameter(graph, "cache", {4, 3}, ParameterRole::kTransient);
  const Value row = graph.Input("row", {{1, 3}, DType::kF32});
  const Value first = WriteAt(graph, state, row, graph.Input("a", {Shape{}, DType::kS32}), 0);
  const Value second = WriteAt(graph, first, row, graph.Input("b", {Shape{}, DType::kS32}), 0);
  graph.Update(state, second);
  ParameterStore store = ZeroStore(graph);
  const auto bound = BoundProgram::Make(
      {.graph = &graph, .fetch = {}, .gradients = {}, .update_buffers = true}, store);
  ASSERT_THAT(bound, IsOk());
  ASSERT_EQ(bound->program.steps().size(), 2u);
  Give(bound->program, "row", std::vector<float>{1, 2, 3});
  Give(bound->program, "a", std::vector<int32_t>{3});
  Give(bound->program, "b", std::vector<int32_t>{1});
  ASSERT_THAT(bound->program.Run({}), IsOk());
  EXPECT_THAT(store.values(0).f32(), ElementsAre(0, 0, 0, 1, 2, 3, 0, 0, 0, 1, 2, 3));
}

// Three rows of a batch, each [4, 2]; what is written goes to a place of its own in each.
struct RowsOfABatch {
  Graph graph;

  explicit RowsOfABatch(DType dtype) {
    const Value state = graph.Parameter({.name = "cache",
                                         .shape = {3, 4, 2},
                                         .initializer = {},
                                         .role = ParameterRole::kTransient,
                                         .dtype = dtype});
    const Value part = graph.Input("part", {{3, 1, 2}, DType::kF32});
    const Value positions = graph.Input("positions", {{3}, DType::kS32});
    graph.Update(state, WriteAt(graph, state, part, positions, /*axis=*/1));
  }
  ProgramRequest Request() const {
    return {.graph = &graph, .fetch = {}, .gradients = {}, .update_buffers = true};
  }
};

TEST(State, OfABatchIsWrittenAtAPositionOfEachRow) {
  const RowsOfABatch net(DType::kF32);
  ParameterStore store = ZeroStore(net.graph);
  const auto bound = BoundProgram::Make(net.Request(), store);
  ASSERT_THAT(bound, IsOk());
  Give(bound->program, "part", std::vector<float>{1, 2, 3, 4, 5, 6});
  Give(bound->program, "positions", std::vector<int32_t>{0, 3, 1});
  ASSERT_THAT(bound->program.Run({}), IsOk());
  EXPECT_THAT(store.values(0).f32(), ElementsAre(1, 2, 0, 0, 0, 0, 0, 0,  //
                                                 0, 0, 0, 0, 0, 0, 3, 4,  //
                                                 0, 0, 5, 6, 0, 0, 0, 0));
}

TEST(State, OfABatchRefusesAPositionBehindTheEndOfAnyRow) {
  const RowsOfABatch net(DType::kF32);
  ParameterStore store = ZeroStore(net.graph);
  const auto bound = BoundProgram::Make(net.Request(), store);
  ASSERT_THAT(bound, IsOk());
  Give(bound->program, "positions", std::vector<int32_t>{0, 0, 4});
  EXPECT_THAT(bound->program.Run({}),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("out of range")));
}

TEST(State, HasTheElementTypeThatIsDeclared) {
  if (!HasBf16()) {
    GTEST_SKIP() << "this processor does not convert bfloat16 numbers";
  }
  const RowsOfABatch net(DType::kBf16);
  ParameterStore store = *StoreOf(net.graph);
  ASSERT_EQ(store.values(0).bytes(), 3 * 4 * 2 * 2);
  const auto bound = BoundProgram::Make(net.Request(), store);
  ASSERT_THAT(bound, IsOk());
  Give(bound->program, "part", std::vector<float>{1, 2, 3, 4, 5, 6});
  Give(bound->program, "positions", std::vector<int32_t>{0, 3, 1});
  ASSERT_THAT(bound->program.Run({}), IsOk());
  std::vector<float> values(24);
  store.values(0).CopyTo(values);
  EXPECT_THAT(values, ElementsAre(1, 2, 0, 0, 0, 0, 0, 0,  //
                                  0, 0, 0, 0, 0, 0, 3, 4,  //
                                  0, 0, 5, 6, 0, 0, 0, 0));
}

TEST(State, RefusesAPositionBehindItsEnd) {
  const Cache cache;
  ParameterStore store = ZeroStore(cache.graph);
  const auto bound = BoundProgram::Make(cache.Request(), store);
  ASSERT_THAT(bound, IsOk());
  for (const int32_t position : {-1, 4}) {
    Give(bound->program, "position", std::vector<int32_t>{position});
    EXPECT_THAT(bound->program.Run({}),
                StatusIs(absl::StatusCode::kInternal, HasSubstr("out of range")));
  }
}

TEST(State, KeepsItsGraphInOneProgramSoThatShardsDoNotRace) {
  const auto build = [](int64_t) -> absl::StatusOr<BuiltGraph> {
    BuiltGraph built;
    built.graph = std::make_unique<Graph>();
    Graph& graph = *built.graph;
    const Value state = AddParameter(graph, "cache", {4, 3}, ParameterRole::kBuffer);
    graph.Update(state, ScaleBy(graph, state, graph.Constant(2)));
    built.request = {.graph = &graph, .fetch = {}, .gradients = {}, .update_buffers = true};
    return built;
  };
  const BuiltGraph whole = *build(16);
  EXPECT_TRUE(NeedsWholeBatch(*whole.graph));
  ParameterStore store = *StoreOf(*whole.graph, /*shards=*/2);
  EXPECT_THAT(Replicas::Compile(build, 16, store, {.threads = 2, .shards = 2}),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("2 shards")));
  EXPECT_THAT(Replicas::Compile(build, 16, store, {.threads = 2, .shards = 1}), IsOk());
}

// Counts what it packs.
class CountingPacker final : public Packer {
 public:
  CountingPacker(const void* values, void* packed, int* count)
      : values_(static_cast<const float*>(values)),
        packed_(static_cast<float*>(packed)),
        count_(count) {}
  void Pack() const override {
    *packed_ = values_[0];
    ++*count_;
  }

 private:
  const float* values_;
  float* packed_;
  int* count_;
};

struct PackedPair {
  ParameterStore store;
  ParameterId a, b;
  int packed_a = 0, packed_b = 0;
  float *copy_a, *copy_b;

  explicit PackedPair(int64_t bytes_a = 64, int64_t bytes_b = 64) {
    a = *store.Declare({.name = "a", .shape = {3}, .initializer = {}});
    b = *store.Declare(
        {.name = "b", .shape = {3}, .initializer = {}, .role = ParameterRole::kFrozen});
    store.Allocate(1);
    copy_a = Copy(a, bytes_a, &packed_a);
    copy_b = Copy(b, bytes_b, &packed_b);
  }
  float* Copy(ParameterId id, int64_t bytes, int* count) {
    return static_cast<float*>(
        *store.Packed(id, "copy", bytes, [count](const void* values, void* packed) {
          return std::make_unique<CountingPacker>(values, packed, count);
        }));
  }
};

TEST(PackedCopies, OfAParameterThatDidNotChangeAreLeftAlone) {
  PackedPair pair;
  pair.store.RefreshAll();
  pair.store.mutable_values(pair.a).f32()[0] = 7;
  pair.store.MarkChanged({&pair.a, 1});
  pair.store.RefreshAll();
  EXPECT_EQ(*pair.copy_a, 7);
  EXPECT_EQ(pair.packed_a, 2);
  EXPECT_EQ(pair.packed_b, 1);
  pair.store.MarkChanged();
  pair.store.RefreshAll();
  EXPECT_EQ(pair.packed_b, 2);
}

TEST(PackedCopies, ThatCannotBeMadeAreNotThere) {
  ParameterStore store;
  const ParameterId a = *store.Declare({.name = "a", .shape = {3}, .initializer = {}});
  store.Allocate(1);
  for (int attempt = 0; attempt < 2; ++attempt) {
    EXPECT_THAT(store.Packed(a, "copy", 64,
                             [](const void*, void*) { return absl::InternalError("refused"); }),
                StatusIs(absl::StatusCode::kInternal, HasSubstr("refused")));
  }
  EXPECT_EQ(store.packed_bytes(), 0);
  store.RefreshAll();
}

TEST(PackedCopies, OfABlendedParameterAreStaleWhoeverReadsThem) {
  PackedPair pair;
  pair.store.RefreshAll();
  pair.store.mutable_values(pair.a).f32()[0] = 3;
  ASSERT_THAT(pair.store.Copy(pair.a, pair.b), IsOk());
  pair.store.RefreshAll();
  EXPECT_EQ(*pair.copy_b, 3);
}

TEST(PackedCopies, AreSharedAmongWorkersByTheirBytes) {
  PackedPair pair(/*bytes_a=*/4096, /*bytes_b=*/64);
  ASSERT_EQ(pair.store.stale_bytes(), 4096 + 64);
  pair.store.Refresh(0, 2080);
  EXPECT_EQ(pair.packed_a, 1);  // the large one alone is more than half
  EXPECT_EQ(pair.packed_b, 0);
  pair.store.Refresh(2080, 4160);
  EXPECT_EQ(pair.packed_b, 1);
  // Where only the small one is stale, all of the work is one worker's.
  pair.store.MarkChanged({&pair.b, 1});
  ASSERT_EQ(pair.store.stale_bytes(), 64);
  pair.store.Refresh(0, 32);
  pair.store.Refresh(32, 64);
  EXPECT_EQ(pair.packed_a, 1);
  EXPECT_EQ(pair.packed_b, 2);
}

}  // namespace
}  // namespace hone::engine
