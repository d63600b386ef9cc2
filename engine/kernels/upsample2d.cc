#include "engine/kernels/upsample2d.h"

#include <algorithm>
#include <cstring>

namespace hone::engine::kernels {
namespace {

float Get(float value) { return value; }
float Get(uint16_t value) { return FromBf16(value); }
void Put(float value, float* to) { *to = value; }
void Put(float value, uint16_t* to) { *to = ToBf16(value); }

template <typename T>
void Copy(const Upsample2d& u, const T* x, T* y, int64_t begin, int64_t end) {
  const int64_t row = u.width * u.factor * u.lanes;
  for (int64_t r = begin * u.height; r < end * u.height; ++r) {
    const T* from = x + r * u.width * u.lanes;
    T* const first = y + r * u.factor * row;
    T* to = first;
    for (int64_t c = 0; c < u.width; ++c, from += u.lanes) {
      for (int64_t k = 0; k < u.factor; ++k, to += u.lanes) {
        std::copy_n(from, u.lanes, to);
      }
    }
    for (int64_t k = 1; k < u.factor; ++k) {
      std::memcpy(first + k * row, first, static_cast<size_t>(row) * sizeof(T));
    }
  }
}

template <typename T>
void SumSquares(const Upsample2d& u, const T* dy, T* dx, int64_t begin, int64_t end) {
  constexpr int64_t kTogether = 16;  // lanes
  const int64_t row = u.width * u.factor * u.lanes;
  for (int64_t r = begin * u.height; r < end * u.height; ++r) {
    for (int64_t c = 0; c < u.width; ++c) {
      const T* corner = dy + r * u.factor * row + c * u.factor * u.lanes;
      T* to = dx + (r * u.width + c) * u.lanes;
      for (int64_t lane = 0; lane < u.lanes; lane += kTogether) {
        const int64_t count = std::min(kTogether, u.lanes - lane);
        float sums[kTogether] = {};
        for (int64_t i = 0; i < u.factor; ++i) {
          for (int64_t j = 0; j < u.factor; ++j) {
            const T* from = corner + i * row + j * u.lanes + lane;
            for (int64_t k = 0; k < count; ++k) {
              sums[k] += Get(from[k]);
            }
          }
        }
        for (int64_t k = 0; k < count; ++k) {
          Put(sums[k], to + lane + k);
        }
      }
    }
  }
}

}  // namespace

void Upsample(const Upsample2d& what, DType dtype, const void* x, void* y, int64_t begin,
              int64_t end) {
  if (dtype == DType::kBf16) {
    Copy(what, static_cast<const uint16_t*>(x), static_cast<uint16_t*>(y), begin, end);
  } else {
    Copy(what, static_cast<const float*>(x), static_cast<float*>(y), begin, end);
  }
}

void UpsampleGradient(const Upsample2d& what, DType dtype, const void* dy, void* dx, int64_t begin,
                      int64_t end) {
  if (dtype == DType::kBf16) {
    SumSquares(what, static_cast<const uint16_t*>(dy), static_cast<uint16_t*>(dx), begin, end);
  } else {
    SumSquares(what, static_cast<const float*>(dy), static_cast<float*>(dx), begin, end);
  }
}

}  // namespace hone::engine::kernels
