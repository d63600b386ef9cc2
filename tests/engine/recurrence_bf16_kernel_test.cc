#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <type_traits>
#include <vector>

#include "engine/base/cpu.h"
#include "engine/kernels/instruction_set.h"
#include "engine/kernels/recurrence.h"

// Recurrent layers over bf16 arrays against the same over f32, whose numbers bf16 holds exactly.
namespace hone::engine::kernels {
namespace {

struct Case {
  std::string name;
  Cell cell;
  int64_t units;
  bool reverse = false;
  bool starts = false;  // from states that are given
};

// Units that fill a vector, a panel, and neither; an odd count is never multiplied in pairs, and
// only multiples of 32 are by tiles.
const Case kCases[] = {
    {"tanh", Cell::kTanh, 18},
    {"tanh_odd", Cell::kTanh, 7, true},
    {"lstm", Cell::kLstm, 128},
    {"lstm_rest", Cell::kLstm, 22, true, true},
    {"lstm_one_pair", Cell::kLstm, 2},
    {"lstm_odd", Cell::kLstm, 5},
    {"gru", Cell::kGru, 64, false, true},
    {"tanh_of_a_tile", Cell::kTanh, 32, true},
    {"lstm_of_tiles", Cell::kLstm, 96, true, true},
    {"gru_reset_first_of_tiles", Cell::kGruResetFirst, 64, false, true},
    {"gru_rest", Cell::kGru, 70, true},
    {"gru_odd", Cell::kGru, 21},
    {"gru_reset_first", Cell::kGruResetFirst, 36, false, true},
    {"gru_reset_first_odd", Cell::kGruResetFirst, 9, true},
};

// More sequences than a tile has rows, some of them empty, and two parts.
const std::vector<int32_t> kOffsets = {0, 5, 5, 6, 17, 21, 24, 24, 30, 31, 33, 40, 41};
constexpr int kParts = 2;

std::vector<float> Numbers(int64_t count, int64_t step, float size) {
  std::vector<float> x(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    const float number = size * (static_cast<float>((i * step + i / 7) % 101) / 50 - 1);
    x[static_cast<size_t>(i)] = FromBf16(ToBf16(number));
  }
  return x;
}

std::vector<float> Widened(const std::vector<uint16_t>& x) {
  std::vector<float> y(x.size());
  std::transform(x.begin(), x.end(), y.begin(), FromBf16);
  return y;
}
std::vector<float> Rounded(std::vector<float> x) {
  std::ranges::transform(x, x.begin(), [](float v) { return FromBf16(ToBf16(v)); });
  return x;
}

double RelativeError(const std::vector<float>& got, const std::vector<float>& wanted) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    difference += std::pow(double{got[i]} - wanted[i], 2);
    norm += std::pow(double{wanted[i]}, 2);
  }
  return norm > 0 ? std::sqrt(difference / norm) : std::sqrt(difference);
}

struct Results {
  std::vector<float> y, kept, cell, dgates, dproduct, before;
};

