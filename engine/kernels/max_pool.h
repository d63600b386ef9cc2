#pragma once

#include <cstdint>

#include "engine/tensor/tensor.h"

namespace hone::engine::kernels {

// Max pooling over windows that touch but do not overlap (size = stride, no padding), channels in
// blocks of 16:
//   x            [planes, height, width, 16],  planes = batch · channels / 16
//   y and where  [planes, height / size, width / size, 16]
// `where` says which element of the window is the largest, the first of equals: row · size +
// column.
struct BlockedPool {
  int64_t planes, height, width;
  int64_t size;  // of the window: 2 to 15
};

// Whether this CPU can (it needs vectors of 16 floats).
bool HasBlockedMaxPool();

// Planes [begin, end) of both passes; dtype f32 or bf16. `where` may be null. The gradient writes
// all of dx.
void BlockedMaxPool(const BlockedPool& pool, DType dtype, const void* x, void* y, uint8_t* where,
                    int64_t begin, int64_t end);
void BlockedMaxPoolGradient(const BlockedPool& pool, DType dtype, const void* dy,
                            const uint8_t* where, void* dx, int64_t begin, int64_t end);

}  // namespace hone::engine::kernels
