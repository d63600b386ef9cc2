#pragma once

#include <cstdint>

#include "engine/tensor/activation_kind.h"
#include "engine/tensor/tensor.h"

namespace hone::engine::kernels {

// Elements [begin, end) of y = f(x), of any elementwise kind; `slope` is leaky ReLU's, on the
// negative side. `dtype` is f32 or bf16, of both arrays; y may be x.
void Activate(ActivationKind kind, float slope, DType dtype, const void* x, void* y, int64_t begin,
              int64_t end);

// Of dx = dy · f'(…), `from` being the output or the input, as GradientUsesOutput says; dx may be
// dy or `from`.
void ActivateGradient(ActivationKind kind, float slope, DType dtype, const void* dy,
                      const void* from, void* dx, int64_t begin, int64_t end);

}  // namespace hone::engine::kernels
