#include "engine/tasks/token_tagging.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/base/rng.h"
#include "engine/data/tagged_texts.h"
#include "engine/job/evaluator.h"
#include "engine/job/plan.h"
#include "engine/predict/predictor.h"
#include "engine/tasks/entities.h"
#include "engine/tasks/table.h"
#include "engine/tensor/token_rows.h"
#include "tests/engine/task_testing.h"
#include "tests/support/status_matchers.h"

// Tags of words, from files to answers.
namespace hone::engine::train {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int kSentences = 400;

class TaggingTask : public TrainTest {
 protected:
  // The same names are persons behind "mr", two words each, and places behind "in", one word; by
  // themselves they are nothing.
  TaggingTask() {
    RandomStream random(11, "tagging");
    std::string conll;
    const auto word = [&](absl::string_view text, absl::string_view tag) {
      absl::StrAppend(&conll, text, " ", tag, "\n");
    };
    const auto name = [&] { return absl::StrCat("name", random.NextBelow(12)); };
    for (int i = 0; i < kSentences; ++i) {
      const auto parts = 1 + random.NextBelow(3);
      for (uint64_t p = 0; p < parts; ++p) {
        switch (random.NextBelow(3)) {
          case 0:
            word("mr", "O");
            word(name(), "B-PER");
            word(name(), "I-PER");
            break;
          case 1:
            word("in", "O");
            word(name(), "B-LOC");
            break;
          default:
            word("the", "O");
            word(name(), "O");
        }
        word(absl::StrCat("filler", random.NextBelow(5)), "O");
      }
      conll += "\n";
    }
    Write("names.conll", conll);
    config_.task = tasks::TokenTaggingOptions();
    config_.data.task = data::Task::kTokenTagging;
    config_.data.path = Path("names.conll");
    config_.data.text.emplace();
    config_.data.validation_fraction = 0.1;
    config_.model.inputs = {std::string(kTokensInput), std::string(kOffsetsInput)};
    config_.model.layers = {
        Of(layers::EmbeddingOptions{.width = 16}),
        Of(models::Gru{{.units = 16, .bidirectional = true, .return_sequences = true}}),
        DenseLayer(4)};
    config_.model = models::WithNames(config_.model).value();
    config_.optimizer = optim::Adam{.learning_rate = 0.01};
    config_.epochs = 25;
    config_.batch_size = 16;
    config_.threads = 2;
  }

  std::map<std::string, double> Trained() {
    config_.run_directory = NewRun();
    EXPECT_THAT(Run(config_), IsOk());
    return recorder_.evaluations.empty() ? std::map<std::string, double>()
                                         : recorder_.evaluations.back().metrics;
  }

  void TakePreset() {
    const nlohmann::json options = {
        {"layers", 2}, {"heads", 2}, {"width", 32}, {"length", 64}, {"dropout", 0}};
    config_.model.layers = {};
    config_.model.preset = {.name = "transformer_encoder", .options = options.dump()};
    config_.optimizer = optim::Adam{.learning_rate = 0.003};
  }

  std::unique_ptr<predict::Predictor> Model() const {
    return predict::Predictor::Load(config_.run_directory + "/model", 2).value();
  }

