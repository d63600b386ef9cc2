#include "engine/tasks/writing.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "engine/predict/decoder.h"
#include "engine/predict/predictor.h"
#include "engine/tasks/language_modeling.h"
#include "engine/tasks/table.h"
#include "engine/tasks/text_inputs.h"
#include "engine/tensor/token_rows.h"
#include "tests/engine/task_testing.h"
#include "tests/support/bound_program.h"
#include "tests/support/status_matchers.h"

// Language models that write: with a cache as without, and from a prompt to its text.
namespace hone::engine::train {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pointwise;

constexpr int64_t kWindow = 12;
using Text = std::vector<int32_t>;
using Logits = std::vector<float>;

models::ModelDescription GptOf(nlohmann::json changes = nlohmann::json::object()) {
  nlohmann::json options = {{"layers", 2}, {"heads", 2}, {"width", 16}, {"window", kWindow}};
  options.update(changes);
  models::ModelDescription model;
  model.inputs = {std::string(kTokensInput), std::string(kOffsetsInput)};
  model.preset = {.name = "gpt", .options = options.dump()};
  return model;
}

models::ModelDescription LayersOf(std::vector<models::LayerDescription> layers) {
  models::ModelDescription model;
  model.inputs = {std::string(kTokensInput), std::string(kOffsetsInput)};
  model.layers = std::move(layers);
  return models::WithNames(model).value();
}

// A model with its first weights, run with a cache and without.
class Nets {
 public:
  // First weights times `scale`: tokens differ then, and positions matter.
  explicit Nets(models::ModelDescription model, float scale = 8)
      : model_(std::move(model)), scale_(scale) {
    const std::string letters = "abcdef";
    info_.preprocessing.input = data::Preprocessing::Input::kText;
    info_.preprocessing.text = data::TextPreprocessing{
        .tokenizer = text::TrainTokenizer(text::CharacterTokens(),
                                          {1, [&](int64_t) { return absl::string_view(letters); }})
                         .value()};
  }

  absl::Status Make(int threads = 1) {
    HONE_ASSIGN_OR_RETURN(decoder,
                          predict::Decoder::Make([this](const tasks::DecodingShape& shape) {
                            return task_->BuildDecoding(model_, info_, shape);
                          }));
    for (const Graph* graph : decoder->graphs()) {
      for (const Graph::Node& node : graph->nodes()) {
        if (node.kind == Graph::Node::Kind::kParameter) {
          HONE_RETURN_IF_ERROR(store_.Declare(node.parameter).status());
        }
      }
    }
    store_.Allocate(0);
    store_.Initialize(5);
    for (ParameterId id = 0; id < store_.size(); ++id) {
      if (store_.spec(id).role == ParameterRole::kTrainable) {
        for (float& value : store_.mutable_values(id).f32()) {
          value *= scale_;
        }
      }
    }
    HONE_RETURN_IF_ERROR(decoder->Compile(store_, threads));
    store_.MarkChanged();
    store_.RefreshAll();
    return absl::OkStatus();
  }

  // Of the whole text at once.
  Logits Whole(const Text& text) {
    const tasks::BatchShape shape = {1, PlannedRows(static_cast<int64_t>(text.size()))};
    const auto graph = task_->BuildPrediction(model_, info_, shape);
    EXPECT_THAT(graph, IsOk());
    auto bound = testing::BoundProgram::Make(graph->built.request, store_);
    EXPECT_THAT(bound, IsOk());
    store_.RefreshAll();
    auto filler = tasks::TextFiller::Begin(tasks::Inputs(bound->program, shape)).value();
    EXPECT_THAT(filler.Add(text), IsOk());
    EXPECT_THAT(filler.Finish(), IsOk());
    EXPECT_THAT(bound->program.Run({}), IsOk());
    const auto* logits = static_cast<const float*>(bound->program.fetched(0));
    return {logits, logits + decoder->outputs()};
  }

  std::vector<Logits> Cached(const std::vector<Text>& texts) {
    const std::vector<std::span<const int32_t>> spans(texts.begin(), texts.end());
    return decoder->Run(spans).value();
  }

  void ExpectSame(const std::vector<Text>& texts) {
    const std::vector<Logits> cached = Cached(texts);
    for (size_t i = 0; i < texts.size(); ++i) {
      const Logits whole = Whole(texts[i]);
      const float largest = std::abs(
          *std::ranges::max_element(whole, {}, [](float logit) { return std::abs(logit); }));
      EXPECT_THAT(cached[i],
                  Pointwise(::testing::FloatNear(1e-5f * std::max(1.0f, largest)), whole))
          << "text " << i << " of " << texts[i].size() << " tokens";
    }
  }

