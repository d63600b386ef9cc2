#pragma once

#include "absl/strings/string_view.h"

namespace hone::engine {

// Every kind of op, gradients included: what tests and documentation are made from. An op without a
// test case fails the tests, and so does one that is missing here.
inline constexpr absl::string_view kOpTable[] = {
    "add",
    "add_broadcast",
    "average_pool2d",
    "average_pool2d_gradient",
    "batch_norm",
    "batch_norm_gradient",
    "batch_norm_with",
    "batch_norm_with_gradient",
    "binary_cross_entropy",
    "concat",
    "conv2d",
    "conv2d_data_gradient",
    "conv2d_weight_gradient",
    "cross_entropy",
    "dropout",
    "dropout_gradient",
    "gelu",
    "gelu_gradient",
    "gelu_tanh",
    "gelu_tanh_gradient",
    "huber",
    "layer_norm",
    "layer_norm_gradient",
    "leaky_relu",
    "leaky_relu_gradient",
    "linear",
    "linear_data_gradient",
    "linear_weight_gradient",
    "matmul",
    "max_pool2d",
    "max_pool2d_gradient",
    "mean_absolute_error",
    "mean_squared_error",
    "moving_average",
    "mul",
    "normalize_pixels",
    "relu",
    "relu_gradient",
    "reshape",
    "scale",
    "sigmoid",
    "sigmoid_gradient",
    "silu",
    "silu_gradient",
    "slice",
    "slice_gradient",
    "softmax",
    "softmax_gradient",
    "sum_to",
    "tanh",
    "tanh_gradient",
};

}  // namespace hone::engine
