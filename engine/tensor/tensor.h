#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace hone::engine {

enum class DType : uint8_t { kF32, kBf16, kS32, kU8 };

int64_t SizeOf(DType dtype);            // bytes
absl::string_view NameOf(DType dtype);  // "f32", "bf16", "s32", "u8"

// Sizes come from users: what does not fit an int64_t is its largest number, more than there is
// memory for.
inline int64_t SaturatingProduct(int64_t a, int64_t b) {
  int64_t product;
  return __builtin_mul_overflow(a, b, &product) ? std::numeric_limits<int64_t>::max() : product;
}
inline int64_t SaturatingSum(int64_t a, int64_t b) {
  int64_t sum;
  return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<int64_t>::max() : sum;
}

// The extents of a tensor, outermost first; {} is a scalar. Images are [batch, channels, height,
// width].
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : dims_(dims) {}
  explicit Shape(std::vector<int64_t> dims) : dims_(std::move(dims)) {}

  int rank() const { return static_cast<int>(dims_.size()); }
  int64_t operator[](int i) const { return dims_[static_cast<size_t>(i)]; }
  int64_t& operator[](int i) { return dims_[static_cast<size_t>(i)]; }
  int64_t back() const { return dims_.back(); }
  const std::vector<int64_t>& dims() const { return dims_; }
  // The product of all extents, 1 for a scalar; saturating.
  int64_t elements() const;
  // "[32, 1, 28, 28]"
  std::string ToString() const;

  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  std::vector<int64_t> dims_;
};

struct TensorType {
  Shape shape;
  DType dtype = DType::kF32;

  int64_t bytes() const { return SaturatingProduct(shape.elements(), SizeOf(dtype)); }
  std::string ToString() const;  // "f32[32, 10]"
  friend bool operator==(const TensorType&, const TensorType&) = default;
};

// Zeroed memory aligned to a cache line, owned. Large ones are backed by huge pages where the
// kernel gives them.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t bytes);

  void* data() const { return data_.get(); }
  template <typename T>
  T* as() const {
    return static_cast<T*>(static_cast<void*>(data_.get()));
  }
  int64_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(std::byte* data) const;
  };
  std::unique_ptr<std::byte, Free> data_;
  int64_t bytes_ = 0;
};

// A tensor of the reference interpreter: every dtype as doubles, dense, row major.
struct DoubleTensor {
  Shape shape;
  std::vector<double> values;

  DoubleTensor() = default;
  explicit DoubleTensor(Shape s)
      : shape(std::move(s)), values(static_cast<size_t>(shape.elements())) {}
  double& operator[](int64_t i) { return values[static_cast<size_t>(i)]; }
  double operator[](int64_t i) const { return values[static_cast<size_t>(i)]; }
};

// bfloat16 is the upper half of a float; rounded to nearest even.
inline uint16_t ToBf16(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof(bits));
  if ((bits & 0x7fffffff) > 0x7f800000) {
    return static_cast<uint16_t>((bits >> 16) | 0x40);  // stays NaN
  }
  bits += 0x7fff + ((bits >> 16) & 1);
  return static_cast<uint16_t>(bits >> 16);
}
inline float FromBf16(uint16_t bits) {
  const uint32_t wide = uint32_t{bits} << 16;
  float value;
  __builtin_memcpy(&value, &wide, sizeof(value));
  return value;
}

}  // namespace hone::engine
