#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "engine/kernels/activation.h"

namespace hone::engine::kernels {
namespace {

// −12 … 12 in steps of 1/512 and a few beyond: more than any vector, and no multiple of one.
std::vector<float> Places() {
  std::vector<float> x;
  for (int i = -12 * 512; i <= 12 * 512; ++i) {
    x.push_back(static_cast<float>(i) / 512);
  }
  x.insert(x.end(), {-1e6f, -100.0f, 100.0f, 1e6f, -0.0f, 1e-30f});
  return x;
}

// |got − exact| as a share of what one digit of `exact` or of `scale` is worth.
double Error(double got, double exact, double scale) {
  return std::abs(got - exact) / std::max(std::abs(exact), scale);
}

TEST(ExactGelu, IsErfInDoubleToSixDigitsOfEachValue) {
  const std::vector<float> x = Places();
  std::vector<float> y(x.size());
  Activate(ActivationKind::kGelu, 0, DType::kF32, x.data(), y.data(), 0,
           static_cast<int64_t>(x.size()));
  for (size_t i = 0; i < x.size(); ++i) {
    // erfc, not 1 + erf: on the negative side the sum would lose the digits of what remains.
    const double exact = 0.5 * double{x[i]} * std::erfc(-double{x[i]} * M_SQRT1_2);
    EXPECT_LE(Error(y[i], exact, 1e-30), x[i] < -5 ? 1e-5 : 1e-6) << "at " << x[i];
  }
}

TEST(ExactGelu, HasTheGradientOfErfInDouble) {
  const std::vector<float> x = Places(), dy(x.size(), 1);
  std::vector<float> dx(x.size());
  ActivateGradient(ActivationKind::kGelu, 0, DType::kF32, dy.data(), x.data(), dx.data(), 0,
                   static_cast<int64_t>(x.size()));
  for (size_t i = 0; i < x.size(); ++i) {
    const double at = x[i], exact = 0.5 * std::erfc(-at * M_SQRT1_2) +
                                    at * std::exp(-0.5 * at * at) / std::sqrt(2 * M_PI);
    // Near −0.75, where it crosses 0, digits of its terms are what is left.
    EXPECT_LE(Error(dx[i], exact, 0.1), 3e-6) << "at " << at;
  }
}

TEST(ExactGelu, RoundsOnceInBfloat16) {
  const std::vector<float> x = Places();
  std::vector<uint16_t> half(x.size()), y(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    half[i] = ToBf16(x[i]);
  }
  Activate(ActivationKind::kGelu, 0, DType::kBf16, half.data(), y.data(), 0,
           static_cast<int64_t>(x.size()));
  for (size_t i = 0; i < x.size(); ++i) {
    const double at = FromBf16(half[i]);
    EXPECT_LE(Error(FromBf16(y[i]), 0.5 * at * std::erfc(-at * M_SQRT1_2), 1e-30), 1.0 / 256)
        << "at " << at;
  }
}

// Each elementwise kind, in the middle of a vector and behind the last whole one.
TEST(Activate, KeepsNan) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  for (int i = static_cast<int>(ActivationKind::kNone);
       i <= static_cast<int>(ActivationKind::kSilu); ++i) {
    const auto kind = static_cast<ActivationKind>(i);
    std::vector<float> x(37, -1);
    x[3] = x[35] = kNan;
    std::vector<uint16_t> half(x.size());
    for (size_t k = 0; k < x.size(); ++k) {
      half[k] = ToBf16(x[k]);
    }
    Activate(kind, 0.2f, DType::kF32, x.data(), x.data(), 0, 37);
    Activate(kind, 0.2f, DType::kBf16, half.data(), half.data(), 0, 37);
    for (const size_t k : {3u, 35u}) {
      EXPECT_TRUE(std::isnan(x[k])) << NameOf(kind);
      EXPECT_TRUE(std::isnan(FromBf16(half[k]))) << NameOf(kind);
      EXPECT_FALSE(std::isnan(x[k - 1])) << NameOf(kind);
    }
    EXPECT_TRUE(std::isnan(ActivationValue(kind, 0.2, kNan))) << NameOf(kind);
  }
}

TEST(Activate, WritesItsPartAlone) {
  const std::vector<float> x(64, 2);
  std::vector<float> y(64, -7);
  Activate(ActivationKind::kRelu, 0, DType::kF32, x.data(), y.data(), 5, 41);
  for (size_t i = 0; i < y.size(); ++i) {
    EXPECT_EQ(y[i], i >= 5 && i < 41 ? 2 : -7) << i;
  }
}

}  // namespace
}  // namespace hone::engine::kernels
