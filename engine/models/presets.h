#pragma once

#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/models/build.h"

namespace hone::engine::models {

// A preset: a function that adds an architecture to the graph behind the inputs and returns its
// output. Its scopes say what it is made of: names of parameters, rows of the layer table. Options
// that it does not know are INVALID_ARGUMENT; a field of another type may throw
// nlohmann::json::exception.
using Preset = absl::StatusOr<Value> (*)(Graph& graph, const nlohmann::json& options,
                                         const std::vector<NamedValue>& inputs,
                                         const BuildOptions& build);

// The preset of a name, from the table in presets.cc. INVALID_ARGUMENT names those there are.
absl::StatusOr<Preset> FindPreset(absl::string_view name);

// "mlp": dense layers one after another, `layer.0` to `layer.N`, behind all inputs side by side.
//   {"units": [64, 10], "activation": "relu"}   the activation is of all layers but the last
absl::StatusOr<Value> Mlp(Graph& graph, const nlohmann::json& options,
                          const std::vector<NamedValue>& inputs, const BuildOptions& build);

// The two networks of a GAN, for pictures of BuildOptions::picture. A generator reads [batch,
// latent] and gives [batch, channels, height, width] between −1 and 1 (tanh); a discriminator reads
// such pictures, whatever their channels, and gives a number for each, [batch, 1]. All hidden
// layers are followed by one activation: ReLU, or leaky ReLU of slope 0.2 in the convolutional
// ones.
//
// "gan_generator", "gan_discriminator": dense layers (Goodfellow et al. 2014).
//   {"units": [128, 128, 128]}, {"units": [128, 128]}
absl::StatusOr<Value> GanGenerator(Graph& graph, const nlohmann::json& options,
                                   const std::vector<NamedValue>& inputs,
                                   const BuildOptions& build);
absl::StatusOr<Value> GanDiscriminator(Graph& graph, const nlohmann::json& options,
                                       const std::vector<NamedValue>& inputs,
                                       const BuildOptions& build);
// "dcgan_generator", "dcgan_discriminator": convolutions (Radford, Metz, Chintala 2016).
//   {"filters": [128, 64], "batch_norm": false}   a dense layer makes small pictures of the first
//       number of channels, and for each number a transposed convolution, 4x4, doubles them
//   {"filters": [32, 64]}   convolutions, 3x3, which halve them, then a dense layer
absl::StatusOr<Value> DcganGenerator(Graph& graph, const nlohmann::json& options,
                                     const std::vector<NamedValue>& inputs,
                                     const BuildOptions& build);
absl::StatusOr<Value> DcganDiscriminator(Graph& graph, const nlohmann::json& options,
                                         const std::vector<NamedValue>& inputs,
                                         const BuildOptions& build);

// "gpt": a Transformer over token rows that looks at no token behind its own (Radford et al.,
// "Language Models are Unsupervised Multitask Learners", 2019), with the norms first and exact
// GELU, for texts of BuildOptions::vocabulary tokens: "tokens" and "offsets" → logits [rows,
// vocabulary].
//   {"layers": 4, "heads": 4, "width": 128, "window": 64, "dropout": 0, "positions": "learned",
//    "tied_embeddings": true, "use_bias": false}   "window" is how many learned positions there
//       are; others are "sinusoidal" and "rotary"
// Its parameters: token_embedding.weight [vocabulary, width], positions.weight [window, width];
// block_1.norm_1, block_1.attention.query, .key, .value, .output, block_1.norm_2, block_1.up,
// block_1.down, …; norm; where the embeddings are not tied output.weight [width, vocabulary]. They
// start normal with deviation 0.02, block_N.attention.output and block_N.down with 0.02 / sqrt(2 ·
// layers).
absl::StatusOr<Value> Gpt(Graph& graph, const nlohmann::json& options,
                          const std::vector<NamedValue>& inputs, const BuildOptions& build);

// "transformer_encoder": a Transformer over token rows in which each token sees all of its text
// (Vaswani et al., "Attention Is All You Need", 2017), for texts of BuildOptions::vocabulary
// tokens. Of each text it makes BuildOptions::outputs numbers, [batch, outputs]; where these are 0,
// it foretells tokens as BERT does (Devlin et al., 2019): logits [count, vocabulary] of the rows
// BuildOptions::places, or [rows, vocabulary] of all.
//   {"layers": 4, "heads": 4, "width": 128, "hidden": 0, "length": 0, "positions": "learned",
//    "norm": "pre", "embedding_norm": false, "epsilon": 1e-5, "activation": "gelu", "dropout": 0.1,
//    "pooling": "mean", "pooler": false}   "hidden" is the width between the two products of a
//       block, 0: four times the width; "length" is how many learned positions there are, others
//       are "sinusoidal" and "rotary"; "norm" is "post" as in the paper and in BERT, behind each
//       sum, or "pre"; "activation" is "gelu" or "relu"; "pooling" is "mean", "max" or "first", of
//       a text's tokens, and "pooler" puts a product of the width and tanh behind it
// Its parameters, and in brackets what they are called in files of BERT:
//   token_embedding.weight (embeddings.word_embeddings), positions.weight (position_embeddings, to
//   which the row of the one token type is to be added), embedding_norm (embeddings.LayerNorm);
//   block_N.attention.query, .key, .value (encoder.layer.{N-1}.attention.self), .attention.output
//   (attention.output.dense), .norm_1, .up (intermediate.dense), .down (output.dense), .norm_2;
//   with "post" norm_1 is attention.output.LayerNorm and norm_2 output.LayerNorm; with "pre" they
//   stand before, and there is a last one, norm;
//   of a text: pooler (pooler.dense), classifier;
//   of tokens: transform, transform_norm (cls.predictions.transform), output.bias, and once more
//   token_embedding.weight.
// Weights start normal with deviation 0.02.
absl::StatusOr<Value> TransformerEncoder(Graph& graph, const nlohmann::json& options,
                                         const std::vector<NamedValue>& inputs,
                                         const BuildOptions& build);

}  // namespace hone::engine::models
