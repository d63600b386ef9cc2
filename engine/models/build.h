#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/layers/sequences.h"
#include "engine/models/layer_table.h"
#include "engine/models/model_description.h"
#include "engine/models/translation.h"

namespace hone::engine::models {

struct BuildOptions {
  bool training = false;  // dropout and batch statistics
  // Leaves out a softmax or sigmoid of the last layer: losses want logits.
  bool logits = false;
  // The most tokens, or points, that a sequence has, where that is known: learned positions must be
  // as many. 0: a run finds it out. Where a field of the job makes sequences shorter, its name.
  int64_t longest = 0;
  absl::string_view shortened_by = {};
  // [channels, height, width] of the pictures that a preset makes, or judges.
  Shape picture = {};
  // Tokens that there are, where a preset reads texts.
  int64_t vocabulary = 0;
  // Numbers that are made of each text, where a preset may do that; 0: it foretells tokens.
  int64_t outputs = 0;
  // Instead, where a preset may do that, `outputs` numbers for each token, [rows, outputs]; of 0
  // what the token has become, [rows, width].
  bool of_tokens = false;
  // Where a preset foretells tokens: of these rows of tokens alone, s32 [count]. Not valid: of all.
  Value places = {};
  // Where its offsets are valid: texts are written, and what the model is given are the newest
  // tokens of each of them. Layers keep what they need of the tokens before
  // (layers::AttentionOfNewTokens; recurrent ones by `carried`), and the model's output is that of
  // each text's last token alone, [texts, …]. UNIMPLEMENTED names a layer that needs more than
  // that: convolutions, pools.
  layers::NewTokens new_tokens = {};
  // Recurrent layers go on from run to run.
  layers::CarriedState carried = {};
  // Of a preset that translates, whose decoder writes a token of each text in a run: the most
  // tokens of a text.
  int64_t decode_window = 0;
  // Of a preset that translates: its other language, and which part of it is wanted.
  TranslationBuild translation = {};
};

struct BuiltModel {
  Value output;
  std::vector<LayerSummary> layers;  // the inputs, then the layers
  // Layers with weights from the input to the output, along the longest path.
  int depth = 0;
  // A layer computes with statistics over the whole batch while it trains.
  bool needs_batch_statistics = false;
};

struct NamedValue {
  std::string name;
  Value value;  // [batch, …]
};

// Adds the model's layers to the graph behind its inputs; with an `input` alone, behind the only
// one. Errors name the layer: "model.layers[3] (conv2d_2): …". The graph is broken after an error.
absl::StatusOr<BuiltModel> BuildModel(Graph& graph, const ModelDescription& description,
                                      Value input, const BuildOptions& options);
absl::StatusOr<BuiltModel> BuildModel(Graph& graph, const ModelDescription& description,
                                      const std::vector<NamedValue>& inputs,
                                      const BuildOptions& options);
// The same with one of the model's networks. INVALID_ARGUMENT names those there are.
absl::StatusOr<BuiltModel> BuildNetwork(Graph& graph, const ModelDescription& description,
                                        absl::string_view network,
                                        const std::vector<NamedValue>& inputs,
                                        const BuildOptions& options);

// Adds to the model what the graph's scopes know of layers that the model does not: what a function
// has built without a description. `batch` is the number of examples; the graph has no gradients
// yet.
void CompleteLayers(const Graph& graph, int64_t batch, BuiltModel& model);

}  // namespace hone::engine::models
