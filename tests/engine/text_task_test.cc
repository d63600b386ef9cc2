#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"
#include "engine/base/rng.h"
#include "engine/data/texts.h"
#include "engine/graph/sum.h"
#include "engine/job/evaluator.h"
#include "engine/job/plan.h"
#include "engine/predict/predictor.h"
#include "engine/tasks/text_inputs.h"
#include "engine/tensor/token_rows.h"
#include "tests/engine/task_testing.h"
#include "tests/support/status_matchers.h"

// Classification and regression of texts, from files to answers.
namespace hone::engine::train {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int kTexts = 120;

// Texts of 2 to 13 words, one of which says what is thought of it, and how many stars that is.
class TextTask : public TrainTest {
 protected:
  TextTask() {
    const std::vector<std::string> good = {"good", "great", "fine"}, bad = {"bad", "poor", "dull"};
    RandomStream random(3, "texts");
    std::string table = "text\tlabel\tstars\n";
    for (int i = 0; i < kTexts; ++i) {
      const bool liked = i % 2 == 0;
      const auto length = static_cast<int>(1 + random.NextBelow(12));
      const auto place = static_cast<int>(random.NextBelow(static_cast<uint64_t>(length)));
      for (int w = 0; w < length; ++w) {
        absl::StrAppend(&table, w == place ? (liked ? good : bad)[random.NextBelow(3)] + " " : "",
                        "word", random.NextBelow(20), " ");
      }
      absl::StrAppend(&table, "\t", liked ? "liked" : "not liked", "\t", liked ? 4 : 2, "\n");
    }
    Write("texts.tsv", table);
    config_.task =
        tasks::ClassificationOptions{.label_smoothing = 0, .class_weights = {}, .binary = true};
    config_.data.path = Path("texts.tsv");
    config_.data.text.emplace();
    config_.data.validation_fraction = 0.1;
    config_.model = Averaged();
    config_.optimizer = optim::Adam{.learning_rate = 0.02};
    config_.epochs = 12;
    config_.batch_size = 16;
    config_.threads = 2;
  }

  // The mean of the words' rows, and one number made of it.
  static models::ModelDescription Averaged() {
    models::ModelDescription model;
    model.inputs = {std::string(kTokensInput), std::string(kOffsetsInput)};
    model.layers = {Of(layers::EmbeddingOptions{.width = 8}), Of(layers::SequencePoolOptions()),
                    DenseLayer(1)};
    return models::WithNames(model).value();
  }

  std::map<std::string, double> Trained() {
    config_.run_directory = NewRun();
    EXPECT_THAT(Run(config_), IsOk());
    return recorder_.evaluations.empty() ? std::map<std::string, double>()
                                         : recorder_.evaluations.back().metrics;
  }
  // Pairs of texts that praise or blame, liked if the second one praises.
  void MakePairs() {
    const std::vector<std::string> good = {"good", "great", "fine"}, bad = {"bad", "poor", "dull"};
    RandomStream random(5, "pairs");
    std::string table = "text\tother\tlabel\n";
    for (int i = 0; i < 2 * kTexts; ++i) {
      const bool liked = i % 2 == 0;
      const auto say = [&](bool praise) {
        return absl::StrCat("word", random.NextBelow(20), " ",
                            (praise ? good : bad)[random.NextBelow(3)]);
      };
      const std::string first = say(random.NextBelow(2) == 0);
      absl::StrAppend(&table, first, "\t", say(liked), "\t", liked ? "liked" : "not liked", "\n");
    }
    Write("pairs.tsv", table);
    config_.data.path = Path("pairs.tsv");
    config_.data.text->second_columns = {"other"};
    models::ModelDescription model;
    model.inputs = {std::string(kTokensInput), std::string(kOffsetsInput),
                    std::string(kSegmentsInput)};
    model.layers = {Of(layers::EmbeddingOptions{.width = 8}),
                    Of(layers::EmbeddingOptions{.width = 8}),
                    Of(models::Add()),
                    DenseLayer(16, ActivationKind::kRelu),
                    Of(layers::SequencePoolOptions()),
                    DenseLayer(1)};
    model.layers[1].inputs = {std::string(kSegmentsInput)};
    model.layers[2].inputs = {"embedding_1", "embedding_2"};
    config_.model = models::WithNames(model).value();
    config_.epochs = 60;
  }
  std::unique_ptr<predict::Predictor> Model() const {
    return predict::Predictor::Load(config_.run_directory + "/model", 2).value();
  }
  static double ProbabilityOf(const tasks::Prediction& prediction, const std::string& name) {
    return std::ranges::find(prediction.classes, name, &tasks::Prediction::Class::name)
        ->probability;
  }

