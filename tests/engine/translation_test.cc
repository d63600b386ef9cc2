#include "engine/tasks/translation.h"

#include <gmock/gmock.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/data/sentence_pairs.h"
#include "engine/job/evaluator.h"
#include "engine/job/plan.h"
#include "engine/models/translation.h"
#include "engine/predict/predictor.h"
#include "engine/tasks/model_file.h"
#include "engine/tasks/table.h"
#include "engine/tensor/token_rows.h"
#include "tests/engine/task_testing.h"
#include "tests/support/status_matchers.h"

// Translations, from pairs of sentences to what a model says for another one.
namespace hone::engine::train {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// A language is translated into another one word by word.
class TranslationTask : public TrainTest {
 protected:
  TranslationTask() {
    RandomStream random(5, "translation test");
    std::string pairs;
    for (int i = 0; i < 600; ++i) {
      pairs += PairOf(random, 2 + static_cast<int>(random.NextBelow(3)));
    }
    Write("pairs.tsv", pairs);
    config_.task = tasks::TranslationOptions{.longest = 8};
    config_.data.task = data::Task::kTranslation;
    config_.data.path = Path("pairs.tsv");
    config_.data.validation_fraction = 0.1;
    config_.data.test_fraction = 0.1;
    config_.model.inputs = {std::string(models::kSourceTokensInput),
                            std::string(models::kSourceOffsetsInput), std::string(kTokensInput),
                            std::string(kOffsetsInput)};
    config_.model.preset = Seq2Seq();
    config_.optimizer = optim::Adam{.learning_rate = 0.01};
    config_.epochs = 12;
    config_.batch_size = 16;
    config_.threads = 2;
  }

  static std::string PairOf(RandomStream& random, int length) {
    constexpr const char* kWords[] = {"one", "two", "three", "four", "five"};
    constexpr const char* kTheirs[] = {"eins", "zwei", "drei", "vier", "acht"};
    std::vector<std::string> source, target;
    for (int i = 0; i < length; ++i) {
      const uint64_t word = random.NextBelow(5);
      source.emplace_back(kWords[word]);
      target.emplace_back(kTheirs[word]);
    }
    return absl::StrCat(absl::StrJoin(source, " "), "\t", absl::StrJoin(target, " "), "\n");
  }

  static models::PresetDescription Seq2Seq(nlohmann::json changes = nlohmann::json::object()) {
    nlohmann::json options = {{"units", 32}, {"embedding", 32}, {"dropout", 0.0}};
    options.update(changes);
    return {.name = "seq2seq", .options = options.dump()};
  }
  static models::PresetDescription Transformer() {
    return {.name = "transformer_translation",
            .options = nlohmann::json({{"layers", 1},
                                       {"heads", 2},
                                       {"width", 32},
                                       {"feed_forward", 64},
                                       {"dropout", 0.0}})
                           .dump()};
  }
  std::vector<models::PresetDescription> AllPresets() const {
    return {Seq2Seq(), Seq2Seq({{"cell", "lstm"}, {"attention", "luong"}}),
            Seq2Seq({{"bidirectional", true}, {"layers", 2}}),
            Seq2Seq({{"attention", "luong"}, {"input_feeding", true}}), Transformer()};
  }

  std::map<std::string, double> Trained() {
    config_.run_directory = NewRun();
    EXPECT_THAT(Run(config_), IsOk());
    return recorder_.evaluations.empty() ? std::map<std::string, double>()
                                         : recorder_.evaluations.back().metrics;
  }
  tasks::TranslationOptions& task() { return std::get<tasks::TranslationOptions>(config_.task); }

  std::unique_ptr<predict::Predictor> Model() {
    auto model = predict::Predictor::Load(config_.run_directory + "/model", 1);
    EXPECT_THAT(model, IsOk());
    return *std::move(model);
  }
  using Translations = std::vector<tasks::Prediction::Translation>;
  static std::vector<Translations> Ask(predict::Predictor& model,
                                       const std::vector<std::string>& texts, int64_t beams) {
    std::vector<predict::Example> examples;
    for (const std::string& text : texts) {
      examples.push_back(
          model.Read(tasks::TextQuestion{.text = text, .beams = beams}, "text").value());
    }
    std::vector<Translations> answers;
    const auto predictions = model.Predict(examples);
    EXPECT_THAT(predictions, IsOk());
    for (const tasks::Prediction& prediction : *predictions) {
      answers.push_back(prediction.translations);
    }
    return answers;
  }