  std::unique_ptr<predict::Decoder> decoder;

 private:
  const std::unique_ptr<tasks::Task> task_ =
      tasks::MakeLanguageModeling(tasks::LanguageModelingOptions{.window = kWindow});
  const models::ModelDescription model_;
  const float scale_;
  tasks::DataInfo info_;
  ParameterStore store_;
};

const Text kLong = {3, 4, 5, 6, 7, 8, 3, 5, 7, 4, 4, 8};

TEST(Decoder, GivesWhatTheWholeTextGivesTokenByToken) {
  Nets nets(GptOf());
  ASSERT_THAT(nets.Make(), IsOk());
  for (size_t n = 1; n <= kLong.size(); ++n) {
    nets.ExpectSame({Text(kLong.begin(), kLong.begin() + static_cast<std::ptrdiff_t>(n))});
  }
  EXPECT_EQ(nets.decoder->runs(), static_cast<int64_t>(kLong.size()));
}

TEST(Decoder, GivesTheSameWithPositionsOfEachKindAndATableOfItsOwn) {
  for (const char* positions : {"sinusoidal", "rotary"}) {
    Nets nets(GptOf({{"positions", positions}, {"tied_embeddings", false}, {"use_bias", true}}));
    ASSERT_THAT(nets.Make(), IsOk()) << positions;
    nets.ExpectSame({kLong});
    nets.ExpectSame({kLong, {3, 4, 5}});
  }
}

TEST(Decoder, GivesTheSameForAListOfLayersWithGroupedHeadsAndAWindow) {
  Nets nets(LayersOf({Of(layers::EmbeddingOptions{.width = 16}),
                      Of(layers::PositionsOptions{.length = kWindow}),
                      Of(layers::AttentionOptions{
                          .heads = 4, .kv_heads = 2, .causal = true, .window = 3, .rotary = true}),
                      Of(models::LayerNorm()), DenseLayer(9)}));
  ASSERT_THAT(nets.Make(2), IsOk());
  nets.ExpectSame({kLong});
  nets.ExpectSame({kLong, {5}, {8, 8, 8, 8}});
}

TEST(Decoder, GivesTheSameWithAlibiAndGatedLayers) {
  Nets nets(LayersOf({Of(layers::EmbeddingOptions{.width = 16}),
                      Of(layers::AttentionOptions{.heads = 4, .causal = true, .alibi = true}),
                      Of(layers::GluOptions{.units = 24}), DenseLayer(9)}));
  ASSERT_THAT(nets.Make(2), IsOk());
  nets.ExpectSame({kLong});
  nets.ExpectSame({kLong, {5}, {8, 8, 8, 8}});
}

TEST(Decoder, ReadsAPromptInOneRun) {
  for (const char* positions : {"learned", "rotary"}) {
    Nets nets(GptOf({{"positions", positions}}));
    ASSERT_THAT(nets.Make(2), IsOk());
    nets.ExpectSame({kLong});
    EXPECT_EQ(nets.decoder->runs(), 1);
  }
}

TEST(Decoder, GoesOnBehindAPromptThatWasReadInOneRun) {
  Nets nets(GptOf());
  ASSERT_THAT(nets.Make(), IsOk());
  nets.ExpectSame({Text(kLong.begin(), kLong.begin() + 5)});
  nets.ExpectSame({Text(kLong.begin(), kLong.begin() + 6)});
  // Two tokens of the twelve are known, then another six.
  nets.ExpectSame({{3, 4, 8, 8, 7, 3, 3, 6}});
  nets.ExpectSame({kLong});
  EXPECT_EQ(nets.decoder->runs(), 4);
}

TEST(Decoder, ReadsPromptsOfSeveralTextsSideBySide) {
  Nets nets(GptOf());
  ASSERT_THAT(nets.Make(2), IsOk());
  nets.ExpectSame({kLong, {5}, {8, 8, 8, 8}, {3, 4, 5, 6, 7, 8, 8}});
  EXPECT_EQ(nets.decoder->runs(), 1);
  // One goes on, one begins, and one is asked once more.
  nets.ExpectSame({{5, 6}, {8, 7, 6, 5, 4, 3, 3, 3, 4}, kLong});
  EXPECT_EQ(nets.decoder->runs(), 2);
}

TEST(Decoder, RunsSeveralTextsTogetherATokenOfEachAtATime) {
  Nets nets(GptOf());
  ASSERT_THAT(nets.Make(2), IsOk());
  std::vector<Text> texts;
  for (int32_t i = 0; i < 6; ++i) {
    texts.push_back({3 + i, 4, 5});
  }
  nets.ExpectSame(texts);
  EXPECT_EQ(nets.decoder->runs(), 1);
  for (Text& text : texts) {
    text.push_back(text[0]);
  }
  nets.ExpectSame(texts);
  EXPECT_EQ(nets.decoder->runs(), 2);
}

TEST(Decoder, RunsMoreTextsThanItHasRows) {
  Nets nets(GptOf());
  ASSERT_THAT(nets.Make(), IsOk());
  std::vector<Text> texts;
  for (int32_t i = 0; i < 2 * predict::Decoder::kMostRows + 1; ++i) {
    texts.push_back({3 + i % 6, 3 + i / 6, 4});
  }
  nets.ExpectSame(texts);
  nets.ExpectSame(texts);
}

TEST(Decoder, ATextThatGoesOnAfterOthersWereThereIsKnownAgain) {
  Nets nets(GptOf());
  ASSERT_THAT(nets.Make(), IsOk());
  nets.ExpectSame({{3, 4, 5, 6}, {8, 7, 6, 5}});
  nets.ExpectSame({{5, 5}, {6, 6}});
  const int64_t before = nets.decoder->runs();
  nets.ExpectSame({{8, 7, 6, 5, 4}, {3, 4, 5, 6, 7}});
  EXPECT_EQ(nets.decoder->runs(), before + 1);
}

TEST(Decoder, ATextThatIsAskedAgainOrShorterGivesTheSameOnceMore) {
  Nets nets(GptOf());
  ASSERT_THAT(nets.Make(), IsOk());
  nets.ExpectSame({kLong});
  nets.ExpectSame({kLong});
  nets.ExpectSame({Text(kLong.begin(), kLong.begin() + 5)});
  nets.ExpectSame({{3, 4, 8, 8, 8}});
}

// Of recurrent weights: larger ones let rounding errors grow from token to token.
constexpr float kStable = 1;

// Recurrent models of two layers, of each kind.
models::ModelDescription RecurrentOf(const std::string& cell) {
  const layers::RecurrentOptions options = {.units = 12, .layers = 2, .return_sequences = true};
  models::LayerDescription layer = cell == "lstm"  ? Of(models::Lstm{options})
                                   : cell == "gru" ? Of(models::Gru{options})
                                                   : Of(models::SimpleRnn{options});
  return LayersOf({Of(layers::EmbeddingOptions{.width = 10}), layer, DenseLayer(9)});
}

TEST(Decoder, GivesWhatARecurrentModelGivesOfTheWholeText) {
  for (const char* cell : {"lstm", "gru", "simple_rnn"}) {
    SCOPED_TRACE(cell);
    Nets nets(RecurrentOf(cell), kStable);
    ASSERT_THAT(nets.Make(), IsOk());
    nets.ExpectSame({Text(kLong.begin(), kLong.begin() + 4)});
    for (size_t n = 5; n <= kLong.size(); ++n) {
      nets.ExpectSame({Text(kLong.begin(), kLong.begin() + static_cast<std::ptrdiff_t>(n))});
    }
    EXPECT_EQ(nets.decoder->runs(), static_cast<int64_t>(kLong.size()) - 3);
  }
}

TEST(Decoder, ARecurrentTextThatDiffersFromItsRowsIsRunFromItsBeginning) {
  Nets nets(RecurrentOf("lstm"), kStable);
  ASSERT_THAT(nets.Make(), IsOk());
  nets.ExpectSame({kLong});
  nets.ExpectSame({kLong});
  EXPECT_EQ(nets.decoder->runs(), 1);  // the outputs are kept
  nets.ExpectSame({Text(kLong.begin(), kLong.begin() + 5)});
  nets.ExpectSame({{3, 4, 5, 6, 8, 8}});
}

TEST(Decoder, RecurrentTextsThatRunTogetherDoNotDisturbEachOther) {
  Nets nets(RecurrentOf("gru"), kStable);
  ASSERT_THAT(nets.Make(2), IsOk());
  nets.ExpectSame({{3, 4, 5}, {6}, kLong});
  nets.ExpectSame({{6, 7}});
  nets.ExpectSame({{3, 4, 5, 8}, {7, 7, 7, 7}, kLong, {6, 7, 8}});
}

TEST(Decoder, RefusesLayersThatReadAllOfAText) {
  Nets nets(LayersOf({Of(layers::EmbeddingOptions{.width = 8}),
                      Of(layers::Conv1dOptions{.filters = 8, .kernel = 2, .causal = true}),
                      DenseLayer(9)}));
  EXPECT_THAT(nets.Make(), StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("conv1d")));
}

