#include "engine/models/translation.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/layers/sequences.h"
#include "engine/models/translation_inputs.h"
#include "engine/ops/guessed_tokens.h"
#include "engine/tensor/token_rows.h"

namespace hone::engine::models {

std::optional<Value> AttentionWeightsOf(const Graph& graph) {
  std::optional<Value> last;
  for (const Graph::Layer& layer : graph.layers()) {
    if (layer.kind == layers::kAttentionWeightsLayer && layer.output.valid()) {
      last = layer.output;
    }
  }
  return last;
}

absl::StatusOr<TranslationInputs> TranslationInputsOf(const std::vector<NamedValue>& inputs,
                                                      const BuildOptions& build) {
  using Part = TranslationBuild::Part;
  const Part part = build.translation.part;
  TranslationInputs found;
  std::vector<std::pair<absl::string_view, Value*>> wanted = {
      {kSourceOffsetsInput, &found.source_offsets}};
  if (part != Part::kStep) {
    wanted.emplace_back(kSourceTokensInput, &found.source_tokens);
  }
  if (part != Part::kEncoder) {
    wanted.emplace_back(kTokensInput, &found.tokens);
    wanted.emplace_back(kOffsetsInput, &found.offsets);
  }
  if (part == Part::kStep) {
    wanted.emplace_back(kStepPlacesInput, &found.places);
    wanted.emplace_back(kAncestorsInput, &found.ancestors);
  }
  bool all = inputs.size() == wanted.size();
  for (const auto& [name, value] : wanted) {
    const auto given = std::ranges::find(inputs, name, &NamedValue::name);
    all = all && given != inputs.end();
    *value = given == inputs.end() ? Value{} : given->value;
  }
  if (!all || build.vocabulary < 1 || build.translation.source_vocabulary < 1) {
    const auto join = [](const auto& list, const auto& name_of) {
      return absl::StrJoin(list, ", ", [&](std::string* out, const auto& one) {
        absl::StrAppend(out, name_of(one));
      });
    };
    return absl::InvalidArgumentError(absl::StrCat(
        "the network translates: its inputs are ",
        join(wanted, [](const auto& one) { return one.first; }), ", got ",
        join(inputs, [](const NamedValue& one) { return one.name; }), " and vocabularies of ",
        build.translation.source_vocabulary, " and ", build.vocabulary, " tokens"));
  }
  if (part == Part::kStep && (build.decode_window < 1 || build.translation.source_rows < 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a translation is written with decode_window and source_rows of at least 1, "
                     "got ",
                     build.decode_window, " and ", build.translation.source_rows));
  }
  return found;
}

Value DecodeTokens(Graph& graph, const TranslationInputs& inputs, const BuildOptions& build,
                   const std::function<Value(Value tokens)>& decode) {
  const Value share = build.translation.sampling;
  if (!share.valid()) {
    return decode(inputs.tokens);
  }
  const Value logits = decode(inputs.tokens);
  Value tokens;
  {
    const Graph::Scope scope(graph, "sampling");
    tokens = GuessedTokens(graph, inputs.tokens, logits, inputs.offsets, share);
  }
  return decode(tokens);
}

}  // namespace hone::engine::models
