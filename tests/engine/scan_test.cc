#include "engine/ops/scan.h"

#include <gmock/gmock.h>

#include "engine/ops/mul.h"
#include "tests/support/status_matchers.h"

namespace hone::engine {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::HasSubstr;

// Its numbers would be wrong: the states that the gradient reads depend on what it is taken of.
TEST(Scan, FailsWhereTheGradientOfItsGradientIsAskedFor) {
  Graph graph;
  const Value x = graph.Input("x", {Shape{3, 1}, DType::kF32});
  const Value start = graph.Input("start", {Shape{1}, DType::kF32});
  const ScanResult scan = Scan(graph, {.carries = {start}, .sequences = {x}, .constants = {}},
                               {.steps = 3}, [](Graph& body, const ScanStep& step) {
                                 const Value next = Mul(body, step.carries[0], step.sequences[0]);
                                 return ScanStepResult{.carries = {next}, .outputs = {}};
                               });
  const Value dy = graph.Input("dy", {Shape{1}, DType::kF32});
  const Value slope = Differentiate(graph, {{scan.carries[0], dy}}, {start})[0];
  ASSERT_THAT(graph.status(), IsOk());
  Differentiate(graph, {{slope, dy}}, {x});
  EXPECT_THAT(graph.status(),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("gradient of its gradient")));
}

}  // namespace
}  // namespace hone::engine
