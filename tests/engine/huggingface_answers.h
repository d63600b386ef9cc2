#pragma once

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/status.h"
#include "engine/huggingface/checkpoint.h"
#include "engine/models/build.h"
#include "engine/tensor/token_rows.h"
#include "tests/support/bound_program.h"
#include "tests/support/golden.h"

// What the net of a checkpoint computes of texts that a golden case tells: their `lengths`, and
// their `tokens` where these are no numbers of a stream (tests/golden/huggingface.py).
namespace hone::engine::testing {

inline constexpr uint64_t kTokenStream = 1;
inline constexpr int64_t kRowsBehind = 3;  // of no text

// A net that is asked for so many numbers of each text, or 0: for one of each token of the
// vocabulary behind each token.
struct Question {
  int64_t vocabulary = 0;
  int64_t outputs = 0;
  bool lent = false;  // weights are read where they lie in the file
};

inline absl::Status GiveWeights(const huggingface::Weights& weights, bool lent,
                                ParameterStore& store) {
  for (ParameterId id = 0; id < store.size() && lent; ++id) {
    if (weights.Holds(store.spec(id).name)) {
      HONE_ASSIGN_OR_RETURN(std::optional<BorrowedValues> values,
                            weights.InPlace(store.spec(id).name));
      if (values.has_value()) {
        HONE_RETURN_IF_ERROR(store.Borrow(id, *std::move(values)));
      }
    }
  }
  store.Allocate(1);
  for (ParameterId id = 0; id < store.size(); ++id) {
    const std::string& name = store.spec(id).name;
    if (store.borrowed(id) != nullptr) {
      continue;
    }
    if (weights.Holds(name)) {
      EXPECT_EQ(weights.shape(name), store.spec(id).shape) << name;
      HONE_RETURN_IF_ERROR(weights.Read(name, store.mutable_values(id).f32()));
      continue;
    }
    // A head that the checkpoint has not: the numbers themselves.
    EXPECT_THAT(name, ::testing::StartsWith("classifier."));
    const std::span<float> values = store.mutable_values(id).f32();
    const int64_t columns = store.spec(id).shape.back();
    for (int64_t i = 0; store.spec(id).shape.rank() == 2 && i < columns; ++i) {
      values[static_cast<size_t>(i * columns + i)] = 1;
    }
  }
  store.MarkChanged();
  return absl::OkStatus();
}

// The numbers of all texts of the golden case, or of their tokens.
inline absl::StatusOr<std::vector<float>> Answers(const std::string& folder,
                                                  const nlohmann::json& golden,
                                                  const Question& question) {
  const auto lengths = golden["lengths"].get<std::vector<int32_t>>();
  std::vector<int32_t> offsets(lengths.size() + 1);
  std::partial_sum(lengths.begin(), lengths.end(), offsets.begin() + 1);
  const int64_t rows = offsets.back() + kRowsBehind;
  HONE_ASSIGN_OR_RETURN(models::ModelDescription model, huggingface::DescribeModel(folder));
  Graph graph;
  std::vector<models::NamedValue> inputs = {
      {std::string(kTokensInput), graph.Input(kTokensInput, {{rows}, DType::kS32})},
      {std::string(kOffsetsInput),
       graph.Input(kOffsetsInput, {{static_cast<int64_t>(offsets.size())}, DType::kS32})}};
  const bool pairs = golden["pairs"].get<bool>();
  if (pairs) {
    model.inputs.emplace_back(kSegmentsInput);
    inputs.push_back(
        {std::string(kSegmentsInput), graph.Input(kSegmentsInput, {{rows}, DType::kS32})});
  }
  HONE_ASSIGN_OR_RETURN(
      const models::BuiltModel built,
      models::BuildModel(graph, model, inputs,
                         {.vocabulary = question.vocabulary, .outputs = question.outputs}));
  ParameterStore store;
  for (const Graph::Node& node : graph.nodes()) {
    if (node.kind == Graph::Node::Kind::kParameter) {
      ParameterSpec spec = node.parameter;
      spec.role = question.lent ? ParameterRole::kFrozen : ParameterRole::kTrainable;
      HONE_RETURN_IF_ERROR(store.Declare(spec).status());
    }
  }
  HONE_ASSIGN_OR_RETURN(const huggingface::Weights weights, huggingface::Weights::Open(folder));
  HONE_RETURN_IF_ERROR(GiveWeights(weights, question.lent, store));
  ProgramRequest request;
  request.graph = &graph;
  request.fetch = {built.output};
  HONE_ASSIGN_OR_RETURN(const BoundProgram bound, BoundProgram::Make(request, store, {}));
  std::vector<int32_t> tokens(static_cast<size_t>(rows)), segments(static_cast<size_t>(rows));
  for (size_t text = 0; text < lengths.size(); ++text) {
    for (int32_t i = offsets[text]; i < offsets[text + 1]; ++i) {
      const auto at = static_cast<size_t>(i);
      tokens[at] =
          golden.contains("tokens")
              ? golden["tokens"][at].get<int32_t>()
              : static_cast<int32_t>(
                    Number(kTokenStream, i) % static_cast<uint64_t>(question.vocabulary - 2) + 2);
      segments[at] = i - offsets[text] >= (lengths[text] + 1) / 2 ? 1 : 0;
    }
  }
  Give(bound.program, kTokensInput, tokens);
  Give(bound.program, kOffsetsInput, offsets);
  if (pairs) {
    Give(bound.program, kSegmentsInput, segments);
  }
  HONE_RETURN_IF_ERROR(bound.program.Run({}));
  const auto* const output = static_cast<const float*>(bound.program.fetched(0));
  const int64_t count = question.outputs > 0
                            ? static_cast<int64_t>(lengths.size()) * question.outputs
                            : offsets.back() * question.vocabulary;
  return std::vector<float>(output, output + count);
}

}  // namespace hone::engine::testing
