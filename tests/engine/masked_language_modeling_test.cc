#include "engine/tasks/masked_language_modeling.h"

#include <gmock/gmock.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "engine/base/rng.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/data/masked_texts.h"
#include "engine/job/evaluator.h"
#include "engine/job/plan.h"
#include "engine/job/pretrained.h"
#include "engine/predict/predictor.h"
#include "engine/tasks/filling.h"
#include "engine/tasks/model_file.h"
#include "engine/tasks/table.h"
#include "engine/tensor/token_rows.h"
#include "tests/engine/task_testing.h"
#include "tests/support/status_matchers.h"

// Models that find masked words, from texts to their answers, and what goes on from them.
namespace hone::engine::train {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr int kTexts = 400;
// Special tokens, then the animals, what they do and where, and four fillers.
constexpr int64_t kVocabulary = 4 + 3 + 3 + 3 + 4;

class MaskedTask : public TrainTest {
 protected:
  // Texts of an animal, what it alone does, and where that is: each word tells the other two.
  MaskedTask() {
    const std::vector<std::vector<std::string>> words = {
        {"dog", "barks", "yard"}, {"bird", "sings", "tree"}, {"fish", "swims", "pond"}};
    RandomStream random(5, "masked test");
    std::string table = "text\tlabel\n", lines;
    for (int i = 0; i < kTexts; ++i) {
      const auto kind = static_cast<size_t>(i % 3);
      std::string text;
      for (const std::string& word : words[kind]) {
        absl::StrAppend(&text, word, " filler", random.NextBelow(4), " ");
      }
      text.pop_back();
      absl::StrAppend(&table, text, "\t", i % 3, "\n");
      absl::StrAppend(&lines, text, "\n");
    }
    Write("texts.tsv", table);
    Write("lines.txt", lines);
    config_.task = tasks::MaskedLanguageModelingOptions();
    config_.data.task = data::Task::kLanguageModeling;
    config_.data.path = Path("texts.tsv");
    config_.data.text.emplace();
    config_.data.validation_fraction = 0.2;
    config_.data.test_fraction = 0;
    config_.model.inputs = {std::string(kTokensInput), std::string(kOffsetsInput)};
    config_.model.preset = Encoder();
    config_.optimizer = optim::Adam{.learning_rate = 0.005};
    config_.epochs = 30;
    config_.batch_size = 16;
    config_.threads = 2;
  }

  static models::PresetDescription Encoder(nlohmann::json changes = nlohmann::json::object()) {
    nlohmann::json options = {
        {"layers", 1}, {"heads", 2}, {"width", 32}, {"length", 8}, {"dropout", 0}};
    options.update(changes);
    return {.name = "transformer_encoder", .options = options.dump()};
  }

  std::map<std::string, double> TrainedBy(tasks::TrainingConfig& config) {
    config.run_directory = NewRun();
    EXPECT_THAT(Run(config), IsOk());
    return recorder_.evaluations.empty() ? std::map<std::string, double>()
                                         : recorder_.evaluations.back().metrics;
  }
  std::map<std::string, double> Trained() { return TrainedBy(config_); }

  std::unique_ptr<predict::Predictor> Model() const {
    return predict::Predictor::Load(config_.run_directory + "/model", 2).value();
  }

  // A classification of the same texts that goes on from the model.
  absl::StatusOr<tasks::TrainingConfig> Next(const std::vector<std::string>& freeze = {}) const {
    tasks::TrainingConfig next = config_;
    next.task = tasks::ClassificationOptions();
    next.data.task = data::Task::kClassification;
    next.data.test_fraction = 0.2;
    next.pretrained.directory = config_.run_directory + "/model";
    HONE_ASSIGN_OR_RETURN(next.data.text->like, job::PretrainedTokens(next.pretrained));
    HONE_ASSIGN_OR_RETURN(next.model, job::WithPretrained(next.pretrained, {}));
    HONE_ASSIGN_OR_RETURN(next.parameter_rules, job::FreezeRules(next.pretrained, freeze));
    return next;
  }

