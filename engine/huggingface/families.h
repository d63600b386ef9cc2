#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/huggingface/family.h"

namespace hone::engine::huggingface {

// Encoders, as "transformer_encoder".
const Family& Bert();        // and MiniLM
const Family& DistilBert();  // no token types; a head with ReLU
const Family& Roberta();     // places begin behind the padding token's number

// Language models, as "gpt".
const Family& Gpt2();
const Family& Llama();  // SmolLM, TinyLlama
const Family& Qwen2();  // biases of queries, keys and values
const Family& Qwen3();  // norms of each head of queries and keys

// The family of a model_type. INVALID_ARGUMENT names those there are.
absl::StatusOr<const Family*> FindFamily(absl::string_view model_type);

}  // namespace hone::engine::huggingface
