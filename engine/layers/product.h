#pragma once

#include <string>
#include <vector>

#include "engine/layers/dense.h"

namespace hone::engine::layers {

// The kind of the layer that an adapter is in the layer table; its path ends with it, too.
inline constexpr absl::string_view kLora = "lora";

struct ProductOptions {
  std::string name = {};  // of its scope within the layer's; empty: it is the layer's own
  int64_t units = 0;
  bool use_bias = true;
  WeightInitializer initializer = {};
  bool transposed = false;  // the weight is [units, in], as in Hugging Face's files
  bool frozen = false;
};

// Products of one x [batch, …, in], each [batch, …, units] = x · weight + bias, in the scope that
// the graph is in: `NAME.weight` [in, units] and `NAME.bias` [units].
//
// Where the graph has an adapter for a product (Graph::Adapt), it adds low-rank adaptation (Hu et
// al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021):
//   x · weight + bias + scale · (dropout(x) · Aᵀ) · Bᵀ
// with `NAME.lora_A.weight` [rank, in], uniform within ±1/√in, and `NAME.lora_B.weight` [units,
// rank], zeros, as peft has both; the layer table shows it as `NAME.lora`. All adapters of one x
// see the same dropout, and their products with A are one.
std::vector<Value> Products(Graph& graph, Value x, const std::vector<ProductOptions>& products);
// One of them.
Value Product(Graph& graph, Value x, const ProductOptions& product);

}  // namespace hone::engine::layers
