#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "engine/kernels/pool2d.h"

namespace hone::engine::kernels {
namespace {

struct Named {
  const char* name;
  Pool2d pool;
};

// Blocks of 8 and 16 channels and channels last; windows side by side with a rest, apart, over each
// other, padded, and the whole picture.
const Named kPools[] = {
    {"side_by_side", {3, 7, 6, 16, 3, 3, 2, 2, 2, 0, 0}},
    {"side_by_side_blocks_of_8", {2, 6, 6, 8, 3, 3, 2, 2, 2, 0, 0}},
    {"side_by_side_channels_last", {2, 6, 8, 24, 3, 4, 2, 2, 2, 0, 0}},
    {"apart", {1, 8, 8, 16, 3, 3, 2, 2, 3, 0, 0}},
    {"overlapping", {2, 7, 7, 48, 3, 3, 3, 3, 2, 0, 0}},
    {"padded", {2, 7, 5, 16, 4, 3, 3, 3, 2, 1, 1}},
    {"padded_behind", {2, 5, 5, 8, 3, 3, 2, 2, 2, 0, 0}},
    {"whole_picture", {3, 5, 4, 32, 1, 1, 5, 4, 1, 0, 0}},
};

class PoolKernel : public ::testing::TestWithParam<std::tuple<size_t, DType>> {
 protected:
  const Pool2d& pool() const { return kPools[std::get<0>(GetParam())].pool; }
  DType dtype() const { return std::get<1>(GetParam()); }
  int64_t inputs() const { return pool().planes * pool().height * pool().width * pool().lanes; }
  int64_t outputs() const {
    return pool().planes * pool().out_height * pool().out_width * pool().lanes;
  }

  // Multiples of 1/8 up to 8, many of them equal: exact in bfloat16, sums too.
  static std::vector<float> Numbers(int64_t count) {
    std::vector<float> x(static_cast<size_t>(count));
    for (size_t i = 0; i < x.size(); ++i) {
      x[i] = static_cast<float>((i * 37 + i / 7) % 64) / 8 - 4;
    }
    return x;
  }
  std::vector<std::byte> Bytes(const std::vector<float>& x) const {
    std::vector<std::byte> bytes(x.size() * static_cast<size_t>(SizeOf(dtype())));
    for (size_t i = 0; i < x.size(); ++i) {
      if (dtype() == DType::kBf16) {
        reinterpret_cast<uint16_t*>(bytes.data())[i] = ToBf16(x[i]);
      } else {
        reinterpret_cast<float*>(bytes.data())[i] = x[i];
      }
    }
    return bytes;
  }
  float At(const std::vector<std::byte>& bytes, size_t i) const {
    return dtype() == DType::kBf16 ? FromBf16(reinterpret_cast<const uint16_t*>(bytes.data())[i])
                                   : reinterpret_cast<const float*>(bytes.data())[i];
  }