TEST(Decoder, RefusesATextThatHasNoRoom) {
  Nets nets(GptOf());
  ASSERT_THAT(nets.Make(), IsOk());
  const Text longer(kWindow + 1, 3);
  const std::span<const int32_t> texts[] = {longer};
  EXPECT_THAT(nets.decoder->Run(texts), StatusIs(absl::StatusCode::kInternal, HasSubstr("13")));
}

// Models that know what follows what in "abcdef\nabcdef\n…".
class WritingTask : public TrainTest {
 protected:
  WritingTask() {
    std::string text;
    while (text.size() < 1400) {
      text += "abcdef\n";
    }
    Write("text.txt", text);
    config_.task = tasks::LanguageModelingOptions{.window = kWindow};
    config_.data.task = data::Task::kLanguageModeling;
    config_.data.path = Path("text.txt");
    config_.data.text.emplace();
    config_.data.text->tokenizer = text::CharacterTokens();
    config_.data.validation_fraction = 0.1;
    config_.data.test_fraction = 0;
    config_.model = GptOf();
    config_.optimizer = optim::Adam{.learning_rate = 0.02};
    config_.epochs = 25;
    config_.batch_size = 8;
    config_.run_directory = NewRun();
  }

  std::unique_ptr<predict::Predictor> Model() {
    EXPECT_THAT(Run(config_), IsOk());
    auto model = predict::Predictor::Load(config_.run_directory + "/model", 1);
    EXPECT_THAT(model, IsOk());
    return *std::move(model);
  }

