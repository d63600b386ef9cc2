#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <type_traits>
#include <vector>

#include "engine/base/cpu.h"
#include "engine/kernels/attention.h"
#include "engine/kernels/instruction_set.h"

// Attention of bf16 arrays against the same of f32, whose numbers bf16 holds exactly.
namespace hone::engine::kernels {
namespace {

struct Case {
  std::string name;
  Attention attention;
  int64_t queries, keys;
};

// Of one sequence: every rest of a vector, a panel, a tile and a block of queries, and pairs
// without a second one. Heads of 32 or 64 numbers are multiplied by tiles, too.
const Case kCases[] = {
    {"one_token", {.heads = 1, .kv_heads = 1, .dim = 2}, 1, 1},
    {"all", {.heads = 2, .kv_heads = 2, .dim = 32, .scale = 0.2f}, 33, 33},
    {"causal", {.heads = 2, .kv_heads = 2, .dim = 64, .scale = 0.125f, .causal = true}, 131, 131},
    {"grouped", {.heads = 4, .kv_heads = 2, .dim = 6, .scale = 0.5f, .causal = true}, 50, 50},
    {"cross", {.heads = 3, .kv_heads = 3, .dim = 18, .scale = 0.3f}, 7, 70},
    {"no_keys", {.heads = 1, .kv_heads = 1, .dim = 4}, 3, 0},
    {"more_queries", {.heads = 1, .kv_heads = 1, .dim = 4, .causal = true}, 9, 4},
    {"window",
     {.heads = 1, .kv_heads = 1, .dim = 8, .scale = 0.4f, .causal = true, .window = 20},
     200,
     200},
    {"dropout", {.heads = 2, .kv_heads = 1, .dim = 24, .scale = 0.2f, .dropout = 0.25f}, 65, 65},
    {"whole_tiles", {.heads = 1, .kv_heads = 1, .dim = 32, .scale = 0.2f}, 128, 128},
    {"one_token_of_a_tile", {.heads = 1, .kv_heads = 1, .dim = 32}, 1, 1},
    {"grouped_tiles",
     {.heads = 4, .kv_heads = 2, .dim = 32, .scale = 0.2f, .causal = true},
     50,
     50},
    {"cross_tiles", {.heads = 2, .kv_heads = 2, .dim = 64, .scale = 0.1f}, 7, 70},
    {"no_keys_for_tiles", {.heads = 1, .kv_heads = 1, .dim = 32}, 3, 0},
    {"window_of_tiles",
     {.heads = 1, .kv_heads = 1, .dim = 32, .scale = 0.2f, .causal = true, .window = 20},
     200,
     200},
    {"dropout_of_tiles",
     {.heads = 2, .kv_heads = 1, .dim = 32, .scale = 0.2f, .dropout = 0.25f},
     65,
     65},
    {"alibi", {.heads = 6, .kv_heads = 3, .dim = 10, .scale = 0.3f, .alibi = true}, 40, 40},
};

std::vector<float> Numbers(int64_t count, int64_t step) {
  std::vector<float> x(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    x[static_cast<size_t>(i)] =
        FromBf16(ToBf16(static_cast<float>((i * step + i / 7) % 101) / 50 - 1));
  }
  return x;
}

std::vector<uint16_t> Rounded(const std::vector<float>& x) {
  std::vector<uint16_t> y(x.size());
  std::transform(x.begin(), x.end(), y.begin(), ToBf16);
  return y;
}
std::vector<float> Widened(const std::vector<uint16_t>& x) {
  std::vector<float> y(x.size());
  std::transform(x.begin(), x.end(), y.begin(), FromBf16);
  return y;
}

// y, log_sums, dq, dk, dv.
using Results = std::vector<std::vector<float>>;

class AttentionInBf16 : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override { KeepToInstructionSet(); }

  // T is the element type of the arrays.
  template <typename T>
  Results Run(PairProducts pairs) const {
    const auto& [name, a, queries, keys] = GetParam();
    const int64_t of_queries = queries * a.heads * a.dim, of_keys = keys * a.kv_heads * a.dim;
    const auto as = [](const std::vector<float>& x) {
      if constexpr (std::is_same_v<T, float>) {
        return x;
      } else {
        return Rounded(x);
      }
    };
    const std::vector<T> q = as(Numbers(of_queries, 37)), k = as(Numbers(of_keys, 53));
    const std::vector<T> v = as(Numbers(of_keys, 11)), dy = as(Numbers(of_queries, 29));
    std::vector<T> y(q.size()), dq(q.size()), dk(k.size()), dv(k.size());
    std::vector<float> log_sums(static_cast<size_t>(queries * a.heads));
    std::vector<float> scratch(static_cast<size_t>(AttentionScratch(a, keys)), std::nanf(""));
    const AttentionArrays arrays = {
        q.data(), k.data(), v.data(), 99, keys, sizeof(T) == 2 ? DType::kBf16 : DType::kF32, pairs};
    const AttentionGradientArrays gradient = {dy.data(), log_sums.data(), dq.data(), dk.data(),
                                              dv.data()};
    for (int64_t head = 0; head < a.kv_heads; ++head) {
      const AttentionPart part = {0, queries, 0, keys, head};
      Attend(a, part, arrays, y.data(), log_sums.data(), scratch.data());
      AttendGradient(a, part, arrays, gradient, scratch.data());
    }
    Results results;
    for (const auto& result : {y, dq, dk, dv}) {
      if constexpr (std::is_same_v<T, float>) {
        results.push_back(result);
      } else {
        results.push_back(Widened(result));
      }
    }
    results.push_back(log_sums);
    return results;
  }

  static void ExpectNear(const Results& got, const Results& wanted) {
    for (size_t i = 0; i < wanted.size(); ++i) {
      double difference = 0, norm = 0;
      for (size_t k = 0; k < wanted[i].size(); ++k) {
        difference += std::pow(double{got[i][k]} - wanted[i][k], 2);
        norm += std::pow(double{wanted[i][k]}, 2);
      }
      EXPECT_LE(std::sqrt(difference), 8e-3 * std::sqrt(norm) + 1e-6) << "result " << i;
    }
  }
};

TEST_P(AttentionInBf16, IsThatOfF32RoundedWhereNumbersAreConverted) {
  const Results wanted = Run<float>(PairProducts::kNone), got = Run<uint16_t>(PairProducts::kNone);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(got[i], Widened(Rounded(wanted[i]))) << "result " << i;
  }
  EXPECT_EQ(got[4], wanted[4]);
}

TEST_P(AttentionInBf16, IsThatOfF32WithinItsRoundingInPairs) {
  if (!HasBf16()) {
    GTEST_SKIP() << "this processor does not multiply bfloat16 numbers";
  }
  ExpectNear(Run<uint16_t>(PairProducts::kVectors), Run<float>(PairProducts::kNone));
}

TEST_P(AttentionInBf16, IsThatOfF32WithinItsRoundingByTiles) {
  if (CpuInstructionSet() < InstructionSet::kAmx || GetParam().attention.dim % 32 != 0) {
    GTEST_SKIP() << "nothing is multiplied by tiles";
  }
  ExpectNear(Run<uint16_t>(PairProducts::kTiles), Run<float>(PairProducts::kNone));
}

INSTANTIATE_TEST_SUITE_P(All, AttentionInBf16, ::testing::ValuesIn(kCases),
                         [](const auto& which) { return which.param.name; });

}  // namespace
}  // namespace hone::engine::kernels
