#include <gmock/gmock.h>

#include "engine/ops/concat.h"
#include "engine/ops/reshape.h"
#include "engine/ops/scale.h"
#include "engine/ops/transpose.h"
#include "engine/ops/write_at.h"
#include "tests/support/bound_program.h"
#include "tests/support/status_matchers.h"

// Graph::Update: all buffers of a graph change at once, at the end of a run.
namespace hone::engine {
namespace {

using ::hone::engine::testing::AddParameter;
using ::hone::engine::testing::BoundProgram;
using ::hone::engine::testing::StoreOf;
using ::hone::testing::IsOk;
using ::testing::ElementsAre;

// Two buffers of two numbers, a = 1 2 and b = 3 4.
struct Pair {
  Graph graph;
  Value a = AddParameter(graph, "a", {2}, ParameterRole::kBuffer);
  Value b = AddParameter(graph, "b", {2}, ParameterRole::kBuffer);
  ParameterStore store;

  // Runs once and returns what `fetch` gives.
  std::vector<std::vector<float>> Run(const std::vector<Value>& fetch) {
    store = *StoreOf(graph);
    std::ranges::copy(std::vector<float>{1, 2}, Values("a").begin());
    std::ranges::copy(std::vector<float>{3, 4}, Values("b").begin());
    const auto bound = BoundProgram::Make(
        {.graph = &graph, .fetch = fetch, .gradients = {}, .update_buffers = true}, store);
    EXPECT_THAT(bound, IsOk());
    if (void* position = bound->program.input("position"); position != nullptr) {
      *static_cast<int32_t*>(position) = 1;
    }
    EXPECT_THAT(bound->program.Run({}), IsOk());
    std::vector<std::vector<float>> fetched;
    for (size_t i = 0; i < fetch.size(); ++i) {
      const auto* values = static_cast<const float*>(bound->program.fetched(static_cast<int>(i)));
      fetched.emplace_back(values, values + 2);
    }
    return fetched;
  }
  std::span<float> Values(absl::string_view name) {
    return store.mutable_values(*store.Find(name)).f32();
  }
};

TEST(Update, OfTwoBuffersByEachOtherSwapsThem) {
  Pair pair;
  pair.graph.Update(pair.a, pair.b);
  pair.graph.Update(pair.b, pair.a);
  pair.Run({});
  EXPECT_THAT(pair.Values("a"), ElementsAre(3, 4));
  EXPECT_THAT(pair.Values("b"), ElementsAre(1, 2));
}

TEST(Update, ByAnotherShapeOfABufferTakesItAsItWas) {
  Pair pair;
  pair.graph.Update(pair.a, ScaleBy(pair.graph, pair.a, pair.graph.Constant(10)));
  pair.graph.Update(pair.b, Reshape(pair.graph, Reshape(pair.graph, pair.a, {2, 1}), {2}));
  pair.Run({});
  EXPECT_THAT(pair.Values("a"), ElementsAre(10, 20));
  EXPECT_THAT(pair.Values("b"), ElementsAre(1, 2));
}

// Parts of a buffer that is changed in the same run: they are taken as they were.
TEST(Update, ByAPartOfAnotherBufferTakesItAsItWas) {
  Pair pair;
  Graph& graph = pair.graph;
  const Value square = AddParameter(graph, "square", {2, 2}, ParameterRole::kBuffer);
  graph.Update(pair.a, Reshape(graph, Slice(graph, square, 1, 2), {2}));
  graph.Update(square, Transpose(graph, square, {1, 0}));
  ParameterStore store = *StoreOf(graph);
  const auto values = [&](absl::string_view name) {
    return store.mutable_values(*store.Find(name)).f32();
  };
  std::ranges::copy(std::vector<float>{1, 2, 3, 4}, values("square").begin());
  const auto bound = BoundProgram::Make(
      {.graph = &graph, .fetch = {}, .gradients = {}, .update_buffers = true}, store);
  ASSERT_THAT(bound, IsOk());
  ASSERT_THAT(bound->program.Run({}), IsOk());
  EXPECT_THAT(values("a"), ElementsAre(2, 4));
  EXPECT_THAT(values("square"), ElementsAre(1, 3, 2, 4));
}

TEST(Update, IsNotSeenByAFetchOfTheBuffer) {
  Pair pair;
  pair.graph.Update(pair.a, pair.b);
  EXPECT_THAT(pair.Run({pair.a, pair.b}), ElementsAre(ElementsAre(1, 2), ElementsAre(3, 4)));
  EXPECT_THAT(pair.Values("a"), ElementsAre(3, 4));
}

TEST(Update, OfABufferByItselfChangesNothing) {
  Pair pair;
  pair.graph.Update(pair.a, pair.a);
  EXPECT_THAT(pair.Run({pair.a}), ElementsAre(ElementsAre(1, 2)));
  EXPECT_THAT(pair.Values("a"), ElementsAre(1, 2));
}

TEST(Update, GivenTwiceTakesTheLastEvenIfItCouldBeWrittenInPlace) {
  Pair pair;
  const Value position = pair.graph.Input("position", {Shape{}, DType::kS32});
  const Value one = Reshape(pair.graph, pair.graph.Constant(7), {1});
  const Value other = Reshape(pair.graph, pair.graph.Constant(8), {1});
  pair.graph.Update(pair.a, WriteAt(pair.graph, pair.a, one, position, 0));
  pair.graph.Update(pair.a, WriteAt(pair.graph, pair.a, other, position, 0));
  pair.Run({});
  EXPECT_THAT(pair.Values("a"), ElementsAre(1, 8));
}

}  // namespace
}  // namespace hone::engine