  // An evaluation's program for one pair, bound to memory; its parameters have no values yet.
  struct LossProgram {
    std::optional<tasks::TaskGraph> graph;
    ParameterStore store;
    Buffer arena;
    std::optional<Program> program;
    tasks::BatchShape shape;

    tasks::Inputs inputs() const { return tasks::Inputs(*program, shape); }
  };
  std::unique_ptr<LossProgram> Compiled(const tasks::Task& task, const tasks::DataInfo& info,
                                        const data::Dataset& dataset) {
    auto result = std::make_unique<LossProgram>();
    const std::vector<int32_t> rows = {0};
    result->shape = {1, task.BucketOf(dataset, rows, nullptr)};
    result->graph = task.BuildEvaluation(config_, info, result->shape).value();
    for (const Graph::Node& node : result->graph->built.graph->nodes()) {
      if (node.kind == Graph::Node::Kind::kParameter) {
        EXPECT_THAT(result->store.Declare(node.parameter), IsOk());
      }
    }
    result->store.Allocate(0);
    result->program = Program::Compile(result->graph->built.request, result->store, {}).value();
    result->arena = Buffer(std::max<int64_t>(result->program->arena_bytes(), 64));
    EXPECT_THAT(result->program->Bind(result->arena.as<std::byte>()), IsOk());
    return result;
  }

  // What the whole net gives for the logarithm of a translation's probability.
  double LogProbability(const tasks::ModelFile& file, const checkpoint::Model& model,
                        const std::string& text, const tasks::Prediction::Translation& said) {
    const auto task = tasks::MakeTask(file.task);
    tasks::DataInfo info;
    info.preprocessing = file.preprocessing;
    const text::SpecialTokens special = info.preprocessing.target_text->tokenizer->special();
    std::vector<int32_t> target = {special.begin};
    info.preprocessing.target_text->tokenizer->Encode(said.text, target);
    if (said.ended) {
      target.push_back(special.end);
    }
    const auto pairs = std::make_shared<data::SentencePairs>();
    pairs->Add(pairs->AddSentence(), info.preprocessing.text->Encode(text), target);
    const data::Dataset dataset{std::shared_ptr<const data::OwnExamples>(pairs)};
    const std::vector<int32_t> rows = {0};
    const auto compiled = Compiled(*task, info, dataset);
    EXPECT_THAT(tasks::ReadModel(model.tensors, compiled->store), IsOk());
    EXPECT_THAT(task->FillInputs(dataset, {.rows = rows}, nullptr, compiled->inputs()), IsOk());
    EXPECT_THAT(compiled->program->Run({}), IsOk());
    EXPECT_EQ(compiled->program->fetched_scalar(tasks::kFetchLossWeight),
              static_cast<double>(target.size() - 1));
    return -compiled->program->fetched_scalar(tasks::kFetchLossSum);
  }

