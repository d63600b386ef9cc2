#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"
#include "engine/tensor/tensor.h"

// Kernels on flat arrays, vectorised for the CPU that runs them. `dtype` is f32 or bf16, for all
// arrays that are void*; arithmetic is in f32. Arrays may be the same. One thread each: callers
// split the range.
namespace hone::engine::kernels {

enum class ActivationKind { kRelu, kLeakyRelu, kGelu, kGeluTanh, kTanh, kSigmoid, kSilu };

absl::string_view NameOf(ActivationKind kind);

// The gradient is computed from the activation's output (ReLU, leaky ReLU, tanh, sigmoid) rather
// than from its input.
bool GradientUsesOutput(ActivationKind kind);

// The definition, in double. `slope` is leaky ReLU's, on the negative side.
double ActivationValue(ActivationKind kind, double slope, double x);
// The derivative at input x.
double ActivationDerivative(ActivationKind kind, double slope, double x);

void Activate(ActivationKind kind, float slope, DType dtype, const void* x, void* y, int64_t n);

// dx = dy · f'(…), `from` being the output or the input, as GradientUsesOutput says.
void ActivateGradient(ActivationKind kind, float slope, DType dtype, const void* dy,
                      const void* from, void* dx, int64_t n);

// y = a + b
void AddArrays(DType dtype, const void* a, const void* b, void* y, int64_t n);

// y = a · b
void MultiplyArrays(DType dtype, const void* a, const void* b, void* y, int64_t n);

// y = x + shift
void ShiftArray(DType dtype, float shift, const void* x, void* y, int64_t n);

// y = factor · x
void ScaleArray(DType dtype, float factor, const void* x, void* y, int64_t n);

// y[i] = (x[i] − mean) · factor for bytes.
void NormalizeBytes(const uint8_t* x, float mean, float factor, DType dtype, void* y, int64_t n);

// y[i] = 0 with probability `rate`, else x[i] / (1 − rate). The choice for element i depends on key
// and first + i only, so any split over threads, and the gradient, see the same mask.
void Dropout(DType dtype, float rate, uint64_t key, uint64_t first, const void* x, void* y,
             int64_t n);
// The same choice for one element: true if it is kept.
bool DropoutKeeps(float rate, uint64_t key, uint64_t index);

}  // namespace hone::engine::kernels