  tasks::TrainingConfig config_;
};

TEST_F(TextTask, OfClassesIsLearned) {
  const auto metrics = Trained();
  EXPECT_GT(metrics.at("test_accuracy"), 0.9);
  EXPECT_GT(metrics.at("test_macro_f1"), 0.9);
  EXPECT_GT(metrics.at("test_auc"), 0.9);
}

TEST_F(TextTask, OfClassesByCharactersIsLearned) {
  config_.data.text->tokenizer = text::CharacterTokens();
  config_.epochs = 40;
  EXPECT_GT(Trained().at("test_accuracy"), 0.7);
}

TEST_F(TextTask, OfClassesByARecurrenceIsLearned) {
  models::ModelDescription model = Averaged();
  model.layers[1] = Of(models::Gru{{.units = 16}});
  config_.model = models::WithNames(model).value();
  config_.epochs = 20;
  EXPECT_GT(Trained().at("test_accuracy"), 0.8);
}

// Only what the second text says counts, and which one a token is of the segments alone tell.
TEST_F(TextTask, OfPairsIsLearned) {
  MakePairs();
  EXPECT_GT(Trained().at("test_accuracy"), 0.7);
  const auto model = Model();
  const auto ask = [&](const std::string& first, const std::string& second) {
    const auto example = model->Read(tasks::TextQuestion{first, second}, "it").value();
    return ProbabilityOf(model->Predict(std::span(&example, 1)).value()[0], "liked");
  };
  EXPECT_GT(ask("bad word1", "good word2"), ask("good word1", "bad word2"));
}

TEST_F(TextTask, OfPairsStoppedAndResumedIsNeverStopped) {
  MakePairs();
  config_.data.text->augmentation.word_dropout = 0.1f;
  config_.epochs = 2;
  ExpectSameBitsInPieces(config_);
}

TEST_F(TextTask, OfPairsIsPlanned) {
  MakePairs();
  job::Phase phase;
  const auto plan = job::PlanJob(config_, /*measure=*/true, &phase);
  ASSERT_THAT(plan, IsOk());
  EXPECT_GT(*plan->step_seconds, 0);
}

TEST_F(TextTask, OfPairsAsksForBothTexts) {
  MakePairs();
  config_.epochs = 1;
  Trained();
  EXPECT_THAT(Model()->Read(tasks::TextQuestion{"alone"}, "it"),
              StatusIs(kInvalid, HasSubstr("it: the model takes pairs of texts")));
}

TEST_F(TextTask, OfClassesByAnEncoderIsLearned) {
  config_.model.layers.clear();
  config_.epochs = 30;
  config_.optimizer = optim::Adam{.learning_rate = 0.005};
  for (const char* pooling : {"mean", "max"}) {
    config_.model.preset = {
        .name = "transformer_encoder",
        .options =
            absl::StrCat(R"({"layers": 1, "heads": 2, "width": 16, "dropout": 0,)",
                         R"("positions": "rotary", "pooler": true, "pooling": ")", pooling, "\"}")};
    EXPECT_GT(Trained().at("test_accuracy"), 0.75) << pooling;
  }
  const std::vector<tasks::Example> examples = {
      Model()->Read(tasks::TextQuestion{"great word1"}, "it").value()};
  EXPECT_EQ((*Model()->Predict(examples))[0].classes.size(), 2);
}

