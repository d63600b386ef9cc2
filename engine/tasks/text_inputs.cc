#include "engine/tasks/text_inputs.h"

#include <algorithm>
#include <string>
#include <variant>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/tensor/token_rows.h"

namespace hone::engine::tasks {

std::vector<models::NamedValue> TextInputs(Graph& graph, const BatchShape& shape, bool pairs) {
  const Graph::Scope scope(graph, "input");
  std::vector<models::NamedValue> inputs;
  const auto add = [&](absl::string_view name, int64_t extent) {
    inputs.push_back({std::string(name), graph.Input(name, {{extent}, DType::kS32})});
  };
  add(kTokensInput, shape.bucket);
  add(kOffsetsInput, shape.batch + 1);
  if (pairs) {
    add(kSegmentsInput, shape.bucket);
  }
  return inputs;
}

absl::StatusOr<TextFiller> TextFiller::Begin(const Inputs& inputs, int32_t separator) {
  HONE_ASSIGN_OR_RETURN(const std::span<int32_t> tokens, inputs.Find<int32_t>(kTokensInput));
  HONE_ASSIGN_OR_RETURN(const std::span<int32_t> offsets, inputs.Find<int32_t>(kOffsetsInput));
  if (tokens.empty() || offsets.empty()) {
    return absl::InternalError("the model does not read the tokens of texts, or where they begin");
  }
  HONE_ASSIGN_OR_RETURN(const std::span<int32_t> segments, inputs.Find<int32_t>(kSegmentsInput));
  offsets[0] = 0;
  return TextFiller(tokens, offsets, segments, separator);
}

absl::Status TextFiller::Add(std::span<const int32_t> tokens) {
  return Add(tokens.size(), [&](std::span<int32_t> room) {
    std::ranges::copy(tokens, room.begin());
    return static_cast<int64_t>(tokens.size());
  });
}

absl::Status TextFiller::Add(size_t most,
                             absl::FunctionRef<int64_t(std::span<int32_t> room)> write) {
  if (texts_ + 1 >= offsets_.size() ||
      most > tokens_.size() - static_cast<size_t>(offsets_[texts_])) {
    return absl::InternalError(absl::StrCat("a program for ", offsets_.size() - 1, " texts with ",
                                            tokens_.size(), " tokens was given more"));
  }
  const int64_t written = write(tokens_.subspan(static_cast<size_t>(offsets_[texts_]), most));
  offsets_[texts_ + 1] = offsets_[texts_] + static_cast<int32_t>(written);
  ++texts_;
  return absl::OkStatus();
}

absl::Status TextFiller::Finish() {
  if (texts_ + 1 != offsets_.size()) {
    return absl::InternalError(
        absl::StrCat("a program for ", offsets_.size() - 1, " texts was given ", texts_));
  }
  std::ranges::fill(tokens_.subspan(static_cast<size_t>(offsets_[texts_])), 0);
  if (!segments_.empty()) {
    std::ranges::fill(segments_, 0);
    for (size_t text = 0; text < texts_; ++text) {
      const auto end = tokens_.begin() + offsets_[text + 1];
      const auto first_end = std::find(tokens_.begin() + offsets_[text], end, separator_);
      const auto second = first_end == end ? end : first_end + 1;
      std::fill(segments_.begin() + (second - tokens_.begin()),
                segments_.begin() + offsets_[text + 1], 1);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<models::ModelDescription> WithVocabulary(const models::ModelDescription& model,
                                                        const data::Preprocessing& preprocessing) {
  const int64_t vocabulary = preprocessing.text->tokenizer->size();
  models::ModelDescription result = model;
  for (models::LayerDescription& layer : result.layers) {
    auto* embedding = std::get_if<layers::EmbeddingOptions>(&layer.kind);
    const bool first = &layer == &result.layers.front() && layer.inputs.empty();
    const auto reads = [&](absl::string_view input) {
      return layer.inputs.size() == 1 && layer.inputs[0] == input;
    };
    if (embedding != nullptr && reads(kSegmentsInput)) {
      constexpr int64_t kTextsOfAPair = 2;
      embedding->rows = std::max(embedding->rows, kTextsOfAPair);
    }
    if (embedding == nullptr || (!first && !reads(kTokensInput))) {
      continue;
    }
    if (embedding->rows != 0 && embedding->rows < vocabulary) {
      return absl::InvalidArgumentError(
          absl::StrCat("model.layers (", layer.name, "): rows must be at least ", vocabulary,
                       ", one for each token of the vocabulary, got ", embedding->rows));
    }
    embedding->rows = std::max(embedding->rows, vocabulary);
  }
  return result;
}

absl::Status CheckTokenLogits(const Graph& graph, const models::BuiltModel& model, int64_t rows,
                              int64_t vocabulary, absl::string_view each) {
  const Shape& output = graph.shape(model.output);
  if (output == Shape{rows, vocabulary}) {
    return absl::OkStatus();
  }
  const models::LayerSummary& last = model.layers.back();
  return absl::InvalidArgumentError(absl::StrCat(
      "model.layers (", last.name, "): the last layer must give ", vocabulary,
      " numbers for each token, one for each token of the vocabulary, got output shape ",
      last.output_shape.ToString(),
      output.rank() > 0 && output[0] != rows ? absl::StrCat(" for each ", each) : ""));
}

}  // namespace hone::engine::tasks
