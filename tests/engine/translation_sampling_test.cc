// The second pass of scheduled sampling: what the decoder of nets that translate reads.
#include <gmock/gmock.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/models/build.h"
#include "engine/tensor/token_rows.h"
#include "tests/support/bound_program.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::models {
namespace {

using ::hone::engine::testing::BoundProgram;
using ::hone::engine::testing::Give;
using ::hone::engine::testing::StoreOf;
using ::hone::testing::IsOk;
using ::testing::FloatNear;
using ::testing::Pointwise;

constexpr int64_t kVocabulary = 7, kRows = 9, kSourceRows = 6;
const std::vector<int32_t> kTokens = {1, 4, 2, 6, 1, 0, 1, 3, 0}, kOffsets = {0, 4, 6, 8};
const std::vector<int32_t> kSources = {3, 1, 5, 2, 2, 0}, kSourceOffsets = {0, 2, 3, 5};

ModelDescription NetOf(const std::string& preset, const nlohmann::json& options) {
  ModelDescription model;
  model.inputs = {std::string(kSourceTokensInput), std::string(kSourceOffsetsInput),
                  std::string(kTokensInput), std::string(kOffsetsInput)};
  model.preset = {.name = preset, .options = options.dump()};
  return model;
}

// The logits of all rows; where `share` is not negative, of a net that samples so many.
absl::StatusOr<std::vector<float>> LogitsOf(const ModelDescription& model,
                                            const std::vector<int32_t>& tokens, float share) {
  Graph graph;
  std::vector<NamedValue> inputs;
  const auto add = [&](absl::string_view name, int64_t count) {
    inputs.push_back({std::string(name), graph.Input(name, {Shape{count}, DType::kS32})});
  };
  add(kSourceTokensInput, kSourceRows);
  add(kSourceOffsetsInput, 4);
  add(kTokensInput, kRows);
  add(kOffsetsInput, 4);
  BuildOptions options = {.logits = true, .vocabulary = kVocabulary};
  options.translation.source_vocabulary = 6;
  if (share >= 0) {
    options.translation.sampling = graph.Input("share", {Shape{}, DType::kF32});
  }
  HONE_ASSIGN_OR_RETURN(const BuiltModel built, BuildModel(graph, model, inputs, options));
  HONE_RETURN_IF_ERROR(graph.status());
  HONE_ASSIGN_OR_RETURN(ParameterStore store, StoreOf(graph));
  store.MarkChanged();
  ProgramRequest request;
  request.graph = &graph;
  request.fetch = {built.output};
  HONE_ASSIGN_OR_RETURN(const BoundProgram bound, BoundProgram::Make(request, store));
  Give(bound.program, kSourceTokensInput, kSources);
  Give(bound.program, kSourceOffsetsInput, kSourceOffsets);
  Give(bound.program, kTokensInput, tokens);
  Give(bound.program, kOffsetsInput, kOffsets);
  if (share >= 0) {
    Give(bound.program, "share", std::vector<float>{share});
  }
  HONE_RETURN_IF_ERROR(bound.program.Run({}));
  const auto* from = static_cast<const float*>(bound.program.fetched(0));
  return std::vector<float>(from, from + kOffsets.back() * kVocabulary);
}

// The tokens with each but a text's first replaced by the best of the row before.
std::vector<int32_t> Guessed(const std::vector<float>& logits) {
  std::vector<int32_t> tokens = kTokens;
  for (size_t i = 0; i + 1 < kOffsets.size(); ++i) {
    for (int32_t row = kOffsets[i] + 1; row < kOffsets[i + 1]; ++row) {
      const auto before = logits.begin() + (row - 1) * kVocabulary;
      tokens[static_cast<size_t>(row)] =
          static_cast<int32_t>(std::max_element(before, before + kVocabulary) - before);
    }
  }
  return tokens;
}

class TranslationSampling : public ::testing::TestWithParam<ModelDescription> {};

TEST_P(TranslationSampling, ReadsTrueTokensWhereNoneAreGuessed) {
  const auto plain = LogitsOf(GetParam(), kTokens, -1);
  const auto sampled = LogitsOf(GetParam(), kTokens, 0);
  ASSERT_THAT(plain, IsOk());
  ASSERT_THAT(sampled, IsOk());
  EXPECT_THAT(*sampled, Pointwise(FloatNear(1e-6f), *plain));
}

TEST_P(TranslationSampling, ReadsItsGuessesWhereAllAreGuessed) {
  const auto plain = LogitsOf(GetParam(), kTokens, -1);
  ASSERT_THAT(plain, IsOk());
  const std::vector<int32_t> guessed = Guessed(*plain);
  ASSERT_NE(guessed, kTokens);
  const auto wanted = LogitsOf(GetParam(), guessed, -1);
  const auto sampled = LogitsOf(GetParam(), kTokens, 1);
  ASSERT_THAT(wanted, IsOk());
  ASSERT_THAT(sampled, IsOk());
  EXPECT_THAT(*sampled, Pointwise(FloatNear(1e-6f), *wanted));
}

INSTANTIATE_TEST_SUITE_P(All, TranslationSampling,
                         ::testing::Values(NetOf("seq2seq", {{"units", 10}, {"layers", 2}}),
                                           NetOf("seq2seq", {{"units", 10},
                                                             {"attention", "luong"},
                                                             {"input_feeding", true}}),
                                           NetOf("transformer_translation",
                                                 {{"layers", 2}, {"heads", 2}, {"width", 12}})),
                         [](const auto& of) { return absl::StrCat("net_", of.index); });

}  // namespace
}  // namespace hone::engine::models
