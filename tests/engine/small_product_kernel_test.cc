#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/cpu.h"
#include "engine/kernels/small_product.h"

namespace hone::engine::kernels {
namespace {

struct Extents {
  int64_t rows, inner, columns;
};

// Every number of rows and of vectors that a tile has, with and without a rest; columns that are
// dots, alone, in twos and in fours.
const Extents kExtents[] = {{1, 1, 1},    {7, 3, 17},    {15, 24, 24}, {8, 16, 64}, {13, 5, 96},
                            {9, 128, 50}, {16, 33, 128}, {13, 128, 7}, {5, 65, 2},  {4, 16, 8},
                            {3, 200, 1},  {11, 4, 128},  {30, 15, 8}};

class SmallProductKernel : public ::testing::TestWithParam<Extents> {
 protected:
  void SetUp() override {
    if (CpuInstructionSet() < InstructionSet::kAvx512) {
      GTEST_SKIP() << "needs AVX-512";
    }
    const auto [rows, inner, columns] = GetParam();
    a_ = Numbers(rows * inner, 37);
    b_ = Numbers(inner * columns, 53);
    bias_ = Numbers(columns, 11);
    product_ = {.rows = rows,
                .inner = inner,
                .columns = columns,
                .a_row = inner,
                .c_row = columns,
                .dots = WantsDots(inner, columns)};
  }

  // Between −1 and 1, in no order.
  static std::vector<float> Numbers(int64_t count, int64_t step) {
    std::vector<float> x(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i) {
      x[static_cast<size_t>(i)] = static_cast<float>((i * step + i / 7) % 101) / 50 - 1;
    }
    return x;
  }

  float A(int64_t r, int64_t k) const {
    return a_[static_cast<size_t>(r * product_.a_row + k * product_.a_inner)];
  }
  float B(int64_t k, int64_t n) const {
    return b_[static_cast<size_t>(product_.dots ? n * product_.inner + k
                                                : k * product_.columns + n)];
  }
  std::vector<float> Product(int64_t begin, int64_t end) const {
    std::vector<float> c(static_cast<size_t>(product_.rows * product_.columns), kUntouched);
    Multiply(product_, a_.data(), b_.data(), bias_.data(), c.data(), begin, end);
    return c;
  }
  void ExpectProduct(const std::vector<float>& c) const {
    for (int64_t r = 0; r < product_.rows; ++r) {
      for (int64_t n = 0; n < product_.columns; ++n) {
        double sum = double{bias_[static_cast<size_t>(n)]};
        for (int64_t k = 0; k < product_.inner; ++k) {
          sum += double{A(r, k)} * double{B(k, n)};
        }
        sum = product_.relu ? std::max(sum, 0.0) : sum;
        const float got = c[static_cast<size_t>(r * product_.c_row + n * product_.c_column)];
        ASSERT_NEAR(got, sum, 1e-6 * static_cast<double>(product_.inner + 1)) << r << ", " << n;
      }
    }
  }

  static constexpr float kUntouched = 12345;
  SmallProduct product_;
  std::vector<float> a_, b_, bias_;
};

TEST_P(SmallProductKernel, IsTheSumOfTheProducts) { ExpectProduct(Product(0, product_.rows)); }

TEST_P(SmallProductKernel, CutsWhatIsBelowZero) {
  product_.relu = true;
  ExpectProduct(Product(0, product_.rows));
}

TEST_P(SmallProductKernel, ReadsTheTransposedMatrix) {
  product_.dots = false;
  product_.a_row = 1;
  product_.a_inner = product_.rows;
  ExpectProduct(Product(0, product_.rows));
}

TEST_P(SmallProductKernel, WritesTheTransposedMatrix) {
  product_.c_row = 1;
  product_.c_column = product_.rows;
  ExpectProduct(Product(0, product_.rows));
}

TEST_P(SmallProductKernel, GivesARowTheSameBitsInWhateverShare) {
  const std::vector<float> whole = Product(0, product_.rows);
  for (int64_t r = 0; r < product_.rows; ++r) {
    const std::vector<float> alone = Product(r, r + 1);
    for (int64_t i = 0; i < product_.rows * product_.columns; ++i) {
      const bool inside = i / product_.columns == r;
      const auto at = static_cast<size_t>(i);
      ASSERT_EQ(alone[at], inside ? whole[at] : kUntouched) << "row " << r << ", element " << i;
    }
  }
}

TEST_P(SmallProductKernel, KeepsANanInAllSumsThatItIsPartOf) {
  product_.relu = true;
  const int64_t row = product_.rows - 1;
  a_[static_cast<size_t>(product_.rows * product_.inner - 1)] =
      std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> c = Product(0, product_.rows);
  for (int64_t i = 0; i < product_.rows * product_.columns; ++i) {
    EXPECT_EQ(std::isnan(c[static_cast<size_t>(i)]), i / product_.columns == row) << i;
  }
}

TEST_P(SmallProductKernel, SumsRows) {
  const auto [rows, inner, columns] = GetParam();
  std::vector<float> sums(static_cast<size_t>(inner));
  SumRows(a_.data(), rows, inner, sums.data());
  for (int64_t k = 0; k < inner; ++k) {
    double sum = 0;
    for (int64_t r = 0; r < rows; ++r) {
      sum += double{A(r, k)};
    }
    EXPECT_NEAR(sums[static_cast<size_t>(k)], sum, 1e-5) << k;
  }
}

TEST_P(SmallProductKernel, Transposes) {
  const auto [rows, inner, columns] = GetParam();
  std::vector<float> turned(a_.size());
  Transpose(a_.data(), rows, inner, turned.data());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t k = 0; k < inner; ++k) {
      ASSERT_EQ(turned[static_cast<size_t>(k * rows + r)], A(r, k)) << r << ", " << k;
    }
  }
}

std::string Name(const ::testing::TestParamInfo<Extents>& tested) {
  const Extents& extents = tested.param;
  return absl::StrCat(extents.rows, "x", extents.inner, "x", extents.columns);
}

INSTANTIATE_TEST_SUITE_P(All, SmallProductKernel, ::testing::ValuesIn(kExtents), Name);

}  // namespace
}  // namespace hone::engine::kernels
