#pragma once

#include <cstdint>

#include "engine/tensor/tensor.h"

namespace hone::engine::kernels {

// How a tensor's channels lie in memory: [batch, blocks, plane, lanes], channel = block · lanes +
// lane. Row major pictures [batch, channels, height, width] have one lane; a matrix [batch,
// channels] is one block with a plane of 1; pictures in channel blocks have 8 or 16 lanes, the last
// block padded with zeros.
struct ChannelView {
  int64_t batch, blocks, plane, lanes;

  int64_t padded_channels() const { return blocks * lanes; }
  // The element of the first example's first place.
  int64_t FirstOf(int64_t channel) const {
    return channel / lanes * plane * lanes + channel % lanes;
  }
};

// The kernels work on examples [begin, end) of arrays of `dtype` (f32 or bf16); arrays of one
// number per channel have padded_channels() of them. Arithmetic is in f32; sums are carried in
// double, since an error in a channel's sum moves all its elements alike and does not average out
// in the gradients of the layers before.

// sum[c] += Σ (x − center[c]);  squares[c] += Σ (x − center[c])²
void ChannelMoments(const ChannelView& view, DType dtype, const void* x, const float* center,
                    int64_t begin, int64_t end, double* sum, double* squares);

// sum[c] += Σ dy;  products[c] += Σ dy · (x − center[c])
void ChannelProducts(const ChannelView& view, DType dtype, const void* x, const void* dy,
                     const float* center, int64_t begin, int64_t end, double* sum,
                     double* products);

// y = factor[c] · (x − center[c]) + offset[c], negative ones replaced by 0 if `relu`.
void ChannelScale(const ChannelView& view, DType dtype, const void* x, const float* center,
                  const float* factor, const float* offset, bool relu, int64_t begin, int64_t end,
                  void* y);

// dx = dy_factor[c] · dy + x_factor[c] · (x − center[c]) + offset[c]; may be dy's memory.
void ChannelScaleGradient(const ChannelView& view, DType dtype, const void* x, const void* dy,
                          const float* center, const float* dy_factor, const float* x_factor,
                          const float* offset, int64_t begin, int64_t end, void* dx);

}  // namespace hone::engine::kernels