  tasks::TrainingConfig config_;
};

TEST_F(MaskedTask, FindsWordsByTheOthersOfATextOnBothSides) {
  const auto metrics = Trained();
  // Half of the words are fillers, which nothing tells: ln 4 for these, nothing for the others. By
  // their places alone it would be 1.24.
  EXPECT_LT(metrics.at("validation_loss"), 1.1);
  EXPECT_GT(metrics.at("validation_masked_accuracy"), 0.4);
  EXPECT_GT(metrics.at("masked_accuracy"), 0.4);
  EXPECT_NEAR(metrics.at("validation_perplexity"), std::exp(metrics.at("validation_loss")), 1e-9);
}

TEST_F(MaskedTask, LearnsInEveryShapeOfTheNet) {
  const nlohmann::json shapes[] = {{{"positions", "sinusoidal"}},
                                   {{"positions", "rotary"}},
                                   {{"activation", "relu"}},
                                   {{"norm", "post"}, {"embedding_norm", true}, {"hidden", 48}}};
  for (const nlohmann::json& shape : shapes) {
    config_.model.preset = Encoder(shape);
    EXPECT_LT(Trained().at("validation_loss"), 1.5) << shape;
  }
}

TEST_F(MaskedTask, LearnsByAListOfLayers) {
  config_.model.preset = {};
  config_.model.layers = {
      Of(layers::EmbeddingOptions{.width = 16}),
      Of(models::Gru{{.units = 16, .bidirectional = true, .return_sequences = true}}),
      DenseLayer(kVocabulary)};
  config_.model = models::WithNames(config_.model).value();
  EXPECT_LT(Trained().at("validation_loss"), 1.5);
}

TEST_F(MaskedTask, LearnsTheLinesOfAFile) {
  config_.data.path = Path("lines.txt");
  EXPECT_LT(Trained().at("validation_loss"), 1.5);
}

TEST_F(MaskedTask, LearnsWindowsOfARunningText) {
  config_.task = tasks::MaskedLanguageModelingOptions{.window = 12};
  config_.data.path = Path("lines.txt");
  config_.model.preset = Encoder({{"length", 12}});
  // By how often words occur it would be 2.49.
  EXPECT_LT(Trained().at("validation_loss"), 2.3);
  const auto json = checkpoint::LoadModelJson(config_.run_directory + "/model");
  const tasks::ModelFile file = tasks::ModelFileFromJson(*json).value();
  EXPECT_EQ(std::get<tasks::MaskedLanguageModelingOptions>(file.task).window, 12);
  EXPECT_EQ(file.preprocessing.text->max_tokens, 12);
}

TEST_F(MaskedTask, BeginsAsIfAllTokensWereEquallyLikely) {
  config_.epochs = 0;
  config_.steps = 1;
  config_.optimizer = optim::Sgd{.learning_rate = 1e-6};
  EXPECT_NEAR(Trained().at("validation_loss"), std::log(kVocabulary), 0.15);
}

TEST_F(MaskedTask, IsEvaluatedOnTheSameMasksEachTime) {
  config_.optimizer = optim::Sgd{.learning_rate = 1e-12};
  config_.epochs = 3;
  Trained();
  job::EvaluationConfig evaluation;
  evaluation.models = {config_.run_directory + "/model"};
  evaluation.data.path = Path("texts.tsv");
  evaluation.threads = 2;
  std::vector<double> losses;
  for (int i = 0; i < 2; ++i) {
    evaluation.run_directory = NewRun();
    job::Phase phase;
    const auto result = job::Evaluate(evaluation, stop_, recorder_, phase);
    ASSERT_THAT(result, IsOk());
    losses.push_back(result->evaluation.metrics.at("test_loss"));
  }
  EXPECT_EQ(losses[0], losses[1]);
}

TEST_F(MaskedTask, StoppedAndResumedIsNeverStopped) {
  config_.epochs = 1;
  config_.model.preset = Encoder({{"dropout", 0.1}});
  ExpectSameBitsInPieces(config_);
}

TEST_F(MaskedTask, IsPlannedAndTimed) {
  job::Phase phase;
  const auto plan = job::PlanJob(config_, /*measure=*/true, &phase);
  ASSERT_THAT(plan, IsOk());
  const auto table =
      std::ranges::find(plan->layers, "token_embedding", &models::LayerSummary::name);
  ASSERT_NE(table, plan->layers.end());
  EXPECT_EQ(table->weights, kVocabulary * 32);
  EXPECT_GT(*plan->step_seconds, 0);
}

TEST_F(MaskedTask, IsTimedWhereAllTextsHaveAsManyTokensAsThereArePlaces) {
  // 13 windows have 130 tokens, for which a step has 136 rows.
  config_.task = tasks::MaskedLanguageModelingOptions{.window = 10};
  config_.data.path = Path("lines.txt");
  config_.batch_size = 13;
  config_.model.preset = Encoder({{"length", 10}});
  job::Phase phase;
  EXPECT_THAT(job::PlanJob(config_, /*measure=*/true, &phase), IsOk());
}

TEST_F(MaskedTask, ComputesLogitsOfTheDrawnPlacesAlone) {
  const auto task = tasks::MakeTask(config_.task);
  tasks::DataInfo info;
  info.preprocessing = task->MakeExamples(config_.data, config_)->preprocessing;
  const auto graph = task->BuildEvaluation(config_, info, {.batch = 16, .bucket = 96});
  ASSERT_THAT(graph, IsOk());
  EXPECT_EQ(graph->built.graph->shape(graph->model.output),
            (Shape{data::MaskedTexts::MostDrawn(96, 16), kVocabulary}));
}

TEST_F(MaskedTask, AnswersWithTheWordsThatFit) {
  Trained();
  const auto model = Model();
  const std::vector<tasks::Example> examples = {
      model->Read(tasks::TextQuestion{"dog filler1 [MASK] filler2 yard filler3"}, "one").value(),
      model->Read(tasks::TextQuestion{"[MASK] filler1 swims filler2 pond [MASK]"}, "two").value()};
  const auto answers = model->Predict(examples);
  ASSERT_THAT(answers, IsOk());
  ASSERT_THAT(*answers, SizeIs(2));
  ASSERT_THAT((*answers)[0].fills, SizeIs(1));
  EXPECT_EQ((*answers)[0].fills[0][0].name, "barks");
  ASSERT_THAT((*answers)[1].fills, SizeIs(2));
  EXPECT_EQ((*answers)[1].fills[0][0].name, "fish");
  EXPECT_THAT((*answers)[1].fills[1][0].name, HasSubstr("filler"));
  double sum = 0;
  for (const tasks::Prediction::Class& fill : (*answers)[0].fills[0]) {
    sum += fill.probability;
  }
  EXPECT_THAT((*answers)[0].fills[0], SizeIs(kVocabulary - 4));
  EXPECT_LE(sum, 1 + 1e-9);
  EXPECT_GT(sum, 0.9);
}

TEST_F(MaskedTask, RefusesQuestionsThatItCannotAnswer) {
  config_.epochs = 1;
  Trained();
  const auto model = Model();
  EXPECT_THAT(model->Read(tasks::TextQuestion{"dog barks"}, "it"),
              StatusIs(kInvalid, AllOf(HasSubstr("it"), HasSubstr("[MASK]"))));
  EXPECT_THAT(model->Read(tasks::RecordQuestion(), "it"),
              StatusIs(kInvalid, HasSubstr("a row of a table")));
  EXPECT_THAT(model->Read(tasks::TextQuestion{.text = "a [MASK]", .second = "b"}, "it"),
              StatusIs(kInvalid, HasSubstr("it: the model takes single texts, this is a pair")));
  EXPECT_THAT(model->Read(tasks::TextQuestion{.text = "a [MASK]", .beams = 2}, "it"),
              StatusIs(kInvalid, HasSubstr("it: beams: must not be given")));
}

TEST_F(MaskedTask, RefusesATextWhoseMaskIsCutOff) {
  config_.epochs = 1;
  config_.data.text->max_tokens = 3;
  Trained();
  EXPECT_THAT(Model()->Read(tasks::TextQuestion{"a b c [MASK]"}, "it"),
              StatusIs(kInvalid, HasSubstr("first 3 tokens")));
}

TEST_F(MaskedTask, ServesTheClassificationOfTexts) {
  Trained();
  auto next = Next();
  ASSERT_THAT(next, IsOk());
  next->epochs = 10;
  EXPECT_GT(TrainedBy(*next).at("test_accuracy"), 0.9);
  const auto json = checkpoint::LoadModelJson(next->run_directory + "/model");
  const tasks::ModelFile file = tasks::ModelFileFromJson(*json).value();
  EXPECT_EQ(file.preprocessing.text->tokenizer->size(), kVocabulary);
  EXPECT_THAT(file.preprocessing.class_names, ElementsAre("0", "1", "2"));
  const auto model = predict::Predictor::Load(next->run_directory + "/model", 2);
  ASSERT_THAT(model, IsOk());
  const std::vector<tasks::Example> examples = {
      (*model)->Read(tasks::TextQuestion{"fish filler1 swims filler2 pond"}, "it").value()};
  EXPECT_EQ((*(*model)->Predict(examples))[0].classes[0].name, "2");
}

TEST_F(MaskedTask, LeavesFrozenWhatItHasLearned) {
  config_.epochs = 2;
  Trained();
  auto next = Next({"token_embedding", "block_1"});
  ASSERT_THAT(next, IsOk());
  next->epochs = 1;
  TrainedBy(*next);
  const auto was = checkpoint::LoadModel(config_.run_directory + "/model");
  const auto is = checkpoint::LoadModel(next->run_directory + "/model");
  for (const char* name : {"token_embedding.weight", "block_1.up.weight"}) {
    std::vector<std::vector<float>> values;
    for (const checkpoint::SafetensorsFile* file : {&was->tensors, &is->tensors}) {
      const checkpoint::FileTensor* tensor = file->Find(name).value();
      values.emplace_back(static_cast<size_t>(tensor->shape.elements()));
      ASSERT_THAT(file->Read(*tensor, values.back()), IsOk());
    }
    EXPECT_EQ(values[0], values[1]) << name;
  }
}

TEST_F(MaskedTask, DoesNotGoOnWithTokensOfAnotherKind) {
  config_.epochs = 1;
  Trained();
  auto next = Next();
  ASSERT_THAT(next, IsOk());
  next->data.text->like = nullptr;
  next->run_directory = NewRun();
  EXPECT_THAT(Run(*next), StatusIs(kInvalid, AllOf(HasSubstr("other tokens"),
                                                   HasSubstr("data.text.tokenizer"))));
}

TEST_F(MaskedTask, GoesOnWithAVocabularyThatHasAMaskAlone) {
  // A model of classes has no mask.
  tasks::TrainingConfig classes = config_;
  classes.task = tasks::ClassificationOptions();
  classes.data.task = data::Task::kClassification;
  classes.epochs = 1;
  TrainedBy(classes);
  config_.pretrained.directory = classes.run_directory + "/model";
  config_.data.text->like = job::PretrainedTokens(config_.pretrained).value();
  config_.run_directory = NewRun();
  EXPECT_THAT(Run(config_),
              StatusIs(kInvalid, AllOf(HasSubstr("model.pretrained"), HasSubstr("no mask"))));
}

TEST_F(MaskedTask, IsNoLanguageModel) {
  config_.task = tasks::LanguageModelingOptions{.window = 8};
  config_.data.path = Path("lines.txt");
  config_.run_directory = NewRun();
  EXPECT_THAT(Run(config_),
              StatusIs(kInvalid, AllOf(HasSubstr("transformer_encoder"), HasSubstr("gpt"))));
}

TEST_F(MaskedTask, RefusesANetThatForetellsFromTheLeft) {
  config_.model.preset = {.name = "gpt", .options = R"({"positions": "rotary"})"};
  config_.run_directory = NewRun();
  EXPECT_THAT(Run(config_), StatusIs(kInvalid, AllOf(HasSubstr("model.preset (gpt)"),
                                                     HasSubstr("transformer_encoder"))));
}

TEST_F(MaskedTask, RefusesAnOutputThatIsNotOneNumberForEachToken) {
  config_.model.preset = {};
  config_.model.layers = {Of(layers::EmbeddingOptions{.width = 4}), DenseLayer(5)};
  config_.model = models::WithNames(config_.model).value();
  config_.run_directory = NewRun();
  EXPECT_THAT(Run(config_),
              StatusIs(kInvalid, AllOf(HasSubstr("(dense"), HasSubstr("17 numbers"))));
}

TEST_F(MaskedTask, ByItsPlanRefusesFewerLearnedPositionsThanATextHasTokens) {
  config_.model.preset = Encoder({{"length", 5}});
  job::Phase phase;
  EXPECT_THAT(
      job::PlanJob(config_, /*measure=*/false, &phase),
      StatusIs(kInvalid, AllOf(HasSubstr("(transformer_encoder): `length` must be at least 6"),
                               HasSubstr("got 5; data.text.max_tokens: 5 would cut"))));
  config_.task = tasks::MaskedLanguageModelingOptions{.window = 12};
  config_.data.path = Path("lines.txt");
  EXPECT_THAT(job::PlanJob(config_, /*measure=*/false, &phase),
              StatusIs(kInvalid, AllOf(HasSubstr("`length` must be at least 12"),
                                       HasSubstr("masked_language_modeling.window: 5"))));
}

TEST_F(MaskedTask, NamesWhatIsWrongWithTheNet) {
  const std::pair<nlohmann::json, const char*> cases[] = {
      {{{"layers", 0}}, "`layers` must be at least 1"},
      {{{"length", 0}}, "`length` must be at least 1"},
      {{{"norm", "none"}}, "`norm` must be one of pre, post"},
      {{{"pooling", "last"}}, "`pooling` must be one of mean, max, first"},
      {{{"dropout", 1}}, "`dropout`"},
      {{{"colour", 1}}, "`colour` is not known"},
      {{{"width", "wide"}}, "transformer_encoder"}};
  for (const auto& [change, said] : cases) {
    config_.model.preset = Encoder(change);
    config_.run_directory = NewRun();
    EXPECT_THAT(Run(config_), StatusIs(kInvalid, HasSubstr(said))) << change;
  }
}

}  // namespace
}  // namespace hone::engine::train
