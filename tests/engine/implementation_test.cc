#include "engine/ops/implementation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "engine/graph/graph.h"
#include "engine/ops/broadcast.h"
#include "engine/ops/conv2d.h"
#include "engine/ops/linear.h"
#include "engine/ops/pool2d.h"
#include "engine/plan/program.h"
#include "tests/support/bound_program.h"
#include "tests/support/status_matchers.h"

// The rule of kernels/README.md. Its functions are asked about every instruction set on any
// machine; further ctest entries run this file with HONE_MAX_CPU_ISA, so that programs, too, are
// planned as on smaller CPUs.
namespace hone::engine {
namespace {

using ::hone::engine::testing::AddParameter;
using ::hone::engine::testing::BoundProgram;
using ::hone::engine::testing::Give;
using ::hone::engine::testing::StoreOf;
using ::hone::testing::IsOk;
using enum InstructionSet;
using enum Implementation;
using kernels::PairProducts;

constexpr InstructionSet kSets[] = {kLeast, kAvx2, kAvx512, kAvx512Bf16, kAmx};

TEST(TheRule, TakesOurConvolutionGradientInF32WhereVectorsHave16Floats) {
  for (const InstructionSet set : kSets) {
    EXPECT_EQ(ConvWeightGradientBy(set, DType::kF32, 32, 64, 1), set >= kAvx512 ? kOurs : kOneDnn);
  }
}

TEST(TheRule, TakesOurConvolutionGradientInBf16UnlessTilesMultiply) {
  EXPECT_EQ(ConvWeightGradientBy(kAvx512Bf16, DType::kBf16, 32, 64, 1), kOurs);
  EXPECT_EQ(ConvWeightGradientBy(kAmx, DType::kBf16, 32, 64, 1), kOneDnn);
}

TEST(TheRule, LeavesConvolutionsOfGroupsAndOddChannelsToOneDnn) {
  for (const InstructionSet set : kSets) {
    EXPECT_EQ(ConvWeightGradientBy(set, DType::kF32, 32, 64, 2), kOneDnn);
    EXPECT_EQ(ConvWeightGradientBy(set, DType::kF32, 1, 64, 1), kOneDnn);
    EXPECT_EQ(ConvWeightGradientBy(set, DType::kF32, 32, 17, 1), kOneDnn);
  }
}

TEST(TheRule, MultipliesOneGreyPlaneInF32WhereTilesWouldStandEmpty) {
  EXPECT_EQ(ConvProductType(kAmx, DType::kBf16, 1), DType::kF32);
  EXPECT_EQ(ConvProductType(kAmx, DType::kBf16, 3), DType::kBf16);
  EXPECT_EQ(ConvProductType(kAvx512Bf16, DType::kBf16, 1), DType::kBf16);
  EXPECT_EQ(ConvProductType(kAmx, DType::kF32, 3), DType::kF32);
}

TEST(TheRule, MultipliesInF32ByWeightsThatLieNearWhereVectorsHave16Floats) {
  for (const InstructionSet set : kSets) {
    EXPECT_EQ(LinearBy(set, DType::kF32, 128, 256, 256), set >= kAvx512 ? kOurs : kOneDnn);
    EXPECT_EQ(LinearBy(set, DType::kF32, 1024, 4, 128), set >= kAvx512 ? kOurs : kOneDnn);
    EXPECT_EQ(LinearBy(set, DType::kF32, 1, 257, 256), kOneDnn);
    EXPECT_EQ(LinearBy(set, DType::kF32, 129, 256, 256), kOneDnn);
    EXPECT_EQ(LinearBy(set, DType::kBf16, 1, 64, 64), kOneDnn);
  }
}

TEST(TheRule, ReadsWeightsOnceOfFewRowsInF32WhereTheyAreFarOrKeptInBf16) {
  for (const InstructionSet set : kSets) {
    const bool able = set >= kAvx2;
    EXPECT_EQ(ReadsWeightsOnce(set, DType::kF32, DType::kF32, 8, 257, 256), able);
    EXPECT_EQ(ReadsWeightsOnce(set, DType::kF32, DType::kBf16, 1, 16, 16), able);
    EXPECT_FALSE(ReadsWeightsOnce(set, DType::kF32, DType::kF32, 9, 257, 256));
    EXPECT_FALSE(ReadsWeightsOnce(set, DType::kF32, DType::kF32, 1, 256, 256));
    EXPECT_FALSE(ReadsWeightsOnce(set, DType::kBf16, DType::kBf16, 1, 257, 256));
  }
}

TEST(TheRule, AsksForGradientsOfDenseLayersInBf16AsProductsWhereTilesMultiply) {
  for (const InstructionSet set : kSets) {
    EXPECT_EQ(LinearGradientBy(set, DType::kF32), LinearGradient::kInnerProduct);
    EXPECT_EQ(LinearGradientBy(set, DType::kBf16),
              set >= kAmx ? LinearGradient::kProduct : LinearGradient::kInnerProduct);
  }
}

TEST(TheRule, AsksForNoProductByTilesWithColumnsThatAreNotWholeVectors) {
  for (const InstructionSet set : kSets) {
    EXPECT_EQ(MatMulIsSound(set, DType::kBf16, 60), set < kAmx);
    EXPECT_TRUE(MatMulIsSound(set, DType::kBf16, 64));
    EXPECT_TRUE(MatMulIsSound(set, DType::kF32, 60));
  }
}

TEST(TheRule, BringsKeptWeightsIntoBlocksWhereManyRowsAreMultipliedByTiles) {
  for (const InstructionSet set : kSets) {
    EXPECT_EQ(WantsBlocksOfWeights(set, DType::kBf16, 128, 1 << 23), set >= kAmx);
    EXPECT_FALSE(WantsBlocksOfWeights(set, DType::kBf16, 127, 1 << 20));
    EXPECT_FALSE(WantsBlocksOfWeights(set, DType::kBf16, 128, (1 << 23) + 1));
    EXPECT_FALSE(WantsBlocksOfWeights(set, DType::kF32, 128, 1 << 20));
  }
}

TEST(TheRule, MultipliesRowsBeyondWholeBlocksByThemselvesWhereTilesMultiply) {
  for (const InstructionSet set : kSets) {
    EXPECT_EQ(LinearRowsInBlocks(set, DType::kF32, 848), 848);
    EXPECT_EQ(LinearRowsInBlocks(set, DType::kBf16, 848), set >= kAmx ? 832 : 848);
    EXPECT_EQ(LinearRowsInBlocks(set, DType::kBf16, 832), 832);
    EXPECT_EQ(LinearRowsInBlocks(set, DType::kBf16, 63), 63);
  }
}

TEST(TheRule, MultipliesPairsOfSequencesWhereTheProcessorDoesAndRowsAreWholePairs) {
  for (const InstructionSet set : kSets) {
    const bool pairs = set >= kAvx512Bf16, tiles = set >= kAmx;
    EXPECT_EQ(PairProductsBy(set, DType::kBf16, 64), tiles   ? PairProducts::kTiles
                                                     : pairs ? PairProducts::kVectors
                                                             : PairProducts::kNone);
    EXPECT_EQ(PairProductsBy(set, DType::kBf16, 48),
              pairs ? PairProducts::kVectors : PairProducts::kNone);
    EXPECT_EQ(PairProductsBy(set, DType::kBf16, 63), PairProducts::kNone);
    EXPECT_EQ(PairProductsBy(set, DType::kF32, 64), PairProducts::kNone);
  }
}

TEST(TheRule, PoolsWhereChannelsLieSideBySideAndSoDoWindows) {
  for (const DType dtype : {DType::kF32, DType::kBf16}) {
    for (const int64_t lanes : {8, 16, 32, 64}) {
      EXPECT_EQ(PoolBy(dtype, lanes, 4, true, true), kOurs) << lanes;
      EXPECT_EQ(PoolBy(dtype, lanes, 9, true, true), kOurs) << lanes;
      EXPECT_EQ(PoolBy(dtype, lanes, 9, false, true), kOneDnn) << lanes;
    }
    for (const int64_t lanes : {0, 1, 3, 17}) {
      EXPECT_EQ(PoolBy(dtype, lanes, 4, true, true), kOneDnn) << lanes;
    }
  }
}

TEST(TheRule, PoolsWhateverItCanWhereOneDnnHasItsReferenceAlone) {
  EXPECT_EQ(PoolBy(DType::kBf16, 32, 9, false, false), kOurs);
  EXPECT_EQ(PoolBy(DType::kF32, 16, 256, true, false), kOurs);
  EXPECT_EQ(PoolBy(DType::kF32, 16, 257, true, false), kOneDnn);
  EXPECT_EQ(PoolBy(DType::kF32, 17, 4, true, false), kOneDnn);
  EXPECT_EQ(PoolBy(DType::kU8, 16, 4, true, false), kOneDnn);
}

TEST(LimitedInstructionSet, IsTheSmallerOfTheProcessorsAndTheNamedOne) {
  EXPECT_EQ(LimitedInstructionSet(kAmx, nullptr), kAmx);
  EXPECT_EQ(LimitedInstructionSet(kAmx, ""), kAmx);
  EXPECT_EQ(LimitedInstructionSet(kAmx, "AVX512_BF16"), kAvx512Bf16);
  EXPECT_EQ(LimitedInstructionSet(kAmx, "avx512"), kAvx512);
  EXPECT_EQ(LimitedInstructionSet(kAvx2, "AMX"), kAvx2);
  EXPECT_EQ(LimitedInstructionSet(kAmx, "SSE2"), kLeast);
}

// What the steps of `op` run on, in a program of a convolution of 32 channels and a pool with their
// gradients.
std::string PlannedOn(absl::string_view op, DType compute) {
  Graph graph;
  const Value x = graph.Input("x", {{4, 32, 8, 8}, DType::kF32});
  const Value w = AddParameter(graph, "w", {64, 32, 3, 3});
  const Value y = MaxPool2d(graph, Conv2d(graph, x, w, {}, {}), {});
  const Value dy = graph.Input("dy", {graph.shape(y), DType::kF32});
  const Value dw = Differentiate(graph, {{y, dy}}, {w})[0];
  ParameterStore store = *StoreOf(graph);
  const auto program = Program::Compile({.graph = &graph, .fetch = {y, dw}, .gradients = {}}, store,
                                        {.threads = 1, .compute = compute});
  EXPECT_THAT(program, IsOk());
  std::string found;
  for (const Program::Step& step : program->steps()) {
    found += step.op == op ? step.implementation : "";
  }
  return found;
}

std::vector<DType> ComputeTypes() {
  return HasBf16() ? std::vector{DType::kF32, DType::kBf16} : std::vector{DType::kF32};
}

TEST(APlan, FollowsTheRuleOfConvolutionGradients) {
  for (const DType compute : ComputeTypes()) {
    const bool ours = ConvWeightGradientBy(CpuInstructionSet(), compute, 32, 64, 1) == kOurs;
    EXPECT_EQ(PlannedOn("conv2d_weight_gradient", compute) == "blocked", ours) << NameOf(compute);
  }
}

TEST(APlan, FollowsTheRuleOfDenseLayersInBothDirections) {
  for (const int64_t units : {128, 1000}) {
    Graph graph;
    const Value x = graph.Input("x", {{4, 128}, DType::kF32});
    const Value w = AddParameter(graph, "w", {128, units});
    const Value y = Linear(graph, x, w, std::nullopt);
    const Value dy = graph.Input("dy", {graph.shape(y), DType::kF32});
    std::vector<Value> fetch = Differentiate(graph, {{y, dy}}, {x, w});
    fetch.push_back(y);
    ParameterStore store = *StoreOf(graph);
    const auto program =
        Program::Compile({.graph = &graph, .fetch = fetch, .gradients = {}}, store, {});
    ASSERT_THAT(program, IsOk());
    const bool ours = LinearBy(CpuInstructionSet(), DType::kF32, 4, 128, units) == kOurs;
    int products = 0;
    for (const Program::Step& step : program->steps()) {
      if (step.op.starts_with("linear")) {
        EXPECT_EQ(step.implementation == "small", ours) << step.op << " to " << units;
        ++products;
      }
    }
    EXPECT_EQ(products, 3);
  }
}

// 2^24 takes no 1 that is added to it in f32: the ones of the second half count only where they are
// added up apart from it.
TEST(APlan, SharesASumOverRowsAmongItsThreads) {
  constexpr int64_t kRows = 8192, kWidth = 8;
  constexpr float kLarge = 1 << 24;
  Graph graph;
  const Value x = graph.Input("x", {{kRows, kWidth}, DType::kF32});
  const Value sum = SumTo(graph, x, {kWidth});
  for (const int threads : {1, 2}) {
    ParameterStore store = *StoreOf(graph);
    const auto bound = BoundProgram::Make({.graph = &graph, .fetch = {sum}, .gradients = {}}, store,
                                          {.threads = threads});
    ASSERT_THAT(bound, IsOk());
    std::vector<float> numbers(kRows * kWidth, 1.0f);
    std::fill_n(numbers.begin(), kWidth, kLarge);
    Give(bound->program, "x", numbers);
    ASSERT_THAT(bound->program.Run({}), IsOk());
    const float wanted = threads == 1 ? kLarge : kLarge + kRows / 2;
    const auto* sums = static_cast<const float*>(bound->program.fetched(0));
    for (int64_t i = 0; i < kWidth; ++i) {
      EXPECT_EQ(sums[i], wanted) << threads << " threads, column " << i;
    }
  }
}

TEST(APlan, PoolsWithOurKernelsInBothDirectionsBehindAConvolution) {
  if (CpuInstructionSet() == kLeast) {
    GTEST_SKIP() << "oneDNN's convolution lays channels out as it likes";
  }
  for (const DType compute : ComputeTypes()) {
    EXPECT_EQ(PlannedOn("max_pool2d", compute), "planes") << NameOf(compute);
    EXPECT_EQ(PlannedOn("max_pool2d_gradient", compute), "planes") << NameOf(compute);
  }
}

}  // namespace
}  // namespace hone::engine
