#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/export/onnx_array.h"
#include "onnx/model.pb.h"

namespace hone::engine::exports {

// Computes an output of a model of ONNX's by plain loops, from what its file says and from nothing
// else: how an export is tried, and what tests hold against ONNX Runtime (`make interop`). It knows
// the ops that onnx_ops.h makes. INVALID_ARGUMENT names the node that is wrong: an input that is
// not given, an op that is not known, extents that do not fit, an index that is out of bounds; or
// another set of ops than opset 17.
absl::StatusOr<OnnxArray> EvaluateOnnx(onnx::Model model, std::map<std::string, OnnxArray> inputs,
                                       const std::string& output);

}  // namespace hone::engine::exports
