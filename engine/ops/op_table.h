#pragma once

#include "absl/strings/string_view.h"

namespace hone::engine {

// Every kind of op, gradients included: what tests and documentation are made from. An op without a
// test case fails the tests, and so does one that is missing here.
inline constexpr absl::string_view kOpTable[] = {
    "add",
    "average_pool2d",
    "average_pool2d_gradient",
    "conv2d",
    "conv2d_data_gradient",
    "conv2d_weight_gradient",
    "cross_entropy",
    "gelu",
    "gelu_gradient",
    "gelu_tanh",
    "gelu_tanh_gradient",
    "leaky_relu",
    "leaky_relu_gradient",
    "linear",
    "linear_data_gradient",
    "linear_weight_gradient",
    "max_pool2d",
    "max_pool2d_gradient",
    "normalize_pixels",
    "relu",
    "relu_gradient",
    "reshape",
    "scale",
    "sigmoid",
    "sigmoid_gradient",
    "silu",
    "silu_gradient",
    "tanh",
    "tanh_gradient",
};

}  // namespace hone::engine