class RecurrenceInBf16 : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override { KeepToInstructionSet(); }

  template <typename T>
  Results Run(PairProducts pairs) const {
    const Case& what = GetParam();
    const Recurrence r = {what.cell, what.units, what.reverse,
                          sizeof(T) == 2 ? DType::kBf16 : DType::kF32, pairs};
    const int64_t rows = kOffsets.back(), units = r.units, gates = GatesOf(r.cell);
    const auto sequences = static_cast<int64_t>(kOffsets.size()) - 1;
    const auto as = [](const std::vector<float>& x) {
      std::vector<T> y(x.size());
      std::ranges::transform(x, y.begin(), [](float v) {
        if constexpr (std::is_same_v<T, float>) {
          return v;
        } else {
          return ToBf16(v);
        }
      });
      return y;
    };
    const std::vector<T> x = as(Numbers(rows * gates * units, 37, 2));
    const std::vector<T> dy = as(Numbers(rows * units, 29, 1));
    const std::vector<float> weight =
        Numbers(units * gates * units, 53, 1 / std::sqrt(static_cast<float>(units)));
    const std::vector<float> bias = Numbers(gates * units, 11, 1);
    const std::vector<float> start = Numbers(sequences * units, 17, 1);
    std::vector<float> forward(static_cast<size_t>(PackedForwardFloats(r)));
    std::vector<float> backward(static_cast<size_t>(PackedBackwardFloats(r)));
    PackForward(r, weight.data(), forward.data());
    PackBackward(r, weight.data(), backward.data());
    std::vector<T> y(dy.size()), dgates(x.size()), dproduct(x.size()), before(dy.size());
    std::vector<float> kept(static_cast<size_t>(rows * KeptOf(r.cell) * units));
    std::vector<float> cell(r.cell == Cell::kLstm ? dy.size() : 0);
    const float* from = what.starts ? start.data() : nullptr;
    const float* from_cell = r.cell == Cell::kLstm ? from : nullptr;
    const auto or_null = [](std::vector<float>& all) { return all.empty() ? nullptr : all.data(); };
    std::vector<int32_t> order(static_cast<size_t>(sequences));
    SortByLength(kOffsets, order);
    for (int k = 0; k < kParts; ++k) {
      const SequencePart part = {kOffsets, order, k, kParts};
      std::vector<float> scratch(static_cast<size_t>(RecurrenceScratch(r, part.count())),
                                 std::nanf(""));
      RunRecurrence(r, part,
                    {x.data(), forward.data(), bias.data(), y.data(), or_null(kept), or_null(cell),
                     from, from_cell},
                    scratch.data());
      std::ranges::fill(scratch, std::nanf(""));
      RunRecurrenceGradient(
          r, part,
          {dy.data(), y.data(), or_null(kept), or_null(cell), nullptr, backward.data(),
           dgates.data(), r.cell == Cell::kGru ? dproduct.data() : nullptr, before.data(), from,
           from_cell},
          scratch.data());
    }
    if constexpr (std::is_same_v<T, float>) {
      return {y, kept, cell, dgates, dproduct, before};
    } else {
      return {Widened(y), kept, cell, Widened(dgates), Widened(dproduct), Widened(before)};
    }
  }

  static void ExpectNear(const Results& got, const Results& wanted, double tolerance) {
    EXPECT_LE(RelativeError(got.y, wanted.y), tolerance);
    EXPECT_LE(RelativeError(got.kept, wanted.kept), tolerance);
    EXPECT_LE(RelativeError(got.cell, wanted.cell), tolerance);
    EXPECT_LE(RelativeError(got.dgates, wanted.dgates), tolerance);
    EXPECT_LE(RelativeError(got.dproduct, wanted.dproduct), tolerance);
    EXPECT_LE(RelativeError(got.before, wanted.before), tolerance);
  }
};

TEST_P(RecurrenceInBf16, GoesForwardAsInF32WhereNumbersAreConverted) {
  const Results wanted = Run<float>(PairProducts::kNone), got = Run<uint16_t>(PairProducts::kNone);
  EXPECT_EQ(got.y, Rounded(wanted.y));
  EXPECT_EQ(got.kept, wanted.kept);
  EXPECT_EQ(got.cell, wanted.cell);
}

TEST_P(RecurrenceInBf16, IsThatOfF32WithinItsRoundingWhereNumbersAreConverted) {
  ExpectNear(Run<uint16_t>(PairProducts::kNone), Run<float>(PairProducts::kNone), 5e-3);
}

TEST_P(RecurrenceInBf16, IsThatOfF32WithinItsRoundingInPairs) {
  if (!HasBf16() || GetParam().units % 2 != 0) {
    GTEST_SKIP() << "nothing is multiplied in pairs";
  }
  ExpectNear(Run<uint16_t>(PairProducts::kVectors), Run<float>(PairProducts::kNone), 1e-2);
}

TEST_P(RecurrenceInBf16, IsThatOfF32WithinItsRoundingByTiles) {
  if (CpuInstructionSet() < InstructionSet::kAmx || GetParam().units % 32 != 0) {
    GTEST_SKIP() << "nothing is multiplied by tiles";
  }
  ExpectNear(Run<uint16_t>(PairProducts::kTiles), Run<float>(PairProducts::kNone), 1e-2);
}

INSTANTIATE_TEST_SUITE_P(All, RecurrenceInBf16, ::testing::ValuesIn(kCases),
                         [](const auto& which) { return which.param.name; });

}  // namespace
}  // namespace hone::engine::kernels
