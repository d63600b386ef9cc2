#pragma once

#include <string>

#include "engine/layers/dense.h"

namespace hone::engine::layers {

enum class Padding {
  kValid,  // none
  kSame,   // so that stride 1 keeps the size; the odd row or column goes after
};

struct Conv2dOptions {
  std::string name;
  bool frozen = false;
  int64_t filters = 0;
  int64_t kernel = 0;
  int64_t stride = 1;
  Padding padding = Padding::kValid;
  int64_t dilation = 1;
  int64_t groups = 1;
  ActivationKind activation = ActivationKind::kNone;
  bool use_bias = true;
  WeightInitializer initializer;
};

// [batch, channels, height, width] → [batch, filters, …]; `NAME.weight` [filters, channels /
// groups, kernel, kernel] and `NAME.bias` [filters].
Value Conv2d(Graph& graph, Value x, const Conv2dOptions& options);

// The way back from a Conv2d with these options: [batch, channels, height, width] → [batch,
// filters, …], each extent (n − 1) · stride + dilation · (kernel − 1) + 1, or n · stride with
// kSame. `NAME.weight` [channels, filters / groups, kernel, kernel] and `NAME.bias` [filters].
Value Conv2dTranspose(Graph& graph, Value x, const Conv2dOptions& options);

// Each place becomes a square of factor x factor places with its value.
Value Upsample2d(Graph& graph, Value x, absl::string_view name, int64_t factor);

struct Pool2dOptions {
  std::string name;
  int64_t size = 2;
  int64_t stride = 0;  // 0: size
  Padding padding = Padding::kValid;
};

// The largest value, or the mean, of each window of [batch, channels, height, width].
Value MaxPool2d(Graph& graph, Value x, const Pool2dOptions& options);
Value AvgPool2d(Graph& graph, Value x, const Pool2dOptions& options);

}  // namespace hone::engine::layers
