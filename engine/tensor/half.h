#pragma once

#include <cstdint>

// IEEE 754 binary16, which files hold and nothing here computes with.
namespace hone::engine {

// Rounded to the nearest, of two equally near ones to the even; infinite from 65,520 on.
inline uint16_t ToF16(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof(bits));
  const auto sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) {
    return static_cast<uint16_t>(sign | 0x7e00);  // stays NaN
  }
  if (magnitude >= 0x47800000) {
    return static_cast<uint16_t>(sign | 0x7c00);
  }
  if (magnitude < 0x38800000) {
    // Below 2⁻¹⁴ the steps are 2⁻²⁴, as those of floats from 0.5 to 1 are.
    float size;
    __builtin_memcpy(&size, &magnitude, sizeof(size));
    size += 0.5f;
    __builtin_memcpy(&magnitude, &size, sizeof(magnitude));
    return static_cast<uint16_t>(sign | (magnitude - 0x3f000000));
  }
  magnitude += 0xfff + (magnitude >> 13 & 1);
  return static_cast<uint16_t>(sign | ((magnitude - 0x38000000) >> 13));
}

inline float FromF16(uint16_t half) {
  const uint32_t sign = uint32_t{half & 0x8000u} << 16;
  const uint32_t magnitude = half & 0x7fff;
  if (magnitude < 0x400) {
    const float size = static_cast<float>(magnitude) * 0x1p-24f;
    return sign == 0 ? size : -size;
  }
  const uint32_t bits = sign | (magnitude >= 0x7c00 ? 0x7f800000 | (magnitude & 0x3ff) << 13
                                                    : (magnitude << 13) + 0x38000000);
  float value;
  __builtin_memcpy(&value, &bits, sizeof(value));
  return value;
}

}  // namespace hone::engine