TEST_F(TextTask, OfNumbersByAnEncoderIsLearned) {
  config_.task = tasks::RegressionOptions();
  config_.data.task = data::Task::kRegression;
  config_.data.target = "stars";
  config_.model.layers.clear();
  config_.model.preset = {
      .name = "transformer_encoder",
      .options = R"({"layers": 1, "heads": 2, "width": 16, "length": 20, "dropout": 0})"};
  config_.epochs = 30;
  config_.optimizer = optim::Adam{.learning_rate = 0.005};
  EXPECT_LT(Trained().at("test_mae"), 0.6);
}

TEST_F(TextTask, LongerThanTheLearnedPlacesOfAnEncoderIsRefusedByItsPlan) {
  config_.model.layers.clear();
  config_.model.preset = {
      .name = "transformer_encoder",
      .options = R"({"layers": 1, "heads": 2, "width": 16, "length": 4, "dropout": 0})"};
  job::Phase phase;
  EXPECT_THAT(
      job::PlanJob(config_, /*measure=*/false, &phase),
      StatusIs(kInvalid, AllOf(HasSubstr("(transformer_encoder): `length` must be at least"),
                               HasSubstr("longest sequence, got 4"),
                               HasSubstr("data.text.max_tokens: 4 would cut"))));
  config_.data.text->max_tokens = 4;
  EXPECT_THAT(job::PlanJob(config_, /*measure=*/false, &phase), IsOk());
}

TEST_F(TextTask, OfPairsLongerThanTheLearnedPlacesOfALayerIsRefusedByItsPlan) {
  MakePairs();  // <s> word good </s> word bad </s>
  config_.model.layers.insert(config_.model.layers.begin() + 3,
                              Of(layers::PositionsOptions{.length = 6}));
  config_.model = models::WithNames(config_.model).value();
  job::Phase phase;
  EXPECT_THAT(job::PlanJob(config_, /*measure=*/false, &phase),
              StatusIs(kInvalid, AllOf(HasSubstr("model.layers[3] (positions"),
                                       HasSubstr("length must be at least 7"),
                                       HasSubstr("got 6; data.text.max_tokens: 6 would cut"))));
}

TEST_F(TextTask, OfNumbersIsLearnedInTheirOwnUnit) {
  config_.task = tasks::RegressionOptions();
  config_.data.task = data::Task::kRegression;
  config_.data.target = "stars";
  EXPECT_LT(Trained().at("test_mae"), 0.5);
}

TEST_F(TextTask, StoppedAndResumedIsNeverStopped) {
  config_.epochs = 2;
  ExpectSameBitsInPieces(config_);
}

TEST_F(TextTask, ChangedAtRandomStoppedAndResumedIsNeverStopped) {
  config_.data.text->augmentation = {
      .character_noise = 0.05f, .word_dropout = 0.1f, .unknown = 0.05f, .swap = 0.1f};
  config_.epochs = 2;
  ExpectSameBitsInPieces(config_);
}

TEST_F(TextTask, IsChangedAtRandomInTheTrainingAlone) {
  // Hardly a word is left to learn from, but of the texts that are judged all are.
  config_.data.text->augmentation.unknown = 0.6f;
  config_.epochs = 40;
  Trained();
  EXPECT_GT(recorder_.evaluations.back().metrics.at("test_accuracy"), 0.75);
  EXPECT_LT(recorder_.metrics.back().values.at("accuracy"), 0.95);
}

TEST_F(TextTask, GivesATableARowForEachTokenOfTheVocabulary) {
  job::Phase phase;
  const auto plan = job::PlanJob(config_, /*measure=*/true, &phase);
  ASSERT_THAT(plan, IsOk());
  // 20 words, 6 of praise and blame, 3 special tokens.
  EXPECT_EQ(plan->layers[1].weights, 29 * 8);
  EXPECT_GT(*plan->step_seconds, 0);
}

TEST_F(TextTask, RefusesATableWithFewerRowsThanTokens) {
  std::get<layers::EmbeddingOptions>(config_.model.layers[0].kind).rows = 10;
  config_.run_directory = NewRun();
  EXPECT_THAT(Run(config_), StatusIs(kInvalid, AllOf(HasSubstr("(embedding"), HasSubstr("29"))));
}