  struct Written {
    std::string text;
    tasks::Prediction::Writing::End end;
    std::vector<std::string> pieces;
  };
  // All of the texts, asked for together, piece by piece.
  static std::vector<Written> Continue(predict::Predictor& model,
                                       std::vector<tasks::WritingQuestion> wishes) {
    std::vector<Written> written(wishes.size());
    for (bool goes_on = true; goes_on;) {
      goes_on = false;
      std::vector<predict::Example> examples;
      std::vector<size_t> asked;
      for (size_t i = 0; i < wishes.size(); ++i) {
        if (written[i].end == End::kNone) {
          examples.push_back(model.Read(wishes[i], "wish").value());
          asked.push_back(i);
        }
      }
      const auto predictions = model.Predict(examples).value();
      for (size_t i = 0; i < asked.size(); ++i) {
        Written& of = written[asked[i]];
        const tasks::Prediction::Writing& piece = *predictions[i].writing;
        of.text += piece.text;
        of.pieces.push_back(piece.text);
        of.end = piece.end;
        wishes[asked[i]].state = piece.state;
        goes_on = goes_on || piece.end == End::kNone;
      }
    }
    return written;
  }
  using End = tasks::Prediction::Writing::End;
  static Written Continue(predict::Predictor& model, tasks::WritingQuestion wish) {
    return Continue(model, std::vector{std::move(wish)})[0];
  }
  static absl::Status Refused(const predict::Predictor& model, tasks::WritingQuestion wish) {
    return model.Read(wish, "inputs[0]").status();
  }

  tasks::TrainingConfig config_;
};

constexpr text::SamplingOptions kGreedy = {.temperature = 0};

TEST_F(WritingTask, GoesOnFromAPromptBeyondItsWindow) {
  const auto model = Model();
  const Written written =
      Continue(*model, {.prompt = "abc", .count = 4 + 5 * 7, .sampling = kGreedy});
  EXPECT_EQ(written.text, "def\nabcdef\nabcdef\nabcdef\nabcdef\nabcdef\n");
  EXPECT_EQ(written.end, End::kCount);
  EXPECT_EQ(written.pieces[0], "d");  // the first token comes by itself
}

