// Nets that translate, token by token: with state in place as over the whole text, also where beams
// change places; and what their presets refuse.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "engine/models/build.h"
#include "engine/tensor/token_rows.h"
#include "tests/support/bound_program.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::models {
namespace {

using ::hone::engine::testing::BoundProgram;
using ::hone::engine::testing::Give;
using ::hone::testing::IsOk;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;
using Part = TranslationBuild::Part;
using Text = std::vector<int32_t>;

constexpr int64_t kSourceVocabulary = 9, kVocabulary = 7;
constexpr int64_t kWindow = 6;
constexpr int64_t kLongestSource = 5;
constexpr int64_t kSourceRows = 16, kRows = 8;  // of the programs; both have some in vain

const std::vector<Text> kSources = {{3, 1, 8, 2}, {5}, {7, 7, 0, 4, 6}};

ModelDescription NetOf(const std::string& preset, const nlohmann::json& options) {
  ModelDescription model;
  model.inputs = {std::string(kSourceTokensInput), std::string(kSourceOffsetsInput),
                  std::string(kTokensInput), std::string(kOffsetsInput)};
  model.preset = {.name = preset, .options = options.dump()};
  return model;
}

struct Net {
  Graph graph;
  Value output = {};
};

// A part of the net for so many rows of both sides and so many sentences.
absl::Status Build(const ModelDescription& model, Part part, int64_t source_rows, int64_t rows,
                   int64_t sentences, Net& net, int64_t vocabulary = kVocabulary) {
  std::vector<NamedValue> inputs;
  const auto add = [&](absl::string_view name, const Shape& shape) {
    inputs.push_back({std::string(name), net.graph.Input(name, {shape, DType::kS32})});
  };
  add(kSourceOffsetsInput, {sentences + 1});
  if (part != Part::kStep) {
    add(kSourceTokensInput, {source_rows});
  }
  if (part != Part::kEncoder) {
    add(kTokensInput, {rows});
    add(kOffsetsInput, {sentences + 1});
  }
  BuildOptions options = {.logits = true, .vocabulary = vocabulary};
  options.translation = {.part = part, .source_vocabulary = kSourceVocabulary};
  if (part == Part::kStep) {
    add(kStepPlacesInput, {rows});
    add(kAncestorsInput, {rows, kWindow});
    options.decode_window = kWindow;
    options.translation.source_rows = source_rows;
    options.translation.longest_source = kLongestSource;
  }
  HONE_ASSIGN_OR_RETURN(const BuiltModel built, BuildModel(net.graph, model, inputs, options));
  net.output = built.output;
  return net.graph.status();
}

// All tokens one behind the other, and where each text begins.
struct Rows {
  Text tokens;
  Text offsets = {0};

  explicit Rows(const std::vector<Text>& texts) {
    for (const Text& text : texts) {
      tokens.insert(tokens.end(), text.begin(), text.end());
      offsets.push_back(static_cast<int32_t>(tokens.size()));
    }
  }
};

std::vector<float> Row(const Program& program, int fetched, int64_t row, int64_t width) {
  const float* from = static_cast<const float*>(program.fetched(fetched)) + row * width;
  return {from, from + width};
}

// A net with its first weights, whole and token by token over one store.
class Translator {
 public:
  explicit Translator(ModelDescription model) : model_(std::move(model)) {}

