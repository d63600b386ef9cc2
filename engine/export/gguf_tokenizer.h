#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "engine/export/gguf.h"
#include "engine/tasks/model_file.h"

namespace hone::engine::exports {

// Adds what llama.cpp must know of a byte-level BPE: `tokenizer.ggml.model`, `.pre`, `.tokens`,
// `.token_type`, `.merges`, the ids of special tokens, `tokenizer.chat_template`. `rows` of the
// table of embeddings: those behind the vocabulary are tokens that are not used. UNIMPLEMENTED
// names a part of the tokenizer that there is no word for, or that llama.cpp would read otherwise.
absl::Status AddTokenizer(const tasks::ModelFile& file, int64_t rows, Gguf& gguf);

}  // namespace hone::engine::exports
