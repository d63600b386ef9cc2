#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/export/gguf.h"
#include "engine/huggingface/write_tensors.h"
#include "engine/tasks/model_file.h"

// Language models of Llama's type for llama.cpp: its architecture "llama".
namespace hone::engine::exports {

// Matrices are written as `type`, or as f16 where their rows are no whole blocks of it; vectors are
// f32. The rows of queries and keys are those of pairs of neighbours that are turned together,
// instead of the halves of a head (Llama's own order). UNIMPLEMENTED names what there is no place
// for: another net, a tokenizer other than a byte-level BPE of a checkpoint, its way to split
// texts.
absl::StatusOr<Gguf> ToGguf(const tasks::ModelFile& file, const huggingface::ModelValues& values,
                            GgufType type);

// The values of what was written, by our names and in the shapes of the model's, made floats when
// they are read. INVALID_ARGUMENT where a tensor is missing, or has other extents, or a number is
// further from the model's own than its type's rounding: 2⁻¹¹ of it for f16, 2⁻⁸ for bf16, d / 2
// for Q8_0. `gguf` and `values` outlive it.
absl::StatusOr<std::unique_ptr<const huggingface::ModelValues>> FromGguf(
    const Gguf& gguf, const tasks::ModelFile& file, const huggingface::ModelValues& values);

}  // namespace hone::engine::exports