  absl::Status Make() {
    const auto sentences = static_cast<int64_t>(kSources.size());
    HONE_RETURN_IF_ERROR(Build(model_, Part::kEncoder, kSourceRows, 0, sentences, encoder_));
    HONE_RETURN_IF_ERROR(Build(model_, Part::kStep, kSourceRows, kRows, sentences, step_));
    Net whole;
    HONE_RETURN_IF_ERROR(Build(model_, Part::kWhole, 8, 8, 1, whole));
    for (const Graph* graph : {&whole.graph, &encoder_.graph, &step_.graph}) {
      for (const Graph::Node& node : graph->nodes()) {
        if (node.kind == Graph::Node::Kind::kParameter) {
          HONE_RETURN_IF_ERROR(store_.Declare(node.parameter).status());
        }
      }
    }
    store_.Allocate(0);
    store_.Initialize(5);
    store_.MarkChanged();
    const std::optional<Value> weights = AttentionWeightsOf(step_.graph);
    if (!weights.has_value()) {
      return absl::NotFoundError("the step's graph has no attention weights");
    }
    const auto compile = [&](const Net& net, const std::vector<Value>& fetch,
                             std::vector<BoundProgram>& to) -> absl::Status {
      ProgramRequest request;
      request.graph = &net.graph;
      request.fetch = fetch;
      request.update_buffers = true;
      HONE_ASSIGN_OR_RETURN(BoundProgram program, BoundProgram::Make(request, store_));
      to.push_back(std::move(program));
      return absl::OkStatus();
    };
    HONE_RETURN_IF_ERROR(compile(encoder_, {encoder_.output}, encoder_program_));
    return compile(step_, {step_.output, *weights}, step_program_);
  }

  absl::Status Encode() {
    const Program& program = encoder_program_[0].program;
    const Rows sources(kSources);
    Give(program, kSourceTokensInput, sources.tokens);
    std::fill_n(static_cast<int32_t*>(program.input(kSourceTokensInput)) + sources.tokens.size(),
                kSourceRows - static_cast<int64_t>(sources.tokens.size()), 0);
    Give(program, kSourceOffsetsInput, sources.offsets);
    return program.Run({});
  }

  // The newest token of each row, all of them at `place`.
  absl::Status Step(const Text& newest, int64_t place, const std::vector<Text>& ancestors,
                    const Text& offsets) {
    const Program& program = step_program_[0].program;
    Give(program, kTokensInput, newest);
    Give(program, kOffsetsInput, offsets);
    Give(program, kSourceOffsetsInput, Rows(kSources).offsets);
    for (int64_t row = 0; row < kRows; ++row) {
      // What a net does not read is not there.
      if (program.input(kStepPlacesInput) != nullptr) {
        static_cast<int32_t*>(program.input(kStepPlacesInput))[row] = static_cast<int32_t>(place);
      }
      if (program.input(kAncestorsInput) != nullptr) {
        std::ranges::copy(ancestors[static_cast<size_t>(row)],
                          static_cast<int32_t*>(program.input(kAncestorsInput)) + row * kWindow);
      }
    }
    return program.Run({});
  }
  std::vector<float> Logits(int64_t row) const {
    return Row(step_program_[0].program, 0, row, kVocabulary);
  }
  std::vector<float> Weights(int64_t row) const {
    return Row(step_program_[0].program, 1, row, kLongestSource);
  }

  // Of the last token of a translation, computed from the whole text.
  absl::StatusOr<std::vector<float>> Whole(const Text& source, const Text& text) {
    const auto source_rows = static_cast<int64_t>(source.size()) + 2;
    const auto rows = static_cast<int64_t>(text.size()) + 1;
    Net net;
    HONE_RETURN_IF_ERROR(Build(model_, Part::kWhole, source_rows, rows, 1, net));
    ProgramRequest request;
    request.graph = &net.graph;
    request.fetch = {net.output};
    HONE_ASSIGN_OR_RETURN(const BoundProgram bound, BoundProgram::Make(request, store_));
    const auto fill = [&](absl::string_view tokens, absl::string_view offsets, const Text& from,
                          int64_t count) {
      Text all = from;
      all.resize(static_cast<size_t>(count), 0);
      Give(bound.program, tokens, all);
      Give(bound.program, offsets, Rows({from}).offsets);
    };
    fill(kSourceTokensInput, kSourceOffsetsInput, source, source_rows);
    fill(kTokensInput, kOffsetsInput, text, rows);
    HONE_RETURN_IF_ERROR(bound.program.Run({}));
    return Row(bound.program, 0, rows - 2, kVocabulary);
  }

