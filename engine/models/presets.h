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

// Of "gpt" and "transformer_encoder": the parameter has a row for each token, or a column. It is
// the table of embeddings, or, where the last layer's weights are not that table, those weights; or
// that layer's bias.
bool HasRowsOfTokens(absl::string_view parameter);

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
// vocabulary], or [count, vocabulary] of the rows BuildOptions::places.
//   {"layers": 4, "heads": 4, "width": 128, "window": 64, "dropout": 0, "positions": "learned",
//    "tied_embeddings": true, "use_bias": false, "kv_heads": 0, "hidden": 0, "norm": "layer",
//    "epsilon": 1e-5, "activation": "gelu", "gated": false, "rotary_base": 10000, "longest": 0,
//    "attention_dropout": 0, "embedding_dropout": 0, "table_rows": 0, "transposed": false,
//    "head_width": 0, "head_norm": false, "query_bias": false, "output_bias": false,
//    "feed_forward_bias": false, "rotary_scaling": "none", "rotary_factor": 1, "rotary_low": 1,
//    "rotary_high": 4, "rotary_original": 8192}
//       "window" is how many learned positions there are; others are "sinusoidal" and "rotary", of
//       which "longest" above 0 is the most tokens of a sequence; "hidden" 0 is four times the
//       width; "norm" "rms" is the root mean square alone; "activation" may be "gelu_tanh", "relu"
//       or "silu"; "gated" multiplies its values by those of another product (layers/glu.h); two
//       further shares of dropout are "dropout" unless they are given; "table_rows" and
//       "transposed" are those of "transformer_encoder"; "head_width" 0 is width / heads;
//       "head_norm" divides each head of queries and keys by its root mean square; three parts have
//       biases as "use_bias" says unless that is given: queries, keys and values, the output of
//       attention, and the feed-forward part; "rotary_scaling" "linear" or "llama3" stretches the
//       angles, by the four numbers of ops/positions.h
// Its parameters: token_embedding.weight [vocabulary, width], positions.weight [window, width];
// block_1.norm_1, block_1.attention.query, .key, .value, .output, block_1.norm_2, block_1.up,
// block_1.down, …, or gated block_1.feed_forward.gate, .up, .down; norm; where the embeddings are
// not tied output.weight [width, vocabulary]. They start normal with deviation 0.02,
// block_N.attention.output and block_N.down with 0.02 / sqrt(2 · layers).
absl::StatusOr<Value> Gpt(Graph& graph, const nlohmann::json& options,
                          const std::vector<NamedValue>& inputs, const BuildOptions& build);

// Two nets that translate; their inputs, and how a translation is written token by token, are in
// models/translation.h. BuildOptions::vocabulary is of the language that is written.
//
// "seq2seq": a recurrent encoder, and a decoder that looks back at it.
//   {"cell": "gru", "layers": 1, "units": 256, "embedding": 256, "attention": "bahdanau",
//    "dropout": 0.1, "bidirectional": false, "input_feeding": false}   others are "lstm" and
//       "luong"; "embedding" 0 is as many as units; layers of encoder and decoder each
// With e a token's embedding after dropout, k the encoder's states and h the decoder's, which
// begins with the encoder's last state (and cell, of an LSTM), of one layer:
//   bahdanau  what PyTorch's tutorial "NLP From Scratch: Translation with a Sequence to Sequence
//             Network and Attention" computes (Bahdanau, Cho, Bengio, 2015):
//             a = softmax over s of v · tanh(h_{t−1} W + k_s U + b);  c = Σ a_s k_s
//             h_t = cell([e_t, c], h_{t−1});  logits = h_t O + o
//   luong     what PyTorch's "Chatbot Tutorial" computes with "general" scores (Luong, Pham,
//   Manning,
//             2015):
//             h_t = cell(e_t, h_{t−1});  a = softmax over s of h_t W · k_s;  c = Σ a_s k_s
//             f_t = tanh([h_t, c] C + c');  logits = f_t O + o
//             With input_feeding h_t = cell([e_t, f_{t−1}], h_{t−1}), f before the first token
//             zeros (the same paper, section 3.3): of one layer alone.
//   Biases that change nothing are left out: those of v and of luong's W, and of bahdanau's W and U
//   one of the two.
//   bidirectional: k has both directions' states side by side, and the decoder begins with tanh of
//   a dense layer of what they end with, side by side; of an LSTM its cell so, too, without tanh.
//   layers: each reads the states of the one below, after dropout, and k and h are those of the
//   topmost. Each layer of the decoder begins with the last state of the encoder's. Bahdanau's
//   attention is in the decoder's first layer (Wu et al., "Google's Neural Machine Translation
//   System", 2016, section 3), which alone reads c; luong's is behind the last (Luong, Pham,
//   Manning, 2015, section 3).
// Its parameters: source_embedding.weight [source vocabulary, embedding]; encoder.weight,
// .recurrent_weight, .bias, .recurrent_bias as a layer has them (layers/sequences.h: Recurrent);
// bridge.weight, .bias, of an LSTM cell_bridge.weight, .bias; target_embedding.weight; with n the
// width of k: decoder.weight [embedding, gates · units], of bahdanau decoder.context_weight [n,
// gates · units], decoder.recurrent_weight, .bias, .recurrent_bias; of bahdanau
// attention.query_weight [units, units], .key_weight [n, units], .bias [units], .score_weight
// [units]; of luong attention.weight [units, n], combine.weight [units + n, units], .bias;
// output.weight [units, vocabulary], .bias. Of several layers encoder.layer_1.weight, …,
// bridge.layer_1.weight, …, and decoder.layer_1.weight, … (of a further layer [units, gates ·
// units], and no context_weight); with input_feeding decoder.feed_weight [units, gates · units].
absl::StatusOr<Value> Seq2Seq(Graph& graph, const nlohmann::json& options,
                              const std::vector<NamedValue>& inputs, const BuildOptions& build);

