#pragma once

#include <string>

#include "absl/status/status.h"
#include "engine/graph/graph.h"
#include "engine/huggingface/write_tensors.h"
#include "onnx/model.pb.h"

// A forward graph of ours as one of ONNX, opset 17 (onnx.ai/onnx/operators), for batches and texts
// of any size. What is a row of tokens here (tensor/token_rows.h) is a place in a rectangle there:
// [rows, width] becomes [batch, sequence, width], and the offsets a mask of the tokens that are
// true. Texts begin at the first column; what stands behind their ends is not read.
//
//   features  → `pixels` u8 or `features` f32 [batch, …]
//   tokens    → `input_ids` i64 [batch, sequence], offsets → `attention_mask`, segments →
//   `token_type_ids`, likewise
//   output    → `logits` [batch, …], or [batch, sequence, …] where there is a row for each token
namespace hone::engine::exports {

inline constexpr int64_t kOnnxOpset = 17;
inline constexpr int64_t kOnnxIrVersion = 8;

// What the graph says of a language model is the row behind the last token, of one that finds
// masked words the rows that are asked for; in ONNX it is all rows. UNIMPLEMENTED names the op that
// there is no form for, and its layer.
absl::Status ToOnnx(const Graph& graph, Value output, const huggingface::ModelValues& values,
                    onnx::Model& model);

}  // namespace hone::engine::exports
