#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "absl/strings/match.h"
#include "engine/base/cpu.h"
#include "engine/graph/reference.h"
#include "engine/kernels/instruction_set.h"
#include "engine/onednn/primitive.h"
#include "engine/ops/op_table.h"
#include "hwy/targets.h"
#include "tests/engine/op_case.h"
#include "tests/support/status_matchers.h"

// Every op, by its cases: the table of cases is op_cases_*.cc, the table of ops ops/op_table.h.
namespace hone::engine {
namespace {

using ::hone::testing::IsOk;

const std::vector<OpCase>& Cases() {
  static const auto* const kCases = new std::vector<OpCase>(AllCases());
  return *kCases;
}

// The loss with `numbers` of one input replaced.
double LossAt(const BuiltCase& built, int32_t node, const std::vector<double>& numbers) {
  const auto result = Interpret(built.graph, {built.loss},
                                [&](const Graph::Node& source) {
                                  DoubleTensor tensor = built.Source(source);
                                  if (&source == &built.graph.node(node)) {
                                    tensor.values = numbers;
                                  }
                                  return tensor;
                                },
                                {.seed = 7, .step = 3, .first_example = 5});
  return result.ok() ? (*result)[0][0] : std::nan("");
}

// Slope of the loss along `direction`, by central differences.
double SlopeAlong(const BuiltCase& built, int32_t node, const std::vector<double>& direction) {
  constexpr double kStep = 1e-5;
  std::vector<double> up = built.Source(built.graph.node(node)).values, down = up;
  for (size_t i = 0; i < up.size(); ++i) {
    up[i] += kStep * direction[i];
    down[i] -= kStep * direction[i];
  }
  return (LossAt(built, node, up) - LossAt(built, node, down)) / (2 * kStep);
}

class OpGradient : public ::testing::TestWithParam<size_t> {};

TEST_P(OpGradient, EqualsFiniteDifferencesOfTheReference) {
  const BuiltCase built(Cases()[GetParam()]);
  ASSERT_THAT(built.graph.status(), IsOk());
  const auto reference = RunReference(built);
  ASSERT_THAT(reference, IsOk());
  size_t next = built.outputs.outputs.size() + built.outputs.not_differentiated.size();
  for (size_t i = 0; i < built.gradients.size(); ++i) {
    const int32_t node = built.builder.differentiated[i].node;
    const auto count = static_cast<size_t>(built.graph.shape({node, 0}).elements());
    const std::vector<double> gradient =
        built.gradients[i].valid() ? (*reference)[next++] : std::vector<double>(count, 0);
    ASSERT_EQ(gradient.size(), count);
    const double largest = std::abs(*std::ranges::max_element(
        gradient, [](double a, double b) { return std::abs(a) < std::abs(b); }));
    const double tolerance = 1e-6 * (1 + largest);
    // Some elements by themselves, then all together in a direction of changing signs.
    std::vector<double> direction(count, 0);
    for (size_t k = 0; k < count; k += 1 + count / 12) {
      direction[k] = 1;
      EXPECT_NEAR(SlopeAlong(built, node, direction), gradient[k], tolerance)
          << "input " << i << ", element " << k;
      direction[k] = 0;
    }
    double along = 0;
    for (size_t k = 0; k < count; ++k) {
      direction[k] = (k * 5 % 7 < 3 ? -1 : 1) * (1 + static_cast<double>(k % 3)) / 3;
      along += direction[k] * gradient[k];
    }
    EXPECT_NEAR(SlopeAlong(built, node, direction), along,
                tolerance * std::sqrt(static_cast<double>(count)))
        << "input " << i << ", all elements";
  }
}

std::string NameOfCase(const ::testing::TestParamInfo<size_t>& info) {
  return Cases()[info.param].name;
}
INSTANTIATE_TEST_SUITE_P(All, OpGradient, ::testing::Range<size_t>(0, Cases().size()), NameOfCase);

struct Setting {
  DType compute;
  int threads;
};
constexpr Setting kSettings[] = {
    {DType::kF32, 1}, {DType::kF32, 2}, {DType::kBf16, 1}, {DType::kBf16, 2}};

bool Skipped(const Setting& setting) { return setting.compute == DType::kBf16 && !HasBf16(); }

class OpProgram : public ::testing::TestWithParam<std::tuple<size_t, size_t>> {};

TEST_P(OpProgram, GivesTheNumbersOfTheReference) {
  const OpCase& what = Cases()[std::get<0>(GetParam())];
  const Setting setting = kSettings[std::get<1>(GetParam())];
  if (Skipped(setting)) {
    GTEST_SKIP() << "this processor does not multiply bfloat16 numbers";
  }
  const BuiltCase built(what);
  const auto reference = RunReference(built);
  ASSERT_THAT(reference, IsOk());
  const auto program = RunProgram(built, setting.compute, setting.threads);
  ASSERT_THAT(program, IsOk());
  ASSERT_EQ(program->size(), reference->size());
  const double tolerance =
      setting.compute == DType::kF32 ? what.f32_tolerance : what.bf16_tolerance;
  for (size_t i = 0; i < reference->size(); ++i) {
    EXPECT_LE(RelativeError((*program)[i], (*reference)[i]), tolerance)
        << "result " << i << " (outputs first, then gradients)";
  }
}

double NormOf(const std::vector<double>& numbers) {
  return std::sqrt(std::inner_product(numbers.begin(), numbers.end(), numbers.begin(), 0.0));
}

// How far the loss may be off where each output is by `tolerance`: Cauchy and Schwarz.
double LossTolerance(const BuiltCase& built, const CaseResult& outputs, double tolerance) {
  double sum = 1e-6;
  for (size_t i = 0; i < built.outputs.outputs.size(); ++i) {
    const std::vector<float>& c = built.builder.numbers.at("cotangent" + std::to_string(i));
    sum += tolerance * NormOf(outputs[i]) * NormOf({c.begin(), c.end()});
  }
  return sum;
}

TEST_P(OpProgram, GivesTheSameLossAndGradientsWhenNothingElseIsAskedFor) {
  const OpCase& what = Cases()[std::get<0>(GetParam())];
  const Setting setting = kSettings[std::get<1>(GetParam())];
  const BuiltCase built(what);
  if (Skipped(setting)) {
    GTEST_SKIP() << "this processor does not multiply bfloat16 numbers";
  }
  if (!built.loss.valid()) {
    GTEST_SKIP() << "the case has no loss: the test before asks for all it has";
  }
  const auto outputs = RunReference(built);
  const auto reference = RunReference(built, Asked::kLossAlone);
  const auto program = RunProgram(built, setting.compute, setting.threads, Asked::kLossAlone);
  ASSERT_THAT(outputs, IsOk());
  ASSERT_THAT(reference, IsOk());
  ASSERT_THAT(program, IsOk());
  const double tolerance =
      setting.compute == DType::kF32 ? what.f32_tolerance : what.bf16_tolerance;
  EXPECT_NEAR((*program)[0][0], (*reference)[0][0], LossTolerance(built, *outputs, tolerance));
  for (size_t i = 1; i < reference->size(); ++i) {
    EXPECT_LE(RelativeError((*program)[i], (*reference)[i]), tolerance) << "gradient " << i - 1;
  }
}

std::string NameOfRun(const ::testing::TestParamInfo<std::tuple<size_t, size_t>>& info) {
  const Setting setting = kSettings[std::get<1>(info.param)];
  return Cases()[std::get<0>(info.param)].name + "_" + std::string(NameOf(setting.compute)) + "_" +
         std::to_string(setting.threads);
}
INSTANTIATE_TEST_SUITE_P(All, OpProgram,
                         ::testing::Combine(::testing::Range<size_t>(0, Cases().size()),
                                            ::testing::Range<size_t>(0, std::size(kSettings))),
                         NameOfRun);

// Further ctest entries run all of this as on smaller CPUs (HONE_MAX_CPU_ISA).
TEST(Kernels, AreThoseOfTheInstructionSetThatIsTested) {
  kernels::KeepToInstructionSet();
  const InstructionSet set = CpuInstructionSet();
  const std::string onednn = onednn::Description();
  EXPECT_EQ((hwy::SupportedTargets() & HWY_AVX3) != 0, set >= InstructionSet::kAvx512);
  EXPECT_EQ((hwy::SupportedTargets() & HWY_AVX2) != 0, set >= InstructionSet::kAvx2);
  EXPECT_TRUE(set >= InstructionSet::kAvx512 || !absl::StrContains(onednn, "avx512")) << onednn;
  EXPECT_TRUE(HasBf16() || !absl::StrContains(onednn, "bf16")) << onednn;
  EXPECT_TRUE(set >= InstructionSet::kAmx || !absl::StrContains(onednn, "amx")) << onednn;
}

TEST(OpTable, AndTheCasesNameTheSameOps) {
  std::set<std::string> used;
  for (const OpCase& what : Cases()) {
    const BuiltCase built(what);
    for (const Graph::Node& node : built.graph.nodes()) {
      if (node.op != nullptr && node.op->kind() != "test_contract") {
        used.emplace(node.op->kind());
      }
    }
  }
  EXPECT_THAT(used, ::testing::UnorderedElementsAreArray(
                        std::vector<std::string>(std::begin(kOpTable), std::end(kOpTable))));
}

}  // namespace
}  // namespace hone::engine
