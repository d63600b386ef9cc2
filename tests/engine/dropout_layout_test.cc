#include <gmock/gmock.h>

#include "engine/ops/dropout.h"
#include "tests/support/bound_program.h"
#include "tests/support/status_matchers.h"

// Which elements are dropped does not depend on how a batch is cut, wherever its examples are.
namespace hone::engine {
namespace {

using ::hone::engine::testing::BoundProgram;
using ::hone::engine::testing::Give;
using ::hone::engine::testing::StoreOf;
using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::HasSubstr;

// Dropout of ones, as a program for examples `first` … of the batch gives it.
std::vector<float> Mask(const Shape& shape, const ExampleLayout& layout, int64_t first,
                        int threads = 1) {
  Graph graph;
  const Value x = graph.Input("x", {shape, DType::kF32});
  const Value y = Dropout(graph, x, 0.5f, layout);
  ParameterStore store = *StoreOf(graph);
  const auto bound = BoundProgram::Make({.graph = &graph, .fetch = {y}, .gradients = {}}, store,
                                        {.threads = threads});
  EXPECT_THAT(bound, IsOk());
  Give(bound->program, "x", std::vector<float>(static_cast<size_t>(shape.elements()), 1));
  EXPECT_THAT(bound->program.Run({.seed = 3, .step = 4, .first_example = first}), IsOk());
  const auto* values = static_cast<const float*>(bound->program.fetched(0));
  return {values, values + shape.elements()};
}

// Four examples of three heads, [batch · heads, 5, 5].
TEST(Dropout, OfHeadsIsTheSameInShardsAsInTheWholeBatch) {
  const ExampleLayout layout = {.axis = 0, .per_example = 3};
  std::vector<float> parts = Mask({6, 5, 5}, layout, 0);
  const std::vector<float> second = Mask({6, 5, 5}, layout, 2);
  parts.insert(parts.end(), second.begin(), second.end());
  EXPECT_EQ(parts, Mask({12, 5, 5}, layout, 0));
}

// [time, batch, features]: six steps of four examples.
TEST(Dropout, OverTimeIsTheSameInShardsAsInTheWholeBatch) {
  constexpr int64_t kSteps = 6, kFeatures = 5;
  const std::vector<float> whole = Mask({kSteps, 4, kFeatures}, {.axis = 1}, 0);
  for (const int64_t first : {0, 2}) {
    const std::vector<float> part = Mask({kSteps, 2, kFeatures}, {.axis = 1}, first);
    for (int64_t t = 0; t < kSteps; ++t) {
      for (int64_t i = 0; i < 2 * kFeatures; ++i) {
        ASSERT_EQ(part[static_cast<size_t>(t * 2 * kFeatures + i)],
                  whole[static_cast<size_t>((t * 4 + first) * kFeatures + i)])
            << "step " << t << ", first example " << first;
      }
    }
  }
}

TEST(Dropout, OverTimeIsTheSameForAnyNumberOfThreads) {
  EXPECT_EQ(Mask({64, 9, 35}, {.axis = 1}, 2, 1), Mask({64, 9, 35}, {.axis = 1}, 2, 2));
}

TEST(Dropout, RefusesExamplesThatDoNotFillTheirDimension) {
  Graph graph;
  Dropout(graph, graph.Input("x", {{4, 6}, DType::kF32}), 0.5f, {.axis = 0, .per_example = 3});
  EXPECT_THAT(graph.status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("dimension 0 of [4, 6]")));
}

}  // namespace
}  // namespace hone::engine