 private:
  ModelDescription model_;
  Net encoder_, step_;
  ParameterStore store_;
  std::vector<BoundProgram> encoder_program_, step_program_;  // one each, once it is compiled
};

// Three rows translate the first sentence, one the second, two the third; two are idle.
const Text kRowsOfSentences = {0, 3, 4, 6};
size_t SentenceOf(size_t row) { return row < 3 ? 0 : row < 4 ? 1 : 2; }
constexpr size_t kBusy = 6;

struct Setting {
  std::string name;
  ModelDescription model;
};

std::vector<Setting> Settings() {
  std::vector<Setting> settings;
  for (const std::string cell : {"gru", "lstm"}) {
    for (const std::string attention : {"bahdanau", "luong"}) {
      for (const auto& [end, bidirectional, layers] : {std::tuple{"", false, 1},
                                                       {"_both", true, 1},
                                                       {"_two", false, 2},
                                                       {"_both_three", true, 3}}) {
        settings.push_back({absl::StrCat(cell, "_", attention, end),
                            NetOf("seq2seq", {{"cell", cell},
                                              {"attention", attention},
                                              {"layers", layers},
                                              {"units", 10},
                                              {"embedding", 6},
                                              {"bidirectional", bidirectional}})});
      }
    }
  }
  for (const std::string cell : {"gru", "lstm"}) {
    settings.push_back(
        {absl::StrCat(cell, "_fed"), NetOf("seq2seq", {{"cell", cell},
                                                       {"attention", "luong"},
                                                       {"units", 10},
                                                       {"embedding", 6},
                                                       {"bidirectional", cell == "gru"},
                                                       {"input_feeding", true}})});
  }
  const nlohmann::json transformer = {{"layers", 2}, {"heads", 3}, {"width", 12}};
  settings.push_back({"transformer", NetOf("transformer_translation", transformer)});
  nlohmann::json other = transformer;
  other["norm_first"] = other["tied_embeddings"] = true;
  settings.push_back({"transformer_norm_first_tied", NetOf("transformer_translation", other)});
  return settings;
}

class TranslationSteps : public ::testing::TestWithParam<Setting> {};

// Runs `steps` steps in which row r of sentence s goes on from row parent(r), and holds each
// against the whole text.
template <typename Parent>
void ExpectSameAsWhole(Translator& translator, int64_t steps, const Parent& parent) {
  ASSERT_THAT(translator.Encode(), IsOk());
  std::vector<Text> texts(kBusy), ancestors(kRows, Text(kWindow, 0));
  for (int64_t place = 0; place < steps; ++place) {
    const std::vector<Text> texts_before = texts, ancestors_before = ancestors;
    Text newest(kRows, 0);
    for (size_t row = 0; row < kBusy; ++row) {
      const size_t from = place == 0 ? row : parent(row);
      newest[row] =
          static_cast<int32_t>((3 * row + 2 * static_cast<size_t>(place) + 1) % kVocabulary);
      texts[row] = texts_before[from];
      texts[row].push_back(newest[row]);
      if (place > 0) {
        ancestors[row] = ancestors_before[from];
        ancestors[row][static_cast<size_t>(place) - 1] = static_cast<int32_t>(from);
      }
    }
    ASSERT_THAT(translator.Step(newest, place, ancestors, kRowsOfSentences), IsOk());
    for (size_t row = 0; row < kBusy; ++row) {
      const Text& source = kSources[SentenceOf(row)];
      const auto whole = translator.Whole(source, texts[row]);
      ASSERT_THAT(whole, IsOk());
      EXPECT_THAT(translator.Logits(static_cast<int64_t>(row)), Pointwise(FloatNear(2e-5f), *whole))
          << "place " << place << ", row " << row;
    }
  }
}

TEST_P(TranslationSteps, GiveWhatTheWholeTextGives) {
  Translator translator(GetParam().model);
  ASSERT_THAT(translator.Make(), IsOk());
  ExpectSameAsWhole(translator, kWindow, [](size_t row) { return row; });
}

TEST_P(TranslationSteps, GiveTheSameWhereBeamsChangePlaces) {
  Translator translator(GetParam().model);
  ASSERT_THAT(translator.Make(), IsOk());
  // All rows of the first sentence go on from its second and third, those of the last change.
  ExpectSameAsWhole(translator, kWindow, [](size_t row) {
    const size_t from[] = {2, 1, 1, 3, 5, 4};
    return from[row];
  });
}

TEST_P(TranslationSteps, BeginAnewWithTheNextSentences) {
  Translator translator(GetParam().model);
  ASSERT_THAT(translator.Make(), IsOk());
  for (int i = 0; i < 2; ++i) {
    ExpectSameAsWhole(translator, 2, [](size_t row) { return row; });
  }
}

TEST_P(TranslationSteps, HaveWeightsThatAddUpToOneOverTheSentencesTokens) {
  Translator translator(GetParam().model);
  ASSERT_THAT(translator.Make(), IsOk());
  ASSERT_THAT(translator.Encode(), IsOk());
  ASSERT_THAT(translator.Step(Text(kRows, 1), 0, std::vector<Text>(kRows, Text(kWindow, 0)),
                              kRowsOfSentences),
              IsOk());
  for (size_t row = 0; row < kBusy; ++row) {
    const std::vector<float> weights = translator.Weights(static_cast<int64_t>(row));
    const auto tokens = static_cast<std::ptrdiff_t>(kSources[SentenceOf(row)].size());
    EXPECT_NEAR(std::accumulate(weights.begin(), weights.begin() + tokens, 0.0), 1, 1e-5) << row;
    EXPECT_TRUE(std::all_of(weights.begin() + tokens, weights.end(), [](float weight) {
      return weight == 0;
    })) << row;
    EXPECT_GT(*std::min_element(weights.begin(), weights.begin() + tokens), 0) << row;
  }
}

INSTANTIATE_TEST_SUITE_P(All, TranslationSteps, ::testing::ValuesIn(Settings()),
                         [](const auto& of) { return of.param.name; });

absl::Status Refused(const std::string& preset, const nlohmann::json& options) {
  Net net;
  return Build(NetOf(preset, options), Part::kWhole, 8, 8, 2, net);
}

TEST(TranslationPresets, RefuseOptionsThatTheyDoNotKnowOrThatDoNotFit) {
  EXPECT_THAT(Refused("seq2seq", {{"heads", 2}}),
              StatusIs(kInvalid, AllOf(HasSubstr("model.preset (seq2seq)"),
                                       HasSubstr("`heads` is not known"))));
  EXPECT_THAT(Refused("seq2seq", {{"layers", 0}}),
              StatusIs(kInvalid, HasSubstr("`layers` must be at least 1, got 0")));
  EXPECT_THAT(Refused("seq2seq", {{"input_feeding", true}}),
              StatusIs(kInvalid, HasSubstr("`input_feeding` is of `attention` luong")));
  EXPECT_THAT(Refused("seq2seq", {{"input_feeding", true}, {"attention", "luong"}, {"layers", 2}}),
              StatusIs(kInvalid, HasSubstr("one of `layers`, got luong and 2")));
  EXPECT_THAT(Refused("seq2seq", {{"cell", "rnn"}}),
              StatusIs(kInvalid, HasSubstr("`cell` must be one of gru, lstm, got \"rnn\"")));
  EXPECT_THAT(Refused("seq2seq", {{"attention", "dot"}}),
              StatusIs(kInvalid, HasSubstr("`attention` must be one of bahdanau, luong")));
  EXPECT_THAT(Refused("seq2seq", {{"units", 0}}),
              StatusIs(kInvalid, HasSubstr("`units` must be at least 1, got 0")));
  EXPECT_THAT(Refused("seq2seq", {{"dropout", 1}}), StatusIs(kInvalid, HasSubstr("`dropout`")));
  EXPECT_THAT(Refused("transformer_translation", {{"heads", 3}, {"width", 16}}),
              StatusIs(kInvalid, HasSubstr("`heads` must divide `width`, got 3 and 16")));
  EXPECT_THAT(Refused("transformer_translation", {{"layers", 0}}),
              StatusIs(kInvalid, HasSubstr("`layers` must be at least 1")));
}

TEST(TranslationPresets, RefuseAGraphWithoutAVocabulary) {
  Net net;
  EXPECT_THAT(Build(NetOf("seq2seq", {{"units", 4}}), Part::kWhole, 8, 8, 2, net, /*vocabulary=*/0),
              StatusIs(kInvalid, HasSubstr("vocabularies of 9 and 0 tokens")));
}

TEST(TranslationPresets, RefuseInputsOfATextAlone) {
  Graph graph;
  const Value tokens = graph.Input(kTokensInput, {{8}, DType::kS32});
  const Value offsets = graph.Input(kOffsetsInput, {{3}, DType::kS32});
  ModelDescription model = NetOf("seq2seq", {{"units", 4}});
  model.inputs = {std::string(kTokensInput), std::string(kOffsetsInput)};
  EXPECT_THAT(
      BuildModel(graph, model,
                 {{std::string(kTokensInput), tokens}, {std::string(kOffsetsInput), offsets}},
                 {.vocabulary = 5, .translation = {.source_vocabulary = 5}}),
      StatusIs(kInvalid, AllOf(HasSubstr("the network translates"), HasSubstr("source_tokens"))));
}

// Names and shapes of the parameters of a net.
std::vector<std::string> ParametersOf(const nlohmann::json& options) {
  Net net;
  EXPECT_THAT(Build(NetOf("seq2seq", options), Part::kWhole, 8, 8, 2, net), IsOk());
  std::vector<std::string> names;
  for (const Graph::Node& node : net.graph.nodes()) {
    if (node.kind == Graph::Node::Kind::kParameter) {
      names.push_back(absl::StrCat(node.parameter.name, " ", node.parameter.shape.ToString()));
    }
  }
  return names;
}

TEST(TranslationPresets, NameTheirLayersAndCountTheirWeights) {
  const std::vector<std::string> names = ParametersOf({{"units", 4}, {"embedding", 3}});
  EXPECT_THAT(names, ::testing::UnorderedElementsAre(
                         "source_embedding.weight [9, 3]", "encoder.weight [3, 12]",
                         "encoder.recurrent_weight [4, 12]", "encoder.bias [12]",
                         "encoder.recurrent_bias [12]", "target_embedding.weight [7, 3]",
                         "decoder.weight [3, 12]", "decoder.context_weight [4, 12]",
                         "decoder.recurrent_weight [4, 12]", "decoder.bias [12]",
                         "decoder.recurrent_bias [12]", "attention.query_weight [4, 4]",
                         "attention.key_weight [4, 4]", "attention.bias [4]",
                         "attention.score_weight [4]", "output.weight [4, 7]", "output.bias [7]"));
}

TEST(TranslationPresets, NameEachOfSeveralLayers) {
  const std::vector<std::string> names =
      ParametersOf({{"units", 4}, {"embedding", 3}, {"layers", 2}, {"bidirectional", true}});
  EXPECT_THAT(
      names,
      ::testing::IsSupersetOf(
          {"encoder.layer_1.forward.weight [3, 12]", "encoder.layer_2.backward.weight [8, 12]",
           "bridge.layer_1.weight [8, 4]", "bridge.layer_2.bias [4]",
           "decoder.layer_1.weight [3, 12]", "decoder.layer_1.context_weight [8, 12]",
           "decoder.layer_2.weight [4, 12]", "decoder.layer_2.recurrent_weight [4, 12]"}));
  EXPECT_THAT(names, ::testing::Not(::testing::Contains(HasSubstr("layer_2.context_weight"))));
}

}  // namespace
}  // namespace hone::engine::models
