#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

// Along one dimension of a picture: the windows of convolutions and pools.
namespace hone::engine {

// How many windows fit into so much room, padding included; 0 where none does. A dilated kernel's
// window is dilation · (kernel − 1) + 1.
inline int64_t WindowsIn(int64_t room, int64_t window, int64_t stride) {
  return room < window ? 0 : (room - window) / stride + 1;
}

// How many rows of zeros "same" padding needs, before and after; the odd one goes after. There are
// then ⌈size / stride⌉ windows.
inline std::pair<int64_t, int64_t> SamePadding(int64_t size, int64_t kernel, int64_t stride,
                                               int64_t dilation) {
  const int64_t out = (size + stride - 1) / stride;
  const int64_t total =
      std::max<int64_t>(0, (out - 1) * stride + dilation * (kernel - 1) + 1 - size);
  return {total / 2, total - total / 2};
}

}  // namespace hone::engine