  tasks::TrainingConfig config_;
};

TEST_F(TranslationTask, LearnsALanguageWordByWord) {
  const auto metrics = Trained();
  EXPECT_LT(metrics.at("test_loss"), 0.3);
  EXPECT_NEAR(metrics.at("test_perplexity"), std::exp(metrics.at("test_loss")), 1e-9);
  EXPECT_GT(metrics.at("test_bleu"), 70);
  EXPECT_GT(metrics.at("test_chrf"), 70);
  EXPECT_EQ(metrics.count("test_beam_bleu"), 0u);
  const auto model = Model();
  EXPECT_EQ(Ask(*model, {"two four three"}, 0)[0][0].text, "zwei vier drei");
}

TEST_F(TranslationTask, LearnsByATransformer) {
  config_.model.preset = Transformer();
  config_.optimizer = optim::Adam{.learning_rate = 0.003};
  config_.epochs = 25;
  const auto metrics = Trained();
  EXPECT_LT(metrics.at("test_loss"), 0.8);
  EXPECT_GT(metrics.at("test_bleu"), 30);
}

TEST_F(TranslationTask, WritesWhatTheWholeNetFindsAsProbable) {
  config_.epochs = 2;
  task().length_penalty = 0;
  for (const models::PresetDescription& preset : AllPresets()) {
    config_.model.preset = preset;
    Trained();
    const auto files = checkpoint::LoadModel(config_.run_directory + "/model");
    ASSERT_THAT(files, IsOk());
    const tasks::ModelFile file = tasks::ModelFileFromJson(files->model_json).value();
    const auto model = Model();
    for (const int64_t beams : {1, 4}) {
      const std::vector<std::string> texts = {"one two", "three one five four", "five"};
      const auto answers = Ask(*model, texts, beams);
      for (size_t i = 0; i < texts.size(); ++i) {
        ASSERT_FALSE(answers[i].empty());
        for (const tasks::Prediction::Translation& said : answers[i]) {
          if (said.text.empty() && !said.ended) {
            continue;
          }
          EXPECT_NEAR(said.score, LogProbability(file, *files, texts[i], said), 1e-3)
              << preset.options << ", " << beams << " beams: " << said.text;
        }
      }
    }
  }
}

TEST_F(TranslationTask, SeveralSentencesBecomeWhatEachBecomesAlone) {
  config_.epochs = 3;
  for (const models::PresetDescription& preset : {Seq2Seq(), Transformer()}) {
    config_.model.preset = preset;
    Trained();
    const auto model = Model();
    std::vector<std::string> texts;
    for (int i = 0; i < 40; ++i) {  // more than are translated together
      texts.push_back(absl::StrCat(i % 2 == 0 ? "one " : "four five ", i % 3 == 0 ? "two" : "three",
                                   i % 5 == 0 ? " five one" : ""));
    }
    for (const int64_t beams : {1, 3}) {
      const auto together = Ask(*model, texts, beams);
      for (size_t i = 0; i < texts.size(); ++i) {
        const auto alone = Ask(*model, {texts[i]}, beams)[0];
        ASSERT_EQ(alone.size(), together[i].size());
        EXPECT_EQ(alone[0].text, together[i][0].text);
        EXPECT_NEAR(alone[0].score, together[i][0].score, 1e-4);
      }
    }
  }
}

TEST_F(TranslationTask, BeamsGiveSeveralTranslationsTheBestFirst) {
  config_.epochs = 5;
  task().beams = 3;
  const auto metrics = Trained();
  EXPECT_GT(metrics.at("test_beam_bleu"), 0);
  EXPECT_GT(metrics.at("test_beam_chrf"), 0);
  const auto model = Model();
  const Translations as_trained = Ask(*model, {"one five"}, 0)[0];
  ASSERT_THAT(as_trained, SizeIs(3));
  EXPECT_GE(as_trained[0].score, as_trained[1].score);
  EXPECT_GE(as_trained[1].score, as_trained[2].score);
  EXPECT_THAT(Ask(*model, {"one five"}, 1)[0], SizeIs(1));
}

TEST_F(TranslationTask, TellsSomeTranslationsAtEachEvaluation) {
  config_.epochs = 2;
  Trained();
  EXPECT_EQ(
      std::ranges::count_if(recorder_.infos,
                            [](const std::string& text) { return absl::StrContains(text, " → "); }),
      3);  // of two epochs and of the test
}

TEST_F(TranslationTask, LeavesWhatItLookedAtAsPictures) {
  config_.epochs = 1;
  task().attention_maps = 2;
  for (const models::PresetDescription& preset : AllPresets()) {
    config_.model.preset = preset;
    recorder_.artifacts.clear();
    Trained();
    EXPECT_EQ(std::ranges::count(recorder_.artifacts, "attention", &tasks::Artifact::kind), 4);
    const std::string folder = config_.run_directory + "/artifacts/attention/";
    const auto picture = ReadFile(folder + "2.png", 1 << 20);
    ASSERT_THAT(picture, IsOk());
    EXPECT_THAT(image::Decode(*picture, "2.png"), IsOk());
    const auto table = ReadFile(folder + "1.txt", 1 << 20);
    ASSERT_THAT(table, IsOk());
    const std::vector<std::string> lines = absl::StrSplit(*table, '\n', absl::SkipEmpty());
    ASSERT_GT(lines.size(), 1u);
    const std::vector<std::string> head = absl::StrSplit(lines[0], '\t');
    for (size_t i = 1; i < lines.size(); ++i) {
      const std::vector<std::string> cells = absl::StrSplit(lines[i], '\t');
      ASSERT_EQ(cells.size(), head.size());
      double sum = 0;
      for (size_t c = 1; c < cells.size(); ++c) {
        double share = 0;
        ASSERT_TRUE(absl::SimpleAtod(cells[c], &share));
        sum += share;
      }
      EXPECT_NEAR(sum, 1, 0.01) << preset.options;
    }
  }
}

TEST_F(TranslationTask, TranslatesNothingAtTheEndsOfEpochsWhereThatIsNotWanted) {
  config_.epochs = 1;
  task().evaluation_sentences = 0;
  const auto metrics = Trained();
  EXPECT_EQ(metrics.count("test_bleu"), 1u);
  for (const Metrics& told : recorder_.metrics) {
    EXPECT_EQ(told.values.count("validation_bleu"), 0u);
  }
}

TEST_F(TranslationTask, SmoothedLabelsChangeTheTrainingAndNoEvaluation) {
  config_.epochs = 0;
  config_.steps = 1;
  config_.optimizer = optim::Sgd{.learning_rate = 1e-9};
  const double plain = Trained().at("test_loss");
  task().label_smoothing = 0.3f;
  EXPECT_NEAR(Trained().at("test_loss"), plain, 1e-5);
}

TEST_F(TranslationTask, StoppedAndResumedIsNeverStopped) {
  config_.model.preset = Seq2Seq({{"dropout", 0.1}});
  config_.epochs = 1;
  ExpectSameBitsInPieces(config_);
}

TEST_F(TranslationTask, ReadsChangedSentencesOfWhichItWritesTheTrueTranslations) {
  Write("pairs.tsv", "one two three four five one\teins zwei drei\n");
  config_.data.validation_fraction = config_.data.test_fraction = 0;
  const auto task = tasks::MakeTask(config_.task);
  const data::LoadedData loaded = tasks::LoadExamples(config_.data, config_, *task).value();
  const auto compiled = Compiled(*task, tasks::InfoOf(loaded), loaded.dataset);
  const auto filled = [&](const data::TextAugmenter* changes) {
    const std::vector<int32_t> rows = {0};
    EXPECT_THAT(task->FillInputs(loaded.dataset, {.rows = rows, .text_changes = changes, .seed = 1},
                                 nullptr, compiled->inputs()),
                IsOk());
    std::map<std::string, std::vector<int32_t>> values;
    for (const absl::string_view read :
         {models::kSourceTokensInput, models::kSourceOffsetsInput, kTokensInput, kOffsetsInput,
          absl::string_view("targets")}) {
      const std::string name(read);
      const std::span<const int32_t> input = compiled->inputs().Find<int32_t>(name).value();
      values[name].assign(input.begin(), input.end());
    }
    return values;
  };
  const auto plain = filled(nullptr);
  const data::TextAugmenter changes({.word_dropout = 0.9f}, loaded.preprocessing.text->tokenizer);
  const auto changed = filled(&changes);
  const std::string offsets(models::kSourceOffsetsInput), tokens(models::kSourceTokensInput);
  EXPECT_EQ(plain.at(offsets)[1], 6);
  EXPECT_LT(changed.at(offsets)[1], 6);
  EXPECT_NE(changed.at(tokens), plain.at(tokens));
  for (const auto& [name, values] : plain) {
    if (name != tokens && name != offsets) {
      EXPECT_EQ(changed.at(name), values) << name;
    }
  }
}

TEST_F(TranslationTask, ReadingChangedSentencesStoppedAndResumedIsNeverStopped) {
  config_.data.pairs.augmentation = {
      .character_noise = 0.05f, .word_dropout = 0.1f, .unknown = 0.05f, .swap = 0.1f};
  config_.epochs = 1;
  ExpectSameBitsInPieces(config_);
}

TEST_F(TranslationTask, GuessesThatAreNotTakenChangeNothing) {
  config_.epochs = 1;
  config_.threads = 1;
  for (const models::PresetDescription& preset : AllPresets()) {
    config_.model.preset = preset;
    task().sampling = std::nullopt;
    Trained();
    const std::string plain = ModelSha(config_);
    task().sampling = {.from = 0, .to = 0, .steps = 1};
    Trained();
    EXPECT_EQ(ModelSha(config_), plain) << preset.options;
    task().sampling->to = 0.5;
    Trained();
    EXPECT_NE(ModelSha(config_), plain) << preset.options;
  }
}

TEST_F(TranslationTask, LearnsFromItsOwnGuesses) {
  task().sampling = {.from = 0, .to = 0.5, .steps = 200};
  const auto metrics = Trained();
  EXPECT_GT(metrics.at("test_bleu"), 40);
}

TEST_F(TranslationTask, TellsTheShareOfGuesses) {
  config_.epochs = 2;  // of 30 steps
  task().sampling = {.from = 0.25, .to = 0.5, .steps = 40};
  Trained();
  std::vector<double> shares;
  for (const Metrics& told : recorder_.metrics) {
    if (const auto share = told.values.find("sampled_share"); share != told.values.end()) {
      shares.push_back(share->second);
    }
  }
  ASSERT_FALSE(shares.empty());
  EXPECT_EQ(shares.back(), 0.5);
  EXPECT_TRUE(std::ranges::is_sorted(shares));
}

TEST_F(TranslationTask, StoppedAndResumedTakesTheSameGuesses) {
  config_.epochs = 1;
  config_.layer_statistics_every = 1;
  config_.model.preset = Seq2Seq({{"dropout", 0.1}});
  task().sampling = {.from = 0, .to = 1, .steps = 20};
  Trained();
  const std::string whole = ModelSha(config_);
  config_.run_directory = NewRun();
  config_.resume = true;
  recorder_.on_step = [this](int64_t step) { stop_ = step % 7 == 0; };
  int attempts = 1;
  for (; Run(config_).value() == EndReason::kCancelled; ++attempts) {
    stop_ = false;
  }
  EXPECT_GT(attempts, 1);
  EXPECT_EQ(ModelSha(config_), whole);
}

TEST_F(TranslationTask, IsPlannedAsItIsWithoutGuesses) {
  job::Phase phase;
  const auto plain = job::PlanJob(config_, /*measure=*/false, &phase);
  ASSERT_THAT(plain, IsOk());
  task().sampling.emplace();
  const auto sampled = job::PlanJob(config_, /*measure=*/true, &phase);
  ASSERT_THAT(sampled, IsOk());
  EXPECT_EQ(sampled->depth, plain->depth);
  ASSERT_EQ(sampled->layers.size(), plain->layers.size());
  for (size_t i = 0; i < plain->layers.size(); ++i) {
    EXPECT_EQ(sampled->layers[i].name, plain->layers[i].name);
    EXPECT_EQ(sampled->layers[i].role, plain->layers[i].role) << plain->layers[i].name;
  }
}

TEST_F(TranslationTask, FedWhatItsAttentionMakesHasItsOutputAloneForAnOutput) {
  config_.model.preset = Seq2Seq({{"attention", "luong"}, {"input_feeding", true}});
  job::Phase phase;
  const auto plan = job::PlanJob(config_, /*measure=*/false, &phase);
  ASSERT_THAT(plan, IsOk());
  for (const models::LayerSummary& layer : plan->layers) {
    EXPECT_EQ(layer.role == models::LayerRole::kOutput, layer.name == "output") << layer.name;
  }
}

TEST_F(TranslationTask, IsPlannedAndTimed) {
  job::Phase phase;
  const auto plan = job::PlanJob(config_, /*measure=*/true, &phase);
  ASSERT_THAT(plan, IsOk());
  const auto table =
      std::ranges::find(plan->layers, "source_embedding", &models::LayerSummary::name);
  ASSERT_NE(table, plan->layers.end());
  EXPECT_EQ(table->weights, (3 + 5) * 32);
  for (const models::LayerSummary& layer : plan->layers) {
    EXPECT_FALSE(absl::StrContains(layer.name, "ancestors")) << layer.name;
  }
  EXPECT_GT(*plan->step_seconds, 0);
}

TEST_F(TranslationTask, IsEvaluatedOnOtherSentences) {
  config_.epochs = 15;
  Trained();
  // BLEU of corpora without four words on end is 0.
  Write("others.tsv", "one two three five\teins zwei drei acht\nfour five\tvier acht\n");
  job::EvaluationConfig evaluation;
  evaluation.models = {config_.run_directory + "/model"};
  evaluation.data.path = Path("others.tsv");
  evaluation.threads = 2;
  evaluation.run_directory = NewRun();
  recorder_.infos.clear();
  job::Phase phase;
  const auto result = job::Evaluate(evaluation, stop_, recorder_, phase);
  ASSERT_THAT(result, IsOk());
  EXPECT_LT(result->evaluation.metrics.at("test_loss"), 1);
  EXPECT_GT(result->evaluation.metrics.at("test_bleu"), 10);
  EXPECT_THAT(recorder_.infos,
              Contains(AllOf(HasSubstr("four five → "), HasSubstr("2 sentences: BLEU nrefs:"))));
}

TEST_F(TranslationTask, GoesOnFromAModelOfTheSamePairsAlone) {
  config_.epochs = 1;
  Trained();
  tasks::TrainingConfig next = config_;
  next.pretrained.directory = config_.run_directory + "/model";
  next.run_directory = NewRun();
  EXPECT_THAT(Run(next), IsOk());
  Write("others.tsv", "six seven\tsechs sieben\nseven\tsieben\nsix\tsechs\n");
  next.data.path = Path("others.tsv");
  next.run_directory = NewRun();
  EXPECT_THAT(Run(next),
              StatusIs(kInvalid, AllOf(HasSubstr("data.pairs: the pretrained model"),
                                       HasSubstr("has 8 tokens, that of these sources 5"),
                                       HasSubstr("for others leave model.pretrained out"))));
}

TEST_F(TranslationTask, IsKeptWithHowItTranslates) {
  config_.epochs = 1;
  task().beams = 4;
  task().length_penalty = 0.6;
  Trained();
  const auto json = checkpoint::LoadModelJson(config_.run_directory + "/model");
  ASSERT_THAT(json, IsOk());
  const auto file = tasks::ModelFileFromJson(*json);
  ASSERT_THAT(file, IsOk());
  const auto& kept = std::get<tasks::TranslationOptions>(file->task);
  EXPECT_EQ(kept.beams, 4);
  EXPECT_EQ(kept.length_penalty, 0.6);
  EXPECT_EQ(kept.longest, 8);
}

TEST_F(TranslationTask, RefusesQuestionsThatItCannotAnswer) {
  config_.epochs = 1;
  Trained();
  const auto model = Model();
  EXPECT_THAT(model->Read(tasks::MazeQuestion{"S.G"}, "inputs[0]").status(),
              StatusIs(kInvalid, AllOf(HasSubstr("inputs[0]"), HasSubstr("translates texts"))));
  EXPECT_THAT(model->Read(tasks::TextQuestion{.text = "one", .beams = 17}, "inputs[0]").status(),
              StatusIs(kInvalid, AllOf(HasSubstr("beams"), HasSubstr("1 to 16, got 17"))));
  EXPECT_THAT(model->Read(tasks::TextQuestion{.text = "one", .second = "two"}, "it").status(),
              StatusIs(kInvalid, HasSubstr("this is a pair")));
  EXPECT_THAT(model->Read(tasks::TextQuestion{.text = " \n"}, "it").status(),
              StatusIs(kInvalid, HasSubstr("it: the text has no words")));
  std::string long_text;
  for (int i = 0; i < 600; ++i) {
    long_text += "one ";
  }
  EXPECT_THAT(model->Read(tasks::TextQuestion{.text = long_text}, "inputs[0]").status(),
              StatusIs(kInvalid, AllOf(HasSubstr("600 tokens"), HasSubstr("at most"))));
}

TEST_F(TranslationTask, RefusesOptionsThatAreNone) {
  nlohmann::json json = tasks::MakeTranslation({})->ToJson();
  json["beams"] = 0;
  EXPECT_THAT(tasks::TranslationFromJson(json).status(),
              StatusIs(kInvalid, HasSubstr("`task.beams` must be 1 to 16, got 0")));
  json = tasks::MakeTranslation({.sampling = tasks::ScheduledSampling()})->ToJson();
  EXPECT_THAT(tasks::TranslationFromJson(json), IsOk());
  json["scheduled_sampling"]["to"] = 2;
  EXPECT_THAT(tasks::TranslationFromJson(json).status(),
              StatusIs(kInvalid, HasSubstr("`task.scheduled_sampling` must go from 0 to 1")));
}

}  // namespace
}  // namespace hone::engine::train