  // window(output, inputs inside, their numbers in the window) for every output.
  template <typename Window>
  void ForWindows(Window&& window) const {
    const Pool2d& p = pool();
    size_t output = 0;
    for (int64_t plane = 0; plane < p.planes; ++plane) {
      for (int64_t r = 0; r < p.out_height; ++r) {
        for (int64_t c = 0; c < p.out_width; ++c) {
          for (int64_t lane = 0; lane < p.lanes; ++lane, ++output) {
            std::vector<size_t> places;
            std::vector<int64_t> numbers;
            for (int64_t number = 0; number < p.kernel_height * p.kernel_width; ++number) {
              const int64_t h = r * p.stride - p.padding_top + number / p.kernel_width;
              const int64_t w = c * p.stride - p.padding_left + number % p.kernel_width;
              if (h >= 0 && h < p.height && w >= 0 && w < p.width) {
                places.push_back(
                    static_cast<size_t>(((plane * p.height + h) * p.width + w) * p.lanes + lane));
                numbers.push_back(number);
              }
            }
            window(output, places, numbers);
          }
        }
      }
    }
  }
};

TEST_P(PoolKernel, FindsTheFirstOfTheLargest) {
  const std::vector<float> x = Numbers(inputs());
  const std::vector<std::byte> from = Bytes(x);
  std::vector<std::byte> y = Bytes(std::vector<float>(static_cast<size_t>(outputs())));
  std::vector<uint8_t> where(static_cast<size_t>(outputs()), 255);
  MaxPool(pool(), dtype(), from.data(), y.data(), where.data(), 0, pool().planes);
  ForWindows(
      [&](size_t output, const std::vector<size_t>& places, const std::vector<int64_t>& numbers) {
        size_t best = 0;
        for (size_t i = 1; i < places.size(); ++i) {
          best = x[places[i]] > x[places[best]] ? i : best;
        }
        ASSERT_EQ(At(y, output), x[places[best]]) << output;
        ASSERT_EQ(where[output], numbers[best]) << output;
      });
}

TEST_P(PoolKernel, SendsTheGradientToTheLargest) {
  const std::vector<float> dy = Numbers(outputs());
  std::vector<uint8_t> where(static_cast<size_t>(outputs()));
  std::vector<float> expected(static_cast<size_t>(inputs()), 0);
  ForWindows(
      [&](size_t output, const std::vector<size_t>& places, const std::vector<int64_t>& numbers) {
        const size_t chosen = output * 5 % places.size();
        where[output] = static_cast<uint8_t>(numbers[chosen]);
        expected[places[chosen]] += dy[output];
      });
  std::vector<std::byte> dx = Bytes(std::vector<float>(static_cast<size_t>(inputs()), 99));
  MaxPoolGradient(pool(), dtype(), Bytes(dy).data(), where.data(), dx.data(), 0, pool().planes);
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(At(dx, i), expected[i]) << i;
  }
}

TEST_P(PoolKernel, AveragesWhatIsInsideThePicture) {
  const std::vector<float> x = Numbers(inputs());
  std::vector<std::byte> y = Bytes(std::vector<float>(static_cast<size_t>(outputs())));
  AveragePool(pool(), dtype(), Bytes(x).data(), y.data(), 0, pool().planes);
  const double tolerance = dtype() == DType::kBf16 ? 1.0 / 256 : 1e-6;
  ForWindows([&](size_t output, const std::vector<size_t>& places, const std::vector<int64_t>&) {
    double sum = 0;
    for (const size_t place : places) {
      sum += x[place];
    }
    const double mean = sum / static_cast<double>(places.size());
    ASSERT_NEAR(At(y, output), mean, tolerance * (1e-3 + std::abs(mean))) << output;
  });
}

TEST_P(PoolKernel, SharesTheGradientOfAnAverage) {
  const std::vector<float> dy = Numbers(outputs());
  std::vector<double> expected(static_cast<size_t>(inputs()), 0), size = expected;
  ForWindows([&](size_t output, const std::vector<size_t>& places, const std::vector<int64_t>&) {
    for (const size_t place : places) {
      expected[place] += dy[output] / static_cast<double>(places.size());
      size[place] += std::abs(dy[output]) / static_cast<double>(places.size());
    }
  });
  std::vector<std::byte> dx = Bytes(std::vector<float>(static_cast<size_t>(inputs()), 99));
  AveragePoolGradient(pool(), dtype(), Bytes(dy).data(), dx.data(), 0, pool().planes);
  const double tolerance = dtype() == DType::kBf16 ? 1.0 / 128 : 1e-6;
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_NEAR(At(dx, i), expected[i], tolerance * (1e-3 + size[i])) << i;
  }
}

TEST_P(PoolKernel, DoesItsPlanesAlone) {
  const std::vector<std::byte> x = Bytes(Numbers(inputs()));
  const std::vector<float> marks(static_cast<size_t>(outputs()), 77);
  std::vector<std::byte> whole = Bytes(marks), part = whole;
  std::vector<uint8_t> where(static_cast<size_t>(outputs()));
  const int64_t middle = pool().planes / 2;
  MaxPool(pool(), dtype(), x.data(), whole.data(), nullptr, 0, pool().planes);
  MaxPool(pool(), dtype(), x.data(), part.data(), where.data(), middle, pool().planes);
  const auto untouched = static_cast<size_t>(outputs() / pool().planes * middle);
  for (size_t i = 0; i < marks.size(); ++i) {
    ASSERT_EQ(At(part, i), i < untouched ? 77 : At(whole, i)) << i;
  }
}

std::string NameOfPool(const ::testing::TestParamInfo<std::tuple<size_t, DType>>& test) {
  return std::string(kPools[std::get<0>(test.param)].name) + "_" +
         std::string(NameOf(std::get<1>(test.param)));
}
INSTANTIATE_TEST_SUITE_P(All, PoolKernel,
                         ::testing::Combine(::testing::Range<size_t>(0, std::size(kPools)),
                                            ::testing::Values(DType::kF32, DType::kBf16)),
                         NameOfPool);

}  // namespace
}  // namespace hone::engine::kernels