TEST_F(WritingTask, ByWholeTextsWhereALayerReadsAllOfThem) {
  config_.model = LayersOf({Of(layers::EmbeddingOptions{.width = 16}),
                            Of(layers::Conv1dOptions{.filters = 16, .kernel = 2, .causal = true}),
                            DenseLayer(10)});
  const auto model = Model();
  EXPECT_EQ(Continue(*model, {.prompt = "abc", .count = 18, .sampling = kGreedy}).text,
            "def\nabcdef\nabcdef\n");
}

TEST_F(WritingTask, WithTheStateOfARecurrentModel) {
  config_.model =
      LayersOf({Of(layers::EmbeddingOptions{.width = 16}),
                Of(models::Gru{{.units = 16, .return_sequences = true}}), DenseLayer(10)});
  const auto model = Model();
  EXPECT_EQ(Continue(*model, {.prompt = "abc", .count = 4 + 3 * 7, .sampling = kGreedy}).text,
            "def\nabcdef\nabcdef\nabcdef\n");
}

TEST_F(WritingTask, AnEmptyPromptIsALineBreakThatIsNotShown) {
  const auto model = Model();
  EXPECT_EQ(Continue(*model, {.count = 7, .sampling = kGreedy}).text, "abcdef\n");
}

TEST_F(WritingTask, EndsBeforeAStopText) {
  const auto model = Model();
  const Written written =
      Continue(*model, {.prompt = "abc", .count = 50, .sampling = kGreedy, .stops = {"f\na"}});
  EXPECT_EQ(written.text, "de");
  EXPECT_EQ(written.end, End::kStop);
}

TEST_F(WritingTask, TheSameSeedWritesTheSameWhoeverElseAsks) {
  const auto model = Model();
  const tasks::WritingQuestion wish = {
      .prompt = "ab", .count = 40, .sampling = {.temperature = 5, .seed = 3}};
  tasks::WritingQuestion other = wish;
  other.sampling.seed = 4;
  const std::string alone = Continue(*model, wish).text;
  const std::vector<Written> together = Continue(*model, {other, wish, wish});
  EXPECT_EQ(together[1].text, alone);
  EXPECT_EQ(together[2].text, alone);
  EXPECT_NE(together[0].text, alone);
}

TEST_F(WritingTask, RefusesWhatItCannotRead) {
  config_.epochs = 1;
  const auto model = Model();
  EXPECT_THAT(Refused(*model, {.prompt = "ab€", .count = 1}),
              StatusIs(kInvalid, AllOf(HasSubstr("inputs[0]: prompt"),
                                       HasSubstr("character \"€\", at byte 2"))));
  EXPECT_THAT(Refused(*model, {.prompt = "\xff", .count = 1}),
              StatusIs(kInvalid, HasSubstr("prompt")));
  EXPECT_THAT(Refused(*model, {.count = 0}), StatusIs(kInvalid, HasSubstr("count: must be 1 to")));
  EXPECT_THAT(Refused(*model, {.count = 1, .sampling = {.top_p = 0}}),
              StatusIs(kInvalid, HasSubstr("top_p")));
  EXPECT_THAT(Refused(*model, {.count = 1, .stops = {""}}),
              StatusIs(kInvalid, HasSubstr("stop[0]: must not be empty")));
  EXPECT_THAT(
      Refused(*model, {.count = 1, .state = tasks::WritingState{.tokens = {99}, .written = 1}}),
      StatusIs(kInvalid, HasSubstr("state")));
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  EXPECT_THAT(
      Refused(*model, {.count = 1, .state = tasks::WritingState{.tokens = {3}, .written = kMost}}),
      StatusIs(kInvalid, HasSubstr("state")));
  EXPECT_THAT(model->Read(tasks::TextQuestion{"abc"}, "inputs[0]"),
              StatusIs(kInvalid, HasSubstr("--prompt")));
}

TEST_F(WritingTask, NamesAWordThatItDoesNotKnow) {
  std::string text;
  while (text.size() < 1400) {
    text += "abcdef one two ";
  }
  Write("text.txt", text);
  config_.data.text->tokenizer = text::WordTokens{.vocabulary = 20};
  config_.epochs = 1;
  const auto model = Model();
  EXPECT_THAT(Refused(*model, {.prompt = "abcdef xyz", .count = 1}),
              StatusIs(kInvalid, HasSubstr("word \"xyz\", at byte 7")));
}

}  // namespace
}  // namespace hone::engine::train