TEST_F(TextTask, WithoutALayerThatPoolsSaysWhatIsMissing) {
  config_.model.layers.erase(config_.model.layers.begin() + 1);
  config_.run_directory = NewRun();
  EXPECT_THAT(Run(config_), StatusIs(kInvalid, HasSubstr("one row must be made of each text")));
}

TEST_F(TextTask, AnswersTextsOfAnyLengthAloneAsTogether) {
  Trained();
  const auto model = Model();
  std::vector<tasks::Example> examples;
  std::string text = "great";
  for (int i = 0; i < 40; ++i) {
    absl::StrAppend(&text, " word1", i % 7 == 0 ? " good good" : "");
    examples.push_back(model->Read(tasks::TextQuestion{text}, "it").value());
  }
  const std::vector<tasks::Prediction> together = model->Predict(examples).value();
  ASSERT_EQ(together.size(), examples.size());
  for (size_t i = 0; i < examples.size(); ++i) {
    const auto alone = model->Predict(std::span(examples).subspan(i, 1));
    ASSERT_THAT(alone, IsOk());
    EXPECT_NEAR(ProbabilityOf((*alone)[0], "liked"), ProbabilityOf(together[i], "liked"), 1e-5);
  }
}

TEST_F(TextTask, AnswersByWhatItHasLearned) {
  Trained();
  const auto model = Model();
  const auto ask = [&](const std::string& text) {
    const tasks::Example example = model->Read(tasks::TextQuestion{text}, "it").value();
    return ProbabilityOf(model->Predict(std::span(&example, 1)).value()[0], "liked");
  };
  EXPECT_GT(ask("great and good"), 0.5);
  EXPECT_LT(ask("dull, poor"), 0.5);
}

TEST_F(TextTask, TakesNoOtherQuestions) {
  config_.epochs = 1;
  Trained();
  EXPECT_THAT(Model()->Read(tasks::PictureQuestion{"x"}, "it"),
              StatusIs(kInvalid, HasSubstr("it: the model takes texts, this is a picture")));
  EXPECT_THAT(Model()->Read(tasks::TextQuestion{"a", "b"}, "it"),
              StatusIs(kInvalid, HasSubstr("it: the model takes single texts, this is a pair")));
  EXPECT_THAT(Model()->Read(tasks::TextQuestion{"caf\xe9"}, "it"),
              StatusIs(kInvalid, AllOf(HasSubstr("it: "), HasSubstr("UTF-8"))));
  EXPECT_THAT(Model()->Read(tasks::TextQuestion{.text = "good", .beams = 2}, "it"),
              StatusIs(kInvalid, HasSubstr("it: beams: must not be given")));
}

TEST_F(TextTask, IsEvaluatedOnOtherTextsWithTheTokensOfTheTraining) {
  Trained();
  Write("others.tsv",
        "text\tlabel\ngreat word1\tliked\npoor word2 word3\tnot liked\n"
        "unheard of\tliked\n");
  job::EvaluationConfig evaluation;
  evaluation.models = {config_.run_directory + "/model"};
  evaluation.data.path = Path("others.tsv");
  evaluation.threads = 2;
  evaluation.run_directory = NewRun();
  job::Phase phase;
  const auto result = job::Evaluate(evaluation, stop_, recorder_, phase);
  ASSERT_THAT(result, IsOk());
  EXPECT_GE(result->evaluation.metrics.at("test_accuracy"), 0.6);
}

TEST_F(TextTask, GoesOnFromAModelOfTheSameTokensAlone) {
  config_.epochs = 1;
  Trained();
  tasks::TrainingConfig next = config_;
  next.pretrained.directory = config_.run_directory + "/model";
  next.run_directory = NewRun();
  EXPECT_THAT(Run(next), IsOk());
  next.data.text->cleaning.lower_case = true;
  next.run_directory = NewRun();
  EXPECT_THAT(Run(next), StatusIs(kInvalid, HasSubstr("other tokens")));
}