// "transformer_translation": the Transformer that translates (Vaswani et al., "Attention Is All You
// Need", 2017), as PyTorch's tutorial "Language Translation with nn.Transformer and torchtext" has
// it: nn.Transformer with ReLU, a last norm of encoder and decoder, biases everywhere.
//   {"layers": 3, "heads": 8, "width": 256, "feed_forward": 1024, "dropout": 0.1,
//    "norm_first": false, "tied_embeddings": false}   layers of encoder and decoder each;
//       "feed_forward" 0 is 4 · width; tied: the last product's weight is the target's table
// A token is its embedding · sqrt(width) + sinusoidal positions, then dropout. An encoder's layer
// is x = norm_1(x + drop(attention(x))); x = norm_2(x + drop(down(drop(relu(up(x)))))); a decoder's
// has cross_attention with norm_2 between, and so norm_3. norm_first: x = x + drop(f(norm(x))).
// Dropout is also of the attention's weights.
// Its parameters: source_embedding.weight, target_embedding.weight [vocabulary, width]; encoder_1.
// attention.query, .key, .value, .output, encoder_1.norm_1, .up, .down, .norm_2, …; encoder_norm;
// decoder_1.attention…, .norm_1, .cross_attention.query, .key, .value, .output, .norm_2, .up,
// .down, .norm_3, …; decoder_norm; output.weight [width, vocabulary] unless tied, output.bias.
absl::StatusOr<Value> TransformerTranslation(Graph& graph, const nlohmann::json& options,
                                             const std::vector<NamedValue>& inputs,
                                             const BuildOptions& build);

// "transformer_encoder": a Transformer over token rows in which each token sees all of its text
// (Vaswani et al., "Attention Is All You Need", 2017), for texts of BuildOptions::vocabulary
// tokens. Of each text it makes BuildOptions::outputs numbers, [batch, outputs]; where these are 0,
// it foretells tokens as BERT does (Devlin et al., 2019): logits [count, vocabulary] of the rows
// BuildOptions::places, or [rows, vocabulary] of all. With BuildOptions::of_tokens it makes
// outputs of each token instead, [rows, outputs], or, of 0, gives the last block's rows.
//   {"layers": 4, "heads": 4, "width": 128, "hidden": 0, "length": 0, "positions": "learned",
//    "norm": "pre", "embedding_norm": false, "epsilon": 1e-5, "activation": "gelu", "dropout": 0.1,
//    "pooling": "mean", "pooler": false, "pooler_activation": "tanh", "token_types": 0,
//    "table_rows": 0, "transposed": false, "attention_dropout": 0.1, "head_dropout": 0.1}
//       "hidden" is the width between the two products of a block, 0: four times the width;
//       "length" is how many learned positions there are, others are "sinusoidal" and "rotary";
//       "norm" is "post" as in the paper and in BERT, behind each sum, or "pre"; "activation" is
//       "gelu", "gelu_tanh" or "relu"; "pooling" is "mean", "max" or "first", of a text's tokens,
//       and "pooler" puts a product of the width and tanh, or "relu", behind it; of "token_types"
//       above 0 one is added to each token's row, the second to those of the second text of a pair;
//       "table_rows" is how many rows the tokens' table has, where it has more than the vocabulary;
//       "transposed" says that weights of products lie as [out, in]; the other two shares of
//       dropout are "dropout" unless they are given
// Its parameters, and in brackets what they are called in files of BERT:
//   token_embedding.weight (embeddings.word_embeddings), positions.weight (position_embeddings),
//   token_types.weight (token_type_embeddings), embedding_norm (embeddings.LayerNorm);
//   block_N.attention.query, .key, .value (encoder.layer.{N-1}.attention.self), .attention.output
//   (attention.output.dense), .norm_1, .up (intermediate.dense), .down (output.dense), .norm_2;
//   with "post" norm_1 is attention.output.LayerNorm and norm_2 output.LayerNorm; with "pre" they
//   stand before, and there is a last one, norm;
//   of a text: pooler (pooler.dense), classifier; of each token: classifier;
//   of tokens: transform, transform_norm (cls.predictions.transform), output.bias, and once more
//   token_embedding.weight.
// Weights start normal with deviation 0.02.
absl::StatusOr<Value> TransformerEncoder(Graph& graph, const nlohmann::json& options,
                                         const std::vector<NamedValue>& inputs,
                                         const BuildOptions& build);

}  // namespace hone::engine::models