  tasks::TrainingConfig config_;
};

TEST_F(TaggingTask, LearnsARuleOfTheWordsAround) {
  const auto metrics = Trained();
  EXPECT_GE(metrics.at("entity_f1"), 0.99);
  EXPECT_GE(metrics.at("entity_precision"), 0.99);
  EXPECT_GE(metrics.at("entity_recall"), 0.99);
  EXPECT_GE(metrics.at("tag_accuracy"), 0.99);
  EXPECT_TRUE(metrics.contains("validation_entity_f1"));
}

TEST_F(TaggingTask, LearnsByThePreset) {
  TakePreset();
  EXPECT_GE(Trained().at("entity_f1"), 0.99);
}

TEST_F(TaggingTask, TellsOfEachTypeOfEntity) {
  Trained();
  const tasks::Evaluation& evaluation = recorder_.evaluations.back();
  ASSERT_THAT(evaluation.classes, SizeIs(2));
  EXPECT_EQ(evaluation.classes[0].name, "LOC");
  EXPECT_EQ(evaluation.classes[1].name, "PER");
  EXPECT_GT(evaluation.classes[1].examples, 10);
}

TEST_F(TaggingTask, StoppedAndResumedIsNeverStopped) {
  config_.epochs = 1;
  ExpectSameBitsInPieces(config_);
}

TEST_F(TaggingTask, IsPlannedAndTimed) {
  job::Phase phase;
  const auto plan = job::PlanJob(config_, /*measure=*/true, &phase);
  ASSERT_THAT(plan, IsOk());
  EXPECT_GT(*plan->step_seconds, 0);
}

TEST_F(TaggingTask, AnswersWithTheWordsAndTheirTags) {
  Trained();
  const auto model = Model();
  const tasks::Example example =
      model->Read(tasks::TextQuestion{"filler1 mr name3 name4 in name3"}, "it").value();
  const auto answers = model->Predict({&example, 1});
  ASSERT_THAT(answers, IsOk());
  std::vector<std::string> tagged;
  for (const tasks::Prediction::Word& word : answers->front().words) {
    tagged.push_back(absl::StrCat(word.text, "/", word.tag));
    // The first weights that find every entity are published, however sure they are.
    EXPECT_GT(word.probability, 0.3);
    EXPECT_LE(word.probability, 1);
  }
  EXPECT_THAT(tagged, ElementsAre("filler1/O", "mr/O", "name3/B-PER", "name4/I-PER", "in/O",
                                  "name3/B-LOC"));
}

TEST_F(TaggingTask, TagsATextThatIsLongerThanAPieceToItsEnd) {
  config_.data.text->max_tokens = 32;
  Trained();
  const auto model = Model();
  std::string text;
  for (int i = 0; i < 50; ++i) {
    text += "in name1 filler2 ";
  }
  const tasks::Example example = model->Read(tasks::TextQuestion{text}, "it").value();
  const auto answers = model->Predict({&example, 1});
  ASSERT_THAT(answers, IsOk());
  ASSERT_THAT(answers->front().words, SizeIs(150));
  EXPECT_EQ(answers->front().words.back().text, "filler2");
  // A piece may begin behind "in".
  int places = 0;
  for (const tasks::Prediction::Word& word : answers->front().words) {
    places += word.tag == "B-LOC" ? 1 : 0;
  }
  EXPECT_GE(places, 42);
}

TEST_F(TaggingTask, ReadsNoLongerPieceThanThePresetHasPlaces) {
  TakePreset();
  config_.epochs = 1;
  Trained();
  const auto model = Model();
  EXPECT_EQ(model->file().preprocessing.text->max_tokens, 64);
  std::string text;
  for (int i = 0; i < 150; ++i) {
    text += "name1 ";
  }
  const tasks::Example example = model->Read(tasks::TextQuestion{text}, "it").value();
  const auto answers = model->Predict({&example, 1});
  ASSERT_THAT(answers, IsOk());
  EXPECT_THAT(answers->front().words, SizeIs(150));
}

TEST_F(TaggingTask, RefusesASentenceThatIsLongerThanThePresetHasPlaces) {
  TakePreset();
  config_.model.preset.options =
      nlohmann::json({{"layers", 1}, {"heads", 1}, {"width", 8}, {"length", 2}}).dump();
  config_.run_directory = NewRun();
  EXPECT_THAT(Run(config_), StatusIs(kInvalid, AllOf(HasSubstr("`length` must be at least"),
                                                     HasSubstr("data.text.max_tokens: 2"))));
}

TEST_F(TaggingTask, AModelIsEvaluatedOnItsDataAgain) {
  const double f1 = Trained().at("entity_f1");
  job::EvaluationConfig evaluation;
  evaluation.models = {config_.run_directory + "/model"};
  evaluation.data = config_.data;
  evaluation.part = job::EvaluationConfig::Part::kTest;
  evaluation.threads = 2;
  evaluation.run_directory = NewRun();
  job::Phase phase;
  const auto result = job::Evaluate(evaluation, stop_, recorder_, phase);
  ASSERT_THAT(result, IsOk());
  EXPECT_NEAR(result->evaluation.metrics.at("entity_f1"), f1, 1e-9);
}

TEST_F(TaggingTask, RefusesQuestionsThatItCannotAnswer) {
  config_.epochs = 1;
  Trained();
  const auto model = Model();
  EXPECT_THAT(model->Read(tasks::TextQuestion{" "}, "it"),
              StatusIs(kInvalid, HasSubstr("it: must have 1 to")));
  EXPECT_THAT(model->Read(tasks::TextQuestion{.text = "a", .second = "b"}, "it"),
              StatusIs(kInvalid, HasSubstr("this is a pair")));
  EXPECT_THAT(model->Read(tasks::RecordQuestion(), "it"),
              StatusIs(kInvalid, HasSubstr("a row of a table")));
}

TEST_F(TaggingTask, RefusesAnOutputThatIsNotOneNumberForEachTag) {
  config_.model.layers = {Of(layers::EmbeddingOptions{.width = 4}), DenseLayer(3)};
  config_.model = models::WithNames(config_.model).value();
  config_.run_directory = NewRun();
  EXPECT_THAT(Run(config_), StatusIs(kInvalid, AllOf(HasSubstr("(dense"), HasSubstr("4 numbers"))));
}

// What the tags of a sentence are: "0-2 PER".
std::vector<std::string> Entities(const std::string& tags) {
  const std::vector<absl::string_view> each = absl::StrSplit(tags, ' ');
  std::vector<std::string> found;
  for (const tasks::Entity& entity : tasks::EntitiesOf(each)) {
    found.push_back(absl::StrCat(entity.begin, "-", entity.end, " ", entity.type));
  }
  return found;
}

TEST(EntitiesOf, ABeginsAndIGoesOn) {
  EXPECT_THAT(Entities("O B-PER I-PER O B-LOC"), ElementsAre("1-3 PER", "4-5 LOC"));
}
TEST(EntitiesOf, BBehindAnEntityBeginsAnother) {
  EXPECT_THAT(Entities("B-PER B-PER I-PER"), ElementsAre("0-1 PER", "1-3 PER"));
}
TEST(EntitiesOf, IWithoutABeginningIsOne) {
  EXPECT_THAT(Entities("O I-PER I-PER"), ElementsAre("1-3 PER"));
}
TEST(EntitiesOf, IOfAnotherTypeBeginsAnother) {
  EXPECT_THAT(Entities("B-PER I-LOC I-LOC"), ElementsAre("0-1 PER", "1-3 LOC"));
}
TEST(EntitiesOf, EEndsAndSIsOneWord) {
  EXPECT_THAT(Entities("B-PER I-PER E-PER S-PER E-PER I-PER"),
              ElementsAre("0-3 PER", "3-4 PER", "4-5 PER", "5-6 PER"));
}
TEST(EntitiesOf, ATagWithoutAPrefixIsOneWord) {
  EXPECT_THAT(Entities("NOUN NOUN O"), ElementsAre("0-1 NOUN", "1-2 NOUN"));
}
TEST(EntitiesOf, OneLetterIsAPrefixWithoutAType) {
  EXPECT_THAT(Entities("B I O I B I-PER S B E"),
              ElementsAre("0-2 _", "3-4 _", "4-5 _", "5-6 PER", "6-7 _", "7-9 _"));
}
TEST(EntitiesOf, NothingButOutsideIsNone) { EXPECT_THAT(Entities("O O"), IsEmpty()); }

TEST(EntityCounts, AreNoughtWhereThereIsNothing) {
  EXPECT_EQ(tasks::EntityCounts().f1(), 0);
  const tasks::EntityCounts counts = {.right = 2, .found = 4, .there = 3};
  EXPECT_DOUBLE_EQ(counts.precision(), 0.5);
  EXPECT_DOUBLE_EQ(counts.recall(), 2.0 / 3);
  EXPECT_DOUBLE_EQ(counts.f1(), 4.0 / 7);
}

}  // namespace
}  // namespace hone::engine::train