TEST(TextFiller, SaysWhichTextOfAPairATokenIsOf) {
  Graph graph;
  const auto inputs = tasks::TextInputs(graph, {.batch = 2, .bucket = 16}, /*pairs=*/true);
  ASSERT_EQ(inputs.size(), 3u);
  const auto embedded = [&](size_t input, const std::string& name) {
    return layers::Embedding(graph, inputs[input].value, {.name = name, .rows = 9, .width = 1});
  };
  const Value value = layers::SequencePool(
      graph, Sum(graph, embedded(0, "tokens"), embedded(2, "segments")), inputs[1].value, {});
  ParameterStore store;
  for (const Graph::Node& node : graph.nodes()) {
    if (node.kind == Graph::Node::Kind::kParameter) {
      ASSERT_THAT(store.Declare(node.parameter), IsOk());
    }
  }
  store.Allocate(0);
  auto program = Program::Compile({.graph = &graph, .fetch = {value}, .gradients = {}}, store, {});
  ASSERT_THAT(program, IsOk());
  Buffer arena(std::max<int64_t>(program->arena_bytes(), 64));
  ASSERT_THAT(program->Bind(arena.as<std::byte>()), IsOk());
  const tasks::Inputs named(*program, {.batch = 2, .bucket = 16});
  auto filler = tasks::TextFiller::Begin(named, /*separator=*/2);
  ASSERT_THAT(filler, IsOk());
  EXPECT_THAT(filler->Add(std::vector<int32_t>{1, 5, 2, 6, 7, 2}), IsOk());
  EXPECT_THAT(filler->Add(std::vector<int32_t>{1, 5, 6, 2, 7, 2}), IsOk());
  EXPECT_THAT(filler->Finish(), IsOk());
  EXPECT_THAT(*named.Find<int32_t>(kSegmentsInput),
              ElementsAre(0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0));
}

TEST(TextFiller, PutsTextsOneBehindTheOtherAndZerosBehindThem) {
  Graph graph;
  const auto inputs = tasks::TextInputs(graph, {.batch = 2, .bucket = 8});
  const Value value = layers::SequencePool(
      graph, layers::Embedding(graph, inputs[0].value, {.name = "e", .rows = 9, .width = 1}),
      inputs[1].value, {});
  ParameterStore store;
  for (const Graph::Node& node : graph.nodes()) {
    if (node.kind == Graph::Node::Kind::kParameter) {
      ASSERT_THAT(store.Declare(node.parameter), IsOk());
    }
  }
  store.Allocate(0);
  auto program = Program::Compile({.graph = &graph, .fetch = {value}, .gradients = {}}, store, {});
  ASSERT_THAT(program, IsOk());
  Buffer arena(std::max<int64_t>(program->arena_bytes(), 64));
  ASSERT_THAT(program->Bind(arena.as<std::byte>()), IsOk());
  const tasks::Inputs named(*program, {.batch = 2, .bucket = 8});
  std::ranges::fill(*named.Find<int32_t>(kTokensInput), 7);
  auto filler = tasks::TextFiller::Begin(named);
  ASSERT_THAT(filler, IsOk());
  EXPECT_THAT(filler->Add(std::vector<int32_t>{1, 2, 3}), IsOk());
  EXPECT_THAT(filler->Finish(), StatusIs(absl::StatusCode::kInternal, HasSubstr("2 texts")));
  EXPECT_THAT(filler->Add(std::vector<int32_t>(6, 1)),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("2 texts")));
  EXPECT_THAT(filler->Add(std::vector<int32_t>{4, 5}), IsOk());
  EXPECT_THAT(filler->Finish(), IsOk());
  EXPECT_THAT(*named.Find<int32_t>(kTokensInput), ElementsAre(1, 2, 3, 4, 5, 0, 0, 0));
  EXPECT_THAT(*named.Find<int32_t>(kOffsetsInput), ElementsAre(0, 3, 5));
}

}  // namespace
}  // namespace hone::engine::train
