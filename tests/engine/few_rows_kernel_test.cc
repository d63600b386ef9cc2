#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "engine/kernels/few_rows.h"

namespace hone::engine::kernels {
namespace {

struct Case {
  std::string name;
  FewRows product;
  bool bias = true;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

// Every rest of a vector, a block of columns, of rows, and of rows of the weight.
const Case kCases[] = {
    {"one_number", {.rows = 1, .inner = 1, .columns = 1}},
    {"one_row", {.rows = 1, .inner = 67, .columns = 75}},
    {"no_bias", {.rows = 3, .inner = 16, .columns = 48}, false},
    {"relu", {.rows = 8, .inner = 33, .columns = 21, .relu = true}},
    {"transposed", {.rows = 1, .inner = 67, .columns = 75, .transposed = true}},
    {"transposed_to_one", {.rows = 2, .inner = 5, .columns = 1, .transposed = true}},
    {"transposed_no_bias", {.rows = 7, .inner = 48, .columns = 9, .transposed = true}, false},
    {"transposed_relu", {.rows = 5, .inner = 33, .columns = 21, .transposed = true, .relu = true}},
};

class FewRowsOf : public ::testing::TestWithParam<std::tuple<Case, DType>> {
 protected:
  FewRowsOf() {
    const auto fill = [](int64_t count, int step) {
      std::vector<float> numbers(static_cast<size_t>(count));
      for (size_t i = 0; i < numbers.size(); ++i) {
        numbers[i] = FromBf16(ToBf16(std::sin(static_cast<float>(i) * static_cast<float>(step))));
      }
      return numbers;
    };
    product_.weights = std::get<1>(GetParam());
    x_ = fill(product_.rows * product_.inner, 3);
    w_ = fill(product_.inner * product_.columns, 7);
    bias_ = fill(product_.columns, 5);
    for (const float weight : w_) {
      bf16_.push_back(ToBf16(weight));
    }
  }

  std::vector<float> Product(int64_t share) const {
    std::vector<float> y(static_cast<size_t>(product_.rows * product_.columns),
                         std::numeric_limits<float>::quiet_NaN());
    for (int64_t begin = 0; begin < product_.columns; begin += share) {
      MultiplyFewRows(
          product_, x_.data(),
          product_.weights == DType::kBf16 ? static_cast<const void*>(bf16_.data()) : w_.data(),
          std::get<0>(GetParam()).bias ? bias_.data() : nullptr, y.data(), begin,
          std::min(begin + share, product_.columns));
    }
    return y;
  }

  FewRows product_ = std::get<0>(GetParam()).product;
  std::vector<float> x_, w_, bias_;
  std::vector<uint16_t> bf16_;
};

TEST_P(FewRowsOf, IsTheSumOfTheProducts) {
  const std::vector<float> y = Product(product_.columns);
  for (int64_t r = 0; r < product_.rows; ++r) {
    for (int64_t n = 0; n < product_.columns; ++n) {
      double sum = std::get<0>(GetParam()).bias ? bias_[static_cast<size_t>(n)] : 0;
      for (int64_t k = 0; k < product_.inner; ++k) {
        const int64_t at = product_.transposed ? n * product_.inner + k : k * product_.columns + n;
        sum += double{x_[static_cast<size_t>(r * product_.inner + k)]} *
               double{w_[static_cast<size_t>(at)]};
      }
      EXPECT_NEAR(y[static_cast<size_t>(r * product_.columns + n)],
                  product_.relu ? std::max(sum, 0.0) : sum, 2e-6 * product_.inner);
    }
  }
}

TEST_P(FewRowsOf, HasTheSameBitsInAnyShareOfColumnsAndAnyBatch) {
  const std::vector<float> y = Product(product_.columns);
  EXPECT_EQ(Product(3), y);
  product_.rows = 1;
  EXPECT_EQ(Product(product_.columns), std::vector<float>(y.begin(), y.begin() + product_.columns));
}

TEST_P(FewRowsOf, KeepsANan) {
  x_[0] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> y = Product(product_.columns);
  EXPECT_TRUE(std::all_of(y.begin(), y.begin() + product_.columns,
                          [](float number) { return std::isnan(number); }));
}

INSTANTIATE_TEST_SUITE_P(All, FewRowsOf,
                         ::testing::Combine(::testing::ValuesIn(kCases),
                                            ::testing::Values(DType::kF32, DType::kBf16)),
                         [](const auto& test) {
                           return std::get<0>(test.param).name + "_" +
                                  std::string(NameOf(std::get<1>(test.param)));
                         });

}  // namespace
}  // namespace hone::engine::kernels
