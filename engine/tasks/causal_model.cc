#include "engine/tasks/causal_model.h"

#include <variant>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/ops/embedding.h"
#include "engine/tasks/text_inputs.h"

namespace hone::engine::tasks {
namespace {

// Layers that show a token those behind it, which are what it shall foretell.
struct LooksAhead {
  bool operator()(const layers::AttentionOptions& attention) const { return !attention.causal; }
  bool operator()(const layers::Conv1dOptions& conv) const { return !conv.causal; }
  bool operator()(const models::Lstm& lstm) const { return lstm.bidirectional; }
  bool operator()(const models::Gru& gru) const { return gru.bidirectional; }
  bool operator()(const models::SimpleRnn& rnn) const { return rnn.bidirectional; }
  template <typename Other>
  bool operator()(const Other&) const {
    return false;
  }
};

absl::Status CheckDirection(const models::ModelDescription& model) {
  if (model.preset.name == "transformer_encoder") {
    return absl::InvalidArgumentError(
        "model.preset (transformer_encoder): each token sees the whole text, so that nothing is "
        "left to foretell; must be gpt for a language model");
  }
  for (size_t i = 0; i < model.layers.size(); ++i) {
    const models::LayerDescription& layer = model.layers[i];
    if (std::visit(LooksAhead{}, layer.kind)) {
      return absl::InvalidArgumentError(absl::StrCat(
          layer.PlaceIn("model", i), " (", layer.name,
          "): must look at no token behind its own, since that is what a language model foretells: "
          "attention and conv1d must be `causal`, recurrent layers not `bidirectional`"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status AddCausalModel(const models::ModelDescription& model,
                            const data::Preprocessing& preprocessing, int64_t window,
                            const std::vector<models::NamedValue>& inputs,
                            models::BuildOptions options, TaskGraph& result) {
  HONE_RETURN_IF_ERROR(CheckDirection(model));
  HONE_ASSIGN_OR_RETURN(const models::ModelDescription sized, WithVocabulary(model, preprocessing));
  Graph& graph = *result.built.graph;
  options.longest = window;
  options.vocabulary = preprocessing.text->tokenizer->size();
  HONE_ASSIGN_OR_RETURN(result.model, models::BuildModel(graph, sized, inputs, options));
  // A preset leaves out the others before its last product.
  const bool by_preset = options.places.valid() && !sized.preset.name.empty();
  const int64_t rows = options.new_tokens.offsets.valid() ? graph.shape(inputs[1].value)[0] - 1
                       : by_preset                        ? graph.shape(options.places)[0]
                                                          : graph.shape(inputs[0].value)[0];
  HONE_RETURN_IF_ERROR(CheckTokenLogits(graph, result.model, rows, options.vocabulary, "window"));
  if (options.places.valid() && !by_preset) {
    const Graph::Scope scope(graph, "learned");
    result.model.output = Embedding(graph, result.model.output, options.places);
  }
  return graph.status();
}

}  // namespace hone::engine::tasks
